//! The remote services whose connections this host has not closed.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::Report;
use crate::correlate::{Listeners, Place};
use crate::model::TcpState;

impl Report {
    /// Returns how many connections in `CLOSE_WAIT` go to each remote service, by network namespace and address.
    /// Only those count that this host opened: no listener explains them.
    pub fn remote_services(&self) -> BTreeMap<(&str, SocketAddr), usize> {
        let mut services = BTreeMap::new();
        for analysis in &self.analyses {
            let snapshot = &analysis.snapshot;
            let sockets = &snapshot.sockets;
            let all = sockets.listeners.iter().chain(&sockets.other_listeners);
            let all: Vec<_> = all.cloned().collect();
            let listeners = Listeners::new(&all);
            let placed = sockets.connections.iter().zip(&analysis.places);
            for (connection, place) in placed {
                let is_held = matches!(place, Place::Accepted(_));
                let is_left = connection.state == TcpState::CloseWait && is_held;
                if is_left && !listeners.explain(connection) {
                    let service = (snapshot.namespace.name.as_str(), connection.remote);
                    *services.entry(service).or_default() += 1;
                }
            }
        }
        services
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::correlate::Analysis;
    use crate::correlate::fixtures::{listener, snapshot, waiting_connection};
    use crate::model::{Connection, Inode, Scope, SocketTable};
    use crate::report::Circumstances;

    #[test]
    fn only_connections_that_no_listener_explains_count() {
        let held = |local: &str, inode| Connection {
            local: local.parse().unwrap(),
            inode: Inode::new(inode),
            remote: "10.0.0.7:5432".parse().unwrap(),
            ..waiting_connection(9000)
        };
        let look = snapshot(SocketTable {
            listeners: vec![listener("0.0.0.0:8080", 1)],
            connections: vec![
                held("10.0.0.5:8080", 7),
                held("10.0.0.5:41000", 8),
                held("10.0.0.5:41001", 9),
            ],
            ..SocketTable::default()
        });
        let circumstances = Circumstances {
            taken_at: String::new(),
            scope: Scope::default(),
            replayed: false,
        };
        let analysis = Arc::new(Analysis::new(look, Duration::from_secs(3)));
        let report = Report::new(analysis, Vec::new(), circumstances);
        let service = ("current", "10.0.0.7:5432".parse().unwrap());
        assert_eq!(report.remote_services(), BTreeMap::from([(service, 2)]));
    }
}
