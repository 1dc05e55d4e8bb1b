//! Descriptors of all processes in one pass inside the kernel: the BPF iterator `task_file`, since
//! 5.8. It costs a tenth of following each link of `/proc/PID/fd`.
//!
//! It takes `CAP_BPF` and `CAP_PERFMON` (or `CAP_SYS_ADMIN`) and the kernel's type information; where
//! one is missing, `/proc` is read instead. The answers are the same.

mod btf;
mod program;
mod syscall;

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::Path;

use super::descriptors::{count_descriptor, open_directory, read_descriptor};
use super::{DescriptorTable, DescriptorTables};
use crate::model::{Inode, InodeSet, Pid};
use program::{RECORD_BYTES, Record};

/// Whose processes and threads the iterator numbers as `/proc` does: the inode of the first pid
/// namespace (`PROC_PID_INIT_INO`).
const FIRST_PID_NAMESPACE: &str = "pid:[4026531836]";

/// With fewer open files on the machine, following links is over before a program is loaded: that takes
/// as long as some 1,500 links.
const WORTHWHILE_FILES: u64 = 3000;

/// The kernel fills at most 32 KiB at once.
const READ_BYTES: usize = 32 * 1024;

/// `S_IFMT` and kinds of `linux/stat.h`. Epoll sets and rings are regular files on some kernels, and
/// of no kind at all on others.
const KIND: u32 = 0o170_000;
const SOCKET: u32 = 0o140_000;
const REGULAR: u32 = 0o100_000;
const NO_KIND: u32 = 0;

/// Reads the descriptor tables of the processes; nothing where it is not possible or not worthwhile,
/// or where the kernel says less than `/proc` would.
pub(super) fn read_tables(
    procfs: &Path,
    pids: &[Pid],
    wanted: &InodeSet,
) -> Option<DescriptorTables> {
    if !is_worthwhile(procfs) || !sees_what_procfs_shows(procfs) {
        return None;
    }
    let btf = std::fs::read("/sys/kernel/btf/vmlinux").ok()?;
    let layout = btf::layout(&btf)?;
    drop(btf);
    let iterator = syscall::open_iterator(&program::assemble(&layout), layout.iterator).ok()?;
    let mut gatherer = Gatherer::new(procfs, pids, wanted);
    for_each_record(iterator, |record| gatherer.add(record)).ok()?;
    gatherer.finish()
}

/// The first number of `fs.file-nr`: open files of the whole machine.
fn is_worthwhile(procfs: &Path) -> bool {
    let text = std::fs::read_to_string(procfs.join("sys/fs/file-nr")).unwrap_or_default();
    let files: Option<u64> = text
        .split_whitespace()
        .next()
        .and_then(|number| number.parse().ok());
    files.is_some_and(|files| files >= WORTHWHILE_FILES)
}

/// The iterator shows the processes of the reader's pid namespace under the numbers that they have in
/// the first one.
fn sees_what_procfs_shows(procfs: &Path) -> bool {
    let link = |name: &str| std::fs::read_link(procfs.join(name)).ok();
    let own = std::process::id().to_string();
    link("self").is_some_and(|pid| pid == Path::new(&own))
        && link("self/ns/pid").is_some_and(|namespace| namespace == Path::new(FIRST_PID_NAMESPACE))
}

fn for_each_record(mut iterator: File, mut each: impl FnMut(Record)) -> io::Result<()> {
    let mut buffer = vec![0; READ_BYTES];
    // Each read ends with a whole record, unless the buffer is smaller than what is there.
    let mut kept = 0;
    loop {
        let read = match iterator.read(&mut buffer[kept..]) {
            // The kernel has looked at very many files without a word, and asks to be called again.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            read => read?,
        };
        if read == 0 {
            return Ok(());
        }
        let filled = kept + read;
        let (records, rest) = buffer[..filled].as_chunks::<RECORD_BYTES>();
        records.iter().map(Record::decode).for_each(&mut each);
        kept = rest.len();
        buffer.copy_within(filled - kept..filled, 0);
    }
}

/// Makes tables of records, which come table by table and in the order of descriptors.
struct Gatherer<'a> {
    procfs: &'a Path,
    /// In order.
    pids: Vec<Pid>,
    wanted: &'a InodeSet,
    found: DescriptorTables,
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
}

impl<'a> Gatherer<'a> {
    fn new(procfs: &'a Path, pids: &[Pid], wanted: &'a InodeSet) -> Self {
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
            current: None,
            begun: HashSet::new(),
            refused: false,
        }
    }

    fn add(&mut self, record: Record) {
        let is_of = |outline: &Outline| {
            (outline.table.pid, outline.table.through) == (record.tgid, record.tid)
        };
        if !self.current.as_ref().is_some_and(is_of) {
            self.close_table();
            self.current = Some(self.begin_table(record.tgid, record.tid));
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
        }
    }

    fn close_table(&mut self) {
        let Some(outline) = self.current.take() else {
            return;
        };
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
    fn finish(mut self) -> Option<DescriptorTables> {
        self.close_table();
        self.found.tables.sort_by_key(|table| table.pid);
        (!self.refused).then_some(self.found)
    }
}

impl Outline {
    fn add(&mut self, record: Record, wanted: &InodeSet) {
        count_descriptor(&mut self.table, record.fd);
        match record.mode & KIND {
            SOCKET => {
                let number = u32::try_from(record.inode).ok();
                let inode = number.and_then(Inode::new);
                if inode.is_some_and(|inode| wanted.contains(&inode)) {
                    self.table
                        .sockets
                        .extend(number.map(|number| (record.fd, number)));
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
