//! What a second look at the sockets adds to the first.

use std::collections::HashSet;
use std::num::NonZeroU64;
use std::time::Duration;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::model::{Connection, Inode, Later, TcpAges, TcpState};

/// Clocks are rounded to jiffies, and a dump takes its time.
const CLOCK_SLACK: Duration = Duration::from_millis(20);

/// What a second look saw.
#[derive(Debug)]
pub(super) struct SecondLook {
    /// How long after the first.
    pub after: Duration,
    /// The connections in `CLOSE_WAIT`.
    in_close_wait: FxHashSet<Identity>,
    /// Those of them with something unread, if only the end.
    unread: FxHashSet<Identity>,
    /// The clocks of all.
    ages: FxHashMap<NonZeroU64, TcpAges>,
}

/// The identity of a connection without a cookie.
type Identity = (std::net::SocketAddr, std::net::SocketAddr, Option<Inode>);

fn identity(connection: &Connection) -> Identity {
    (connection.local, connection.remote, connection.inode)
}

impl SecondLook {
    /// Indexes a second look.
    pub(super) fn of(later: &Later) -> Self {
        let connections = || later.sockets.connections.iter();
        let closed = || connections().filter(|one| one.state == TcpState::CloseWait);
        let clocks = |connection: &Connection| Some((connection.cookie?, connection.ages?));
        Self {
            after: later.after,
            in_close_wait: closed().map(identity).collect(),
            unread: closed()
                .filter(|one| one.recv_q > 0)
                .map(identity)
                .collect(),
            ages: connections().filter_map(clocks).collect(),
        }
    }

    /// Returns whether the connection was in `CLOSE_WAIT` then.
    pub(super) fn in_close_wait(&self, connection: &Connection) -> bool {
        self.in_close_wait.contains(&identity(connection))
    }

    /// Returns whether the connection was in `CLOSE_WAIT` then, and not read to the end.
    pub(super) fn is_unread(&self, connection: &Connection) -> bool {
        self.unread.contains(&identity(connection))
    }

    /// Returns whether data was sent after the peer's FIN, and acknowledged: the connection was in
    /// `CLOSE_WAIT` at the first look, and at the second both clocks had been set back.
    pub(super) fn sends_on(&self, connection: &Connection) -> bool {
        let now = connection.cookie.and_then(|cookie| self.ages.get(&cookie));
        let (Some(then), Some(now)) = (connection.ages, now) else {
            return false;
        };
        let set_back = |then: Duration, now: Duration| now + CLOCK_SLACK < then + self.after;
        set_back(then.last_data_sent(), now.last_data_sent())
            && set_back(then.last_ack_recv(), now.last_ack_recv())
    }

    /// The number of these connections that were not in `CLOSE_WAIT` any more.
    pub(super) fn gone<'a>(&self, closed: impl Iterator<Item = &'a Connection>) -> usize {
        let then: HashSet<Identity> = closed.map(identity).collect();
        then.iter()
            .filter(|one| !self.in_close_wait.contains(*one))
            .count()
    }
}
