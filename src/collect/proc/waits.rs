//! What a thread waits for, beyond the call that it is in.

use std::time::Duration;

use super::syscall::argument_words;
use crate::collect::kernel::{Kernel, KernelError, parse_in_flight};
use crate::model::{Access, Descriptor, FutexKind, Gap, Pid, Reading, Thread};

/// Reads what the descriptors of a process refer to, the lowest numbers first. Of some the inode of the socket is
/// known already.
///
/// Returns them, and whether they are all.
///
/// # Errors
///
/// When the process has ended or its descriptors may not be listed.
pub fn read_descriptors(
    kernel: &mut dyn Kernel,
    pid: Pid,
    most: usize,
    known: impl Fn(u32) -> Option<u32>,
) -> Result<(Vec<Descriptor>, bool), KernelError> {
    let fds = kernel.list_lowest(&format!("{pid}/fd"), most)?;
    let all = fds.len() <= most;
    let descriptors = fds
        .into_iter()
        .take(most)
        .filter_map(|fd| match known(fd) {
            Some(inode) => Some(Descriptor {
                fd,
                target: format!("socket:[{inode}]"),
            }),
            None => super::read_descriptor(kernel, pid, fd),
        })
        .collect();
    Ok((descriptors, all))
}

/// Lists the children that the threads of a process have started (`children`, since 3.5).
pub fn read_children(kernel: &mut dyn Kernel, pid: Pid, threads: &[Thread]) -> Vec<Pid> {
    let mut children = Vec::new();
    for thread in threads {
        // A kernel without the file, or a thread that has ended, names none.
        if let Ok(bytes) = kernel.read(&format!("{pid}/task/{}/children", thread.tid)) {
            children.extend(parse_children(&bytes));
        }
    }
    children
}

fn parse_children(bytes: &[u8]) -> Vec<Pid> {
    let text = String::from_utf8_lossy(bytes);
    let words = text.split_ascii_whitespace();
    words.filter_map(|word| word.parse().ok()).collect()
}

/// Reads how long the machine has been up; the ages of processes are told by it.
pub fn read_uptime(kernel: &mut dyn Kernel) -> Option<Duration> {
    let bytes = kernel.read("uptime").ok()?;
    parse_uptime(&bytes)
}

