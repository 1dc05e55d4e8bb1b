//! How numbers changed between two looks.

use std::time::Duration;

use super::leak::Endpoint;
use crate::model::{Connection, Snapshot, TcpState};

/// A change over some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Growth {
    /// How many more there were at the second look; negative for fewer.
    pub change: i64,
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
}

/// How the number of accepted connections in `CLOSE_WAIT` at one end of a service changed.
pub(super) fn of_close_wait(snapshot: &Snapshot, endpoint: Endpoint) -> Option<Growth> {
    let later = snapshot.later.as_ref()?;
    let count = |connections: &[Connection]| {
        let counted = connections.iter().filter(|connection| {
            connection.state == TcpState::CloseWait
                && connection.inode.is_some()
                && match endpoint {
                    Endpoint::Server(local) => connection.local == local,
                    Endpoint::Client(remote) => connection.remote == remote,
                }
        });
        i64::try_from(counted.count()).unwrap_or(i64::MAX)
    };
    Some(Growth {
        change: count(&later.sockets.connections) - count(&snapshot.sockets.connections),
        over: later.after,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_that_are_close_together_give_no_rate() {
        let growth = |millis| Growth {
            change: 3,
            over: Duration::from_millis(millis),
        };
        assert_eq!(growth(150).per_minute(), None);
        assert_eq!(growth(2000).per_minute(), Some(90.0));
    }
}
