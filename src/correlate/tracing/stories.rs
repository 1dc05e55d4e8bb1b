//! What became of the connections.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use crate::model::{Actor, Event, EventKind, Pid, TcpState, Trace};

/// Connections of listeners that are followed, by what became of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fates {
    /// Handshakes that were completed.
    pub arrived: usize,
    /// Connections that were accepted, by process.
    pub accepted_by: BTreeMap<Pid, usize>,
    /// Connections that arrived, were not accepted, and are still there.
    pub waiting: usize,
    /// Of those, the ones whose client has closed.
    pub waiting_closed: usize,
    /// Connections that were reset, or timed out, before they were accepted.
    pub lost_in_queue: usize,
    /// Connections that their client has closed, and the process has not, by process.
    pub left_open: BTreeMap<Pid, LeftOpen>,
    /// The longest time between the client's end and our close.
    pub slowest_close: Option<Duration>,
}

/// Connections that a process has not closed after their client did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LeftOpen {
    /// The name of the process.
    pub command: String,
    /// The end of the stream was read.
    pub after_end_read: usize,
    /// It was not.
    pub end_unread: usize,
    /// For how long the oldest has been closed by its client.
    pub oldest: Duration,
}

/// One connection.
#[derive(Default)]
struct Story {
    arrived: bool,
    accepted: Option<Actor>,
    client_closed: Option<Duration>,
    end_read: bool,
    closed: Option<Duration>,
    gone: bool,
}

/// Gathers what became of the connections. Below `grace` a connection that is not closed is not left open.
pub(super) fn fates(trace: &Trace, grace: Duration) -> Fates {
    let mut open: HashMap<u64, Story> = HashMap::new();
    let mut fates = Fates::default();
    for event in &trace.events {
        note(&mut open, &mut fates, event);
    }
    for story in open.into_values() {
        fates.count(&story, trace.elapsed, grace);
    }
    fates
}

fn note(open: &mut HashMap<u64, Story>, fates: &mut Fates, event: &Event) {
    match event.kind {
        EventKind::State {
            from: TcpState::SynRecv,
            to: TcpState::Established,
            ..
        } => {
            // The memory of a socket that is gone is used again.
            let story = Story {
                arrived: true,
                ..Story::default()
            };
            open.insert(event.socket, story);
            fates.arrived += 1;
        }
        EventKind::Accepted { .. } => {
            let story = open.entry(event.socket).or_default();
            story.accepted.clone_from(&event.actor);
            let pid = event.actor.as_ref().map_or(0, |actor| actor.pid);
            *fates.accepted_by.entry(pid).or_default() += 1;
        }
        EventKind::EndRead { .. } => {
            open.entry(event.socket).or_default().end_read = true;
        }
        EventKind::State { from, to, .. } => {
            let Some(story) = open.get_mut(&event.socket) else {
                return;
            };
            if to == TcpState::CloseWait {
                story.client_closed = Some(event.at);
            }
            if event.actor.is_some() && from != to {
                story.closed.get_or_insert(event.at);
            }
            if to == TcpState::Close {
                story.gone = true;
                if let Some(story) = open.remove(&event.socket) {
                    fates.count(&story, event.at, Duration::MAX);
                }
            }
        }
        EventKind::AcceptFailed { .. }
        | EventKind::Waits(_)
        | EventKind::FirstRead { .. }
        | EventKind::FirstWrite { .. }
        | EventKind::QueueSeen { .. }
        | EventKind::Seen { .. }
        | EventKind::Gone => {}
    }
}

impl Fates {
    fn count(&mut self, story: &Story, now: Duration, grace: Duration) {
        if let (Some(end), Some(closed)) = (story.client_closed, story.closed) {
            let took = closed.saturating_sub(end);
            self.slowest_close = self.slowest_close.max(Some(took));
        }
        let Some(actor) = &story.accepted else {
            self.lost_in_queue += usize::from(story.arrived && story.gone);
            let waits = story.arrived && !story.gone;
            self.waiting += usize::from(waits);
            self.waiting_closed += usize::from(waits && story.client_closed.is_some());
            return;
        };
        let Some(since) = story.client_closed else {
            return;
        };
        let age = now.saturating_sub(since);
        if story.closed.is_some() || story.gone || age < grace {
            return;
        }
        let left = self.left_open.entry(actor.pid).or_default();
        left.command.clone_from(&actor.command);
        left.oldest = left.oldest.max(age);
        left.after_end_read += usize::from(story.end_read);
        left.end_unread += usize::from(!story.end_read);
    }
}
