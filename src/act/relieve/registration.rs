//! A registration of a listener in a server's epoll set, and all that tells it from another.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::model::Pid;

/// `EPOLLERR|EPOLLHUP`: the kernel adds them to every mask.
const ALWAYS: u32 = 0x18;
/// `EPOLLET`.
pub(super) const EDGE: u32 = 1 << 31;
/// `EPOLLEXCLUSIVE`: such a registration cannot be modified, only removed and added.
pub(super) const EXCLUSIVE: u32 = 1 << 28;
/// `EPOLLWAKEUP`: whoever lacks `CAP_BLOCK_SUSPEND` loses it by touching the registration.
pub(super) const WAKEUP: u32 = 1 << 29;

/// One line `tfd:` of an epoll set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Registration {
    /// The descriptor number at the time of registration: with the file it is the kernel's key.
    pub target_fd: u32,
    /// The interest mask.
    pub events: u32,
    /// What the server gets with each event.
    pub data: u64,
    /// Inode of the file.
    pub inode: u64,
    /// Device of the file as the kernel keeps it (`sdev:`): its minor number is the lower 20 bits.
    pub device: u32,
}

/// Parses the registrations of `/proc/PID/fdinfo/EPFD`; lines without an inode (before Linux 4.13)
/// cannot be told from one another, and are left out.
pub(super) fn parse_registrations(bytes: &[u8]) -> Vec<Registration> {
    String::from_utf8_lossy(bytes)
        .lines()
        .filter(|line| line.starts_with("tfd:"))
        .filter_map(parse_registration)
        .collect()
}

fn parse_registration(line: &str) -> Option<Registration> {
    let field = |name: &str| {
        let start = line.find(name)? + name.len();
        line[start..].split_ascii_whitespace().next()
    };
    let hexadecimal = |name: &str| u64::from_str_radix(field(name)?, 16).ok();
    Some(Registration {
        target_fd: field("tfd:")?.parse().ok()?,
        events: u32::try_from(hexadecimal("events:")?).ok()?,
        data: hexadecimal("data:")?,
        inode: hexadecimal("ino:")?,
        device: u32::try_from(hexadecimal("sdev:")?).ok()?,
    })
}

/// What it takes to get hold of a registration, and to know that it is the one that was meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grip {
    /// The process.
    pub pid: Pid,
    /// A living thread of it: the main one, unless that has exited.
    pub tid: Pid,
    /// When the process started, in ticks since boot: a process id may come again.
    pub started: u64,
    /// Its descriptor of the epoll set.
    pub epoll_fd: u32,
    /// The number under which the listener is registered.
    pub target_fd: u32,
    /// A descriptor by which the process has the listener now.
    pub through_fd: u32,
    /// The mask as it was.
    pub events: u32,
    /// The data as it was.
    pub data: u64,
    /// The listener's inode.
    pub inode: u64,
    /// Its device.
    pub device: u32,
    /// A number that is in no registration of this listener, for one that is not to last.
    pub spare: u32,
}

impl Grip {
    /// Whether this is the registration that was meant, whatever its mask.
    pub fn is(&self, registration: &Registration) -> bool {
        registration.target_fd == self.target_fd
            && registration.inode == self.inode
            && registration.device == self.device
            && registration.data == self.data
    }

    /// Whether it cannot be modified in place.
    pub fn is_exclusive(&self) -> bool {
        self.events & EXCLUSIVE != 0
    }

    /// The mask without `EPOLLET`.
    pub fn level(&self) -> u32 {
        self.events & !EDGE
    }

    /// What logs call it.
    pub fn name(&self) -> String {
        format!(
            "process {}: epoll fd {}, listener as fd {}",
            self.pid, self.epoll_fd, self.target_fd
        )
    }
}

/// Where a mask is the same whether or not the kernel's own bits are in it.
pub(super) fn same_mask(one: u32, other: u32) -> bool {
    one | ALWAYS == other | ALWAYS
}

