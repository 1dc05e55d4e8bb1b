//! What to look at next, decided on what has been seen.

use std::collections::BTreeSet;
use std::time::Duration;

use super::accept_queue::{AcceptQueue, never_accepted, reconcile};
use super::activity::{self, Activity};
use super::age::{self, Maturity};
use super::overdue::{maturity, needs_second_look};
use super::place::Place;
use crate::model::{
    Connection, Gap, Inode, InodeSet, Listener, Pid, PortRange, Process, Reading, Snapshot,
    TcpState, Thread,
};

/// What is suspicious, or needed to judge it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Triage {
    /// Listeners with connections that may be stuck.
    pub listeners: Vec<Inode>,
    /// Accepted connections that may have been left open.
    pub connections: InodeSet,
    /// Accepted connections whose peer has closed, old or not.
    pub closed_by_peer: InodeSet,
    /// Connections of which we have closed our direction, old or not.
    pub half_closed: InodeSet,
    /// Whether it takes a second look at the sockets to judge what was seen.
    pub second_look: bool,
    /// Whether connections are missing in a queue that may have been redirected from other ports.
    pub missing_members: bool,
}

impl Triage {
    /// Returns whether nothing is suspicious.
    pub fn is_idle(&self) -> bool {
        self.listeners.is_empty() && self.connections.is_empty()
    }

    /// The processes that hold what is suspicious. A listener whose queue was seen empty while it was watched is not:
    /// nothing in it is older than that.
    pub fn suspects(&self, snapshot: &Snapshot) -> BTreeSet<Pid> {
        snapshot
            .holders
            .iter()
            .filter(|holder| {
                let waits = self.listeners.contains(&holder.inode)
                    && !was_seen_empty(snapshot, holder.inode);
                waits || self.connections.contains(&holder.inode)
            })
            .map(|holder| holder.pid)
            .collect()
    }

    /// Returns the processes that hold an accepted connection that stays unread.
    pub fn slow_readers(&self, snapshot: &Snapshot) -> BTreeSet<Pid> {
        let unread: InodeSet = snapshot
            .sockets
            .connections
            .iter()
            .filter(|connection| connection.recv_q > 0 && !connection.layer.is_mptcp())
            .filter_map(|connection| connection.inode)
            .filter(|inode| self.connections.contains(inode))
            .collect();
        let holders = snapshot.holders.iter();
        holders
            .filter(|holder| unread.contains(&holder.inode))
            .map(|holder| holder.pid)
            .collect()
    }

    /// The processes that hold a suspicious listener, which are to be watched for a while.
    pub fn to_watch(&self, snapshot: &Snapshot) -> BTreeSet<Pid> {
        snapshot
            .holders
            .iter()
            .filter(|holder| self.listeners.contains(&holder.inode))
            .map(|holder| holder.pid)
            .collect()
    }
}

fn was_seen_empty(snapshot: &Snapshot, listener: Inode) -> bool {
    let mut samples = snapshot.samples.iter();
    samples.any(|sample| {
        [&sample.before, &sample.after]
            .into_iter()
            .any(|lengths| lengths.get(&listener) == Some(&0))
    })
}

/// Decides what is suspicious; `grace` is the age up to which a connection is not.
pub fn triage(snapshot: &Snapshot, grace: Duration) -> Triage {
    let reconciled = reconcile(snapshot, grace);
    let listeners = &snapshot.sockets.listeners;
    let mut found = Triage::default();
    for (listener, queue) in listeners.iter().zip(&reconciled.queues) {
        if is_suspicious(listener, queue, snapshot, &reconciled.places, grace) {
            found.listeners.extend(listener.inode);
            let visible = u32::try_from(queue.members.len()).unwrap_or(u32::MAX);
            found.missing_members |= visible < queue.length && queue.group.is_empty();
            found.second_look |= queue.unknown_waits;
        }
    }
    for (connection, place) in snapshot.sockets.connections.iter().zip(&reconciled.places) {
        let Place::Accepted(inode) = place else {
            continue;
        };
        if connection.state == TcpState::FinWait2 {
            found.half_closed.insert(*inode);
            if age::quiet_for(connection, grace) {
                found.connections.insert(*inode);
            }
        }
        if connection.state == TcpState::CloseWait {
            found.closed_by_peer.insert(*inode);
            found.second_look |= needs_second_look(connection, grace);
            let age = age::since_fin(connection);
            if maturity(connection, age, grace) != Maturity::Young {
                found.connections.insert(*inode);
            }
        }
    }
    found
}

