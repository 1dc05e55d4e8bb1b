//! Holders of pipes, named pipes, terminals and unix sockets: descriptors found by the text of their links.

use std::collections::BTreeSet;
use std::ffi::CStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::path::Path;

use rustc_hash::{FxHashMap, FxHashSet};

use super::descriptors::{for_each_number, is_gone, open_directory};
use crate::collect::kernel::{DescriptorTable, LinkHolder, LinkHolders};
use crate::model::Pid;

/// As many descriptors are looked at. At some 3 us each that is a third of a second at the most.
const MOST_DESCRIPTORS: usize = 100_000;

/// The longest link text that is compared. A longer path is not one of those that were asked for.
const LONGEST_TARGET: usize = 4096;

/// A descriptor: whose, and which.
type Held = (Pid, u32);

/// Answers who holds a link. The descriptors of all processes are read once, when that is first asked.
#[derive(Debug, Default)]
pub(super) struct LinkSearch {
    /// Descriptors that were seen to be TCP sockets. A leak has very many, and none is a link that is asked for.
    sockets: FxHashSet<Held>,
    walk: Option<Walk>,
}

/// What a walk through all descriptors found.
#[derive(Debug)]
struct Walk {
    holders: FxHashMap<String, Vec<Held>>,
    complete: bool,
    /// How many descriptors may still be looked at.
    left: usize,
}

impl LinkSearch {
    /// Notes what a search for the holders of TCP sockets found.
    pub(super) fn note_sockets(&mut self, tables: &[DescriptorTable]) {
        for table in tables {
            let fds = table.sockets.iter().map(|(fd, _)| *fd);
            self.sockets.extend(fds.map(|fd| (table.pid, fd)));
        }
    }

    /// Searches the descriptor tables of the given processes.
    pub(super) fn holders(
        &mut self,
        procfs: &Path,
        pids: &[Pid],
        targets: &BTreeSet<String>,
    ) -> LinkHolders {
        let sockets = &self.sockets;
        let walk = self
            .walk
            .get_or_insert_with(|| Walk::through(procfs, pids, sockets));
        let held = |target: &String| walk.holders.get(target).map_or(&[][..], Vec::as_slice);
        let mut holders: Vec<LinkHolder> = targets
            .iter()
            .flat_map(|target| held(target).iter().map(move |held| (target, held)))
            .map(|(target, (pid, fd))| LinkHolder {
                pid: *pid,
                fd: *fd,
                target: target.clone(),
            })
            .collect();
        holders.sort_by_key(|holder| (holder.pid, holder.fd));
        LinkHolders {
            holders,
            complete: walk.complete,
        }
    }
}

impl Walk {
    fn through(procfs: &Path, pids: &[Pid], sockets: &FxHashSet<Held>) -> Self {
        let mut walk = Self {
            holders: FxHashMap::default(),
            complete: true,
            left: MOST_DESCRIPTORS,
        };
        for pid in pids {
            match walk.add_process(procfs, *pid, sockets) {
                // The process ended while it was looked at.
                Err(error) if !is_gone(&error) => walk.complete = false,
                Ok(()) | Err(_) => {}
            }
            if walk.left == 0 {
                walk.complete = false;
                break;
            }
        }
        walk
    }

    fn add_process(
        &mut self,
        procfs: &Path,
        pid: Pid,
        sockets: &FxHashSet<Held>,
    ) -> io::Result<()> {
        let directory = open_directory(&procfs.join(format!("{pid}/fd")))?;
        let mut failure = None;
        for_each_number(directory.as_fd(), |fd, name| {
            if self.left == 0 || sockets.contains(&(pid, fd)) {
                return;
            }
            self.left -= 1;
            match read_target(directory.as_fd(), name) {
                Ok(target) => self.holders.entry(target).or_default().push((pid, fd)),
                // The descriptor was closed while it was looked at.
                Err(error) if !is_gone(&error) => failure = Some(error),
                Err(_) => {}
            }
        })?;
        failure.map_or(Ok(()), Err)
    }
}

fn read_target(directory: std::os::fd::BorrowedFd<'_>, name: &CStr) -> io::Result<String> {
    let mut buffer = [MaybeUninit::uninit(); LONGEST_TARGET];
    let (target, _) = rustix::fs::readlinkat_raw(directory, name, &mut buffer)?;
    Ok(String::from_utf8_lossy(target).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(procfs: &Path, pid: Pid, fd: u32, target: &str) {
        let folder = procfs.join(format!("{pid}/fd"));
        std::fs::create_dir_all(&folder).unwrap();
        std::os::unix::fs::symlink(target, folder.join(fd.to_string())).unwrap();
    }

    #[test]
    fn who_holds_a_link_is_found_among_all_that_are_no_known_sockets() {
        let procfs = tempfile::tempdir().unwrap();
        link(procfs.path(), 8, 1, "pipe:[70]");
        link(procfs.path(), 7, 4, "pipe:[70]");
        link(procfs.path(), 7, 3, "pipe:[60]");
        link(procfs.path(), 7, 5, "socket:[50]");
        let mut search = LinkSearch::default();
        search.note_sockets(&[DescriptorTable {
            pid: 7,
            sockets: vec![(5, 50)],
            ..DescriptorTable::default()
        }]);
        let mut held = |targets: &[&str]| {
            let targets = targets.iter().map(|&target| target.to_owned()).collect();
            let found = search.holders(procfs.path(), &[7, 8, 9], &targets);
            assert!(found.complete);
            let holders = found.holders.into_iter();
            holders.map(|one| (one.pid, one.fd, one.target)).collect()
        };
        let first: Vec<(Pid, u32, String)> = held(&["pipe:[70]"]);
        let both = [
            (7, 4, "pipe:[70]".to_owned()),
            (8, 1, "pipe:[70]".to_owned()),
        ];
        assert_eq!(first, both);
        assert_eq!(held(&["pipe:[60]"]), [(7, 3, "pipe:[60]".to_owned())]);
        assert_eq!(held(&["socket:[50]"]), []);
    }
}
