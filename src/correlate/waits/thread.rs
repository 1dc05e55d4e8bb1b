//! What one thread waits for.

use super::super::activity::Activity;
use super::super::halt::halt;
use super::super::threads::ThreadRecord;
use super::descriptor::{Found, on_descriptor};
use super::facts::Facts;
use super::polled::{polled, polled_connection};
use super::target::{Target, ThreadWait};
use crate::model::{EpollSet, FutexKind, Pid, Process, Reading, RunState, Runtime};

/// Derives what a thread waits for from what it was seen doing.
pub(super) fn wait_of(
    facts: &Facts,
    process: &Process,
    record: &ThreadRecord,
) -> Option<ThreadWait> {
    let (activity, constant) = record.usual()?;
    let state = record.looks.last().map(|look| look.state);
    if state == Some(Reading::Known(RunState::Zombie)) {
        return None;
    }
    let (target, since) = if let Some(halt) = halt(process) {
        (Target::Halted(halt), None)
    } else {
        target_of(facts, process, record, &activity)
    };
    Some(ThreadWait {
        pid: process.pid,
        tid: record.tid,
        name: record.command.clone(),
        call: activity.call_name().to_owned(),
        fd: descriptor_of(&activity)
            .or_else(|| polled_connection(facts, process, &activity, &target)),
        target,
        since,
        constant,
    })
}

fn descriptor_of(activity: &Activity) -> Option<u32> {
    match activity {
        Activity::OnDescriptor { fd, .. }
        | Activity::Accept { fd }
        | Activity::EpollWait { fd } => Some(*fd),
        Activity::Poll { fds: Some(fds), .. } => match fds[..] {
            [fd] => Some(fd),
            _ => None,
        },
        _ => None,
    }
}

fn target_of(
    facts: &Facts,
    process: &Process,
    record: &ThreadRecord,
    activity: &Activity,
) -> Found {
    if record.is_uninterruptible() {
        return (uninterruptible(process, record.tid), None);
    }
    let target = match activity {
        Activity::Running => Target::Processor,
        Activity::EpollWait { fd } if is_nested_loop(facts, process, record.tid, *fd) => {
            Target::Child {
                pid: None,
                until_exec: false,
            }
        }
        Activity::EpollWait { .. } | Activity::IoUring => Target::Events,
        Activity::Accept { .. } => Target::Accept,
        Activity::Poll { fds, call } => return polled(facts, process, fds.as_deref(), call),
        Activity::OnDescriptor { call, fd } => return on_descriptor(facts, process, *fd, call),
        Activity::Futex => futex(facts, process.pid, record.tid),
        Activity::Sleep { .. } => Target::Nap,
        Activity::ChildOrSignal { call } => child_or_signal(process, record.tid, call),
        Activity::Other(_) if sleeps_in(process, record.tid).as_deref() == Some(OPEN_PIPE) => {
            Target::OpenPipe
        }
        Activity::Other(call) => Target::Other(call.clone()),
        Activity::OutsideCalls => Target::Other("no system call".to_owned()),
        Activity::Unseen(gap) => Target::Unseen(*gap),
    };
    (target, None)
}

/// Whether the main thread waits for a child in an event loop that it has opened inside of its own one.
///
/// `execSync` and its like run the child in a loop of its own on the thread that calls (`src/spawn_sync.cc` of
/// Node.js): that set knows the pipes of the child, and the one with listener and clients has nobody.
fn is_nested_loop(facts: &Facts, process: &Process, tid: Pid, fd: u32) -> bool {
    let Some(examination) = &process.examination else {
        return false;
    };
    let nests = matches!(
        examination.software.runtime,
        Runtime::Node | Runtime::Deno | Runtime::Bun
    );
    if !nests || tid != process.pid || !facts.has_children(process.pid) {
        return false;
    }
    let serves = |set: &EpollSet| {
        let watches = set.watches.known().into_iter().flatten();
        let mut targets = watches.filter_map(|watch| watch.target_inode);
        targets.any(|inode| facts.is_tcp(inode))
    };
    let (own, others): (Vec<&EpollSet>, Vec<&EpollSet>) =
        examination.epoll_sets.iter().partition(|set| set.fd == fd);
    own.iter()
        .all(|set| set.watches.known().is_some() && !serves(set))
        && others.into_iter().any(serves)
}

