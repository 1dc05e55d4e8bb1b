//! `/proc/locks`.

use crate::collect::kernel::{Kernel, KernelError};
use crate::model::FileLock;

/// More lines are not read: a host with so many locks is not made slower by us.
const MOST_LOCKS: usize = 200_000;

/// Reads the locks on files.
///
/// # Errors
///
/// When the kernel does not show them.
pub fn read_locks(kernel: &mut dyn Kernel) -> Result<Vec<FileLock>, KernelError> {
    Ok(parse_locks(&kernel.read("locks")?))
}

/// Parses the file. Lines of another form are passed over: they name no process.
///
/// `1: FLOCK  ADVISORY  WRITE 811 08:01:131 0 EOF`, and for one that waits for it
/// `1: -> FLOCK  ADVISORY  WRITE 846 08:01:131 0 EOF`.
pub fn parse_locks(bytes: &[u8]) -> Vec<FileLock> {
    bytes
        .split(|byte| *byte == b'\n')
        .take(MOST_LOCKS)
        .filter_map(|line| parse_lock(std::str::from_utf8(line).ok()?))
        .collect()
}

fn parse_lock(line: &str) -> Option<FileLock> {
    let mut words = line.split_ascii_whitespace().peekable();
    let number = words.next()?.strip_suffix(':')?.parse().ok()?;
    let waits = words.next_if_eq(&"->").is_some();
    // The kind, whether it is binding, and what for.
    let mut words = words.skip(3);
    let pid: i64 = words.next()?.parse().ok()?;
    let file = words.next()?;
    Some(FileLock {
        number,
        waits,
        pid: u32::try_from(pid).ok(),
        file: file.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KERNEL_6_18: &[u8] = b"1: FLOCK  ADVISORY  WRITE 811 fe:00:131 0 EOF\n\
        1: -> FLOCK  ADVISORY  WRITE 846 fe:00:131 0 EOF\n\
        2: OFDLCK ADVISORY  READ  -1 00:17:9 0 EOF\n\
        3: POSIX  ADVISORY  WRITE 77 00:17:10 0 9\n";

    #[test]
    fn holders_and_those_who_wait_share_a_number() {
        let locks = parse_locks(KERNEL_6_18);
        let seen: Vec<_> = locks
            .iter()
            .map(|lock| (lock.number, lock.waits, lock.pid))
            .collect();
        assert_eq!(
            seen,
            [
                (1, false, Some(811)),
                (1, true, Some(846)),
                (2, false, None),
                (3, false, Some(77))
            ]
        );
        assert_eq!(locks[1].file, "fe:00:131");
    }

    #[test]
    fn odd_lines_are_passed_over() {
        assert!(parse_locks(b"1 FLOCK\n: \n1:\n1: -> \n\xff\n").is_empty());
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in any::<Vec<u8>>()) {
            parse_locks(&bytes);
        }
    }
}
