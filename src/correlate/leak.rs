//! Connections that one end has closed and the other has not: grouped by who holds them and by
//! what is wrong with them.

use std::cell::OnceCell;
use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::rc::Rc;
use std::time::Duration;

use rustc_hash::FxHashMap;

use super::age::{self, Age};
use super::matching::Listeners;
use super::owners::Owners;
use super::place::Place;
use super::reader::{Reader, Suspects};
use crate::model::{
    Connection, Holder, Inode, Later, Pid, Reading, Snapshot, TcpAges, TcpState, Timer,
};

/// Connections of one kind in the same hands.
#[derive(Debug)]
pub struct Leak<'a> {
    /// The processes that hold them; empty where that could not be seen.
    pub pids: Vec<Pid>,
    /// Which end of the service they are.
    pub endpoint: Endpoint,
    /// What is wrong with them.
    pub kind: LeakKind,
    /// The connections.
    pub connections: Vec<&'a Connection>,
    /// For how long the look saw all of them so; for those that have no clocks.
    pub seen_for: Option<Duration>,
}

/// What a group of connections has in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Endpoint {
    /// They came in at this local address.
    Server(SocketAddr),
    /// We opened them to this remote service.
    Client(SocketAddr),
}

/// What is wrong with a connection that only one end has closed; the first that fits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum LeakKind {
    /// Nobody is seen to hold it.
    Unattributed,
    /// The peer has closed, and several processes hold our end.
    Inherited,
    /// The peer has closed, and what we still have to send does not go out.
    StuckWriter,
    /// The peer has closed a connection that we opened.
    IdlePool,
    /// The peer has closed, and our end is not closed, read or not.
    NotClosed(Rc<Reader>),
    /// The peer has closed one side of a relay, which waits for the other side to close, too.
    Relay {
        /// How many connections of the other side wait for their peer.
        other_side: usize,
    },
    /// The peer has closed its direction only, and what we send still flows.
    HalfClosed,
    /// We have closed our direction, and the peer does not close.
    PeerNotClosing,
}

/// Groups the connections that were accepted or opened, that only one end has closed, and that
/// have certainly been so for the grace period, or whose age cannot be known.
pub(super) fn leaks<'a>(
    snapshot: &'a Snapshot,
    places: &[Place],
    owners: &'a Owners,
    grace: Duration,
) -> Vec<Leak<'a>> {
    let mut groups = Groups::default();
    let sorter = Sorter::new(snapshot, grace);
    let connections = snapshot.sockets.connections.iter();
    for ((connection, place), owners) in connections.zip(places).zip(owners.of_connections()) {
        if let Some(sorted) = sorter.sort(connection, *place, owners) {
            groups.add(connection, sorted);
        }
    }
    let mut leaks = groups.leaks;
    for leak in &mut leaks {
        leak.seen_for = snapshot.later.as_ref().map(|later| later.after);
    }
    pair_relays(&mut leaks);
    leaks.sort_by(|a, b| {
        (&a.pids, a.endpoint, a.connections.len()).cmp(&(&b.pids, b.endpoint, b.connections.len()))
    });
    leaks
}

/// A connection's holders, its end, and what is wrong with it.
type Sorted<'a> = (&'a [Holder], Endpoint, LeakKind);

#[derive(Default)]
struct Groups<'a> {
    leaks: Vec<Leak<'a>>,
    /// Those of a process and an end, by index: there are few, and they differ in the rest.
    by_hands: FxHashMap<(Option<Pid>, Endpoint), Vec<usize>>,
}