/// Where `open` of a named pipe sleeps until another process opens the other end (`fs/pipe.c`).
const OPEN_PIPE: &str = "wait_for_partner";

/// The kernel function that a thread sleeps in.
fn sleeps_in(process: &Process, tid: Pid) -> Option<String> {
    let threads = process.examination.as_ref().and_then(|e| e.threads.known());
    let thread = threads.into_iter().flatten().find(|one| one.tid == tid)?;
    thread.wchan.known().cloned()
}

/// A parent in `vfork` sleeps in state D and waits for no disk.
fn uninterruptible(process: &Process, tid: Pid) -> Target {
    let function = sleeps_in(process, tid);
    if function.as_deref() == Some("kernel_clone") {
        return Target::Child {
            pid: None,
            until_exec: true,
        };
    }
    Target::Kernel { function }
}

fn futex(facts: &Facts, pid: Pid, tid: Pid) -> Target {
    let Some(futex) = facts.futex(pid, tid) else {
        return Target::WorkQueue;
    };
    let is_thread_of_it = |owner: &Pid| {
        *owner != tid
            && super::facts::threads(facts.snapshot, pid)
                .iter()
                .any(|one| one.tid == *owner)
    };
    match futex.wait {
        // Memory of another layout may hold any number, but hardly the id of a thread of this process.
        FutexKind::Owned(owner) if is_thread_of_it(&owner) => Target::Lock {
            pid,
            address: futex.address,
            owner: Some(owner),
        },
        FutexKind::Join(other) if is_thread_of_it(&other) => Target::Thread { tid: other },
        FutexKind::Owned(_) | FutexKind::Join(_) | FutexKind::Anonymous => Target::WorkQueue,
    }
}

fn child_or_signal(process: &Process, tid: Pid, call: &str) -> Target {
    if call != "wait4" && call != "waitid" {
        return Target::Signal;
    }
    let threads = process.examination.as_ref().and_then(|e| e.threads.known());
    let thread = threads.into_iter().flatten().find(|one| one.tid == tid);
    let wanted = thread.and_then(crate::model::Thread::first_argument);
    // A number below one stands for any child, or any of a group; waitid names its kind first.
    let pid = wanted
        .filter(|_| call == "wait4")
        .and_then(|wanted| i32::try_from(wanted & 0xffff_ffff).ok())
        .and_then(|wanted| u32::try_from(wanted).ok())
        .filter(|pid| *pid > 0);
    Target::Child {
        pid,
        until_exec: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::correlate::fixtures;
    use crate::correlate::waits::Summary;
    use crate::model::{EpollWatch, Snapshot, SocketTable, Syscall};

    const EPOLL_WAIT: u32 = 232;

    fn set(fd: u32, inode: u64) -> EpollSet {
        let watch = EpollWatch {
            target_fd: 19,
            events: 0x19,
            target_inode: Some(inode),
        };
        EpollSet {
            fd,
            watches: Reading::Known(vec![watch]),
        }
    }

    /// The set 14 watches the listener with inode 5, the set 24 a pipe; the main thread waits on one of them.
    fn waiting_on(fd: u64, children: &[Pid]) -> Target {
        let mut process = fixtures::process(7);
        let examination = process.examination.as_mut().unwrap();
        examination.software.runtime = Runtime::Node;
        examination.epoll_sets = vec![set(14, 5), set(24, 99)];
        let call = Syscall::Call {
            number: EPOLL_WAIT,
            args: [fd, 0, 0, 0],
        };
        examination.threads = Reading::Known(vec![fixtures::thread(7, RunState::Sleeping, call)]);
        let mut snapshot: Snapshot = fixtures::snapshot(SocketTable {
            listeners: vec![fixtures::listener("127.0.0.1:8080", 5)],
            ..SocketTable::default()
        });
        snapshot.processes.insert(7, process);
        snapshot.waits.children.insert(7, children.to_vec());
        let facts = Facts::of(&snapshot);
        let summary = Summary::of(&facts, &[7]);
        summary.threads[0].target.clone()
    }

    #[test]
    fn a_loop_inside_of_the_loop_waits_for_a_child() {
        let child = Target::Child {
            pid: None,
            until_exec: false,
        };
        assert_eq!(waiting_on(24, &[8]), child);
        assert_eq!(waiting_on(24, &[]), Target::Events);
        assert_eq!(waiting_on(14, &[8]), Target::Events);
    }
}
