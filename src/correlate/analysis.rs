//! The correlated analysis that rules judge.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::accept_queue::{AcceptQueue, Queues, reconcile};
use super::acceptor::{Acceptor, AcceptorState, Division, division};
use super::activity::Activity;
use super::age::Ages;
use super::growth::{self, Growth};
use super::leak;
use super::leak_types::{Endpoint, Leak};
use super::matching::Listeners;
use super::outage::{self, Outage};
use super::owners::Owners;
use super::place::Place;
use super::waits::{Facts, Index, Summary};
use crate::model::{Connection, Inode, Listener, Pid, Process, Snapshot};

/// Everything one look saw, with its relations.
pub struct Analysis {
    /// What was seen.
    pub snapshot: Arc<Snapshot>,
    /// The queue of each listener, in the snapshot's order.
    pub queues: Vec<AcceptQueue>,
    /// The place of each connection, in the snapshot's order.
    pub places: Vec<Place>,
    /// Which process holds which socket.
    pub owners: Owners,
    /// How long connections have been in their state.
    pub ages: Ages,
    /// The age from which on an untended connection is suspicious.
    pub grace: Duration,
    /// Finds the connections of the snapshot.
    index: Arc<Index>,
}

/// A listener at which connections may be stuck.
pub struct StuckListener<'a> {
    /// Its network namespace.
    pub netns: &'a str,
    /// The listener.
    pub listener: &'a Listener,
    /// Its queue.
    pub queue: &'a AcceptQueue,
    /// How long connections have waited in it.
    pub waiting: Waiting,
    /// The processes that would accept.
    pub acceptors: Vec<Acceptor<'a>>,
    /// Processes that were started for one connection each.
    pub handlers: Vec<&'a Process>,
    /// Processes that merely hold the listener.
    pub holders: Vec<&'a Process>,
    /// What the threads of acceptors and handlers wait for.
    pub waits: Summary,
    /// What was read for the wait chains.
    pub facts: Rc<Facts<'a>>,
    /// How often its queue was looked at while threads were watched, and over which time.
    pub samples: usize,
    /// The time between the first and the last of those samples.
    pub span: Duration,
}

/// How long the connections of a queue have waited to be accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    /// A connection has waited at least this long, and that is too long.
    TooLong(Duration),
    /// The time cannot be known, but no connection left the queue while it was watched.
    Unknown,
    /// No connection has waited too long.
    Briefly,
}

impl Analysis {
    /// Correlates a snapshot.
    pub fn new(snapshot: impl Into<Arc<Snapshot>>, grace: Duration) -> Self {
        let snapshot = snapshot.into();
        let reconciled = reconcile(&snapshot, grace);
        Self {
            queues: reconciled.queues,
            owners: Owners::new(Arc::clone(&snapshot), &reconciled.places),
            places: reconciled.places,
            ages: Ages::of(&snapshot),
            snapshot,
            grace,
            index: Arc::default(),
        }
    }

    /// The facts for wait chains, indexed.
    pub fn facts(&self) -> Facts<'_> {
        Facts::with_index(&self.snapshot, Arc::clone(&self.index))
    }

    /// The connections that came in at a listener and were accepted, as far as they were read.
    pub fn accepted(&self, listener: &Listener) -> Vec<&Connection> {
        let listeners = Listeners::new(std::slice::from_ref(listener));
        let read = &self.snapshot.waits.connections;
        read.iter()
            .filter(|connection| connection.inode.is_some() && listeners.explain(connection))
            .collect()
    }

    /// Gives the snapshot back.
    pub fn into_snapshot(self) -> Snapshot {
        let Self {
            snapshot, owners, ..
        } = self;
        drop(owners);
        Arc::unwrap_or_clone(snapshot)
    }

    /// Returns the listeners at which connections wait, with the processes that should accept them.
    pub fn stuck_listeners(&self) -> impl Iterator<Item = StuckListener<'_>> {
        let facts = Rc::new(self.facts());
        let listeners = &self.snapshot.sockets.listeners;
        listeners
            .iter()
            .zip(&self.queues)
            .filter(|(_, queue)| queue.length > 0)
            .map(move |(listener, queue)| self.stuck(&facts, listener, queue))
    }

    /// Accepted connections whose peer has closed and that are still open, in groups.
    pub fn leaks(&self) -> Vec<Leak<'_>> {
        leak::leaks(
            &self.facts(),
            &self.places,
            &self.owners,
            &self.ages,
            self.grace,
        )
    }

    /// Live clients that are not served, behind the listeners of processes that are looked into.
    pub fn outages(&self) -> Vec<Outage<'_>> {
        outage::outages(&self.snapshot, &self.facts(), self.grace)
    }

    /// How the number of accepted connections in `CLOSE_WAIT` changed, at one end of a service and
    /// between two looks.
    pub fn growth(&self, endpoint: Endpoint) -> Option<Growth> {
        growth::of_close_wait(&self.snapshot, endpoint)
    }

    /// Returns whether connections of this kind come all the time and none of them stays.
    pub fn comes_and_goes(&self, leak: &Leak) -> bool {
        growth::comes_and_goes(leak, &self.snapshot, self.grace)
    }

    fn stuck<'a>(
        &'a self,
        facts: &Rc<Facts<'a>>,
        listener: &'a Listener,
        queue: &'a AcceptQueue,
    ) -> StuckListener<'a> {
        let samples = &self.snapshot.samples;
        let span = match (samples.first(), samples.last()) {
            (Some(first), Some(last)) => last.at.saturating_sub(first.at),
            _ => Duration::ZERO,
        };
        let waiting = waiting(&self.snapshot, &self.places, listener, queue, self.grace);
        // A process that only has a young connection is not examined.
        let division = if waiting == Waiting::Briefly {
            Division::default()
        } else {
            division(facts, listener)
        };
        let serving: Vec<Pid> = division
            .acceptors
            .iter()
            .map(|acceptor| acceptor.process.pid)
            .chain(division.handlers.iter().map(|process| process.pid))
            .collect();
        let waits = if serving.is_empty() {
            Summary::default()
        } else {
            Summary::of(facts, &serving)
        };
        StuckListener {
            netns: &self.snapshot.namespace.name,
            listener,
            queue,
            waiting,
            acceptors: division.acceptors,
            handlers: division.handlers,
            holders: division.holders,
            waits,
            facts: Rc::clone(facts),
            samples: samples.len(),
            span,
        }
    }

    /// The connection that a descriptor refers to, where it is a known TCP connection, or the text
    /// of what else it refers to.
    pub fn describe_descriptor(&self, process: &Process, fd: u32) -> Option<String> {
        let examination = process.examination.as_ref()?;
        let descriptor = examination.descriptors.iter().find(|d| d.fd == fd)?;
        let connection = descriptor.socket().and_then(|inode| self.connection(inode));
        Some(match connection {
            Some(connection) => format!(
                "{} with {} ({})",
                connection.local,
                connection.remote,
                connection.state.name()
            ),
            None => descriptor.target.clone(),
        })
    }

    fn connection(&self, inode: Inode) -> Option<&Connection> {
        let known = &self.snapshot.sockets.connections;
        self.snapshot
            .waits
            .connections
            .iter()
            .chain(known)
            .find(|connection| connection.inode == Some(inode))
    }

    /// An activity in words, with what the descriptor in it refers to.
    pub fn describe_activity(&self, process: &Process, activity: &Activity) -> String {
        let fd = match activity {
            Activity::OnDescriptor { fd, .. } | Activity::Accept { fd } => Some(*fd),
            Activity::Poll { fds: Some(fds), .. } if fds.len() == 1 => Some(fds[0]),
            _ => None,
        };
        match fd.and_then(|fd| self.describe_descriptor(process, fd)) {
            Some(target) => format!("{activity}: {target}"),
            None => activity.to_string(),
        }
    }

    /// The process with this id, where it was read.
    pub fn process(&self, pid: Pid) -> Option<&Process> {
        self.snapshot.processes.get(&pid)
    }
}

