//! Records of single descriptors to the tables of processes.

use std::collections::HashSet;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use super::super::descriptors::{count_descriptor, open_directory, read_descriptor};
use super::super::unlisted::FEWEST_SOCKETS;
use super::super::{DescriptorTable, DescriptorTables};
use super::program::{self, Record};
use super::{ClosedSockets, Pass};
use crate::model::{Inode, InodeSet, Pid};

/// `S_IFMT` and kinds of `linux/stat.h`. Epoll sets and rings are regular files on some kernels, and
/// of no kind at all on others.
const KIND: u32 = 0o170_000;
const SOCKET: u32 = program::SOCKET.cast_unsigned();
const REGULAR: u32 = 0o100_000;
const NO_KIND: u32 = 0;

/// `IPPROTO_TCP`, and `TCP_CLOSE` of `net/tcp_states.h`.
const TCP: u32 = 6;
const CLOSE: u32 = 7;

/// Makes tables of records, which come table by table and in the order of descriptors.
pub(super) struct Gatherer<'a> {
    procfs: &'a Path,
    /// In order.
    pids: Vec<Pid>,
    wanted: &'a InodeSet,
    found: DescriptorTables,
    closed: Vec<ClosedSockets>,
    /// The table whose records are coming.
    current: Option<Outline>,
    /// Processes of which a table was begun.
    begun: HashSet<Pid>,
    refused: bool,
}

/// A table whose descriptors are not all told apart yet.
struct Outline {
    table: DescriptorTable,
    /// Whether it is one that is looked for.
    counts: bool,
    /// Descriptors that may be epoll sets or rings.
    maybe_special: Vec<u32>,
    /// How many are sockets.
    sockets: usize,
    closed: Vec<(u32, u32, u32)>,
}

impl<'a> Gatherer<'a> {
    pub(super) fn new(procfs: &'a Path, pids: &[Pid], wanted: &'a InodeSet) -> Self {
        let mut pids = pids.to_vec();
        pids.sort_unstable();
        Self {
            procfs,
            found: DescriptorTables {
                processes: pids.len(),
                in_kernel: true,
                ..DescriptorTables::default()
            },
            pids,
            wanted,
            closed: Vec::new(),
            current: None,
            begun: HashSet::new(),
            refused: false,
        }
    }

    pub(super) fn add(&mut self, record: Record) {
        let is_of = |outline: &Outline| {
            (outline.table.pid, outline.table.through) == (record.process, record.thread)
        };
        if !self.current.as_ref().is_some_and(is_of) {
            self.close_table();
            self.current = Some(self.begin_table(record.process, record.thread));
        }
        if let Some(outline) = &mut self.current
            && outline.counts
        {
            outline.add(record, self.wanted);
        }
    }

    /// A process has the table of its main thread, or, where that has exited, of the first other one.
    /// Tables that other threads have of their own are not looked for here.
    fn begin_table(&mut self, pid: Pid, through: Pid) -> Outline {
        let is_main = pid == through;
        let known = self.begun.contains(&pid);
        if is_main && known {
            // Ids have wrapped around, and the table of another thread came first.
            self.found.tables.retain(|table| table.pid != pid);
            self.closed.retain(|closed| closed.pid != pid);
        }
        let counts = (is_main || !known) && self.pids.binary_search(&pid).is_ok();
        if counts {
            self.begun.insert(pid);
        }
        Outline {
            table: DescriptorTable {
                pid,
                through,
                ..DescriptorTable::default()
            },
            counts,
            maybe_special: Vec::new(),
            sockets: 0,
            closed: Vec::new(),
        }
    }

    fn close_table(&mut self) {
        let Some(mut outline) = self.current.take() else {
            return;
        };
        if outline.sockets >= FEWEST_SOCKETS && !outline.closed.is_empty() {
            self.closed.push(ClosedSockets {
                pid: outline.table.pid,
                open: outline.table.open,
                sockets: std::mem::take(&mut outline.closed),
            });
        }
        if outline.table.sockets.is_empty() {
            return;
        }
        match outline.finish(self.procfs, self.wanted) {
            Ok(table) => self.found.tables.push(table),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => self.refused = true,
            // The process ended while it was looked at.
            Err(_) => {}
        }
    }

    /// Nothing where links may not be read that tell epoll sets apart: then `/proc` says better what is
    /// refused.
    pub(super) fn finish(mut self) -> Option<Pass> {
        self.close_table();
        self.found.tables.sort_by_key(|table| table.pid);
        (!self.refused).then_some(Pass {
            tables: self.found,
            closed: self.closed,
        })
    }
}

impl Outline {
    fn add(&mut self, record: Record, wanted: &InodeSet) {
        count_descriptor(&mut self.table, record.fd);
        match record.mode & KIND {
            SOCKET => {
                self.sockets += 1;
                if Inode::new(record.inode).is_some_and(|inode| wanted.contains(&inode)) {
                    self.table.sockets.push((record.fd, record.inode));
                }
                if (record.protocol, record.state) == (TCP, CLOSE) {
                    self.closed.push((record.fd, record.inode, record.netns));
                }
            }
            REGULAR | NO_KIND => self.maybe_special.push(record.fd),
            _ => {}
        }
    }

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
