//! One process: what every owner is asked for, and what only a suspect is.

use super::elf::{Elf, read_elf};
use super::runtime::Evidence;
use super::{
    Stat, cgroup, parse_epoll_watches, parse_open_files_limit, parse_stat, parse_syscall, runtime,
};
use crate::collect::kernel::{DescriptorTable, Kernel, KernelError};
use crate::model::{
    Descriptor, EpollSet, Examination, Gap, Pid, Process, Reading, Syscall, Thread, ThreadSample,
};

/// Reads what is shown of every owner; nothing where it has ended meanwhile.
pub fn read_process(kernel: &mut dyn Kernel, pid: Pid) -> Option<Process> {
    let stat = match kernel.read(&format!("{pid}/stat")) {
        Ok(bytes) => parse_stat(&bytes).ok_or(Gap::Malformed),
        Err(error) if error.gap() == Gap::Vanished => return None,
        Err(error) => Err(error.gap()),
    };
    let limit = known_or_gap(kernel, &format!("{pid}/limits"), parse_open_files_limit);
    let status = known_or_gap(kernel, &format!("{pid}/status"), |bytes| {
        Some(bytes.to_vec())
    });
    let uid = match &status {
        Reading::Known(status) => {
            parse_effective_uid(status).map_or(Reading::Unknown(Gap::Malformed), Reading::Known)
        }
        Reading::Unknown(gap) => Reading::Unknown(*gap),
    };
    let stat = stat.map_or_else(Reading::Unknown, Reading::Known);
    Some(Process {
        pid,
        pid_inside: status.known().and_then(|status| parse_pid_inside(status)),
        uid,
        origin: cgroup::read_origin(kernel, pid),
        command: stat
            .known()
            .map_or(String::new(), |stat| stat.command.clone()),
        command_line: known_or_gap(kernel, &format!("{pid}/cmdline"), |bytes| {
            Some(parse_command_line(bytes))
        }),
        parent: stat.as_ref().map(|stat| stat.parent),
        group: stat.as_ref().map(|stat| stat.group),
        session: stat.as_ref().map(|stat| stat.session),
        started_ticks: started_ticks(&stat),
        state: stat.as_ref().map(|stat| stat.state),
        open_fds: Reading::Unknown(Gap::NotLookedAt),
        lowest_free_fd: Reading::Unknown(Gap::NotLookedAt),
        fd_limit: limit,
        examination: None,
    })
}

fn started_ticks(stat: &Reading<Stat>) -> Reading<u64> {
    match stat {
        Reading::Known(stat) => stat
            .started_ticks
            .map_or(Reading::Unknown(Gap::Malformed), Reading::Known),
        Reading::Unknown(gap) => Reading::Unknown(*gap),
    }
}

/// Reads what only a suspect is asked for; its command line has been read before.
pub fn examine_process(
    kernel: &mut dyn Kernel,
    table: &DescriptorTable,
    command_line: &str,
) -> Examination {
    let pid = table.pid;
    // If the main thread of a process has exited, only the other threads show anything.
    let base = if table.through == pid {
        pid.to_string()
    } else {
        format!("{pid}/task/{}", table.through)
    };
    let executable = match kernel.read_link(&format!("{base}/exe")) {
        Ok(path) => Reading::Known(path),
        Err(error) => Reading::Unknown(error.gap()),
    };
    let elf = read_elf(kernel, &format!("{base}/exe")).unwrap_or_default();
    let threads = read_threads(kernel, pid, elf);
    let name = executable.known().map_or("", String::as_str);
    let software = runtime::recognise(&Evidence {
        executable: name,
        elf,
        command_line,
        threads: threads.known().map_or(&[], Vec::as_slice),
        maps: &if runtime::needs_maps(name, elf) {
            read_maps(kernel, &base)
        } else {
            String::new()
        },
        has_epoll: !table.epolls.is_empty(),
    });
    Examination {
        threads,
        epoll_sets: read_epoll_sets(kernel, &base, &table.epolls),
        io_urings: table.io_urings.clone(),
        frozen: cgroup::read_frozen(kernel, pid),
        software,
        compat: elf.bits_32,
        executable,
        descriptors: Vec::new(),
        descriptors_complete: false,
    }
}

