//! What the record of a thread shows.

use std::time::Duration;

use super::rounds::{ASLEEP, AcceptRecord};
use crate::model::TracedListener;

/// `EMFILE`, `ENFILE`, `ENOBUFS`, `ENOMEM`: accept fails for want of something, and the connection stays queued.
const SHORTAGES: [i32; 4] = [24, 23, 105, 12];

/// How a thread serves a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AcceptVerdict {
    /// It stops before the queue is empty, and sleeps although connections wait: the lost edge.
    StopsBeforeEagain {
        /// Whether the set that it waits on reports the listener only once; `None` where that was not read.
        edge_triggered: Option<bool>,
    },
    /// It watches the listener, and sleeps although connections wait, without calling `accept`.
    NeverAccepts,
    /// `accept` fails for want of descriptors or memory.
    Fails {
        /// With this error.
        errno: i32,
    },
    /// It leaves connections for the next wake-up, which comes at once: right under level-triggering.
    LeavesRest,
    /// It accepts, and leaves nothing behind.
    Serves,
}

impl AcceptVerdict {
    /// Returns whether clients wait because of it.
    pub fn is_a_fault(self) -> bool {
        match self {
            Self::StopsBeforeEagain { .. } | Self::NeverAccepts | Self::Fails { .. } => true,
            Self::LeavesRest | Self::Serves => false,
        }
    }
}

/// Judges a record; none where the thread has nothing to do with the listener, or nothing came.
pub(super) fn judge(record: &AcceptRecord, listeners: &[TracedListener]) -> Option<AcceptVerdict> {
    if let Some((errno, _)) = worst_failure(record) {
        return Some(AcceptVerdict::Fails { errno });
    }
    let edge_triggered = edge(record, listeners);
    if record.stopped > 0 && record.slept >= ASLEEP {
        return Some(AcceptVerdict::StopsBeforeEagain { edge_triggered });
    }
    if record.accepted > 0 {
        return Some(if record.stopped > 0 {
            AcceptVerdict::LeavesRest
        } else {
            AcceptVerdict::Serves
        });
    }
    let sleeps_beside = record.passed_by > 0 && record.slept >= ASLEEP;
    // Another thread of the process may wait for other things.
    (sleeps_beside && edge_triggered.is_some()).then_some(AcceptVerdict::NeverAccepts)
}

/// The shortage that `accept` failed with most often.
fn worst_failure(record: &AcceptRecord) -> Option<(i32, u32)> {
    let failures = record
        .failures
        .iter()
        .map(|(errno, times)| (*errno, *times));
    failures
        .filter(|(errno, _)| SHORTAGES.contains(errno))
        .max_by_key(|(_, times)| *times)
}

/// Whether the set that the thread waits on watches the listener edge-triggered; none where it is not known to.
fn edge(record: &AcceptRecord, listeners: &[TracedListener]) -> Option<bool> {
    let epoll = record.epoll?;
    let watches = listeners
        .iter()
        .filter(|listener| listener.local.port() == record.listener.port())
        .flat_map(|listener| &listener.watches);
    let its = watches.filter(|watch| watch.pid == record.thread.pid && watch.epoll_fd == epoll);
    its.map(|watch| watch.edge_triggered).reduce(|a, b| a || b)
}

/// Returns whether a thread that waits this long was not woken.
pub(super) fn is_stuck(waiting: Duration) -> bool {
    waiting >= ASLEEP
}
