//! A trace: what was followed, what was seen, and what was missed.

use std::net::SocketAddr;
use std::time::Duration;

use super::{Event, Host, Pid, PortRange};

/// Everything that one trace saw.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    /// When it began (RFC 3339, UTC).
    pub started_at: String,
    /// The machine.
    pub host: Host,
    /// How it was made.
    pub source: TraceSource,
    /// The listeners that were there when it began.
    pub listeners: Vec<TracedListener>,
    /// What happened, in order.
    pub events: Vec<Event>,
    /// How many events were lost, because they came faster than they were read.
    pub lost: u64,
    /// How long it lasted.
    pub elapsed: Duration,
}

/// How a trace was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TraceSource {
    /// By programs inside the kernel, which miss nothing but what they count as lost.
    Events,
    /// By asking for all sockets now and then: what begins and ends in between is missed, and no thread is seen.
    Polling {
        /// Why no program could be loaded.
        why: String,
    },
}

/// A listener that is followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TracedListener {
    /// Its address.
    pub local: SocketAddr,
    /// How many connections were in its queue when the trace began.
    pub queue: u32,
    /// The processes that have it, each with its descriptor.
    pub holders: Vec<(Pid, u32)>,
    /// The epoll sets that watch it.
    pub watches: Vec<TracedWatch>,
}

/// An epoll set that watches a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TracedWatch {
    /// The process.
    pub pid: Pid,
    /// The set.
    pub epoll_fd: u32,
    /// Whether it reports a change only once.
    pub edge_triggered: bool,
}

/// What a trace is to follow.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TraceFilter {
    /// Connections and listeners on these ports; none for all.
    pub ports: Vec<PortRange>,
    /// Whether also those that have such a port at their other end.
    pub either_end: bool,
    /// The number of the only network namespace to follow.
    pub netns: Option<u32>,
    /// The processes that have a listener, each with its descriptors.
    pub holders: Vec<(Pid, u32)>,
    /// Whether what other processes do is left out.
    pub only_holders: bool,
}
