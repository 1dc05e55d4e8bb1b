//! Live clients whose requests stay unread, at the listeners of the examined processes.

use std::collections::BTreeSet;
use std::time::Duration;

use super::loops;
use super::matching::Listeners;
use super::threads;
use super::waits::{Facts, Summary};
use crate::model::{Connection, Holder, Listener, Pid, Snapshot, TcpState};

/// Clients that are connected, have sent something, and are not served.
#[derive(Debug)]
pub struct Outage<'a> {
    /// Where they came in.
    pub listener: &'a Listener,
    /// The processes that hold their connections.
    pub pids: Vec<Pid>,
    /// The connections.
    pub unread: Vec<&'a Connection>,
    /// How long the oldest request has been unread.
    pub oldest: Duration,
    /// What the threads of those processes wait for.
    pub waits: Summary,
    /// How many epoll sets with clients there are on which no thread waits.
    pub unattended: usize,
}

/// Finds outages behind `accept`: requests stay unread for the grace period, and meanwhile nothing was sent to any
/// client of the same listener.
pub(super) fn outages<'a>(
    snapshot: &'a Snapshot,
    facts: &Facts<'a>,
    grace: Duration,
) -> Vec<Outage<'a>> {
    let listeners = snapshot.sockets.listeners.iter();
    listeners
        .filter_map(|listener| outage(snapshot, facts, listener, grace))
        .collect()
}

fn outage<'a>(
    snapshot: &'a Snapshot,
    facts: &Facts<'a>,
    listener: &'a Listener,
    grace: Duration,
) -> Option<Outage<'a>> {
    let of_listener = Listeners::new(std::slice::from_ref(listener));
    let accepted: Vec<&Connection> = snapshot
        .waits
        .connections
        .iter()
        .filter(|connection| connection.inode.is_some() && of_listener.explain(connection))
        .collect();
    let served_lately = accepted.iter().any(|connection| {
        let sent = connection
            .traffic
            .is_some_and(|traffic| traffic.acknowledged_bytes() > 0);
        sent && connection
            .ages
            .is_some_and(|ages| ages.last_data_sent() < grace)
    });
    if served_lately {
        return None;
    }
    let unread: Vec<&Connection> = accepted
        .into_iter()
        .filter(|connection| unread_for(connection).is_some_and(|time| time >= grace))
        .collect();
    let oldest = unread.iter().filter_map(|one| unread_for(one)).max()?;
    let pids = holders(facts, &unread);
    let waits = Summary::of(facts, &pids);
    let unattended = unattended(snapshot, facts, &pids);
    let occupied = !waits.groups.is_empty() || !waits.requests.is_empty() || unattended > 0;
    (occupied && !pids.is_empty()).then_some(Outage {
        listener,
        pids,
        unread,
        oldest,
        waits,
        unattended,
    })
}

/// How many event loops of these processes do something else than to wait for their clients.
fn unattended(snapshot: &Snapshot, facts: &Facts, pids: &[Pid]) -> usize {
    let processes = pids.iter().filter_map(|pid| facts.process(*pid));
    processes
        .map(|process| loops::unattended(facts, process, &threads::records(process, snapshot)))
        .sum()
}

/// How long an open connection has had something to read.
fn unread_for(connection: &Connection) -> Option<Duration> {
    let ages = connection.ages?;
    let is_unread = connection.state == TcpState::Established && connection.recv_q > 0;
    is_unread.then(|| ages.last_data_recv())
}

/// Returns the processes that hold these connections, among those whose descriptors were read.
fn holders(facts: &Facts, connections: &[&Connection]) -> Vec<Pid> {
    let wanted: BTreeSet<_> = connections.iter().filter_map(|one| one.inode).collect();
    let known: BTreeSet<Pid> = facts
        .snapshot
        .holders
        .iter()
        .filter(|holder: &&Holder| wanted.contains(&holder.inode))
        .map(|holder| holder.pid)
        .collect();
    let followed = facts.snapshot.waits.followed.iter().copied();
    let read = followed.filter(|pid| {
        facts.process(*pid).is_some_and(|process| {
            let descriptors = process.examination.iter().flat_map(|e| &e.descriptors);
            descriptors
                .filter_map(crate::model::Descriptor::socket)
                .any(|inode| wanted.contains(&inode))
        })
    });
    let all: BTreeSet<Pid> = known.into_iter().chain(read).collect();
    all.into_iter().collect()
}
