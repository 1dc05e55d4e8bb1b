//! How long a connection has been in its state.

use std::time::Duration;

use crate::model::{Connection, Reading, TcpAges, TcpState, Timer};

/// An age known from one side or both; equal bounds mean that it is exact.
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

    /// Tells whether it has certainly reached the given age.
    pub fn reaches(self, age: Duration) -> bool {
        self.at_least.is_some_and(|at_least| at_least >= age)
    }

    /// Tells whether it is certainly below the given age.
    pub fn is_below(self, age: Duration) -> bool {
        self.at_most.is_some_and(|at_most| at_most < age)
    }
}

/// An acknowledgement that comes later than this after the data is not the data's: it is more than
/// a round trip around the world and the time by which acknowledgements may be delayed.
const LATEST_ACKNOWLEDGEMENT: Duration = Duration::from_secs(1);

/// The time since a connection's peer closed it.
///
/// No data can follow a FIN, and a FIN carries an acknowledgement: so the time since the last
/// acknowledgement is a lower bound and the time since the last data an upper one. The lower
/// bound is exact unless something made the peer acknowledge later: probes of ours, or data that
/// we sent since, and whose acknowledgement may then be the last one. Before `accept` nobody sends.
pub fn since_fin(connection: &Connection) -> Age {
    // Any subflow may have brought the end of an MPTCP connection; the clocks are those of one.
    let Some(ages) = connection.ages.filter(|_| !connection.layer.is_mptcp()) else {
        return Age::default();
    };
    let quiet = connection.timer == Reading::Known(Timer::Off);
    let nothing_sent = connection.inode.is_none()
        || ages.last_data_sent() > ages.last_ack_recv() + LATEST_ACKNOWLEDGEMENT;
    if quiet && nothing_sent {
        return Age::exactly(ages.last_ack_recv());
    }
    Age {
        at_least: Some(ages.last_ack_recv()),
        at_most: Some(ages.last_data_recv().max(ages.last_ack_recv())),
    }
}

/// Tells whether nothing has come from the peer, data or acknowledgement, for this time.
pub fn quiet_for(connection: &Connection, time: Duration) -> bool {
    connection
        .ages
        .is_some_and(|ages| ages.last_ack_recv() >= time && ages.last_data_recv() >= time)
}

/// The time a never accepted connection has waited in its queue.
///
/// The clock of sent data starts when the handshake ends and nobody can send before `accept`.
pub fn waiting(connection: &Connection) -> Option<Duration> {
    connection.ages.map(TcpAges::last_data_sent)
}

/// The age of a connection in the state it is in, where that can be known.
pub fn in_state(connection: &Connection, never_accepted: bool) -> Age {
    if connection.state == TcpState::CloseWait {
        return since_fin(connection);
    }
    if never_accepted {
        return waiting(connection).map_or(Age::default(), Age::exactly);
    }
    Age::default()
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
