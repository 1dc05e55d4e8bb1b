//! Connections for which the look did not find out when the peer closed them.

use std::time::Duration;

use super::age::{self, Maturity};
use super::analysis::Analysis;
use crate::model::{Connection, Snapshot, TcpState};

/// How many leaked connections may be older than the grace period, or younger.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UnknownAges {
    /// MPTCP connections, which have no clocks.
    pub mptcp: usize,
    /// TCP connections whose clocks were renewed since the peer closed.
    pub renewed: usize,
    /// About how often keep-alive renews the clocks, where it does; the longest.
    pub every: Option<Duration>,
}

/// Counts the open connections whose age does not decide whether they are leaked.
pub fn unknown_ages(snapshot: &Snapshot, grace: Duration) -> UnknownAges {
    let mut unknown = UnknownAges::default();
    let closed = |connection: &&Connection| connection.state == TcpState::CloseWait;
    let mut connections = snapshot.sockets.connections.iter().filter(closed);
    // Nearly always all ages are known; this check is cheap.
    if connections.all(|connection| age::since_fin(connection).judge(grace) != Maturity::Unknown) {
        return unknown;
    }
    for leak in Analysis::new(snapshot.clone(), grace).leaks() {
        let members = leak.connections.iter().zip(&leak.ages);
        for (connection, age) in members {
            if age.judge(grace) != Maturity::Unknown {
                continue;
            }
            if connection.layer.is_mptcp() {
                unknown.mptcp += 1;
            } else if connection.ages.is_some() && leak.overdue == 0 {
                unknown.renewed += 1;
                unknown.every = unknown.every.max(age::keep_alive_interval(connection));
            }
        }
    }
    unknown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::correlate::fixtures::{self, waiting_connection};
    use crate::model::{Inode, Reading, SocketTable, TcpAges, Timer};

    const GRACE: Duration = Duration::from_secs(3);

    fn counted(connection: Connection) -> UnknownAges {
        let snapshot = fixtures::snapshot(SocketTable {
            connections: vec![connection],
            ..SocketTable::default()
        });
        unknown_ages(&snapshot, GRACE)
    }

    #[test]
    fn a_clock_that_keep_alive_renews_leaves_the_age_open() {
        let read = Connection {
            inode: Inode::new(7),
            recv_q: 0,
            timer: Reading::Known(Timer::KeepAlive(Duration::from_secs(4))),
            ages: Some(TcpAges::from_millis(9000, 9000, 1000)),
            ..waiting_connection(0)
        };
        let expected = UnknownAges {
            renewed: 1,
            every: Some(Duration::from_secs(5)),
            mptcp: 0,
        };
        assert_eq!(counted(read.clone()), expected);
        let unread = Connection { recv_q: 2, ..read };
        assert_eq!(counted(unread), UnknownAges::default());
    }
}
