//! Datagrams of `sock_diag` about unix sockets, as the kernel sends them one after the other.
#![no_main]

use closewait_doctor::collect::kernel::decode_unix_datagram;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|datagram: &[u8]| {
    let mut sockets = Vec::new();
    // An error is an answer.
    let _ = decode_unix_datagram(datagram, &mut sockets);
    // No message is shorter than its header of 16 bytes and `struct unix_diag_msg` of 16.
    assert!(sockets.len() <= datagram.len() / 32);
    let waiting: usize = sockets.iter().map(|socket| socket.waiting.len()).sum();
    assert!(waiting <= datagram.len() / 4);
});
