//! What a trace sees happen to TCP sockets, one event at a time.

use std::net::SocketAddr;
use std::time::Duration;

use super::{Pid, TcpState};

/// Something that happened, in the order in which it happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When, since the trace began.
    pub at: Duration,
    /// The thread that did it; none where the kernel did it by itself, on receiving a packet.
    pub actor: Option<Actor>,
    /// Stands for the socket as long as it lives; two sockets of one trace never share it at one time.
    pub socket: u64,
    /// Its two ends. Of a listener, the other end is unspecified.
    pub ends: Ends,
    /// What happened.
    pub kind: EventKind,
}

/// The thread that did something.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Actor {
    /// Its process.
    pub pid: Pid,
    /// Its own id.
    pub tid: Pid,
    /// Its short name at that moment (`comm`).
    pub command: String,
}

/// The two ends of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ends {
    /// Our end.
    pub local: SocketAddr,
    /// The other end.
    pub remote: SocketAddr,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// A connection was taken from the queue of a listener.
    Accepted {
        /// The descriptor of the listener.
        listener: u32,
        /// The descriptor of the connection.
        fd: u32,
        /// How many are left in the queue.
        queue: u32,
    },
    /// `accept` returned an error.
    AcceptFailed {
        /// The descriptor of the listener.
        listener: u32,
        /// Which error (`errno`).
        errno: i32,
        /// How many are in the queue.
        queue: u32,
    },
    /// A thread of a process that has the listener begins to wait, for whatever it waits for.
    Waits(Wait),
    /// A socket has changed its state.
    State {
        /// From this one.
        from: TcpState,
        /// To this one.
        to: TcpState,
        /// Whether the process that did it was ending at that moment: then nobody called `close`.
        ending: bool,
    },
    /// The first bytes were read.
    FirstRead {
        /// The descriptor of the connection.
        fd: u32,
        /// How many bytes.
        bytes: u64,
    },
    /// A read returned 0: the program has seen the end of the stream.
    EndRead {
        /// The descriptor of the connection.
        fd: u32,
    },
    /// The first bytes were written.
    FirstWrite {
        /// The descriptor of the connection.
        fd: u32,
        /// How many bytes.
        bytes: u64,
    },
    /// A queue was seen to have another length than before, by asking now and then.
    QueueSeen {
        /// Its length.
        queue: u32,
    },
    /// A connection was seen for the first time, by asking now and then.
    Seen {
        /// Its state.
        state: TcpState,
    },
    /// A connection was not there any more, at asking now and then.
    Gone,
}

/// The beginning of a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait {
    /// The descriptor of the listener.
    pub listener: u32,
    /// The number of the system call on the machine's architecture.
    pub call: u32,
    /// The epoll set that it waits on; none for `poll` and `select`.
    pub epoll: Option<u32>,
    /// Whether it returns at once whatever there is: a time limit of 0.
    pub returns_at_once: bool,
    /// How many connections are in the queue as the wait begins (`sk_ack_backlog`).
    pub queue: u32,
    /// How many may be (`sk_max_ack_backlog`).
    pub limit: u32,
    /// How long the wait before this one lasted.
    pub slept: Duration,
    /// What that one returned: how many descriptors were ready.
    pub woke: i32,
}
