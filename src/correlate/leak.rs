//! Connections that one end has closed and the other has not: grouped by holder and by
//! what is wrong with them.

use std::cell::OnceCell;
use std::mem;
use std::net::SocketAddr;
use std::time::Duration;

use rustc_hash::FxHashMap;

use super::age::{self, Age, Ages, Maturity};
use super::leak_types::{Endpoint, Leak, LeakKind};
use super::matching::Listeners;
use super::overdue::{is_stuck_writer, maturity};
use super::owners::Owners;
use super::pending::{self, HalfClosers};
use super::place::Place;
use super::reader::Suspects;
use super::relay;
use super::siblings;
use super::waits::Facts;
use crate::model::{Connection, Holder, Inode, Pid, Snapshot, TcpState};

/// Groups the connections that were accepted or opened, that only one end has closed, and that
/// have certainly been so for the grace period, or whose age cannot be known.
pub(super) fn leaks<'a>(
    facts: &Facts<'a>,
    places: &[Place],
    owners: &'a Owners,
    ages: &Ages,
    grace: Duration,
) -> Vec<Leak<'a>> {
    let snapshot = facts.snapshot;
    let mut groups = Groups::default();
    let sorter = Sorter::new(snapshot, ages, grace);
    let connections = snapshot.sockets.connections.iter();
    for ((connection, place), owners) in connections.zip(places).zip(owners.of_connections()) {
        let Place::Accepted(inode) = place else {
            continue;
        };
        match sorter.sort(connection, *inode, owners) {
            Sorted::Leak { kind, age, overdue } => {
                let endpoint = sorter.endpoint(connection);
                groups.add(connection, (owners, endpoint, kind), age, overdue);
            }
            Sorted::Young => groups.young.push((connection, owners)),
            Sorted::NoLeak => {}
        }
    }
    let young = mem::take(&mut groups.young);
    for (connection, owners) in young {
        groups.add_young(connection, owners, &sorter);
    }
    let mut leaks = groups.leaks;
    for leak in &mut leaks {
        leak.most_in_one = leak.connections.len();
    }
    if !leaks.is_empty() {
        relay::pair(&mut leaks, facts, grace);
    }
    let mut leaks = siblings::join(leaks, snapshot);
    leaks.sort_by(|a, b| {
        (&a.pids, a.endpoint, a.connections.len()).cmp(&(&b.pids, b.endpoint, b.connections.len()))
    });
    leaks
}

/// What a connection that some process got is.
enum Sorted {
    /// Only one end has closed it, too long ago or at an unknown time.
    Leak {
        kind: LeakKind,
        age: Age,
        /// Whether it is certainly too long.
        overdue: bool,
    },
    /// The peer has closed it a moment ago.
    Young,
    /// Nothing is wrong with it.
    NoLeak,
}

/// A connection's holders, its end, and what is wrong with it.
type Hands<'a> = (&'a [Holder], Endpoint, LeakKind);

#[derive(Default)]
struct Groups<'a> {
    leaks: Vec<Leak<'a>>,
    /// Those of a process and an end, by index: there are few, and they differ in the rest.
    by_hands: FxHashMap<(Option<Pid>, Endpoint), Vec<usize>>,
    /// Connections that are no leak yet, with their holders.
    young: Vec<(&'a Connection, &'a [Holder])>,
}

/// The processes of holders, each once.
fn pids(owners: &[Holder]) -> impl Iterator<Item = Pid> {
    owners
        .chunk_by(|one, other| one.pid == other.pid)
        .map(|own| own[0].pid)
}

impl<'a> Groups<'a> {
    fn add(
        &mut self,
        connection: &'a Connection,
        (owners, endpoint, kind): Hands<'a>,
        age: Age,
        overdue: bool,
    ) {
        let key = (pids(owners).next(), endpoint);
        let same_hands = self.by_hands.entry(key).or_default();
        let same = same_hands.iter().find(|index| {
            let leak = &self.leaks[**index];
            leak.kind == kind && leak.pids.iter().copied().eq(pids(owners))
        });
        let index = same.copied().unwrap_or_else(|| {
            same_hands.push(self.leaks.len());
            self.leaks.push(Leak {
                pids: pids(owners).collect(),
                endpoint,
                kind,
                connections: Vec::new(),
                ages: Vec::new(),
                overdue: 0,
                most_in_one: 0,
                young: Vec::new(),
            });
            self.leaks.len() - 1
        });
        let leak = &mut self.leaks[index];
        leak.connections.push(connection);
        leak.ages.push(age);
        leak.overdue += usize::from(overdue);
    }

