//! How long a connection has been in its state.

use std::time::Duration;

use super::second_look::SecondLook;
use crate::model::{Connection, Reading, Snapshot, TcpAges, TcpState, Timer};

/// An age that is exact (equal bounds), at least or at most something, both, or unknown (no bound).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Age {
    /// It is at least this.
    pub at_least: Option<Duration>,
    /// It is at most this.
    pub at_most: Option<Duration>,
}

impl Age {
    fn exactly(time: Duration) -> Self {
        Self {
            at_least: Some(time),
            at_most: Some(time),
        }
    }

    /// Returns the age, where it is known exactly.
    pub fn exact(self) -> Option<Duration> {
        self.at_least.filter(|_| self.at_least == self.at_most)
    }

    /// Returns whether it has certainly reached the given age.
    pub fn reaches(self, age: Duration) -> bool {
        self.at_least.is_some_and(|at_least| at_least >= age)
    }

    /// Returns whether it is certainly below the given age.
    pub fn is_below(self, age: Duration) -> bool {
        self.at_most.is_some_and(|at_most| at_most < age)
    }

    /// Returns on which side of the grace period it is, as far as its bounds tell.
    pub fn judge(self, grace: Duration) -> Maturity {
        if self.reaches(grace) {
            Maturity::Old
        } else if self.is_below(grace) {
            Maturity::Young
        } else {
            Maturity::Unknown
        }
    }

    /// Returns the age it will have after this much more time.
    fn later(self, by: Duration) -> Self {
        Self {
            at_least: Some(self.at_least.unwrap_or_default().max(by)),
            at_most: self.at_most.map(|at_most| at_most + by),
        }
    }
}

/// An age against the grace period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Maturity {
    /// It has certainly reached the grace period.
    Old,
    /// It is certainly below the grace period.
    Young,
    /// The known clocks do not decide.
    Unknown,
}

/// An acknowledgement that comes later than this after the data is not for the data: this is more than
/// a round trip around the world and the time by which acknowledgements may be delayed.
const LATEST_ACKNOWLEDGEMENT: Duration = Duration::from_secs(1);

/// The kernel's default time between keep-alive probes that follow each other (`tcp_keepalive_intvl`).
const PROBE_INTERVAL: Duration = Duration::from_secs(75);

/// The time since a connection's peer closed it, by the clocks of one look.
///
/// No data can follow a FIN, and a FIN carries an acknowledgement: so the time since the last
/// acknowledgement is a lower bound and the time since the last data an upper one. The lower
/// bound is exact unless something made the peer acknowledge later: probes of ours, or data that
/// we sent since (their acknowledgement may be the last one). Before `accept` the server sends nothing.
pub fn since_fin(connection: &Connection) -> Age {
    // Any subflow may have brought the end of an MPTCP connection; the clocks are those of one.
    let Some(ages) = connection.ages.filter(|_| !connection.layer.is_mptcp()) else {
        return Age::default();
    };
    let nothing_sent = connection.inode.is_none()
        || ages.last_data_sent() > ages.last_ack_recv() + LATEST_ACKNOWLEDGEMENT;
    if nothing_sent && !may_have_probed(connection, ages) {
        return Age::exactly(ages.last_ack_recv());
    }
    Age {
        at_least: Some(ages.last_ack_recv()),
        at_most: Some(ages.last_data_recv().max(ages.last_ack_recv())),
    }
}

/// Returns whether the last acknowledgement may be the answer to a probe.
///
/// A keep-alive probe goes out after a silence as long as the keep-alive time, and the timer is
/// never set to more than that; after a probe it is set to the interval between probes. So if
/// the timer has longer to run than such an interval, no probe can have gone out since the last
/// data unless that is older than what is left.
fn may_have_probed(connection: &Connection, ages: TcpAges) -> bool {
    match connection.timer {
        Reading::Known(Timer::Off) => false,
        Reading::Known(Timer::KeepAlive(left)) => {
            left <= PROBE_INTERVAL || ages.last_data_recv() > left
        }
        Reading::Known(Timer::Retransmit | Timer::TimeWait(_) | Timer::ZeroWindowProbe)
        | Reading::Unknown(_) => true,
    }
}

