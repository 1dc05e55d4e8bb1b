//! What threads wait for, as values.

use std::net::SocketAddr;
use std::time::Duration;

use super::super::halt::Halt;
use crate::model::{Gap, Pid};

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
    /// The output of a child that was started for a task, through a pipe.
    Output {
        /// The child.
        child: Pid,
    },
    /// A datagram of the one address that a UDP socket is connected to.
    Datagram {
        /// The address.
        from: SocketAddr,
    },
    /// Another process to open the other end of a named pipe.
    OpenPipe,
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
            | Self::Output { .. }
            | Self::Datagram { .. }
            | Self::OpenPipe
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
            (Self::Kernel { .. }, Self::Kernel { .. })
            | (Self::Output { .. }, Self::Output { .. }) => true,
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
