//! Sockets that no descriptor table of a process shows.

use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use super::descriptors::{
    for_each_number, is_gone, open_directory, read_table, read_table_at, socket_inode,
};
use crate::collect::kernel::{DescriptorTable, HiddenDescriptors};
use crate::model::{InodeSet, Pid};

/// The most descriptors that are read in all, at some 4 us each; what is beyond is a blind spot.
const MOST_DESCRIPTORS: usize = 200_000;

/// Searches all processes.
pub(super) fn search(procfs: &Path, pids: &[Pid], wanted: &InodeSet) -> HiddenDescriptors {
    let mut search = Search {
        procfs,
        wanted,
        left: MOST_DESCRIPTORS,
        found: HiddenDescriptors {
            complete: true,
            ..HiddenDescriptors::default()
        },
    };
    for pid in pids {
        for searched in [search.threads(*pid), search.special_files(*pid)] {
            // What has ended meanwhile holds nothing; what is refused was told with the first pass.
            let is_told = |error: &io::Error| {
                is_gone(error) || error.kind() == io::ErrorKind::PermissionDenied
            };
            search.found.failed |= searched.is_err_and(|error| !is_told(&error));
        }
    }
    search.found
}

struct Search<'a> {
    procfs: &'a Path,
    wanted: &'a InodeSet,
    left: usize,
    found: HiddenDescriptors,
}

impl Search<'_> {
    /// Threads that took a table of their own (`unshare(CLONE_FILES)`): its descriptors differ.
    fn threads(&mut self, pid: Pid) -> io::Result<()> {
        let tids = self.numbers(&format!("{pid}/task"))?;
        if tids.len() < 2 {
            return Ok(());
        }
        let shared = self.numbers(&format!("{pid}/fd"))?;
        for tid in tids.into_iter().filter(|tid| *tid != pid) {
            let own = self.numbers(&format!("{pid}/task/{tid}/fd"))?;
            if own == shared || !self.spend(own.len()) {
                continue;
            }
            let path = self.procfs.join(format!("{pid}/task/{tid}/fd"));
            let table: DescriptorTable = read_table_at(&path, pid, tid, self.wanted)?;
            if !table.sockets.is_empty() {
                self.found.threads.push(table);
            }
        }
        Ok(())
    }

    /// Rings with registered files, and unix sockets with descriptors in flight.
    fn special_files(&mut self, pid: Pid) -> io::Result<()> {
        let fds = self.numbers(&format!("{pid}/fdinfo"))?;
        if !self.spend(fds.len()) {
            return Ok(());
        }
        let rings_before = self.found.rings.len();
        for fd in fds {
            let path = self.procfs.join(format!("{pid}/fdinfo/{fd}"));
            let bytes = match std::fs::read(path) {
                Ok(bytes) => bytes,
                Err(error) if is_gone(&error) => continue,
                Err(error) => return Err(error),
            };
            let inodes: Vec<u32> = parse_user_files(&bytes)
                .filter(|inode| self.wanted.contains(inode))
                .filter_map(crate::model::Inode::number)
                .collect();
            if !inodes.is_empty() {
                self.found.rings.push((pid, fd, inodes));
            }
            if let Some(count) = parse_in_flight(&bytes).filter(|count| *count > 0) {
                self.found.in_flight.push((pid, fd, count));
            }
        }
        if self.found.rings.len() > rings_before {
            let owner = read_table(self.procfs, pid, self.wanted)?;
            self.found.ring_owners.push(owner);
        }
        Ok(())
    }

    fn numbers(&self, path: &str) -> io::Result<Vec<u32>> {
        let directory = open_directory(&self.procfs.join(path))?;
        let mut numbers = Vec::new();
        for_each_number(directory.as_fd(), |number, _| numbers.push(number))?;
        Ok(numbers)
    }

    fn spend(&mut self, descriptors: usize) -> bool {
        if let Some(left) = self.left.checked_sub(descriptors) {
            self.left = left;
            true
        } else {
            self.found.complete = false;
            false
        }
    }
}

/// Sockets that are registered with an `io_uring`: lines `    3: socket:[226317]` after
/// `UserFiles:`. Kernels before 6.10 or so name no inode there.
fn parse_user_files(bytes: &[u8]) -> impl Iterator<Item = crate::model::Inode> {
    bytes
        .split(|byte| *byte == b'\n')
        .skip_while(|line| !line.starts_with(b"UserFiles:"))
        .skip(1)
        .take_while(|line| line.starts_with(b" "))
        .filter_map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            socket_inode(line.get(colon + 1..)?.trim_ascii())
        })
}

/// `scm_fds: N` of a unix socket (since 5.6).
pub(in crate::collect) fn parse_in_flight(bytes: &[u8]) -> Option<u32> {
    let line = bytes
        .split(|byte| *byte == b'\n')
        .find_map(|line| line.strip_prefix(b"scm_fds:"))?;
    std::str::from_utf8(line).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Inode;
    use proptest::prelude::*;

    const RING_OF_KERNEL_6_18: &[u8] =
        b"pos:\t0\nSqMask:\t0x0\nUserFiles:\t2\n    0: socket:[380067]\n    \
        1: anon_inode:[eventfd]\nUserBufs:\t0\n";

    #[test]
    fn sockets_registered_with_a_ring_are_found() {
        let found: Vec<Inode> = parse_user_files(RING_OF_KERNEL_6_18).collect();
        assert_eq!(found, [Inode::new(380_067).unwrap()]);
        assert_eq!(parse_user_files(b"pos:\t0\n").count(), 0);
    }

    #[test]
    fn descriptors_in_flight_are_counted() {
        assert_eq!(parse_in_flight(b"pos:\t0\nscm_fds: 3\n"), Some(3));
        assert_eq!(parse_in_flight(b"pos:\t0\n"), None);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in any::<Vec<u8>>(), line in "(UserFiles:\n .{0,40}|scm_fds:.{0,9})") {
            parse_user_files(&bytes).count();
            parse_user_files(line.as_bytes()).count();
            let _ = parse_in_flight(line.as_bytes());
        }
    }
}
