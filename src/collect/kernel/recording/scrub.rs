//! Removes from every recording what no analysis needs and what should not be passed on.
//!
//! To a privileged program the kernel hands over more with a socket than was asked for, the keys of
//! TCP-MD5 signatures (`INET_DIAG_MD5SIG`) among it. Attributes that this program does not read are
//! overwritten with zeros.

use netlink_packet_core::{NLA_TYPE_MASK, NetlinkBuffer};
use netlink_packet_sock_diag::constants::{
    INET_DIAG_INFO, INET_DIAG_SHUTDOWN, INET_DIAG_SKV6ONLY, SOCK_DIAG_BY_FAMILY,
};

/// `INET_DIAG_ULP_INFO` and `INET_DIAG_CGROUP_ID`, for which the packet crate has no constants.
const KEPT: [u16; 5] = [
    INET_DIAG_INFO,
    INET_DIAG_SHUTDOWN,
    INET_DIAG_SKV6ONLY,
    19,
    21,
];

/// Netlink header, and `struct inet_diag_msg` after it.
const HEADER_BYTES: usize = 16;
const SOCKET_BYTES: usize = 72;
/// Length and kind of an attribute.
const ATTRIBUTE_HEADER_BYTES: usize = 4;

/// Overwrites in a datagram the values of attributes that are not read.
pub(super) fn scrub(datagram: &mut [u8]) {
    let mut start = 0;
    while let Ok(message) = NetlinkBuffer::new_checked(&datagram[start..]) {
        let length = message.length() as usize;
        let is_socket = message.message_type() == SOCK_DIAG_BY_FAMILY;
        let attributes = start + HEADER_BYTES + SOCKET_BYTES;
        let end = start + length;
        if is_socket && attributes < end {
            scrub_attributes(&mut datagram[attributes..end]);
        }
        start = (start + length.next_multiple_of(4)).min(datagram.len());
    }
}

fn scrub_attributes(mut bytes: &mut [u8]) {
    while let Some(header) = bytes.first_chunk::<ATTRIBUTE_HEADER_BYTES>() {
        let length = usize::from(u16::from_ne_bytes([header[0], header[1]]));
        let kind = u16::from_ne_bytes([header[2], header[3]]) & NLA_TYPE_MASK;
        if length < ATTRIBUTE_HEADER_BYTES {
            // What follows cannot be told apart, so nothing of it is kept.
            bytes.fill(0);
            return;
        }
        let end = length.min(bytes.len());
        if !KEPT.contains(&kind) {
            bytes[ATTRIBUTE_HEADER_BYTES..end].fill(0);
        }
        let next = length.next_multiple_of(4).min(bytes.len());
        bytes = &mut bytes[next..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MD5SIG: u16 = 18;

    fn datagram(attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut payload = vec![0; SOCKET_BYTES];
        for (kind, value) in attributes {
            let length = u16::try_from(ATTRIBUTE_HEADER_BYTES + value.len()).unwrap();
            payload.extend(length.to_ne_bytes());
            payload.extend(kind.to_ne_bytes());
            payload.extend(*value);
            payload.resize(payload.len().next_multiple_of(4), 0);
        }
        let length = u32::try_from(HEADER_BYTES + payload.len()).unwrap();
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
        bytes.extend([0; 10]);
        bytes.extend(payload);
        bytes
    }

    #[test]
    fn a_key_is_gone_and_what_is_read_stays() {
        let one = datagram(&[(INET_DIAG_INFO, b"clocks!!"), (MD5SIG, b"bgp-secret-key")]);
        let mut bytes = [one.clone(), one].concat();
        scrub(&mut bytes);
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains("secret"));
        assert_eq!(text.matches("clocks!!").count(), 2);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..300), cut in 0_usize..160) {
            scrub(&mut bytes);
            let mut cut_off = datagram(&[(MD5SIG, b"bgp-secret-key"), (INET_DIAG_INFO, b"clocks!!")]);
            cut_off.truncate(cut);
            scrub(&mut cut_off);
        }
    }
}
