//! Relays: one process has the two sides, and one of them has ended.

use std::collections::BTreeMap;
use std::time::Duration;

use rustc_hash::FxHashSet;

use super::age;
use super::leak_types::{Endpoint, Leak, LeakKind, OtherSide, Pairing};
use super::reader::Reader;
use super::waits::Facts;
use crate::model::{Connection, Inode, Pid, TcpState};

/// Finds the leaks that are one side of a relay, with the other side.
///
/// A process that has about as many connections whose peer does not close as connections that it
/// does not close itself relays between the two, and waits for both ends. So does one that has, for
/// each connection that was read to its end, another that moved the same at the same times. The other
/// side may be on any port.
pub(super) fn pair(leaks: &mut Vec<Leak>, facts: &Facts, grace: Duration) {
    let mut kept: BTreeMap<Vec<Pid>, usize> = BTreeMap::new();
    for leak in leaks.iter().filter(|leak| may_be_a_side(leak)) {
        *kept.entry(leak.pids.clone()).or_default() += leak.connections.len();
    }
    let mut passed_on: BTreeMap<Vec<Pid>, OtherSide> = BTreeMap::new();
    for (pids, kept) in kept {
        let waiting = waiting_for_peer(&pids, leaks, facts, grace);
        if waiting.len() <= 2 * kept && kept <= 2 * waiting.len() {
            let side = side(&waiting, facts, Pairing::PassedOn);
            passed_on.extend(side.map(|side| (pids, side)));
        }
    }
    leaks.retain_mut(|leak| {
        let side = passed_on.get(&leak.pids);
        if leak.kind == LeakKind::PeerNotClosing {
            return side.is_none();
        }
        if may_be_a_side(leak)
            && let Some(side) = side.copied().or_else(|| open_side(leak, facts))
        {
            leak.kind = LeakKind::Relay(side);
        }
        true
    });
}

fn may_be_a_side(leak: &Leak) -> bool {
    matches!(leak.kind, LeakKind::NotClosed(_) | LeakKind::IdlePool)
}

/// The connections of these processes on which they have ended their direction and the peer does not,
/// whatever the ports.
fn waiting_for_peer<'a>(
    pids: &[Pid],
    leaks: &[Leak<'a>],
    facts: &Facts<'a>,
    grace: Duration,
) -> Vec<&'a Connection> {
    let of_look = leaks
        .iter()
        .filter(|leak| leak.kind == LeakKind::PeerNotClosing && leak.pids == pids)
        .flat_map(|leak| leak.connections.iter().copied());
    let further = connections_of(pids, facts)
        .into_iter()
        .filter(|connection| {
            connection.state == TcpState::FinWait2
                && connection.recv_q == 0
                && age::quiet_for(connection, grace)
        });
    let mut seen: FxHashSet<Option<Inode>> = FxHashSet::default();
    of_look
        .chain(further)
        .filter(|connection| seen.insert(connection.inode))
        .collect()
}

fn connections_of<'a>(pids: &[Pid], facts: &Facts<'a>) -> Vec<&'a Connection> {
    let processes = pids.iter().filter_map(|pid| facts.process(*pid));
    processes
        .flat_map(|process| facts.connections_of(process))
        .collect()
}

fn side(connections: &[&Connection], facts: &Facts, told_by: Pairing) -> Option<OtherSide> {
    let mut ends: BTreeMap<Endpoint, usize> = BTreeMap::new();
    for connection in connections {
        let end = if facts.is_accepted_here(connection) {
            Endpoint::Server(connection.local)
        } else {
            Endpoint::Client(connection.remote)
        };
        *ends.entry(end).or_default() += 1;
    }
    let (end, _) = ends.into_iter().max_by_key(|(_, number)| *number)?;
    Some(OtherSide {
        connections: connections.len(),
        end,
        told_by,
    })
}

/// The most connections of a leak that are compared with others.
const MOST_COMPARED: usize = 256;