impl<'a> Groups<'a> {
    fn add(&mut self, connection: &'a Connection, (owners, endpoint, kind): Sorted<'a>) {
        let pids = || {
            owners
                .chunk_by(|one, other| one.pid == other.pid)
                .map(|own| own[0].pid)
        };
        let same_hands = self.by_hands.entry((pids().next(), endpoint)).or_default();
        let same = same_hands.iter().find(|index| {
            let leak = &self.leaks[**index];
            leak.kind == kind && leak.pids.iter().copied().eq(pids())
        });
        let index = same.copied().unwrap_or_else(|| {
            same_hands.push(self.leaks.len());
            self.leaks.push(Leak {
                pids: pids().collect(),
                endpoint,
                kind,
                connections: Vec::new(),
                seen_for: None,
            });
            self.leaks.len() - 1
        });
        self.leaks[index].connections.push(connection);
    }
}

/// Tells whether a connection is old enough to be looked into.
pub(super) fn is_old(connection: &Connection, grace: Duration) -> bool {
    let age = age::since_fin(connection);
    let patience = if may_answer(connection, grace) {
        grace * PATIENCE_WITH_ANSWERS
    } else {
        grace
    };
    age == Age::default() || age.reaches(patience) || is_stuck_writer(connection, grace)
}

/// A program that has sent something long after it last received something may be answering a
/// peer that has closed its direction only; it is given this many grace periods between answers.
const PATIENCE_WITH_ANSWERS: u32 = 10;

/// Tells whether what was last sent may be part of a long answer: it went out a grace period or
/// more after the last data came, and its acknowledgement may be the last one.
fn may_answer(connection: &Connection, grace: Duration) -> bool {
    let age = age::since_fin(connection);
    age.at_least != age.at_most
        && connection
            .ages
            .is_some_and(|ages| ages.last_data_recv() >= ages.last_data_sent() + grace)
}

/// What we have to send has not moved for the grace period.
///
/// While the peer keeps its window shut it acknowledges our probes, so only the clock of sent data
/// counts; while nothing is acknowledged we retransmit, which sets that clock back, so only the
/// clock of acknowledgements counts.
fn is_stuck_writer(connection: &Connection, grace: Duration) -> bool {
    let Some(ages) = connection.ages else {
        return false;
    };
    let since_progress = if connection.timer == Reading::Known(Timer::ZeroWindowProbe) {
        ages.last_data_sent()
    } else {
        ages.last_ack_recv()
    };
    connection.send_q > 0 && since_progress >= grace
}

/// Clocks are rounded to jiffies, and a dump takes its time.
const CLOCK_SLACK: Duration = Duration::from_millis(20);

/// What a second look saw.
struct Second {
    /// How long after the first.
    after: Duration,
    /// Who was in `CLOSE_WAIT`.
    in_close_wait: HashSet<Identity>,
    /// The clocks of all.
    ages: FxHashMap<NonZeroU64, TcpAges>,
}

impl Second {
    fn of(later: &Later) -> Self {
        let connections = || later.sockets.connections.iter();
        let clocks = |connection: &Connection| Some((connection.cookie?, connection.ages?));
        Self {
            after: later.after,
            in_close_wait: connections()
                .filter(|connection| connection.state == TcpState::CloseWait)
                .map(identity)
                .collect(),
            ages: connections().filter_map(clocks).collect(),
        }
    }

    /// Tells whether data was sent after the peer's FIN, and acknowledged: the connection was in
    /// `CLOSE_WAIT` at the first look, and at the second both clocks had been set back.
    fn sends_on(&self, connection: &Connection) -> bool {
        let now = connection.cookie.and_then(|cookie| self.ages.get(&cookie));
        let (Some(then), Some(now)) = (connection.ages, now) else {
            return false;
        };
        let set_back = |then: Duration, now: Duration| now + CLOCK_SLACK < then + self.after;
        set_back(then.last_data_sent(), now.last_data_sent())
            && set_back(then.last_ack_recv(), now.last_ack_recv())
    }

    /// Tells whether a connection without clocks was not in `CLOSE_WAIT` any more.
    fn was_brief(&self, connection: &Connection) -> bool {
        connection.ages.is_none() && !self.in_close_wait.contains(&identity(connection))
    }
}

