//! Datagrams of `sock_diag`: each message's frame, header and attributes.
#![no_main]

use closewait_doctor::collect::sock_diag::decode_datagram;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|datagram: &[u8]| {
    let mut sockets = 0;
    decode_datagram(datagram, &mut |_, _| true, &mut |_| sockets += 1);
    // No message is shorter than its header of 16 bytes and `struct inet_diag_msg` of 72.
    assert!(sockets <= datagram.len() / 88);
    decode_datagram(datagram, &mut |_, inode| inode.is_none(), &mut |socket| {
        drop(format!("{socket:?}"))
    });
});
