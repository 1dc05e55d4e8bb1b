//! What is read of a process right before it is touched, and how to hold on to it.

use std::os::fd::OwnedFd;

use rustix::fs::OFlags;
use rustix::process::{Pid as RawPid, PidfdFlags, pidfd_open};

use super::fault::Fault;
use super::registration::{EpollEntry, EpollRegistration, parse_entries};
use crate::collect::kernel::{Kernel, KernelError};
use crate::collect::proc::parse_stat;
use crate::model::{Pid, RunState};

/// Reads when a process started, in clock ticks since boot.
///
/// # Errors
///
/// When there is no such process.
pub(super) fn read_start(kernel: &mut dyn Kernel, pid: Pid) -> Result<u64, KernelError> {
    let path = format!("{pid}/stat");
    let bytes = kernel.read(&path)?;
    parse_stat(&bytes)
        .and_then(|stat| stat.started_ticks)
        .ok_or_else(|| KernelError::malformed(path, "no start time"))
}

/// Returns a thread by which the descriptors of a process can be reached: the main one, unless it has
/// exited.
///
/// # Errors
///
/// When there is no such process.
pub(super) fn living_thread(kernel: &mut dyn Kernel, pid: Pid) -> Result<Pid, Fault> {
    let mut threads = vec![pid];
    threads.extend(kernel.list_numbers(&format!("{pid}/task"))?);
    for tid in threads {
        // A thread that ends meanwhile is none to use.
        let Ok(bytes) = kernel.read(&format!("{pid}/task/{tid}/stat")) else {
            continue;
        };
        let state = parse_stat(&bytes).map(|stat| stat.state);
        if !matches!(
            state,
            None | Some(RunState::Zombie | RunState::Other('X' | 'x'))
        ) {
            return Ok(tid);
        }
    }
    Err(Fault::Gone)
}

/// Reads the entries of the epoll set that a registration is in.
///
/// # Errors
///
/// When the process has ended, the descriptor is closed, or reading it is not permitted.
pub(super) fn read_entries(
    kernel: &mut dyn Kernel,
    registration: &EpollRegistration,
) -> Result<Vec<EpollEntry>, KernelError> {
    let (pid, tid) = (registration.listener.pid, registration.listener.tid);
    let epoll_fd = registration.epoll_fd;
    let bytes = kernel.read(&format!("{pid}/task/{tid}/fdinfo/{epoll_fd}"))?;
    Ok(parse_entries(&bytes))
}

/// Opens a process, and checks that it is the one that was planned with. The descriptor keeps the
/// process id from being used again.
///
/// # Errors
///
/// When it has ended, or its id now belongs to another process.
pub(super) fn open_process(
    kernel: &mut dyn Kernel,
    pid: Pid,
    tid: Pid,
    started: u64,
) -> Result<OwnedFd, Fault> {
    // `PIDFD_THREAD` is `O_EXCL`, since Linux 6.9.
    const THREAD: u32 = OFlags::EXCL.bits();
    let raw = i32::try_from(tid).ok().and_then(RawPid::from_raw);
    let raw = raw.ok_or(Fault::Gone)?;
    let flags = if tid == pid {
        PidfdFlags::empty()
    } else {
        PidfdFlags::from_bits_retain(THREAD)
    };
    let process = pidfd_open(raw, flags)?;
    // Read after the process is held: what is read is about the process that is held.
    if read_start(kernel, pid)? != started {
        return Err(Fault::Gone);
    }
    Ok(process)
}