/// Returns the other side of accepted connections that were read to the end, if it is still open.
///
/// An idle connection that is kept for the next request may match by chance, so the times of a single
/// pair prove nothing.
fn open_side(leak: &Leak, facts: &Facts) -> Option<OtherSide> {
    let LeakKind::NotClosed(reader) = &leak.kind else {
        return None;
    };
    if **reader != Reader::Done || !matches!(leak.endpoint, Endpoint::Server(_)) {
        return None;
    }
    let mut open: Vec<&Connection> = connections_of(&leak.pids, facts)
        .into_iter()
        .filter(|one| one.state == TcpState::Established && !facts.is_accepted_here(one))
        .collect();
    let compared = leak.connections.iter().take(MOST_COMPARED);
    // The clocks of both have to be of one reading.
    let ended: Vec<&Connection> = compared
        .clone()
        .filter_map(|connection| facts.connection(connection.inode?))
        .collect();
    let mut paired = Vec::new();
    let mut told_by = Pairing::SameBytes;
    for one in ended {
        let by_bytes = open.iter().position(|other| moved_the_same(one, other));
        let by_times = || open.iter().position(|other| moved_together(one, other));
        if let Some(index) = by_bytes.or_else(by_times) {
            if by_bytes.is_none() {
                told_by = Pairing::SameTimes;
            }
            paired.push(open.swap_remove(index));
        }
    }
    let enough = told_by == Pairing::SameBytes || paired.len() > 1;
    let most = 2 * paired.len() > compared.len();
    if enough && most {
        side(&paired, facts, told_by)
    } else {
        None
    }
}

/// Returns whether all that came in on the one, which was accepted and has ended, went out on the other,
/// which was opened, and the other way round.
fn moved_the_same(ended: &Connection, other: &Connection) -> bool {
    let (Some(one), Some(two)) = (ended.traffic, other.traffic) else {
        return false;
    };
    // The peer's FIN counts as a byte.
    let received = one.received_bytes().saturating_sub(1);
    received > 0
        && received == two.acknowledged_bytes()
        && two.received_bytes() == one.acknowledged_bytes_of_accepted()
        && moved_together(ended, other)
}

/// A relay passes on what it gets at once: copying takes less than this on a host that is not overloaded.
const PASSED_ON_WITHIN: Duration = Duration::from_millis(100);

/// Returns whether each side last sent when the other last received.
fn moved_together(ended: &Connection, other: &Connection) -> bool {
    let (Some(one), Some(two)) = (ended.ages, other.ages) else {
        return false;
    };
    let together = |a: Duration, b: Duration| a.abs_diff(b) <= PASSED_ON_WITHIN;
    // The clock of one that has not moved anything shows when it was opened.
    together(one.last_data_recv(), two.last_data_sent())
        && together(two.last_data_recv(), one.last_data_sent())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::correlate::fixtures::waiting_connection;
    use crate::model::{TcpAges, Traffic};

    /// A connection with counters of the kernel and times since it sent and received.
    fn moved(acknowledged: u32, received: u32, ages: (u32, u32)) -> Connection {
        Connection {
            traffic: Some(Traffic::from_counters(received.into(), acknowledged.into())),
            ages: Some(TcpAges::from_millis(ages.0, ages.1, ages.1)),
            ..waiting_connection(0)
        }
    }

    #[test]
    fn what_came_in_on_one_went_out_on_the_other() {
        let ended = moved(7, 5 + 1, (900, 1000));
        let other = moved(5 + 1, 7, (990, 920));
        assert!(moved_the_same(&ended, &other));
        assert!(!moved_the_same(&ended, &moved(7 + 1, 7, (990, 920))));
        assert!(!moved_the_same(&ended, &moved(5 + 1, 0, (990, 920))));
    }

    #[test]
    fn times_that_differ_are_of_others() {
        let ended = moved(7, 6, (900, 1000));
        assert!(moved_together(&ended, &moved(50, 70, (950, 850))));
        assert!(!moved_together(&ended, &moved(5, 7, (890, 920))));
        assert!(!moved_together(&ended, &moved(5, 7, (990, 300))));
        let clockless = Connection {
            ages: None,
            ..moved(5, 7, (990, 920))
        };
        assert!(!moved_together(&ended, &clockless));
    }

    #[test]
    fn connections_that_moved_nothing_are_a_pair_where_they_were_opened_together() {
        let silent = |millis| moved(0, 0, (millis, millis));
        assert!(!moved_the_same(&silent(1000), &silent(1000)));
        assert!(moved_together(&silent(1000), &silent(960)));
        assert!(!moved_together(&silent(1000), &silent(600)));
    }
}
