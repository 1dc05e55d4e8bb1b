//! Live clients whose requests stay unread, at the listeners of the examined processes.

use std::collections::BTreeSet;
use std::time::Duration;

use super::loops;
use super::matching::Listeners;
use super::threads;
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
    /// How many epoll sets with clients there are on which no thread waits.
    pub unattended: usize,
}

/// How far the requests of clients that are not served have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lack {
    /// Nobody has read them.
    Unread,
    /// They were read, and nothing was sent since. This alone is no finding: the work on a request may take long.
    Unanswered,
}

/// A single slow request is no outage.
const FEWEST_UNANSWERED: usize = 2;

/// Finds outages behind `accept`: requests stay unread or unanswered for the grace period, and meanwhile nothing
/// was sent to any client of the same listener.
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
            .is_some_and(|traffic| traffic.acknowledged_bytes_of_accepted() > 0);
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
    let unattended = unattended(snapshot, facts, &pids);
    let occupied = match lack {
        Lack::Unread => {
            !waits.groups.is_empty()
                || !waits.requests.is_empty()
                || !waits.at_standstill.is_empty()
                || unattended > 0
        }
        Lack::Unanswered => is_held_up(&waits, grace),
    };
    (occupied && !pids.is_empty()).then_some(Outage {
        listener,
        pids,
        open,
        lack,
        oldest,
        waits,
        unattended,
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
                    | Target::Datagram { .. }
                    | Target::OpenPipe
                    | Target::FileLock { .. }
                    | Target::Lock { .. }
            )
    });
    by_threads
        || waits.requests.iter().any(|one| long(one.longest))
        || !waits.at_standstill.is_empty()
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

/// How long an open connection has waited for an answer to what was read from it.
fn unanswered_for(connection: &Connection) -> Option<Duration> {
    let ages = connection.ages?;
    let traffic = connection.traffic?;
    let is_read = connection.state == TcpState::Established
        && connection.recv_q == 0
        && traffic.received_bytes() > 0;
    let sent_since = traffic.acknowledged_bytes_of_accepted() > 0
        && ages.last_data_sent() <= ages.last_data_recv();
    (is_read && connection.send_q == 0 && !sent_since).then(|| ages.last_data_recv())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::correlate::fixtures;
    use crate::model::{Descriptor, Inode, Process, SocketTable, TcpAges, Traffic, Via};

    const SERVER: Pid = 7;
    const CHILD: Pid = 8;
    const GRACE: Duration = Duration::from_secs(3);

    /// A client whose request of 27 bytes came 5 s ago; nothing was sent to it.
    fn client(inode: u32) -> Connection {
        Connection {
            state: TcpState::Established,
            inode: Inode::new(inode),
            recv_q: 0,
            ages: Some(TcpAges::from_millis(5200, 5000, 5200)),
            traffic: Some(Traffic::from_counters(27, 1)),
            ..fixtures::waiting_connection(inode)
        }
    }

    /// A connection to a service that was asked so long ago.
    fn request(inode: u32, asked_ms: u32) -> Connection {
        Connection {
            local: "10.0.0.1:40000".parse().unwrap(),
            remote: "10.0.0.7:5432".parse().unwrap(),
            ages: Some(TcpAges::from_millis(asked_ms, 6000, asked_ms)),
            traffic: Some(Traffic::from_counters(0, 40)),
            ..client(inode)
        }
    }

    fn process(pid: Pid, inodes: &[u32]) -> Process {
        let mut process = fixtures::process(pid);
        let examination = process.examination.as_mut().unwrap();
        examination.descriptors = inodes
            .iter()
            .map(|inode| Descriptor {
                fd: *inode,
                target: format!("socket:[{inode}]"),
            })
            .collect();
        process
    }

    fn look(connections: &[Connection], processes: Vec<Process>) -> Snapshot {
        let mut snapshot = fixtures::snapshot(SocketTable {
            listeners: vec![fixtures::listener("127.0.0.1:8080", 5)],
            ..SocketTable::default()
        });
        snapshot.waits.connections = connections.to_vec();
        for process in processes {
            snapshot.waits.followed.push(process.pid);
            for descriptor in &process.examination.as_ref().unwrap().descriptors {
                snapshot.holders.push(Holder {
                    inode: descriptor.socket().unwrap(),
                    pid: process.pid,
                    fd: Some(descriptor.fd),
                    via: Via::Table,
                });
            }
            snapshot.processes.insert(process.pid, process);
        }
        snapshot.holders.sort_by_key(|holder| holder.inode);
        snapshot
    }

    fn found(snapshot: &Snapshot) -> Option<(Lack, Vec<Pid>, usize)> {
        let facts = Facts::of(snapshot);
        let outages = outages(snapshot, &facts, GRACE);
        let outage = outages.first()?;
        Some((outage.lack, outage.pids.clone(), outage.open.len()))
    }

    #[test]
    fn requests_that_were_read_wait_for_a_service_that_does_not_answer() {
        let look = look(
            &[client(21), client(22), request(30, 4900)],
            vec![process(SERVER, &[21, 22, 30])],
        );
        assert_eq!(found(&look), Some((Lack::Unanswered, vec![SERVER], 2)));
    }

    #[test]
    fn one_request_that_takes_its_time_is_no_outage() {
        let look = look(
            &[client(21), request(30, 4900)],
            vec![process(SERVER, &[21, 30])],
        );
        assert_eq!(found(&look), None);
    }

    #[test]
    fn nothing_is_held_up_while_the_service_was_asked_a_moment_ago() {
        let look = look(
            &[client(21), client(22), request(30, 400)],
            vec![process(SERVER, &[21, 22, 30])],
        );
        assert_eq!(found(&look), None);
    }

    #[test]
    fn a_client_that_was_sent_something_meanwhile_refutes_it() {
        let mut answered = client(23);
        answered.ages = Some(TcpAges::from_millis(800, 900, 800));
        answered.traffic = Some(Traffic::from_counters(27, 300));
        let look = look(
            &[client(21), client(22), answered, request(30, 4900)],
            vec![process(SERVER, &[21, 22, 23, 30])],
        );
        assert_eq!(found(&look), None);
    }

    #[test]
    fn a_client_that_had_its_answer_waits_for_nothing() {
        let idle = |inode| Connection {
            ages: Some(TcpAges::from_millis(4990, 5000, 4990)),
            traffic: Some(Traffic::from_counters(27, 300)),
            ..client(inode)
        };
        let look = look(
            &[idle(21), idle(22), request(30, 4900)],
            vec![process(SERVER, &[21, 22, 30])],
        );
        assert_eq!(found(&look), None);
    }

    #[test]
    fn a_process_at_rest_is_occupied_by_what_its_children_wait_for() {
        let unread = Connection {
            recv_q: 27,
            ..client(21)
        };
        let mut look = look(
            &[unread, request(30, 4900)],
            vec![process(SERVER, &[21]), process(CHILD, &[30])],
        );
        assert_eq!(found(&look), None);
        look.waits.children.insert(SERVER, vec![CHILD]);
        assert_eq!(found(&look), Some((Lack::Unread, vec![SERVER], 1)));
    }
}
