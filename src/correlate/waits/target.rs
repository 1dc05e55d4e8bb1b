//! What one thread waits for.

use std::net::SocketAddr;
use std::time::Duration;

use super::super::activity::Activity;
use super::super::halt::{Halt, halt};
use super::super::threads::ThreadRecord;
use super::facts::{Facts, asked, plain};
use super::polled::{polled, polled_connection};
use crate::model::{
    Connection, EpollSet, FutexKind, Gap, Inode, Pid, Process, Reading, RunState, Runtime, TcpState,
};

/// What a thread waits for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// The answer of a service that the process has connected to and asked.
    Answer {
        /// The service.
        from: SocketAddr,
    },
    /// Any message of a service that the process has connected to and not asked: a subscription.
    News {
        /// The service.
        from: SocketAddr,
    },
    /// A connection to this address.
    Connect {
        /// The address.
        to: SocketAddr,
    },
    /// A peer that does not take what was sent to it.
    Room {
        /// The peer.
        at: SocketAddr,
    },
    /// Data of a client whose connection was accepted.
    Client {
        /// The client.
        from: SocketAddr,
        /// Where it connected to.
        at: SocketAddr,
        /// Whether not one byte has come from it.
        silent: bool,
    },
    /// A lock on a file.
    FileLock {
        /// The file: its path, or device and inode.
        file: String,
        /// The process that holds the lock, where that shows.
        holder: Option<Pid>,
    },
    /// A lock between threads.
    Lock {
        /// The process.
        pid: Pid,
        /// Where the lock lies.
        address: u64,
        /// The thread that owns it, where that stands beside it.
        owner: Option<Pid>,
    },
    /// The end of another thread.
    Thread {
        /// Its id.
        tid: Pid,
    },
    /// The end of a child, or of any.
    Child {
        /// The child; none for any.
        pid: Option<Pid>,
        /// Whether the child has still to execute its program (`vfork`).
        until_exec: bool,
    },
    /// The other end of a pipe, a named pipe or a terminal.
    Pipe {
        /// `pipe:[7]` or a path.
        name: String,
        /// Whether it waits for room to write, and not for something to read.
        writes: bool,
    },
    /// The other end of a unix socket.
    Unix {
        /// The inode of our end.
        inode: u32,
        /// The path, where one end is bound to one.
        name: Option<String>,
    },
    /// Time to pass.
    Nap,
    /// Nothing: it uses a processor, or waits for one.
    Processor,
    /// The kernel, in an uninterruptible sleep.
    Kernel {
        /// The function it sleeps in, where that shows.
        function: Option<String>,
    },
    /// To be continued: it is stopped, traced or frozen.
    Halted(Halt),
    /// Events of an epoll set, or of several descriptors that it polls.
    Events,
    /// A connection to accept.
    Accept,
    /// Work, or another thread that cannot be named: a condition variable, a semaphore.
    WorkQueue,
    /// A signal.
    Signal,
    /// Something else, by the call.
    Other(String),
    /// It could not be seen.
    Unseen(Gap),
}

impl Target {
    /// Returns whether the thread is blocked in the middle of something, rather than waiting for
    /// work.
    pub fn blocks(&self) -> bool {
        match self {
            Self::Answer { .. }
            | Self::Connect { .. }
            | Self::Room { .. }
            | Self::Client { .. }
            | Self::FileLock { .. }
            | Self::Lock { .. }
            | Self::Thread { .. }
            | Self::Child { .. }
            | Self::Pipe { writes: true, .. }
            | Self::Unix { .. }
            | Self::Processor
            | Self::Kernel { .. } => true,
            // A nap may be a server's pause between two looks at a limit; reading a pipe is how many wait for
            // work.
            Self::Nap
            | Self::Pipe { writes: false, .. }
            | Self::News { .. }
            | Self::Halted(_)
            | Self::Events
            | Self::Accept
            | Self::WorkQueue
            | Self::Signal
            | Self::Other(_)
            | Self::Unseen(_) => false,
        }
    }

    /// The key by which waits are grouped. Waits for different clients belong together.
    pub(super) fn same_kind(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Client { at, silent, .. },
                Self::Client {
                    at: at_too,
                    silent: silent_too,
                    ..
                },
            ) => at.port() == at_too.port() && silent == silent_too,
            (
                Self::Unix {
                    name: Some(one), ..
                },
                Self::Unix {
                    name: Some(two), ..
                },
            ) => one == two,
            (Self::Kernel { .. }, Self::Kernel { .. }) => true,
            _ => self == other,
        }
    }
}