/// A command line is kept up to this many bytes. The class path of a large Java program fits; what a process
/// wrote to fill the memory of whoever looks does not.
const LONGEST_COMMAND_LINE: usize = 32 * 1024;

/// Most of a table of mappings that is read: libraries are mapped early and come long before that.
const MOST_MAPS_BYTES: usize = 256 * 1024;
/// The kernel gives a page of the table at a time, in whole lines.
const MAPS_PIECE_BYTES: usize = 4096;

/// The beginning of the table of mappings. Nothing where it may not be read: then no library is recognised.
fn read_maps(kernel: &mut dyn Kernel, base: &str) -> String {
    let path = format!("{base}/maps");
    let mut maps = Vec::new();
    while maps.len() < MOST_MAPS_BYTES {
        let offset = u64::try_from(maps.len()).unwrap_or(u64::MAX);
        match kernel.read_at(&path, offset, MAPS_PIECE_BYTES) {
            Ok(piece) if !piece.is_empty() => maps.extend(piece),
            _ => break,
        }
    }
    String::from_utf8_lossy(&maps).into_owned()
}

/// Lists the threads of a process, the main one first.
///
/// # Errors
///
/// When the process has ended or hides its tasks.
pub fn list_threads(kernel: &mut dyn Kernel, pid: Pid) -> Result<Vec<Pid>, KernelError> {
    kernel.list_numbers(&format!("{pid}/task"))
}

/// Reads what a thread does at this moment; `compat` says that it numbers system calls differently.
pub fn sample_thread(kernel: &mut dyn Kernel, pid: Pid, tid: Pid, compat: bool) -> ThreadSample {
    // The call first: a thread that was seen in it and is asleep after was asleep in it.
    let syscall = read_syscall(kernel, pid, tid, compat);
    let state = known_or_gap(kernel, &format!("{pid}/task/{tid}/stat"), parse_stat);
    ThreadSample {
        pid,
        tid,
        state: state.map(|stat| stat.state),
        syscall,
        polled_fds: None,
    }
}

/// Reads what a descriptor refers to; nothing where it is closed or may not be seen.
pub fn read_descriptor(kernel: &mut dyn Kernel, pid: Pid, fd: u32) -> Option<Descriptor> {
    let target = kernel.read_link(&format!("{pid}/fd/{fd}")).ok()?;
    Some(Descriptor { fd, target })
}

fn read_threads(kernel: &mut dyn Kernel, pid: Pid, elf: Elf) -> Reading<Vec<Thread>> {
    let tids = match list_threads(kernel, pid) {
        Ok(tids) => tids,
        Err(error) => return Reading::Unknown(error.gap()),
    };
    let mut threads = Vec::new();
    for tid in tids {
        if kernel.is_out_of_time() {
            return Reading::Unknown(Gap::BudgetUsedUp);
        }
        threads.extend(read_thread(kernel, pid, tid, elf.bits_32));
    }
    Reading::Known(threads)
}

/// Nothing where the thread has ended meanwhile.
fn read_thread(kernel: &mut dyn Kernel, pid: Pid, tid: Pid, compat: bool) -> Option<Thread> {
    let stat = known_or_gap(kernel, &format!("{pid}/task/{tid}/stat"), parse_stat);
    if stat.gap() == Some(Gap::Vanished) {
        return None;
    }
    let wchan = known_or_gap(kernel, &format!("{pid}/task/{tid}/wchan"), |bytes| {
        // "0" stands for not sleeping, and for not permitted to know where.
        match bytes {
            b"" | b"0" => None,
            name => Some(String::from_utf8_lossy(name).into_owned()),
        }
    });
    Some(Thread {
        tid,
        command: stat
            .known()
            .map_or(String::new(), |stat| stat.command.clone()),
        state: stat.map(|stat| stat.state),
        syscall: read_syscall(kernel, pid, tid, compat),
        polled_fds: None,
        wchan,
    })
}

