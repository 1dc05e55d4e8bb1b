//! Live clients whose requests nobody reads, at listeners of the processes that are looked into.

use std::collections::BTreeSet;
use std::time::Duration;

use super::matching::Listeners;
use super::waits::{Facts, Summary, Target};
use crate::model::{Connection, Holder, Listener, Pid, Snapshot, TcpState};

/// Clients that are connected, have sent something, and are not served.
#[derive(Debug)]
pub struct Outage<'a> {
    /// Where they came in.
    pub listener: &'a Listener,
    /// The processes that hold their connections.
    pub pids: Vec<Pid>,
    /// The connections.
    pub open: Vec<&'a Connection>,
    /// What became of their requests.
    pub lack: Lack,
    /// How long the oldest request has waited.
    pub oldest: Duration,
    /// What the threads of those processes wait for.
    pub waits: Summary,
}

/// How far the requests of clients that are not served have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lack {
    /// Nobody has read them.
    Unread,
    /// They were read, and nothing was sent since. A finding of its own that is not: the work on a request may
    /// take its time.
    Unanswered,
}

/// One request that takes its time is no outage.
const FEWEST_UNANSWERED: usize = 2;

/// Finds outages behind `accept`: requests unread for the grace period, and no client of the same listener that
/// was sent anything meanwhile.
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
    let (lack, open, oldest) = unserved(&accepted, grace)?;
    let pids = holders(facts, &open);
    let waits = occupation(facts, &pids);
    let occupied = match lack {
        Lack::Unread => !waits.groups.is_empty() || !waits.requests.is_empty(),
        Lack::Unanswered => is_held_up(&waits, grace),
    };
    (occupied && !pids.is_empty()).then_some(Outage {
        listener,
        pids,
        open,
        lack,
        oldest,
        waits,
    })
}

type Unserved<'a> = (Lack, Vec<&'a Connection>, Duration);

/// The clients whose requests are unread for the grace period, else those whose are unanswered for it.
fn unserved<'a>(accepted: &[&'a Connection], grace: Duration) -> Option<Unserved<'a>> {
    let overdue = |since: fn(&Connection) -> Option<Duration>| -> Vec<&'a Connection> {
        let is_overdue = |one: &&Connection| since(one).is_some_and(|time| time >= grace);
        accepted.iter().copied().filter(is_overdue).collect()
    };
    let longest = |open: &[&Connection], since: fn(&Connection) -> Option<Duration>| {
        open.iter().filter_map(|one| since(one)).max()
    };
    let unread = overdue(unread_for);
    if let Some(oldest) = longest(&unread, unread_for) {
        return Some((Lack::Unread, unread, oldest));
    }
    let unanswered = overdue(unanswered_for);
    if unanswered.len() < FEWEST_UNANSWERED {
        return None;
    }
    let oldest = longest(&unanswered, unanswered_for)?;
    Some((Lack::Unanswered, unanswered, oldest))
}

/// What the threads of those processes wait for; where they are at rest, those of their children that they hand
/// the work to.
fn occupation(facts: &Facts, pids: &[Pid]) -> Summary {
    let own = Summary::of(facts, pids);
    if !own.groups.is_empty() || !own.requests.is_empty() {
        return own;
    }
    Summary::of(facts, &facts.children(pids))
}

/// Whether the work waits for something that is known, and has done so for the grace period where that shows.
fn is_held_up(waits: &Summary, grace: Duration) -> bool {
    let long = |since: Option<Duration>| since.is_none_or(|since| since >= grace);
    let by_threads = waits.groups.iter().any(|group| {
        long(group.longest)
            && matches!(
                group.target,
                Target::Answer { .. }
                    | Target::Connect { .. }
                    | Target::Room { .. }
                    | Target::FileLock { .. }
                    | Target::Lock { .. }
            )
    });
    by_threads || waits.requests.iter().any(|one| long(one.longest))
}

/// How long an open connection has had something to read.
fn unread_for(connection: &Connection) -> Option<Duration> {
    let ages = connection.ages?;
    let is_unread = connection.state == TcpState::Established && connection.recv_q > 0;
    is_unread.then(|| ages.last_data_recv())
}

/// How long an open connection has waited for an answer to what was read from it.
fn unanswered_for(connection: &Connection) -> Option<Duration> {
    let ages = connection.ages?;
    let traffic = connection.traffic?;
    let is_read = connection.state == TcpState::Established
        && connection.recv_q == 0
        && traffic.received_bytes() > 0;
    let sent_since =
        traffic.acknowledged_bytes() > 0 && ages.last_data_sent() <= ages.last_data_recv();
    (is_read && connection.send_q == 0 && !sent_since).then(|| ages.last_data_recv())
}

/// The processes that hold these connections, of those whose descriptors were read.
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
