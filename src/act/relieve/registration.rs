//! A listener and its registration in a server's epoll set: what identifies them. Pure.

use serde::{Deserialize, Serialize};

use crate::model::Pid;

/// `EPOLLERR|EPOLLHUP`: the kernel adds them to every mask.
const ALWAYS: u32 = 0x18;
/// `EPOLLET`.
const EDGE: u32 = 1 << 31;
/// `EPOLLEXCLUSIVE`: such a registration cannot be modified, only removed and added.
const EXCLUSIVE: u32 = 1 << 28;
/// `EPOLLWAKEUP`: a process without `CAP_BLOCK_SUSPEND` loses it by touching the registration.
pub(super) const WAKEUP: u32 = 1 << 29;

/// One line `tfd:` of `/proc/PID/fdinfo/EPFD`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EpollEntry {
    /// The descriptor number at the time of registration. With the file it is the kernel's key.
    pub(super) target_fd: u32,
    /// The interest mask.
    pub(super) events: u32,
    /// What the server gets with each event.
    pub(super) data: u64,
    /// Inode of the file.
    pub(super) inode: u64,
    /// Device of the file as the kernel keeps it (`sdev:`): its minor number is the lower 20 bits.
    pub(super) device: u32,
}

/// Parses the entries of an epoll set. Lines without an inode (before Linux 4.13) cannot be told
/// from one another, and are left out.
pub(super) fn parse_entries(bytes: &[u8]) -> Vec<EpollEntry> {
    String::from_utf8_lossy(bytes)
        .lines()
        .filter(|line| line.starts_with("tfd:"))
        .filter_map(parse_entry)
        .collect()
}

fn parse_entry(line: &str) -> Option<EpollEntry> {
    let field = |name: &str| {
        let start = line.find(name)? + name.len();
        line[start..].split_ascii_whitespace().next()
    };
    let hexadecimal = |name: &str| u64::from_str_radix(field(name)?, 16).ok();
    Some(EpollEntry {
        target_fd: field("tfd:")?.parse().ok()?,
        events: u32::try_from(hexadecimal("events:")?).ok()?,
        data: hexadecimal("data:")?,
        inode: hexadecimal("ino:")?,
        device: u32::try_from(hexadecimal("sdev:")?).ok()?,
    })
}

/// A listener as a process holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListenerReference {
    /// The process.
    pub pid: Pid,
    /// A living thread of it: the main one, unless that has exited.
    pub tid: Pid,
    /// When the process started, in clock ticks since boot: a process id may be used again.
    pub started: u64,
    /// A descriptor of the listener in that process.
    pub fd: u32,
    /// The listener's inode.
    pub inode: u64,
}

impl ListenerReference {
    /// What logs call it.
    pub(super) fn name(&self) -> String {
        format!("process {}: listener fd {}", self.pid, self.fd)
    }
}

/// A listener's registration in an epoll set, and how to reach it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpollRegistration {
    /// The listener.
    pub listener: ListenerReference,
    /// The process's descriptor of the epoll set.
    pub epoll_fd: u32,
    /// The number under which the listener is registered.
    pub target_fd: u32,
    /// The mask as it was.
    pub events: u32,
    /// The data as it was.
    pub data: u64,
    /// The listener's device, as the kernel keeps it.
    pub device: u32,
    /// A number under which the listener is not registered, for a temporary second registration.
    pub spare: u32,
}

impl EpollRegistration {
    /// Whether an entry is this registration, whatever its mask.
    pub(super) fn is(&self, entry: &EpollEntry) -> bool {
        entry.target_fd == self.target_fd
            && entry.inode == self.listener.inode
            && entry.device == self.device
            && entry.data == self.data
    }

    /// Whether an entry is the temporary second registration.
    pub(super) fn is_spare(&self, entry: &EpollEntry) -> bool {
        entry.target_fd == self.spare
            && entry.inode == self.listener.inode
            && entry.data == self.data
    }

    /// Whether it cannot be modified in place.
    pub(super) fn is_exclusive(&self) -> bool {
        self.events & EXCLUSIVE != 0
    }

    /// Returns the mask without `EPOLLET`.
    pub(super) fn level(&self) -> u32 {
        self.events & !EDGE
    }

    /// Whether a mask is this one, or differs from it in `EPOLLET` alone. No other mask is ever set.
    pub(super) fn differs_in_edge_alone(&self, mask: u32) -> bool {
        same_mask(mask & !EDGE, self.level())
    }

    /// What logs call it.
    pub(super) fn name(&self) -> String {
        format!(
            "process {}: epoll fd {}, listener as fd {}",
            self.listener.pid, self.epoll_fd, self.target_fd
        )
    }
}

/// Whether masks are the same, apart from the bits that the kernel adds.
pub(super) fn same_mask(one: u32, other: u32) -> bool {
    one | ALWAYS == other | ALWAYS
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
        let found = parse_entries(KERNEL_6_18);
        assert_eq!(found.len(), 2);
        assert_eq!(
            found[1],
            EpollEntry {
                target_fd: 20,
                events: 0x9000_001d,
                data: 0xffff_0000_0000_abcd,
                inode: 0x5a894,
                device: 9,
            }
        );
    }

    #[test]
    fn the_kernels_own_bits_make_no_difference() {
        assert!(same_mask(0x8000_0001, 0x8000_0019));
        assert!(!same_mask(0x8000_0001, 0x1));
    }

    #[test]
    fn only_the_edge_bit_may_differ() {
        let registration = EpollRegistration {
            listener: ListenerReference {
                pid: 1,
                tid: 1,
                started: 1,
                fd: 3,
                inode: 1,
            },
            epoll_fd: 4,
            target_fd: 3,
            events: 0x8000_0001,
            data: 3,
            device: 9,
            spare: 100,
        };
        assert!(registration.differs_in_edge_alone(0x8000_0019));
        assert!(registration.differs_in_edge_alone(0x1));
        assert!(!registration.differs_in_edge_alone(0x18));
        assert!(!registration.differs_in_edge_alone(0x8000_2001));
    }

    proptest! {
        #[test]
        fn arbitrary_lines_never_panic(line in "tfd:.{0,80}", bytes in any::<Vec<u8>>()) {
            parse_entries(line.as_bytes());
            parse_entries(&bytes);
        }
    }
}