/// Reads the registrations in an epoll set of a process.
///
/// # Errors
///
/// When it has ended, the descriptor is closed, or reading it is not permitted.
pub(super) fn read_registrations(
    procfs: &Path,
    pid: Pid,
    tid: Pid,
    epoll_fd: u32,
) -> io::Result<Vec<Registration>> {
    let bytes = std::fs::read(procfs.join(format!("{pid}/task/{tid}/fdinfo/{epoll_fd}")))?;
    Ok(parse_registrations(&bytes))
}

/// Reads when a process started, in ticks since boot.
///
/// # Errors
///
/// When there is no such process.
pub(super) fn read_start(procfs: &Path, pid: Pid) -> io::Result<u64> {
    let bytes = std::fs::read(procfs.join(format!("{pid}/stat")))?;
    parse_start(&bytes).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Field 22; the name in field 2 may hold anything, and ends at the last parenthesis.
fn parse_start(stat: &[u8]) -> Option<u64> {
    const FIELDS_AFTER_THE_NAME: usize = 19;
    let close = stat.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(stat.get(close + 1..)?).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    fields.nth(FIELDS_AFTER_THE_NAME)?.parse().ok()
}

/// Finds a thread through which the descriptors of a process can be reached: the main one, unless it
/// has exited.
///
/// # Errors
///
/// When there is no such process.
pub(super) fn living_thread(procfs: &Path, pid: Pid) -> io::Result<Pid> {
    let is_alive = |tid: Pid| {
        std::fs::read(procfs.join(format!("{pid}/task/{tid}/stat"))).is_ok_and(|stat| {
            let close = stat.iter().rposition(|byte| *byte == b')');
            let state = close.and_then(|close| stat.get(close + 2));
            !matches!(state, None | Some(b'Z' | b'X'))
        })
    };
    if is_alive(pid) {
        return Ok(pid);
    }
    for entry in std::fs::read_dir(procfs.join(format!("{pid}/task")))? {
        let name = entry?.file_name();
        let tid = name.to_str().and_then(|name| name.parse().ok());
        if let Some(tid) = tid.filter(|tid| is_alive(*tid)) {
            return Ok(tid);
        }
    }
    Err(io::ErrorKind::NotFound.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KERNEL_6_18: &[u8] = b"pos:\t0\nflags:\t02\nmnt_id:\t15\nino:\t1060\n\
        tfd:        6 events: 80002019 data:                6  pos:0 ino:5a893 sdev:9\n\
        tfd:       20 events: 9000001d data: ffff00000000abcd  pos:0 ino:5a894 sdev:9\n\
        tfd:        5 events:       1d data:                5\n";

    #[test]
    fn registrations_of_kernel_6_18_are_read_whole() {
        let found = parse_registrations(KERNEL_6_18);
        assert_eq!(found.len(), 2);
        assert_eq!(
            found[1],
            Registration {
                target_fd: 20,
                events: 0x9000_001d,
                data: 0xffff_0000_0000_abcd,
                inode: 0x5a894,
                device: 9,
            }
        );
    }

    #[test]
    fn the_start_is_found_behind_a_hostile_name() {
        let stat = b"42 (a) R 1 (b\n) S 7 42 42 0 -1 419 0 0 0 0 1 2 0 0 20 0 1 0 98765 0 0";
        assert_eq!(parse_start(stat), Some(98765));
    }

    #[test]
    fn the_kernels_own_bits_make_no_difference() {
        assert!(same_mask(0x8000_0001, 0x8000_0019));
        assert!(!same_mask(0x8000_0001, 0x1));
    }

    proptest! {
        #[test]
        fn arbitrary_lines_never_panic(line in "tfd:.{0,80}", bytes in any::<Vec<u8>>()) {
            parse_registrations(line.as_bytes());
            parse_start(&bytes);
        }
    }
}
