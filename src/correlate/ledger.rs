//! What a listener's program has accepted and still has.

use std::collections::BTreeSet;
use std::time::Duration;

use rustc_hash::FxHashMap;

use super::analysis::Analysis;
use super::matching::Listeners;
use super::place::Place;
use super::triage::Triage;
use crate::model::{Connection, Inode, Listener, Pid, PortRange, Snapshot, TcpState};

/// The accepted connections of one listener.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ledger {
    /// All of them, in whatever state; unknown where they were not asked for.
    pub total: Option<usize>,
    /// Of these, in `CLOSE_WAIT`.
    pub close_wait: usize,
    /// Of all, with something left to read, if only the end; unknown where they were not asked for.
    pub unread: Option<usize>,
    /// The greatest age of those in `CLOSE_WAIT`, as far as it is known: a lower bound.
    pub oldest: Option<Duration>,
}

/// Returns the ports of the listeners whose connections are all to be read: something is wrong in
/// their queue or with what they have accepted.
pub fn ports_of_interest(snapshot: &Snapshot, seen: &Triage) -> Vec<PortRange> {
    let all = &snapshot.sockets.listeners;
    let listeners = Listeners::new(all);
    let suspicious = |listener: &&Listener| {
        let inode = listener.inode;
        inode.is_some_and(|inode| seen.listeners.contains(&inode))
    };
    let of_queues = all.iter().filter(suspicious);
    let kept = snapshot.sockets.connections.iter().filter(|connection| {
        let inode = connection.inode;
        inode.is_some_and(|inode| seen.connections.contains(&inode))
    });
    let ports: BTreeSet<u16> = kept
        .filter(|connection| listeners.explain(connection))
        .map(|connection| connection.local.port())
        .chain(of_queues.map(|listener| listener.local.port()))
        .collect();
    ports.into_iter().map(PortRange::from).collect()
}

/// Returns the ledger of each listener in the snapshot's order; none where it is unknown which connections
/// belong to it.
pub fn ledgers(analysis: &Analysis) -> Vec<Option<Ledger>> {
    let snapshot = &analysis.snapshot;
    let listeners = &snapshot.sockets.listeners;
    if !snapshot.coverage.close_wait.is_whole() {
        return vec![None; listeners.len()];
    }
    // A listener out of scope may fit a connection better than one in scope.
    let everywhere: Vec<Listener> = listeners
        .iter()
        .chain(&snapshot.sockets.other_listeners)
        .cloned()
        .collect();
    let mut counting = Counting {
        analysis,
        listeners: Listeners::new(&everywhere),
        own: listeners,
        entries: vec![Entry::default(); listeners.len()],
    };
    let connections = snapshot.sockets.connections.iter();
    for (connection, place) in connections.zip(&analysis.places) {
        match (connection.state, place) {
            (TcpState::CloseWait, Place::Accepted(_)) => counting.add_closed(connection),
            (TcpState::FinWait2, Place::Accepted(_)) => counting.add_open(connection),
            _ => {}
        }
    }
    let asked = asked(snapshot);
    for connection in asked.iter().flat_map(|(connections, _)| *connections) {
        counting.add_open(connection);
    }
    let ledger = |(entry, listener): (Entry, &Listener)| {
        let port = listener.local.port();
        let covered = asked.is_some_and(|(_, ports)| covers(ports, port));
        entry.ledger(covered)
    };
    counting
        .entries
        .into_iter()
        .zip(listeners)
        .map(ledger)
        .collect()
}

/// Returns the connections that were read beside those that one end has closed, and their ports; without ports,
/// all.
fn asked(snapshot: &Snapshot) -> Option<(&[Connection], &[PortRange])> {
    // They were read at all only where a process is accused, which has at least one.
    if !snapshot.waits.connections.is_empty() {
        return Some((&snapshot.waits.connections, &[]));
    }
    let open = snapshot.open.as_ref()?;
    Some((&open.connections, &open.ports))
}

fn covers(ports: &[PortRange], port: u16) -> bool {
    ports.is_empty() || ports.iter().any(|range| range.contains(port))
}

/// What is counted at one listener.
#[derive(Debug, Clone, Default)]
struct Entry {
    close_wait: usize,
    oldest: Option<Duration>,
    /// Each connection once, and whether something is left to read in it.
    all: FxHashMap<Inode, bool>,
    /// Whether a closed one may be its own or another's.
    closed_elsewhere: bool,
    /// Whether any other may be.
    open_elsewhere: bool,
}

impl Entry {
    fn ledger(self, covered: bool) -> Option<Ledger> {
        if self.closed_elsewhere {
            return None;
        }
        let whole = covered && !self.open_elsewhere;
        let unread = self.all.values().filter(|unread| **unread).count();
        Some(Ledger {
            total: whole.then_some(self.all.len()),
            close_wait: self.close_wait,
            unread: whole.then_some(unread),
            oldest: self.oldest,
        })
    }
}

struct Counting<'a> {
    analysis: &'a Analysis,
    listeners: Listeners<'a>,
    /// The listeners in scope; they are the first of all.
    own: &'a [Listener],
    entries: Vec<Entry>,
}