/// Tells whether it needs a second look to know if data still flows: the peer may have closed long
/// ago, and we have sent something since a moment ago.
pub(super) fn may_send_on(connection: &Connection, grace: Duration) -> bool {
    let age = age::since_fin(connection);
    connection.state == TcpState::CloseWait
        && !age.reaches(grace)
        && !age.is_below(grace)
        && connection
            .ages
            .is_some_and(|ages| ages.last_data_sent() < grace)
}

struct Sorter<'a> {
    snapshot: &'a Snapshot,
    grace: Duration,
    listeners: Listeners<'a>,
    other_listeners: Listeners<'a>,
    suspects: Suspects<'a>,
    /// Needed only where a listener is gone.
    served: OnceCell<FxHashMap<SocketAddr, bool>>,
    /// The second look, where there was one.
    second: Option<Second>,
}

/// What tells connections apart that have no cookie.
type Identity = (SocketAddr, SocketAddr, Option<Inode>);

fn identity(connection: &Connection) -> Identity {
    (connection.local, connection.remote, connection.inode)
}

impl<'a> Sorter<'a> {
    fn new(snapshot: &'a Snapshot, grace: Duration) -> Self {
        Self {
            snapshot,
            grace,
            listeners: Listeners::new(&snapshot.sockets.listeners),
            other_listeners: Listeners::new(&snapshot.sockets.other_listeners),
            suspects: Suspects::of(snapshot),
            served: OnceCell::new(),
            second: snapshot.later.as_ref().map(Second::of),
        }
    }

    fn sort(
        &self,
        connection: &Connection,
        place: Place,
        owners: &'a [Holder],
    ) -> Option<Sorted<'a>> {
        let Place::Accepted(inode) = place else {
            return None;
        };
        let several = owners.iter().any(|owner| owner.pid != owners[0].pid);
        let endpoint = self.endpoint(connection);
        let kind = match connection.state {
            TcpState::CloseWait if self.at_second(|second| second.was_brief(connection)) => None,
            TcpState::CloseWait if !is_old(connection, self.grace) => self
                .at_second(|second| second.sends_on(connection))
                .then_some(LeakKind::HalfClosed),
            TcpState::CloseWait if owners.is_empty() => Some(LeakKind::Unattributed),
            TcpState::CloseWait if several => Some(LeakKind::Inherited),
            TcpState::CloseWait if is_stuck_writer(connection, self.grace) => {
                Some(LeakKind::StuckWriter)
            }
            // Neither whether it was read nor which end it is: nothing can be said of it.
            TcpState::CloseWait if !connection.queues_are_shown => None,
            TcpState::CloseWait => Some(match endpoint {
                Endpoint::Client(_) if self.ends_are_known() => LeakKind::IdlePool,
                Endpoint::Client(_) | Endpoint::Server(_) => {
                    LeakKind::NotClosed(self.suspects.reader(connection, inode, owners))
                }
            }),
            // What is unread in it is our own program's to read first.
            TcpState::FinWait2
                if connection.recv_q == 0
                    && age::quiet_for(connection, self.grace)
                    && !owners.is_empty() =>
            {
                Some(LeakKind::PeerNotClosing)
            }
            _ => None,
        };
        Some((owners, endpoint, kind?))
    }

    /// Tells whether a connection without a listener is certainly a client's: every listener is
    /// shown.
    fn ends_are_known(&self) -> bool {
        self.snapshot.coverage.listeners.is_whole()
    }

    fn at_second(&self, fits: impl Fn(&Second) -> bool) -> bool {
        self.second.as_ref().is_some_and(fits)
    }

    fn endpoint(&self, connection: &Connection) -> Endpoint {
        let serves = self.listeners.explain(connection)
            || self.other_listeners.explain(connection)
            || self.looks_served(connection.local);
        if serves {
            Endpoint::Server(connection.local)
        } else {
            Endpoint::Client(connection.remote)
        }
    }

    fn looks_served(&self, local: SocketAddr) -> bool {
        let addresses =
            || served_addresses(&self.snapshot.sockets.connections, self.ends_are_known());
        self.served.get_or_init(addresses).get(&local) == Some(&true)
    }
}

