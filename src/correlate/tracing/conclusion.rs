//! All that a trace proves.

use std::net::SocketAddr;
use std::time::Duration;

use super::rounds::{AcceptRecord, accept_records};
use super::stories::{Fates, fates};
use super::verdict::{AcceptVerdict, is_stuck, judge};
use crate::model::{EventKind, Trace, TraceSource};

/// What a trace proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conclusion {
    /// The threads that serve a listener, or should, each with what its record shows.
    pub acceptors: Vec<(AcceptRecord, AcceptVerdict)>,
    /// The queues that were seen.
    pub queues: Vec<Queue>,
    /// What became of the connections.
    pub fates: Fates,
    /// Whether nothing was missed: only then does "never" mean never.
    pub is_whole: bool,
}

/// The queue of one listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Queue {
    /// The listener.
    pub listener: SocketAddr,
    /// How many were in it when it was seen last.
    pub length: u32,
    /// Whether a thread called `accept` on it, or was seen to wait for it.
    pub is_served: bool,
}

impl Conclusion {
    /// Returns whether clients wait because of something that was seen.
    pub fn has_fault(&self) -> bool {
        let verdicts = self.acceptors.iter();
        verdicts
            .map(|(_, verdict)| verdict)
            .any(|verdict| verdict.is_a_fault())
            || !self.fates.left_open.is_empty()
    }
}

/// Draws the conclusions from a trace; `grace` is the age from which on a connection should have been closed.
pub fn conclude(trace: &Trace, grace: Duration) -> Conclusion {
    let records = accept_records(trace);
    let queues = queues(trace, &records);
    let judged = records
        .into_iter()
        .filter_map(|record| Some((judge(&record, &trace.listeners)?, record)))
        .map(|(verdict, record)| (record, verdict));
    Conclusion {
        acceptors: judged.collect(),
        queues,
        fates: fates(trace, grace),
        is_whole: trace.lost == 0 && trace.source == TraceSource::Events,
    }
}

/// The queues of the listeners that were there when the trace began, by what was seen of them last.
fn queues(trace: &Trace, records: &[AcceptRecord]) -> Vec<Queue> {
    let of_listener = |local: SocketAddr, first: u32| Queue {
        listener: local,
        length: last_length(trace, local).unwrap_or(first),
        is_served: records
            .iter()
            .any(|record| record.listener.port() == local.port() && is_at_work(record)),
    };
    let listeners = trace.listeners.iter();
    listeners
        .map(|listener| of_listener(listener.local, listener.queue))
        .collect()
}

fn is_at_work(record: &AcceptRecord) -> bool {
    record.accepted > 0 || !record.failures.is_empty() || !is_stuck(record.slept)
}

fn last_length(trace: &Trace, local: SocketAddr) -> Option<u32> {
    let newest_first = trace.events.iter().rev();
    newest_first
        .filter(|event| event.ends.local.port() == local.port())
        .find_map(|event| match event.kind {
            EventKind::Accepted { queue, .. }
            | EventKind::AcceptFailed { queue, .. }
            | EventKind::QueueSeen { queue } => Some(queue),
            EventKind::Waits(wait) => Some(wait.queue),
            EventKind::State { .. }
            | EventKind::FirstRead { .. }
            | EventKind::EndRead { .. }
            | EventKind::FirstWrite { .. }
            | EventKind::Seen { .. }
            | EventKind::Gone => None,
        })
}