impl Counting<'_> {
    /// Counts one of the first look.
    fn add_closed(&mut self, connection: &Connection) {
        let Some(inode) = connection.inode else {
            return;
        };
        let age = self.analysis.ages.since_fin(connection).at_least;
        match self.listener_of(connection, inode) {
            Ok(Some(index)) => {
                let entry = &mut self.entries[index];
                entry.close_wait += 1;
                entry.oldest = entry.oldest.max(age);
                entry.all.insert(inode, connection.recv_q > 0);
            }
            Ok(None) => {}
            Err(members) => {
                for index in members {
                    self.entries[index].closed_elsewhere = true;
                }
            }
        }
    }

    /// Counts one that is not in `CLOSE_WAIT`, or that was asked for afterwards; those of the first look may be in
    /// already.
    fn add_open(&mut self, connection: &Connection) {
        let Some(inode) = connection.inode else {
            return;
        };
        match self.listener_of(connection, inode) {
            Ok(Some(index)) => {
                let all = &mut self.entries[index].all;
                all.entry(inode).or_insert(connection.recv_q > 0);
            }
            Ok(None) => {}
            Err(members) => {
                for index in members {
                    self.entries[index].open_elsewhere = true;
                }
            }
        }
    }

    /// The listener in scope that a connection came in at, if it did. Of an `SO_REUSEPORT` group it is
    /// the member that a holder of the connection holds as well; where that is not one, the error is all
    /// that it may be.
    fn listener_of(
        &self,
        connection: &Connection,
        inode: Inode,
    ) -> Result<Option<usize>, Vec<usize>> {
        let mut fits = self.listeners.of(connection);
        fits.retain(|index| *index < self.own.len());
        if fits.len() < 2 {
            return Ok(fits.pop());
        }
        let owners = &self.analysis.owners;
        let pids: BTreeSet<Pid> = owners.of(inode).iter().map(|holder| holder.pid).collect();
        let held = |index: &&usize| {
            let listener = self.own[**index].inode;
            let holders = listener.map_or(&[][..], |listener| owners.of(listener));
            holders.iter().any(|holder| pids.contains(&holder.pid))
        };
        let held: Vec<usize> = fits.iter().filter(held).copied().collect();
        match held[..] {
            [one] => Ok(Some(one)),
            _ => Err(fits),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::correlate::fixtures::{self, waiting_connection};
    use crate::model::{OpenConnections, SocketTable};

    const GRACE: Duration = Duration::from_secs(3);

    fn connection(local: &str, inode: u32, state: TcpState, recv_q: u32) -> Connection {
        Connection {
            local: local.parse().unwrap(),
            inode: Inode::new(inode),
            state,
            recv_q,
            ..waiting_connection(9000)
        }
    }

    fn look(listeners: &[&str], closed: Vec<Connection>) -> Snapshot {
        let listeners = listeners.iter().zip(1..);
        fixtures::snapshot(SocketTable {
            listeners: listeners
                .map(|(local, inode)| fixtures::listener(local, inode))
                .collect(),
            connections: closed,
            ..SocketTable::default()
        })
    }

    fn read(snapshot: Snapshot) -> Vec<Option<Ledger>> {
        ledgers(&Analysis::new(snapshot, GRACE))
    }

    fn closed_at(local: &str) -> Connection {
        connection(local, 77, TcpState::CloseWait, 1)
    }

    #[test]
    fn a_connection_counts_at_the_listener_that_fits_best() {
        let listeners = ["0.0.0.0:80", "127.0.0.2:80", "0.0.0.0:81"];
        let counted = read(look(&listeners, vec![closed_at("127.0.0.1:80")]));
        let close_waits: Vec<usize> = counted.iter().map(|one| one.unwrap().close_wait).collect();
        assert_eq!(close_waits, [1, 0, 0]);
        assert_eq!(counted[0].unwrap().oldest, Some(Duration::from_secs(9)));
        assert_eq!(counted[0].unwrap().total, None);
    }

    #[test]
    fn what_was_asked_for_at_a_port_is_whole_there_and_nowhere_else() {
        let mut snapshot = look(
            &["0.0.0.0:80", "0.0.0.0:81"],
            vec![closed_at("127.0.0.1:80")],
        );
        snapshot.open = Some(OpenConnections {
            ports: vec![PortRange::from(80)],
            connections: vec![
                closed_at("127.0.0.1:80"),
                connection("127.0.0.1:80", 78, TcpState::Established, 5),
                connection("127.0.0.1:80", 79, TcpState::Established, 0),
            ],
        });
        let counted = read(snapshot);
        let first = counted[0].unwrap();
        assert_eq!(
            (first.total, first.close_wait, first.unread),
            (Some(3), 1, Some(2))
        );
        assert_eq!(counted[1], Some(Ledger::default()));
    }

    #[test]
    fn of_a_group_it_counts_where_its_holder_listens_or_nowhere() {
        let holder = |inode, pid| crate::model::Holder {
            inode: Inode::new(inode).unwrap(),
            pid,
            fd: Some(3),
            via: crate::model::Via::Table,
        };
        let mut snapshot = look(
            &["0.0.0.0:80", "0.0.0.0:80"],
            vec![closed_at("127.0.0.1:80")],
        );
        assert_eq!(read(snapshot.clone()), [None, None]);
        snapshot.holders = vec![holder(1, 10), holder(2, 11), holder(77, 11)];
        let counted = read(snapshot);
        assert_eq!(counted[0].unwrap().close_wait, 0);
        assert_eq!(counted[1].unwrap().close_wait, 1);
    }

    #[test]
    fn only_listeners_with_something_suspicious_are_asked_for_more() {
        let snapshot = look(
            &["0.0.0.0:80", "0.0.0.0:81"],
            vec![closed_at("127.0.0.1:80")],
        );
        assert_eq!(ports_of_interest(&snapshot, &Triage::default()), []);
        let seen = Triage {
            connections: [Inode::new(77).unwrap()].into_iter().collect(),
            ..Triage::default()
        };
        assert_eq!(ports_of_interest(&snapshot, &seen), [PortRange::from(80)]);
    }
}