/// A queue is suspicious when a connection in it has waited too long or may have, when it holds
/// connections that cannot be seen, or when it is full.
fn is_suspicious(
    listener: &Listener,
    queue: &AcceptQueue,
    snapshot: &Snapshot,
    places: &[Place],
    grace: Duration,
) -> bool {
    if queue.length == 0 {
        return false;
    }
    let full = listener
        .accept_queue_limit
        .copied()
        .is_some_and(|limit| queue.length > limit);
    let old = queue.oldest.is_some_and(|oldest| oldest >= grace);
    full || old
        || queue.unknown_waits
        || group_is_suspicious(listener, queue, snapshot, places, grace)
}

/// For an `SO_REUSEPORT` group it may only be known for all queues together that they hold more
/// connections than can be seen, or one that has waited too long.
fn group_is_suspicious(
    listener: &Listener,
    queue: &AcceptQueue,
    snapshot: &Snapshot,
    places: &[Place],
    grace: Duration,
) -> bool {
    let listeners = &snapshot.sockets.listeners;
    let members = queue.group.iter().map(|index| &listeners[*index]);
    let others = members.filter(|member| !std::ptr::eq(*member, listener));
    let lengths = others.map(|other| other.accept_queue_len);
    let length: u32 = lengths.sum::<u32>().saturating_add(queue.length);
    let mut visible = 0;
    for (connection, place) in snapshot.sockets.connections.iter().zip(places) {
        let of_group = match place {
            Place::AcceptQueue(Some(index)) => listeners[*index].local == listener.local,
            Place::AcceptQueue(None) => connection.local.port() == listener.local.port(),
            Place::Accepted(_) | Place::Undecided | Place::Orphan => false,
        };
        if !of_group {
            continue;
        }
        visible += 1;
        if *place == Place::AcceptQueue(None)
            && age::waiting(connection).is_none_or(|waited| waited >= grace)
        {
            return true;
        }
    }
    visible < length
}

/// Returns the ports of the listeners at which connections wait: only there can be connections that
/// were never accepted.
pub fn needs_unaccepted(listeners: &[Listener]) -> Vec<PortRange> {
    let ports: BTreeSet<u16> = listeners
        .iter()
        .filter(|listener| listener.accept_queue_len > 0)
        .map(|listener| listener.local.port())
        .collect();
    ports.into_iter().map(PortRange::from).collect()
}

/// From this length on a queue is most likely not being accepted from, and its owners will be needed.
const LONG_QUEUE: u32 = 64;

/// Returns whether a queue is long enough to be suspicious before its members are known.
pub fn foresees_exhaustion(listeners: &[Listener]) -> bool {
    let mut lengths = listeners.iter().map(|listener| listener.accept_queue_len);
    lengths.any(|length| length >= LONG_QUEUE)
}

/// Threads of a process that are worth watching.
///
/// In a process with very many threads most wait for each other; those say nothing
/// about which thread should accept.
pub fn threads_to_watch(process: &Process, machine: &str) -> Vec<Pid> {
    const ALL_UP_TO: usize = 256;
    let threads = process
        .examination
        .as_ref()
        .and_then(|examination| examination.threads.known())
        .map_or(&[][..], Vec::as_slice);
    let waits_for_another = |thread: &Thread| {
        let state = thread.state;
        activity::interpret(machine, state, thread.syscall, None) == Activity::Futex
    };
    threads
        .iter()
        .enumerate()
        .filter(|(index, thread)| {
            threads.len() <= ALL_UP_TO || *index == 0 || !waits_for_another(thread)
        })
        .map(|(_, thread)| thread.tid)
        .collect()
}

/// Returns whether a connection is in a state in which it can wait to be accepted.
pub fn may_wait(connection: &Connection) -> bool {
    never_accepted(connection, &InodeSet::default())
}

/// Returns why the activity of a process's threads could not be read, if it could not.
pub fn why_threads_are_hidden(process: &Process) -> Option<Gap> {
    let threads = &process.examination.as_ref()?.threads;
    let gap = match threads {
        Reading::Unknown(gap) => Some(*gap),
        Reading::Known(threads) => threads.iter().find_map(|thread| thread.syscall.gap()),
    };
    // What ended meanwhile needs no remedy.
    gap.filter(|gap| *gap != Gap::Vanished)
}
