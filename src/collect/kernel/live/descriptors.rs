//! Descriptor tables of processes, relative to an open directory and without an allocation for each
//! descriptor.

use std::ffi::CStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use rustix::fs::{CWD, Mode, OFlags, RawDir};
use rustix::io::Errno;
#[cfg(feature = "bpf")]
use rustix::path::DecInt;

use crate::collect::kernel::{DescriptorTable, DescriptorTables};
use crate::model::{Inode, InodeSet, Pid};

/// A process with fewer sockets than this is passed over in a search for those that no dump lists: a
/// program that has just made a few, or whose peers have just reset a few, is no leak.
pub(super) const FEWEST_SOCKETS: usize = 16;

/// Opens a directory.
pub(super) fn open_directory(path: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::openat(
        CWD,
        path,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?)
}

/// Calls for each entry of a directory whose name is a number.
pub(super) fn for_each_number(
    directory: BorrowedFd<'_>,
    mut each: impl FnMut(u32, &CStr),
) -> io::Result<()> {
    let mut buffer = [MaybeUninit::uninit(); 16 * 1024];
    let mut entries = RawDir::new(directory, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name();
        if let Some(number) = parse_number(name.to_bytes()) {
            each(number, name);
        }
    }
    Ok(())
}

/// Lists the first entries of a directory whose names are numbers, in order.
pub(super) fn first_numbers(directory: BorrowedFd<'_>, most: usize) -> io::Result<Vec<u32>> {
    let mut buffer = [MaybeUninit::uninit(); 16 * 1024];
    let mut entries = RawDir::new(directory, &mut buffer);
    let mut numbers = Vec::new();
    while numbers.len() < most
        && let Some(entry) = entries.next()
    {
        numbers.extend(parse_number(entry?.file_name().to_bytes()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Reads decimal digits, and nothing else.
pub(super) fn parse_number(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u32, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| u32::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

/// More threads than this do not help: they wait for each other in the kernel.
const MOST_THREADS: usize = 4;

/// Reads the descriptor tables of processes, several at once: a table costs the kernel some 3 us a
/// descriptor, and the tables of two processes are independent.
pub(super) fn read_tables(procfs: &Path, pids: &[Pid], wanted: &InodeSet) -> DescriptorTables {
    let threads =
        thread::available_parallelism().map_or(1, |number| number.get().min(MOST_THREADS));
    let next = AtomicUsize::new(0);
    let read_some = || {
        let mut found = DescriptorTables::default();
        while let Some(pid) = pids.get(next.fetch_add(1, Ordering::Relaxed)) {
            add_table(&mut found, procfs, *pid, wanted);
        }
        found
    };
    let mut found = thread::scope(|scope| {
        // A host that has no thread to give is looked at with fewer.
        let others: Vec<_> = (1..threads)
            .map_while(|_| thread::Builder::new().spawn_scoped(scope, read_some).ok())
            .collect();
        let mut found = read_some();
        for other in others {
            let more = other
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            found.processes += more.processes;
            found.tables.extend(more.tables);
            found.refused.extend(more.refused);
            found.failed.extend(more.failed);
        }
        found
    });
    // The order so far is that in which threads finished.
    found.tables.sort_by_key(|table| table.pid);
    found.refused.sort_unstable();
    found.failed.sort_unstable();
    found
}

fn add_table(found: &mut DescriptorTables, procfs: &Path, pid: Pid, wanted: &InodeSet) {
    match read_table(procfs, pid, wanted) {
        Ok(table) => {
            found.processes += 1;
            if !table.sockets.is_empty() {
                found.tables.push(table);
            }
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            found.processes += 1;
            found.refused.push(pid);
        }
        // The process ended while it was looked at.
        Err(error) if is_gone(&error) => {}
        Err(_) => {
            found.processes += 1;
            found.failed.push(pid);
        }
    }
}

/// Returns whether an error says that a process, or a descriptor of it, is not there any more.
pub(super) fn is_gone(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::NOENT | Errno::SRCH)
    )
}

/// Reads the descriptor table of a process.
///
/// A process whose main thread has exited shows an empty one; then it is read through another of
/// its threads. Kernel threads have none either, and no other thread.
pub(super) fn read_table(
    procfs: &Path,
    pid: Pid,
    wanted: &InodeSet,
) -> io::Result<DescriptorTable> {
    let table = read_table_at(&procfs.join(format!("{pid}/fd")), pid, pid, wanted)?;
    if table.open > 0 {
        return Ok(table);
    }
    let mut tids = Vec::new();
    let tasks = open_directory(&procfs.join(format!("{pid}/task")))?;
    for_each_number(tasks.as_fd(), |tid, _| tids.push(tid))?;
    for tid in tids.into_iter().filter(|tid| *tid != pid) {
        let path = procfs.join(format!("{pid}/task/{tid}/fd"));
        let through = read_table_at(&path, pid, tid, wanted)?;
        if through.open > 0 {
            return Ok(through);
        }
    }
    Ok(table)
}

/// Reads the table in one directory of descriptors.
pub(super) fn read_table_at(
    path: &Path,
    pid: Pid,
    through: Pid,
    wanted: &InodeSet,
) -> io::Result<DescriptorTable> {
    let directory = open_directory(path)?;
    let mut table = DescriptorTable {
        pid,
        through,
        ..DescriptorTable::default()
    };
    let mut refused = None;
    let mut failed = None;
    for_each_number(directory.as_fd(), |fd, name| {
        match read_link(directory.as_fd(), &mut table, fd, name, wanted) {
            Ok(()) => count_descriptor(&mut table, fd),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                refused = Some(error);
            }
            // The descriptor was closed while it was looked at.
            Err(error) if is_gone(&error) => {}
            Err(error) => failed = Some(error),
        }
    })?;
    refused.or(failed).map_or(Ok(table), Err)
}

/// Counts a descriptor. They come in the order of their numbers.
pub(super) fn count_descriptor(table: &mut DescriptorTable, fd: u32) {
    table.open += 1;
    if table.lowest_free == u64::from(fd) {
        table.lowest_free += 1;
    }
}

/// Reads what a descriptor refers to, and notes it where that is of interest.
#[cfg(feature = "bpf")]
pub(super) fn read_descriptor(
    directory: BorrowedFd<'_>,
    table: &mut DescriptorTable,
    fd: u32,
    wanted: &InodeSet,
) -> io::Result<()> {
    let name = DecInt::new(fd);
    read_link(directory, table, fd, name.as_c_str(), wanted)
}

fn read_link(
    directory: BorrowedFd<'_>,
    table: &mut DescriptorTable,
    fd: u32,
    name: &CStr,
    wanted: &InodeSet,
) -> io::Result<()> {
    let mut buffer = [MaybeUninit::uninit(); 64];
    let (target, _) = rustix::fs::readlinkat_raw(directory, name, &mut buffer)?;
    note_descriptor(table, fd, target, wanted);
    Ok(())
}

fn note_descriptor(table: &mut DescriptorTable, fd: u32, target: &[u8], wanted: &InodeSet) {
    if let Some(inode) = socket_inode(target) {
        if wanted.contains(&inode) {
            table
                .sockets
                .extend(inode.number().map(|number| (fd, number)));
        }
    } else if target == b"anon_inode:[eventpoll]" {
        table.epolls.push(fd);
    } else if target == b"anon_inode:[io_uring]" {
        table.io_urings.push(fd);
    }
}

/// The socket that a descriptor's link text names.
pub(super) fn socket_inode(target: &[u8]) -> Option<Inode> {
    let digits = target.strip_prefix(b"socket:[")?.strip_suffix(b"]")?;
    parse_number(digits).and_then(Inode::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_socket_link_names_a_socket() {
        assert_eq!(socket_inode(b"socket:[12326]"), Inode::new(12326));
        for other in [
            &b"pipe:[12326]"[..],
            b"socket:[]",
            b"socket:[0]",
            b"socket:[99999999999]",
            b"socket:[1x]",
            b"/tmp/socket:[1]",
        ] {
            assert_eq!(socket_inode(other), None, "{}", other.escape_ascii());
        }
    }
}
