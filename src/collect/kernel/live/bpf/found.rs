//! What one pass over all descriptors found.

use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use super::super::descriptors::{open_directory, read_descriptor};
use crate::collect::kernel::{DescriptorTable, DescriptorTables};
use crate::model::{Inode, InodeSet, Pid};

/// What one pass found.
#[derive(Debug, Default)]
pub(in super::super) struct Pass {
    /// The tables with sockets that may be asked for, in the order of processes.
    pub(super) outlines: Vec<Outline>,
    /// The sockets whose connection is gone, of processes that hold many sockets.
    pub closed: Vec<ClosedSockets>,
}

/// A table whose descriptors are not all told apart yet.
#[derive(Debug)]
pub(super) struct Outline {
    /// The table.
    pub(super) table: DescriptorTable,
    /// Descriptors that may be epoll sets or rings.
    pub(super) maybe_special: Vec<u32>,
}

/// TCP sockets in state `CLOSE` in one process.
#[derive(Debug, Default)]
pub(in super::super) struct ClosedSockets {
    /// The process.
    pub pid: Pid,
    /// How many descriptors are open.
    pub open: u64,
    /// Descriptor, inode, and the number of the network namespace.
    pub sockets: Vec<(u32, u32, u32)>,
}

impl Pass {
    /// Returns whether it found a holder of each of the sockets.
    pub(in super::super) fn finds_all(&self, wanted: &InodeSet) -> bool {
        let sockets = self
            .outlines
            .iter()
            .flat_map(|outline| &outline.table.sockets);
        let found: InodeSet = sockets
            .filter_map(|(_, inode)| Inode::new(*inode))
            .filter(|inode| wanted.contains(inode))
            .collect();
        found.len() == wanted.len()
    }

    /// The tables that hold one of the sockets.
    ///
    /// Nothing where links may not be read that tell epoll sets apart: then `/proc` says better what is
    /// refused.
    pub(in super::super) fn tables(
        self,
        procfs: &Path,
        wanted: &InodeSet,
    ) -> Option<DescriptorTables> {
        let mut found = DescriptorTables {
            in_kernel: true,
            ..DescriptorTables::default()
        };
        let is_wanted =
            |(_, inode): &(u32, u32)| Inode::new(*inode).is_some_and(|one| wanted.contains(&one));
        for mut outline in self.outlines {
            outline.table.sockets.retain(is_wanted);
            if outline.table.sockets.is_empty() {
                continue;
            }
            match outline.finish(procfs, wanted) {
                Ok(table) => found.tables.push(table),
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return None,
                // The process ended while it was looked at.
                Err(_) => {}
            }
        }
        Some(found)
    }
}

impl Outline {
    fn finish(mut self, procfs: &Path, wanted: &InodeSet) -> io::Result<DescriptorTable> {
        let (pid, through) = (self.table.pid, self.table.through);
        let directory = if pid == through {
            open_directory(&procfs.join(format!("{pid}/fd")))?
        } else {
            open_directory(&procfs.join(format!("{pid}/task/{through}/fd")))?
        };
        for fd in self.maybe_special {
            // What was closed meanwhile was counted, and is nothing special.
            match read_descriptor(directory.as_fd(), &mut self.table, fd, wanted) {
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Err(error),
                _ => {}
            }
        }
        Ok(self.table)
    }
}
