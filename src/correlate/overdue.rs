//! Whether a connection that the peer has closed has been left open for too long.

use std::time::Duration;

use super::age;
use super::age::{Age, Maturity};
use crate::model::{Connection, Reading, TcpState, Timer};

/// A program that has sent something long after it last received something may be answering a
/// peer that has closed its direction only; it is given this many grace periods between answers.
const PATIENCE_WITH_ANSWERS: u32 = 10;

/// Returns whether a connection in `CLOSE_WAIT` of this age is overdue, not yet, or whether that
/// is not known.
///
/// Unread data counts from its arrival: the connection was not read since.
pub(super) fn maturity(connection: &Connection, age: Age, grace: Duration) -> Maturity {
    if is_stuck_writer(connection, grace) || has_old_data(connection, grace) {
        return Maturity::Old;
    }
    let patience = grace * PATIENCE_WITH_ANSWERS;
    if !may_answer(connection, age, grace) {
        return age.judge(grace);
    }
    let silent = connection
        .ages
        .is_some_and(|ages| ages.last_data_sent() >= patience);
    if silent || age.reaches(patience) {
        age.judge(grace)
    } else {
        Maturity::Young
    }
}

/// Returns whether there is unread data that came a grace period or more ago.
fn has_old_data(connection: &Connection, grace: Duration) -> bool {
    let unread = !connection.layer.is_mptcp() && connection.recv_q > 1;
    unread
        && connection
            .ages
            .is_some_and(|ages| ages.last_data_recv() >= grace)
}

/// Returns whether what was last sent may be part of a long answer: it went out a grace period or
/// more after the last data came, and its acknowledgement may be the last one.
fn may_answer(connection: &Connection, age: Age, grace: Duration) -> bool {
    let has_sent = connection
        .traffic
        .is_none_or(|traffic| traffic.acknowledged_bytes() > 0 || connection.send_q > 0);
    has_sent
        && age.exact().is_none()
        && connection
            .ages
            .is_some_and(|ages| ages.last_data_recv() >= ages.last_data_sent() + grace)
}

/// Returns whether what we have to send has not moved for the grace period.
///
/// While the peer keeps its window shut it acknowledges our probes, so only the clock of sent data
/// counts; while nothing is acknowledged we retransmit, which sets that clock back, so only the
/// clock of acknowledgements counts.
pub(super) fn is_stuck_writer(connection: &Connection, grace: Duration) -> bool {
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

/// Returns whether it takes a second look to tell if a connection is overdue: its clocks leave
/// that open, or we have sent something a moment ago and data may still flow.
pub(super) fn needs_second_look(connection: &Connection, grace: Duration) -> bool {
    if connection.state != TcpState::CloseWait {
        return false;
    }
    let age = age::since_fin(connection);
    let has_sent = connection
        .ages
        .is_some_and(|ages| ages.last_data_sent() < grace);
    maturity(connection, age, grace) == Maturity::Unknown
        || (has_sent && age.judge(grace) == Maturity::Unknown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::correlate::fixtures::waiting_connection;
    use crate::model::{Inode, TcpAges, Traffic};

    const GRACE: Duration = Duration::from_secs(3);

    /// An accepted connection with nothing but its end unread.
    fn closed(sent: u32, received: u32, acked: u32) -> Connection {
        Connection {
            inode: Inode::new(7),
            recv_q: 1,
            ages: Some(TcpAges::from_millis(sent, received, acked)),
            ..waiting_connection(0)
        }
    }

    fn judge(connection: &Connection) -> Maturity {
        maturity(connection, age::since_fin(connection), GRACE)
    }

    fn probed(mut connection: Connection) -> Connection {
        connection.timer = Reading::Known(Timer::KeepAlive(Duration::from_secs(1)));
        connection
    }

    #[test]
    fn exactly_the_grace_period_is_overdue() {
        assert_eq!(judge(&closed(9000, 9000, 3000)), Maturity::Old);
        assert_eq!(judge(&closed(9000, 9000, 2999)), Maturity::Young);
    }

    #[test]
    fn an_answer_to_a_probe_is_no_proof_of_youth() {
        let quiet = probed(closed(9000, 9000, 400));
        assert_eq!(judge(&quiet), Maturity::Unknown);
        assert!(needs_second_look(&quiet, GRACE));
        assert_eq!(judge(&probed(closed(2000, 2000, 400))), Maturity::Young);
    }

    #[test]
    fn data_that_nobody_read_for_long_is_old_whatever_the_probes_say() {
        let mut unread = probed(closed(9000, 9000, 400));
        unread.recv_q = 2;
        assert_eq!(judge(&unread), Maturity::Old);
        assert!(!needs_second_look(&unread, GRACE));
    }

    #[test]
    fn a_long_answer_is_given_time_and_not_for_ever() {
        let mut answering = probed(closed(4000, 9000, 400));
        answering.recv_q = 0;
        assert_eq!(judge(&answering), Maturity::Young);
        answering.ages = Some(TcpAges::from_millis(30_000, 40_000, 400));
        assert_eq!(judge(&answering), Maturity::Unknown);
        answering.ages = Some(TcpAges::from_millis(4000, 9000, 400));
        answering.traffic = Some(Traffic::from_counters(45, 1));
        assert_eq!(judge(&answering), Maturity::Unknown);
    }
}