/// Local addresses of several connections, and whether they look like a server's that does not
/// listen any more: clients draw their ports from above those of services. (A client's port may
/// serve several connections, too, to different services.) Where listeners may be left out, several
/// connections are enough.
fn served_addresses(
    connections: &[Connection],
    ends_are_known: bool,
) -> FxHashMap<SocketAddr, bool> {
    let mut several: FxHashMap<SocketAddr, (usize, u16)> = FxHashMap::default();
    for connection in connections {
        if connection.inode.is_some() {
            let (count, lowest) = several.entry(connection.local).or_insert((0, u16::MAX));
            *count += 1;
            *lowest = connection.remote.port().min(*lowest);
        }
    }
    several
        .into_iter()
        .map(|(local, (count, lowest))| {
            let below_clients = local.port() < lowest || !ends_are_known;
            (local, count > 1 && below_clients)
        })
        .collect()
}

/// A process that has about as many connections whose peer does not close as connections that it
/// does not close itself relays between the two, and waits for both ends.
fn pair_relays(leaks: &mut Vec<Leak>) {
    let mut waiting: BTreeMap<Vec<Pid>, usize> = BTreeMap::new();
    let mut kept: BTreeMap<Vec<Pid>, usize> = BTreeMap::new();
    for leak in leaks.iter() {
        match leak.kind {
            LeakKind::PeerNotClosing => {
                *waiting.entry(leak.pids.clone()).or_default() += leak.connections.len();
            }
            LeakKind::NotClosed(_) | LeakKind::IdlePool => {
                *kept.entry(leak.pids.clone()).or_default() += leak.connections.len();
            }
            _ => {}
        }
    }
    let pairs = |pids: &Vec<Pid>| {
        let (waiting, kept) = (*waiting.get(pids)?, *kept.get(pids)?);
        (waiting <= 2 * kept && kept <= 2 * waiting).then_some(waiting)
    };
    leaks.retain_mut(|leak| {
        let Some(other_side) = pairs(&leak.pids) else {
            return true;
        };
        match leak.kind {
            LeakKind::NotClosed(_) | LeakKind::IdlePool => {
                leak.kind = LeakKind::Relay { other_side };
                true
            }
            LeakKind::PeerNotClosing => false,
            _ => true,
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::correlate::fixtures;
    use crate::model::SocketTable;

    const GRACE: Duration = Duration::from_secs(3);

    fn table(ports: &[u16]) -> SocketTable {
        let connection = |port: &u16| Connection {
            inode: Inode::new(u32::from(*port)),
            remote: (std::net::Ipv4Addr::LOCALHOST, *port).into(),
            ages: None,
            ..fixtures::waiting_connection(0)
        };
        SocketTable {
            connections: ports.iter().map(connection).collect(),
            ..SocketTable::default()
        }
    }

    fn found(later: Option<&[u16]>) -> Vec<(u16, Option<Duration>)> {
        let mut snapshot = fixtures::snapshot(table(&[5001, 5002]));
        snapshot.later = later.map(|ports| Later {
            after: GRACE,
            sockets: table(ports),
        });
        let connections = snapshot.sockets.connections.iter();
        let places: Vec<Place> = connections
            .filter_map(|connection| connection.inode.map(Place::Accepted))
            .collect();
        leaks(
            &snapshot,
            &places,
            &Owners::new((&snapshot).into(), &places),
            GRACE,
        )
        .iter()
        .flat_map(|leak| {
            let connections = leak.connections.iter();
            connections.map(|connection| (connection.remote.port(), leak.seen_for))
        })
        .collect()
    }

    #[test]
    fn without_clocks_only_a_second_look_tells_who_stays() {
        assert_eq!(found(None), [(5001, None), (5002, None)]);
        assert_eq!(found(Some(&[5002])), [(5002, Some(GRACE))]);
        assert_eq!(found(Some(&[])), []);
    }
}
