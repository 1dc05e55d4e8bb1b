//! How numbers changed between two looks, and whether connections come and go.

use std::time::Duration;

use super::leak::{Endpoint, Leak};
use super::second_look::SecondLook;
use crate::model::{Connection, Process, Reading, Snapshot, TcpState};

/// A change over some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Growth {
    /// How many more there were at the second look; negative for fewer.
    pub change: i64,
    /// How many of the first look were not there any more.
    pub gone: usize,
    /// The time between the looks.
    pub over: Duration,
}

impl Growth {
    /// The change for each minute, where the looks were far enough apart to tell.
    pub fn per_minute(self) -> Option<f64> {
        // Within less than this a single connection would make a rate.
        const LEAST: Duration = Duration::from_secs(1);
        let change = i32::try_from(self.change).ok()?;
        (self.over >= LEAST).then(|| f64::from(change) * 60.0 / self.over.as_secs_f64())
    }

    /// Returns whether the number grew by more than chance explains.
    ///
    /// Arrivals and departures that come independently of each other make the number go up and
    /// down by about the square root of how many they are; twice that is no chance any more.
    pub fn is_significant(self) -> bool {
        let Ok(change) = u64::try_from(self.change) else {
            return false;
        };
        let moves = change.saturating_add(2 * self.gone as u64);
        self.per_minute().is_some() && change > 0 && change * change >= 4 * moves
    }
}

/// How the number of accepted connections in `CLOSE_WAIT` at one end of a service changed.
pub(super) fn of_close_wait(snapshot: &Snapshot, endpoint: Endpoint) -> Option<Growth> {
    let later = snapshot.later.as_ref()?;
    let then: Vec<&Connection> = at(&snapshot.sockets.connections, endpoint).collect();
    let now = at(&later.sockets.connections, endpoint).count();
    let signed = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    Some(Growth {
        change: signed(now) - signed(then.len()),
        gone: SecondLook::of(later).gone(then.into_iter()),
        over: later.after,
    })
}

fn at(connections: &[Connection], endpoint: Endpoint) -> impl Iterator<Item = &Connection> {
    connections.iter().filter(move |connection| {
        connection.state == TcpState::CloseWait
            && connection.inode.is_some()
            && match endpoint {
                Endpoint::Server(local) => connection.local == local,
                Endpoint::Client(remote) => connection.remote == remote,
            }
    })
}

/// Up to this many grace periods, 30 s by default, a server may take to close what its clients have
/// closed, as servers do that wait for a time limit.
const SLOW_TO_CLOSE: u32 = 10;

/// Returns whether connections come all the time and none of them stays, so that the program closes
/// each after a while, as after a health check that just connects.
///
/// None is older than a time limit may be, they are spread over all ages up to the oldest, and the
/// program has run for twice as long and more: without a close there would be older ones. What is
/// not read to the end may be a program that stands still since the oldest came. Where two looks
/// saw the number grow, the program has just begun to leak.
pub(super) fn comes_and_goes(leak: &Leak, snapshot: &Snapshot, grace: Duration) -> bool {
    let Some(oldest) = oldest_at_most(leak) else {
        return false;
    };
    let all = || leak.connections.iter().chain(&leak.young);
    let read_to_the_end = all().all(|connection| connection.end_was_read() == Some(true));
    let processes = leak.pids.iter().map(|pid| snapshot.processes.get(pid));
    let ran_for = processes
        .map(|process| process.and_then(|process| running_for(process, snapshot)))
        .min()
        .flatten();
    let grows = of_close_wait(snapshot, leak.endpoint).is_some_and(Growth::is_significant);
    matches!(leak.endpoint, Endpoint::Server(_))
        && read_to_the_end
        && !grows
        && oldest < grace * SLOW_TO_CLOSE
        && is_spread(leak.young.len(), leak.connections.len(), grace, oldest)
        && ran_for.is_some_and(|time| time >= oldest * 2)
}

fn oldest_at_most(leak: &Leak) -> Option<Duration> {
    let bounds: Option<Vec<Duration>> = leak.ages.iter().map(|age| age.at_most).collect();
    bounds?.into_iter().max()
}