/// About how often keep-alive renews the clock of acknowledgements, where it does.
pub fn keep_alive_interval(connection: &Connection) -> Option<Duration> {
    let (Reading::Known(Timer::KeepAlive(left)), Some(ages)) = (connection.timer, connection.ages)
    else {
        return None;
    };
    may_have_probed(connection, ages).then(|| left + ages.last_ack_recv())
}

/// The ages of a look's connections, by all that the look saw.
#[derive(Debug, Default)]
pub struct Ages {
    second: Option<SecondLook>,
}

impl Ages {
    /// Gathers what a second look adds.
    pub fn of(snapshot: &Snapshot) -> Self {
        Self {
            second: snapshot.later.as_ref().map(SecondLook::of),
        }
    }

    /// The second look, where there was one.
    pub(super) fn second(&self) -> Option<&SecondLook> {
        self.second.as_ref()
    }

    /// The time since a connection's peer closed it.
    ///
    /// Where the clocks do not tell exactly, and a second look saw the connection in `CLOSE_WAIT`
    /// again, the age is that at the second look: it is at least the time between the two.
    pub fn since_fin(&self, connection: &Connection) -> Age {
        let age = since_fin(connection);
        match &self.second {
            Some(second) if age.exact().is_none() && second.in_close_wait(connection) => {
                age.later(second.after)
            }
            _ => age,
        }
    }

    /// Returns whether a second look saw that a connection had left `CLOSE_WAIT`.
    pub fn has_ended(&self, connection: &Connection) -> bool {
        let ended = |second: &SecondLook| !second.in_close_wait(connection);
        connection.state == TcpState::CloseWait && self.second.as_ref().is_some_and(ended)
    }

    /// The age of a connection in the state it is in, where that can be known.
    pub fn in_state(&self, connection: &Connection, never_accepted: bool) -> Age {
        if connection.state == TcpState::CloseWait {
            return self.since_fin(connection);
        }
        if never_accepted {
            return waiting(connection).map_or(Age::default(), Age::exactly);
        }
        Age::default()
    }
}

/// Returns whether nothing has come from the peer, data or acknowledgement, for this time.
pub fn quiet_for(connection: &Connection, time: Duration) -> bool {
    connection
        .ages
        .is_some_and(|ages| ages.last_ack_recv() >= time && ages.last_data_recv() >= time)
}

