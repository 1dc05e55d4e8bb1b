//! A process that would accept, and what may keep it from it.

use std::collections::BTreeSet;

use super::activity::Activity;
use super::halt::Halt;
use super::threads::{ThreadRecord, Unwatched};
use super::waits::Summary;
use super::watch::Watch;
use crate::model::{Gap, Pid, Process};

/// A process that would accept, and what keeps it from it.
#[derive(Debug)]
pub struct Acceptor<'a> {
    /// The process.
    pub process: &'a Process,
    /// Its descriptors of the listener.
    pub fds: Vec<u32>,
    /// Where it registered the listener.
    pub watches: Vec<Watch>,
    /// What its threads were seen doing while connections waited.
    pub threads: Vec<ThreadRecord>,
    /// What its threads wait for.
    pub waits: Summary,
    /// The epoll sets in which connections that it accepted are registered: those of its event loops.
    pub loops: BTreeSet<u32>,
    /// Whether it holds connections that it, or who started it, has accepted.
    pub has_clients: bool,
    /// What keeps it from accepting.
    pub state: AcceptorState,
}

/// What keeps a process from accepting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AcceptorState {
    /// It does not run at all.
    Halted(Halt),
    /// It has no descriptor left below its limit.
    AtFdLimit {
        /// `RLIMIT_NOFILE`, soft.
        limit: u64,
    },
    /// A thread sleeps on the set that watches the listener edge-triggered.
    AsleepOnEdge {
        /// Which of the acceptor's watches.
        watch: usize,
        /// The thread.
        tid: Pid,
        /// The number of samples in which it slept there.
        asleep: usize,
        /// The number of samples.
        looks: usize,
        /// Another thread does something on a socket meanwhile, and may be the one that took
        /// the edge.
        other_at_work: bool,
    },
    /// A thread sleeps on a set that watches the listener, and nothing woke it: another waiter
    /// was chosen (`EPOLLEXCLUSIVE`).
    NotWoken,
    /// No thread waits for the listener, although one is idle.
    Unwatched {
        /// In which way.
        how: Unwatched,
        /// The idle thread.
        tid: Pid,
    },
    /// No thread waits for the listener, and the thread that should is busy with something else.
    Busy {
        /// The thread, or of several the one that is most likely meant: no fact ties a thread to
        /// what it does not wait for.
        tid: Pid,
        /// What it does.
        activity: Activity,
        /// Whether it did that in every look.
        constant: bool,
        /// Whether it is the only thread.
        sole: bool,
    },
    /// The listener is registered, and no thread is left that waits on the set: the one that did has ended or
    /// is parked.
    NoThread {
        /// Which of the acceptor's watches.
        watch: usize,
    },
    /// Nothing shows that it accepts, and its parent has ended: it may have inherited the listener only.
    Orphan,
    /// It was seen accepting, or about to.
    Serving,
    /// It cannot be told.
    Unclear(Doubt),
}

/// Why it cannot be told what keeps a process from accepting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// It was not examined, or its threads could not be seen.
    Unseen(Gap),
    /// It may accept through an `io_uring`.
    IoUring,
    /// What was seen does not fit together: it sleeps on a set that should have woken it.
    Contradiction,
}