/// Returns whether there are at least half as many young ones as a steady stream would leave.
fn is_spread(young: usize, old: usize, grace: Duration, oldest: Duration) -> bool {
    let share = grace.as_secs_f64() / oldest.as_secs_f64().max(f64::MIN_POSITIVE);
    let (young, all) = (as_float(young), as_float(young + old));
    young >= 1.0 && young * 2.0 >= all * share
}

fn as_float(number: usize) -> f64 {
    u32::try_from(number).unwrap_or(u32::MAX).into()
}

/// Clock ticks in a second, in what procfs shows of every Linux on the machines it runs on (`USER_HZ`).
const TICKS_PER_SECOND: u64 = 100;

fn running_for(process: &Process, snapshot: &Snapshot) -> Option<Duration> {
    let Reading::Known(ticks) = process.started_ticks else {
        return None;
    };
    let started = Duration::from_millis(ticks.checked_mul(1000 / TICKS_PER_SECOND)?);
    snapshot.waits.uptime?.checked_sub(started)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::correlate::age::{self, Age};
    use crate::correlate::fixtures;
    use crate::correlate::leak::LeakKind;
    use crate::model::{Inode, SocketTable};

    fn growth(change: i64, gone: usize, millis: u64) -> Growth {
        Growth {
            change,
            gone,
            over: Duration::from_millis(millis),
        }
    }

    #[test]
    fn looks_that_are_close_together_give_no_rate() {
        assert_eq!(growth(3, 0, 150).per_minute(), None);
        assert_eq!(growth(3, 0, 2000).per_minute(), Some(90.0));
    }

    #[test]
    fn a_number_that_chance_moves_does_not_grow() {
        assert!(growth(6, 0, 1000).is_significant());
        assert!(growth(4, 0, 1000).is_significant());
        assert!(!growth(3, 0, 1000).is_significant());
        assert!(!growth(4, 2, 1000).is_significant());
        assert!(!growth(-6, 6, 1000).is_significant());
        assert!(!growth(60, 0, 150).is_significant());
    }

    const GRACE: Duration = Duration::from_secs(3);

    fn closed(millis: u32) -> Connection {
        Connection {
            inode: Inode::new(7),
            recv_q: 0,
            ..fixtures::waiting_connection(millis)
        }
    }

    /// Whether a program that has run for so many seconds closes what has these ages.
    fn judged(millis: &[u32], ran_for: u64, change: impl Fn(&mut Connection)) -> bool {
        let mut connections: Vec<Connection> = millis.iter().map(|one| closed(*one)).collect();
        connections.iter_mut().for_each(change);
        let mut snapshot = fixtures::snapshot(SocketTable::default());
        snapshot.waits.uptime = Some(Duration::from_secs(10 + ran_for));
        snapshot.processes.insert(12, fixtures::process(12));
        let ages: Vec<Age> = connections.iter().map(age::since_fin).collect();
        let old = |age: &Age| age.reaches(GRACE);
        let by = |wanted: bool| {
            let both = connections.iter().zip(&ages);
            both.filter(move |(_, age)| old(age) == wanted)
        };
        let leak = Leak {
            pids: vec![12],
            endpoint: Endpoint::Server(connections[0].local),
            kind: LeakKind::Unattributed,
            connections: by(true).map(|(connection, _)| connection).collect(),
            ages: by(true).map(|(_, age)| *age).collect(),
            overdue: 1,
            most_in_one: 1,
            young: by(false).map(|(connection, _)| connection).collect(),
        };
        comes_and_goes(&leak, &snapshot, GRACE)
    }

    const STREAM: [u32; 10] = [100, 600, 1100, 1600, 2100, 2600, 3100, 3600, 4100, 4600];

    #[test]
    fn a_stream_that_a_server_closes_after_a_while_comes_and_goes() {
        assert!(judged(&STREAM, 60, |_| {}));
        // The server may have begun with the oldest.
        assert!(!judged(&STREAM, 9, |_| {}));
    }

    #[test]
    fn what_came_at_once_or_stays_for_long_does_not() {
        assert!(!judged(&[4000, 4100, 4200], 60, |_| {}));
        assert!(!judged(&[100, 1000, 2000, 5000, 31_000], 90, |_| {}));
    }

    #[test]
    fn what_nobody_reads_does_not() {
        assert!(!judged(&STREAM, 60, |connection| connection.recv_q = 1));
    }
}