    /// Adds a young connection to the leaks with the same holders, if there are any.
    fn add_young(&mut self, connection: &'a Connection, owners: &[Holder], sorter: &Sorter) {
        if self.leaks.is_empty() {
            return;
        }
        let key = (pids(owners).next(), sorter.endpoint(connection));
        for index in self.by_hands.get(&key).into_iter().flatten() {
            self.leaks[*index].young.push(connection);
        }
    }
}

struct Sorter<'a> {
    snapshot: &'a Snapshot,
    ages: &'a Ages,
    grace: Duration,
    listeners: Listeners<'a>,
    other_listeners: Listeners<'a>,
    suspects: Suspects<'a>,
    half_closers: HalfClosers,
    /// Needed only where a listener is gone.
    served: OnceCell<FxHashMap<SocketAddr, bool>>,
}

impl<'a> Sorter<'a> {
    fn new(snapshot: &'a Snapshot, ages: &'a Ages, grace: Duration) -> Self {
        Self {
            snapshot,
            ages,
            grace,
            listeners: Listeners::new(&snapshot.sockets.listeners),
            other_listeners: Listeners::new(&snapshot.sockets.other_listeners),
            suspects: Suspects::of(snapshot),
            half_closers: HalfClosers::of(snapshot),
            served: OnceCell::new(),
        }
    }

    fn sort(&self, connection: &Connection, inode: Inode, owners: &[Holder]) -> Sorted {
        match connection.state {
            TcpState::CloseWait => self.sort_closed(connection, inode, owners),
            // Our own program must first read what is unread in it.
            TcpState::FinWait2
                if connection.recv_q == 0
                    && age::quiet_for(connection, self.grace)
                    && !owners.is_empty() =>
            {
                Sorted::Leak {
                    kind: LeakKind::PeerNotClosing,
                    age: Age::default(),
                    overdue: true,
                }
            }
            _ => Sorted::NoLeak,
        }
    }

    /// Sorts one that the peer has closed.
    fn sort_closed(&self, connection: &Connection, inode: Inode, owners: &[Holder]) -> Sorted {
        let age = self.ages.since_fin(connection);
        let leak = |kind, overdue| Sorted::Leak { kind, age, overdue };
        let second = self.ages.second();
        let unread_at_both = || {
            let old_data = connection
                .ages
                .is_some_and(|ages| ages.last_data_recv() >= self.grace);
            let unread = connection.end_was_read() == Some(false);
            unread && old_data && second.is_some_and(|second| second.is_unread(connection))
        };
        let overdue = match maturity(connection, age, self.grace) {
            Maturity::Old => true,
            Maturity::Young | Maturity::Unknown
                if second.is_some_and(|second| second.sends_on(connection)) =>
            {
                return leak(LeakKind::HalfClosed, true);
            }
            Maturity::Young => return Sorted::Young,
            // It was closed meanwhile.
            Maturity::Unknown if second.is_some_and(|second| !second.in_close_wait(connection)) => {
                return Sorted::NoLeak;
            }
            Maturity::Unknown => unread_at_both(),
        };
        self.kind_of_closed(connection, inode, owners)
            .map_or(Sorted::NoLeak, |kind| leak(kind, overdue))
    }

    /// What is wrong with one that the peer has closed; nothing where that cannot be said.
    fn kind_of_closed(
        &self,
        connection: &Connection,
        inode: Inode,
        owners: &[Holder],
    ) -> Option<LeakKind> {
        let Some(first) = owners.first() else {
            return Some(LeakKind::Unattributed);
        };
        if owners.iter().any(|owner| owner.pid != first.pid) {
            return Some(LeakKind::Inherited);
        }
        if is_stuck_writer(connection, self.grace) {
            return Some(LeakKind::StuckWriter);
        }
        // Neither whether it was read nor which end it is: nothing can be said of it.
        if !connection.queues_are_shown {
            return None;
        }
        if let (Endpoint::Client(_), true) = (self.endpoint(connection), self.ends_are_known()) {
            return Some(LeakKind::IdlePool);
        }
        if pending::is_awaited(connection, &self.half_closers, self.grace)
            && self.suspects.is_at_work(first.pid)
        {
            return Some(LeakKind::AnswerDue);
        }
        let reader = self.suspects.reader(connection, inode, owners);
        Some(LeakKind::NotClosed(reader))
    }

    /// Returns whether a connection without a listener is certainly a client's: every listener is
    /// shown.
    fn ends_are_known(&self) -> bool {
        self.snapshot.coverage.listeners.is_whole()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::correlate::fixtures;
    use crate::model::{Later, SocketTable};

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
        let ages = Ages::of(&snapshot);
        let owners = Owners::new((&snapshot).into(), &places);
        leaks(&Facts::of(&snapshot), &places, &owners, &ages, GRACE)
            .iter()
            .flat_map(|leak| {
                let both = leak.connections.iter().zip(&leak.ages);
                both.map(|(connection, age)| (connection.remote.port(), age.at_least))
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