/// The time a never accepted connection has waited in its queue.
///
/// The clock of sent data starts when the handshake ends. The server cannot send before `accept`.
pub fn waiting(connection: &Connection) -> Option<Duration> {
    connection.ages.map(TcpAges::last_data_sent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Inode, Layer};

    fn connection(timer: Timer, sent: u32, received: u32, acked: u32) -> Connection {
        let address = "127.0.0.1:1".parse().unwrap();
        Connection {
            state: TcpState::CloseWait,
            local: address,
            remote: address,
            interface: 0,
            inode: None,
            cookie: None,
            recv_q: 1,
            send_q: 0,
            queues_are_shown: true,
            timer: Reading::Known(timer),
            ages: Some(TcpAges::from_millis(sent, received, acked)),
            cgroup: None,
            traffic: None,
            layer: Layer::Tcp,
        }
    }

    fn bounds(age: Age) -> (u128, u128) {
        (
            age.at_least.unwrap().as_millis(),
            age.at_most.unwrap().as_millis(),
        )
    }

    #[test]
    fn a_quiet_connection_has_an_exact_age() {
        let age = since_fin(&connection(Timer::Off, 3504, 2504, 1504));
        assert_eq!(bounds(age), (1504, 1504));
    }

    #[test]
    fn our_keep_alive_makes_the_age_an_interval() {
        let timer = Timer::KeepAlive(Duration::from_secs(1));
        let age = since_fin(&connection(timer, 9000, 8000, 400));
        assert_eq!(bounds(age), (400, 8000));
    }

    #[test]
    fn a_keep_alive_that_cannot_have_probed_leaves_the_age_exact() {
        let hours = Timer::KeepAlive(Duration::from_secs(7190));
        let age = since_fin(&connection(hours, 9000, 8000, 400));
        assert_eq!(bounds(age), (400, 400));
        let old = since_fin(&connection(hours, 8_000_000, 7_200_000, 400));
        assert_eq!(bounds(old), (400, 7_200_000));
    }

    #[test]
    fn the_interval_of_keep_alive_is_told_where_it_renews_the_clock() {
        let probing = connection(Timer::KeepAlive(Duration::from_secs(4)), 9000, 9000, 1000);
        assert_eq!(keep_alive_interval(&probing), Some(Duration::from_secs(5)));
        let quiet = connection(Timer::Off, 9000, 9000, 1000);
        assert_eq!(keep_alive_interval(&quiet), None);
    }

    #[test]
    fn an_interval_around_the_grace_period_is_neither_old_nor_young() {
        let grace = Duration::from_secs(3);
        let judge = |timer, received, acked| {
            since_fin(&connection(timer, 9000, received, acked)).judge(grace)
        };
        let probing = Timer::KeepAlive(Duration::from_secs(1));
        assert_eq!(judge(probing, 8000, 400), Maturity::Unknown);
        assert_eq!(judge(probing, 8000, 3000), Maturity::Old);
        assert_eq!(judge(probing, 2999, 400), Maturity::Young);
        assert_eq!(Age::default().judge(grace), Maturity::Unknown);
    }

    fn at_both_looks(connection: &Connection, after: Duration) -> Age {
        let table = crate::model::SocketTable {
            connections: vec![connection.clone()],
            ..Default::default()
        };
        let mut snapshot = crate::correlate::fixtures::snapshot(table.clone());
        snapshot.later = Some(crate::model::Later {
            after,
            sockets: table,
        });
        Ages::of(&snapshot).since_fin(connection)
    }

    #[test]
    fn what_is_there_at_both_looks_is_at_least_as_old_as_the_time_between() {
        let probing = Timer::KeepAlive(Duration::from_secs(1));
        let seen = connection(probing, 9000, 8000, 400);
        let after = Duration::from_secs(6);
        assert_eq!(bounds(at_both_looks(&seen, after)), (6000, 14000));
        let exact = connection(Timer::Off, 9000, 8000, 400);
        assert_eq!(bounds(at_both_looks(&exact, after)), (400, 400));
        let ageless = Connection { ages: None, ..seen };
        let age = at_both_looks(&ageless, after);
        assert_eq!((age.at_least, age.at_most), (Some(after), None));
    }

    #[test]
    fn data_sent_after_the_fin_makes_the_age_an_interval() {
        let mut streaming = connection(Timer::Off, 20, 8000, 20);
        streaming.inode = Inode::new(7);
        assert_eq!(bounds(since_fin(&streaming)), (20, 8000));
        streaming.ages = Some(TcpAges::from_millis(900, 8000, 20));
        assert_eq!(bounds(since_fin(&streaming)), (20, 8000));
    }

    #[test]
    fn an_answer_long_before_the_fin_leaves_the_age_exact() {
        let mut closed = connection(Timer::Off, 8000, 9000, 4000);
        closed.inode = Inode::new(7);
        assert_eq!(bounds(since_fin(&closed)), (4000, 4000));
    }

    #[test]
    fn without_clocks_nothing_is_known() {
        let mut connection = connection(Timer::Off, 0, 0, 0);
        connection.ages = None;
        assert_eq!(since_fin(&connection), Age::default());
        assert!(!since_fin(&connection).reaches(Duration::ZERO));
    }
}