/// What one thread waits for, and how that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThreadWait {
    /// Its process.
    pub pid: Pid,
    /// The thread.
    pub tid: Pid,
    /// Its own name.
    pub name: String,
    /// The call it is in, in one word.
    pub call: String,
    /// The descriptor in it.
    pub fd: Option<u32>,
    /// What it waits for.
    pub target: Target,
    /// Since when, where that shows.
    pub since: Option<Duration>,
    /// Whether it did the same whenever it was seen.
    pub constant: bool,
}

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

pub(super) type Found = (Target, Option<Duration>);

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

/// A parent in `vfork` sleeps in state D and waits for no disk.
fn uninterruptible(process: &Process, tid: Pid) -> Target {
    let threads = process.examination.as_ref().and_then(|e| e.threads.known());
    let thread = threads.into_iter().flatten().find(|one| one.tid == tid);
    let function = thread.and_then(|thread| thread.wchan.known().cloned());
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

pub(super) fn on_descriptor(facts: &Facts, process: &Process, fd: u32, call: &str) -> Found {
    let Some(text) = Facts::target_text(process, fd) else {
        return (Target::Other(format!("{call} on fd {fd}")), None);
    };
    if let Some(inode) = Facts::socket_of(process, fd) {
        if let Some(connection) = facts.connection(inode) {
            return on_connection(facts, connection, call);
        }
        return (on_other_socket(facts, inode, call, fd), None);
    }
    if call == "flock" || call == "fcntl" {
        return (file_lock(facts, process, text), None);
    }
    let is_channel =
        text.starts_with("pipe:") || text.starts_with("/dev/pts/") || text.starts_with("/dev/tty");
    if is_channel || (text.starts_with('/') && !text.starts_with("/dev/")) {
        return (
            Target::Pipe {
                name: text.to_owned(),
                writes: is_write(call),
            },
            None,
        );
    }
    (Target::Other(format!("{call} on {text}")), None)
}

pub(super) fn on_connection(facts: &Facts, connection: &Connection, call: &str) -> Found {
    let remote = plain(connection.remote);
    if connection.state == TcpState::SynSent {
        return (Target::Connect { to: remote }, None);
    }
    let sent = connection.ages.map(crate::model::TcpAges::last_data_sent);
    if is_write(call) {
        return (Target::Room { at: remote }, sent);
    }
    if facts.is_accepted_here(connection) {
        let client = Target::Client {
            from: remote,
            at: plain(connection.local),
            silent: connection.traffic.is_some_and(|t| t.received_bytes() == 0),
        };
        return (
            client,
            connection.ages.map(crate::model::TcpAges::last_data_recv),
        );
    }
    match asked(connection) {
        Some(asked) => (Target::Answer { from: remote }, asked.since),
        None if connection.ages.is_none() => (Target::Answer { from: remote }, None),
        None => (Target::News { from: remote }, None),
    }
}

fn on_other_socket(facts: &Facts, inode: Inode, call: &str, fd: u32) -> Target {
    let unix = inode.number().and_then(|number| facts.unix_socket(number));
    let Some(unix) = unix else {
        return Target::Other(format!("{call} on fd {fd}, a socket of another kind"));
    };
    let peer = unix.peer.and_then(|peer| facts.unix_socket(peer));
    let listener = facts
        .snapshot
        .waits
        .unix_sockets
        .iter()
        .find(|listener| listener.waiting.contains(&unix.inode));
    let named = |socket: &crate::model::UnixSocket| socket.name.clone();
    Target::Unix {
        inode: unix.inode,
        name: named(unix)
            .or_else(|| peer.and_then(named))
            .or_else(|| listener.and_then(named)),
    }
}

fn file_lock(facts: &Facts, process: &Process, path: &str) -> Target {
    let locks = &facts.snapshot.waits.locks;
    let wanted = locks
        .iter()
        .find(|lock| lock.waits && lock.pid == Some(process.pid));
    let holder = wanted.and_then(|wanted| {
        locks
            .iter()
            .find(|lock| !lock.waits && lock.number == wanted.number)
            .and_then(|lock| lock.pid)
    });
    Target::FileLock {
        file: path.to_owned(),
        holder,
    }
}

fn is_write(call: &str) -> bool {
    call.contains("write") || call.contains("send") || call == "splice"
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
