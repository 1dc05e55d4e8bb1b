//! `/proc/net/sockstat`: how many TCP sockets there are, and how many are in the tables.

use crate::collect::kernel::{Kernel, KernelError};

/// The files as seen by the thread that looks: `/proc/net` would be that of the whole process.
const IPV4: &str = "thread-self/net/sockstat";
const IPV6: &str = "thread-self/net/sockstat6";

/// Reads how many TCP sockets are not in this network namespace's tables: those of all other
/// namespaces, those that are not connected yet, and those that are not connected any more.
///
/// The kernel counts `alloc` of both families for all namespaces together, and `inuse` of each
/// family for one.
///
/// # Errors
///
/// When a file cannot be read or lacks the numbers.
pub fn read_unlisted_tcp_sockets(kernel: &mut dyn Kernel) -> Result<u64, KernelError> {
    let allocated = read(kernel, IPV4, b"TCP:", b"alloc")?;
    let listed = read(kernel, IPV4, b"TCP:", b"inuse")?;
    // Without IPv6 there is no such file, or nothing in it.
    let listed6 = read(kernel, IPV6, b"TCP6:", b"inuse").unwrap_or(0);
    Ok(allocated.saturating_sub(listed + listed6))
}

/// Returns whether this network namespace's tables hold no TCP socket of the family, by the kernel's own
/// count. An IPv4 client of an IPv6 listener is of the listener's.
///
/// A dump passes through the tables of all namespaces together, which takes milliseconds on a host with
/// many sockets, whether or not any is found.
pub(super) fn has_no_tcp_sockets(kernel: &mut dyn Kernel, ipv6: bool) -> bool {
    let listed = if ipv6 {
        read(kernel, IPV6, b"TCP6:", b"inuse")
    } else {
        read(kernel, IPV4, b"TCP:", b"inuse")
    };
    listed.is_ok_and(|listed| listed == 0)
}

fn read(
    kernel: &mut dyn Kernel,
    path: &str,
    protocol: &[u8],
    name: &[u8],
) -> Result<u64, KernelError> {
    parse_sockstat(&kernel.read(path)?, protocol, name)
        .ok_or_else(|| KernelError::malformed(path, "a number of TCP sockets is missing"))
}

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