fn read_syscall(kernel: &mut dyn Kernel, pid: Pid, tid: Pid, compat: bool) -> Reading<Syscall> {
    let syscall = known_or_gap(kernel, &format!("{pid}/task/{tid}/syscall"), parse_syscall);
    match syscall {
        // The numbers of a 32-bit program mean other calls.
        Reading::Known(Syscall::Call { .. }) if compat => Reading::Unknown(Gap::NotSupported),
        other => other,
    }
}

/// So many registrations of one process are kept. They cost some 0.4 us each, and a program with so many
/// connections in all its sets has other troubles.
const MOST_WATCHES: usize = 500_000;

/// Reads the sets until the process has had its share; the others are known to be unread.
fn read_epoll_sets(kernel: &mut dyn Kernel, base: &str, fds: &[u32]) -> Vec<EpollSet> {
    let mut left = MOST_WATCHES;
    let mut sets = Vec::new();
    for fd in fds {
        let set = if left == 0 || kernel.is_out_of_time() {
            EpollSet {
                fd: *fd,
                watches: Reading::Unknown(Gap::BudgetUsedUp),
            }
        } else {
            read_epoll_set(kernel, base, *fd)
        };
        left = left.saturating_sub(set.watches.known().map_or(0, Vec::len));
        sets.push(set);
    }
    sets
}

fn read_epoll_set(kernel: &mut dyn Kernel, base: &str, fd: u32) -> EpollSet {
    let watches = match kernel.read(&format!("{base}/fdinfo/{fd}")) {
        Ok(bytes) => match parse_epoll_watches(&bytes) {
            (watches, 0) => Reading::Known(watches),
            // A registration that was not understood could be the one that matters.
            (_, _) => Reading::Unknown(Gap::Malformed),
        },
        Err(error) => Reading::Unknown(error.gap()),
    };
    EpollSet { fd, watches }
}

/// `NSpid:` lists the ids from the namespace of this procfs inwards; one alone is the same inside.
fn parse_pid_inside(bytes: &[u8]) -> Option<Pid> {
    let line = bytes
        .split(|byte| *byte == b'\n')
        .find_map(|line| line.strip_prefix(b"NSpid:"))?;
    let ids = std::str::from_utf8(line).ok()?.split_ascii_whitespace();
    ids.skip(1).last()?.parse().ok()
}

/// `Uid:` lists the real, effective, saved and file system user ids.
fn parse_effective_uid(bytes: &[u8]) -> Option<u32> {
    let line = bytes
        .split(|byte| *byte == b'\n')
        .find_map(|line| line.strip_prefix(b"Uid:"))?;
    let ids = std::str::from_utf8(line).ok()?;
    ids.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// Arguments are ended by zero bytes; a title that the process gave itself may be padded with more. One that is
/// longer than [`LONGEST_COMMAND_LINE`] is cut there.
fn parse_command_line(bytes: &[u8]) -> String {
    let kept = &bytes[..bytes.len().min(LONGEST_COMMAND_LINE)];
    let text = String::from_utf8_lossy(kept);
    let text = text.trim_end_matches('\0').replace('\0', " ");
    if kept.len() < bytes.len() {
        format!("{text}…")
    } else {
        text
    }
}

fn known_or_gap<T>(
    kernel: &mut dyn Kernel,
    path: &str,
    parse: impl FnOnce(&[u8]) -> Option<T>,
) -> Reading<T> {
    match kernel.read(path) {
        Ok(bytes) => parse(&bytes).map_or(Reading::Unknown(Gap::Malformed), Reading::Known),
        Err(error) => Reading::Unknown(error.gap()),
    }
}