fn parse_uptime(bytes: &[u8]) -> Option<Duration> {
    let text = std::str::from_utf8(bytes).ok()?;
    let seconds: f64 = text.split_ascii_whitespace().next()?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// Reads for what a descriptor is open (`flags:` of fdinfo, octal).
pub fn read_access(kernel: &mut dyn Kernel, pid: Pid, fd: u32) -> Reading<Access> {
    match kernel.read(&format!("{pid}/fdinfo/{fd}")) {
        Ok(bytes) => parse_access(&bytes).map_or(Reading::Unknown(Gap::Malformed), Reading::Known),
        Err(error) => Reading::Unknown(error.gap()),
    }
}

/// Reads how many descriptors wait in a unix socket to be taken (`scm_fds:` of fdinfo).
pub fn read_in_flight(kernel: &mut dyn Kernel, pid: Pid, fd: u32) -> Option<u32> {
    let bytes = kernel.read(&format!("{pid}/fdinfo/{fd}")).ok()?;
    parse_in_flight(&bytes)
}

fn parse_access(bytes: &[u8]) -> Option<Access> {
    const O_ACCMODE: u32 = 3;
    let text = std::str::from_utf8(bytes).ok()?;
    let flags = text.lines().find_map(|line| line.strip_prefix("flags:"))?;
    match u32::from_str_radix(flags.trim(), 8).ok()? & O_ACCMODE {
        0 => Some(Access::Read),
        1 => Some(Access::Write),
        2 => Some(Access::Both),
        _ => None,
    }
}

/// A futex word and what glibc keeps beside it.
const FUTEX_BYTES: usize = 20;

/// Reads what a thread in `futex` waits for. Returns the address, and what the wait is about; nothing where
/// the thread is in another call or its memory may not be read.
pub fn read_futex(kernel: &mut dyn Kernel, pid: Pid, thread: &Thread) -> Option<(u64, FutexKind)> {
    let [address, operation, value, _] = argument_words(&thread.syscall)?;
    let kind = futex_shape(operation, value);
    let owner = match kind {
        FutexShape::OwnerAt(offset, mask) => {
            let memory = kernel
                .read_at(&format!("{pid}/mem"), address, FUTEX_BYTES)
                .ok()?;
            let word = memory.get(offset..)?.first_chunk()?;
            FutexKind::Owned(u32::from_ne_bytes(*word) & mask)
        }
        FutexShape::Join(tid) => FutexKind::Join(tid),
        FutexShape::Anonymous => FutexKind::Anonymous,
    };
    Some((address, owner))
}

/// How glibc uses a futex, told by the operation and the value that the thread waits to change.
#[derive(Debug, PartialEq, Eq)]
enum FutexShape {
    /// The owner's thread id lies at this offset, in these bits.
    OwnerAt(usize, u32),
    /// The value is the thread that is joined.
    Join(Pid),
    /// No owner is kept.
    Anonymous,
}

/// Interprets the arguments (checked with glibc 2.36).
#[expect(
    clippy::cast_possible_truncation,
    reason = "both arguments are 32-bit integers in 64-bit registers"
)]
fn futex_shape(operation: u64, value: u64) -> FutexShape {
    const WAIT: u32 = 0;
    const LOCK_PI: u32 = 6;
    const WAIT_BITSET: u32 = 9;
    const LOCK_PI2: u32 = 13;
    const PRIVATE: u32 = 0x80;
    const COMMAND: u32 = 0x7f;
    const TID_BITS: u32 = 0x3fff_ffff;
    const ALL_BITS: u32 = u32::MAX;
    /// A pthread mutex that others wait for.
    const CONTENDED: u32 = 2;
    /// A rwlock that a writer holds and readers wait for.
    const WRITER_HOLDS: u32 = 3;
    let (operation, value) = (operation as u32, value as u32);
    let is_private = operation & PRIVATE != 0;
    match operation & COMMAND {
        LOCK_PI | LOCK_PI2 => FutexShape::OwnerAt(0, TID_BITS),
        WAIT if value == CONTENDED => FutexShape::OwnerAt(8, ALL_BITS),
        WAIT_BITSET if value == WRITER_HOLDS && is_private => FutexShape::OwnerAt(16, ALL_BITS),
        WAIT_BITSET if !is_private && value > WRITER_HOLDS => FutexShape::Join(value),
        _ => FutexShape::Anonymous,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn glibc_futexes_are_told_by_operation_and_value() {
        assert_eq!(futex_shape(0x80, 2), FutexShape::OwnerAt(8, u32::MAX));
        assert_eq!(futex_shape(0x86, 0), FutexShape::OwnerAt(0, 0x3fff_ffff));
        assert_eq!(futex_shape(0x189, 3), FutexShape::OwnerAt(16, u32::MAX));
        assert_eq!(futex_shape(0x109, 4711), FutexShape::Join(4711));
        assert_eq!(futex_shape(0x189, 0), FutexShape::Anonymous);
        assert_eq!(futex_shape(0x80, 0), FutexShape::Anonymous);
    }

    #[test]
    fn access_is_the_last_octal_digit_of_the_flags() {
        assert_eq!(parse_access(b"pos:\t0\nflags:\t02\n"), Some(Access::Both));
        assert_eq!(parse_access(b"flags:\t0100001\n"), Some(Access::Write));
        assert_eq!(parse_access(b"flags:\t0100000\n"), Some(Access::Read));
        assert_eq!(parse_access(b"flags:\t3\n"), None);
        assert_eq!(parse_access(b""), None);
    }

    #[test]
    fn children_and_uptime_are_read_from_their_lines() {
        assert_eq!(parse_children(b"12 13 \n"), [12, 13]);
        assert_eq!(parse_children(b""), Vec::<Pid>::new());
        let up = parse_uptime(b"350.25 600.00\n").unwrap();
        assert_eq!(up, Duration::from_millis(350_250));
        assert_eq!(parse_uptime(b"-1 0\n"), None);
    }
}
