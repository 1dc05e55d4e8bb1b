//! The format of `/proc/net/sockstat` and `sockstat6`: how many sockets of each protocol there are.

/// Finds a number by the protocol and the name before it.
pub fn parse_sockstat(bytes: &[u8], protocol: &[u8], name: &[u8]) -> Option<u64> {
    let line = bytes
        .split(|byte| *byte == b'\n')
        .find_map(|line| line.strip_prefix(protocol))?;
    let mut words = line.split(|byte| *byte == b' ');
    words.find(|word| *word == name)?;
    std::str::from_utf8(words.next()?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OF_KERNEL_6_18: &[u8] =
        b"sockets: used 29\nTCP: inuse 1 orphan 0 tw 0 alloc 13 mem 0\nUDP: inuse 2 mem 0\n";

    #[test]
    fn numbers_are_found_by_protocol_and_name() {
        assert_eq!(parse_sockstat(OF_KERNEL_6_18, b"TCP:", b"alloc"), Some(13));
        assert_eq!(parse_sockstat(OF_KERNEL_6_18, b"TCP:", b"inuse"), Some(1));
        assert_eq!(parse_sockstat(OF_KERNEL_6_18, b"UDP:", b"inuse"), Some(2));
        assert_eq!(parse_sockstat(OF_KERNEL_6_18, b"TCP6:", b"inuse"), None);
        assert_eq!(parse_sockstat(b"TCP: inuse", b"TCP:", b"inuse"), None);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in any::<Vec<u8>>(), line in "TCP: .{0,30}") {
            let _ = parse_sockstat(&bytes, b"TCP:", b"alloc");
            let _ = parse_sockstat(line.as_bytes(), b"TCP:", b"alloc");
        }
    }
}
