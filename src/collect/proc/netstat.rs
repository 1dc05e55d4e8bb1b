//! `/proc/net/netstat`: the drop counters of the network namespace.

use crate::collect::kernel::{Kernel, KernelError};
use crate::model::DroppedCounters;

/// The file as seen by the thread that looks: `/proc/net` would be that of the whole process.
const PATH: &str = "thread-self/net/netstat";

/// Reads the counters of the namespace that is looked at.
///
/// # Errors
///
/// When the file cannot be read or lacks the counters.
pub fn read_dropped_counters(kernel: &mut dyn Kernel) -> Result<DroppedCounters, KernelError> {
    let bytes = kernel.read(PATH)?;
    parse_dropped_counters(&bytes)
        .ok_or_else(|| KernelError::malformed(PATH, "no ListenOverflows in it"))
}

/// Parses the pair of `TcpExt:` lines, names and values in the same order.
pub fn parse_dropped_counters(bytes: &[u8]) -> Option<DroppedCounters> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut lines = text
        .lines()
        .filter_map(|line| line.strip_prefix("TcpExt:"))
        .map(str::split_ascii_whitespace);
    let (names, values) = (lines.next()?, lines.next()?);
    let mut overflows = None;
    let mut drops = None;
    for (name, value) in names.zip(values) {
        match name {
            "ListenOverflows" => overflows = value.parse().ok(),
            "ListenDrops" => drops = value.parse().ok(),
            _ => {}
        }
    }
    Some(DroppedCounters {
        overflows: overflows?,
        drops: drops?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn counters_are_found_by_name() {
        let text = b"TcpExt: SyncookiesSent ListenOverflows ListenDrops TW\n\
            TcpExt: 0 3 5 9\nIpExt: InNoRoutes\nIpExt: 0\n";
        assert_eq!(
            parse_dropped_counters(text),
            Some(DroppedCounters {
                overflows: 3,
                drops: 5
            })
        );
    }

    #[test]
    fn a_file_without_them_gives_nothing() {
        assert_eq!(parse_dropped_counters(b""), None);
        assert_eq!(
            parse_dropped_counters(b"TcpExt: ListenDrops\nTcpExt: 1\n"),
            None
        );
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in any::<Vec<u8>>()) {
            let _ = parse_dropped_counters(&bytes);
        }
    }
}