/// Returns how many connections wait for an unknown time.
pub fn unknown_waits(snapshot: &Snapshot, grace: Duration) -> usize {
    let Queues { queues, places } = reconcile(snapshot, grace);
    let listeners = snapshot.sockets.listeners.iter();
    listeners
        .zip(&queues)
        .filter(|(_, queue)| queue.length > 0)
        .filter(|(listener, queue)| {
            waiting(snapshot, &places, listener, queue, grace) == Waiting::Unknown
        })
        .map(|(_, queue)| queue.length as usize)
        .sum()
}

/// Returns how long connections have waited in a queue.
fn waiting(
    snapshot: &Snapshot,
    places: &[Place],
    listener: &Listener,
    queue: &AcceptQueue,
    grace: Duration,
) -> Waiting {
    if queue.trend.shortest == 0 {
        return Waiting::Briefly;
    }
    let oldest = queue
        .oldest
        .max(queue.seen_waiting)
        .or_else(|| oldest_unassigned(snapshot, places, listener, queue));
    match oldest {
        Some(oldest) if oldest >= grace => Waiting::TooLong(oldest),
        Some(_) if queue.oldest.is_some() && !queue.unknown_waits => Waiting::Briefly,
        // No member is visible, or no member has a clock. A queue that was only read twice may
        // hold others each time.
        _ if queue.trend.steady && (queue.unknown_waits || queue.trend.looks > 2) => {
            Waiting::Unknown
        }
        // Text is read once, and no other look can follow.
        _ if snapshot.source.is_text() => Waiting::Unknown,
        _ => Waiting::Briefly,
    }
}

/// In an `SO_REUSEPORT` group it may be uncertain which queue holds the oldest connection. The old
/// ones are in a queue of the group that did not move during the whole look.
fn oldest_unassigned(
    snapshot: &Snapshot,
    places: &[Place],
    listener: &Listener,
    queue: &AcceptQueue,
) -> Option<Duration> {
    if queue.group.is_empty() || !queue.trend.steady || queue.trend.looks <= 2 {
        return None;
    }
    let sockets = &snapshot.sockets;
    let listeners = Listeners::new(&sockets.listeners);
    let may_be_of = |connection: &Connection| {
        let fits = listeners.of(connection);
        fits.iter()
            .any(|index| sockets.listeners[*index].inode == listener.inode)
    };
    sockets
        .connections
        .iter()
        .zip(places)
        .filter(|(connection, place)| **place == Place::AcceptQueue(None) && may_be_of(connection))
        .filter_map(|(connection, _)| super::age::waiting(connection))
        .max()
}

impl<'a> StuckListener<'a> {
    /// Returns the acceptors whose state is of the given kind.
    pub fn in_state(
        &self,
        wanted: impl Fn(&AcceptorState) -> bool,
    ) -> impl Iterator<Item = &Acceptor<'a>> {
        self.acceptors
            .iter()
            .filter(move |acceptor| wanted(&acceptor.state))
    }

    /// Returns whether there is an acceptor and the state of each is of the given kind.
    pub fn all_in_state(&self, wanted: impl Fn(&AcceptorState) -> bool) -> bool {
        !self.acceptors.is_empty()
            && self
                .acceptors
                .iter()
                .all(|acceptor| wanted(&acceptor.state))
    }
}
