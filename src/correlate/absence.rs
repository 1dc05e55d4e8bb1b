//! Requested ports with neither a listener nor a connection.

use std::net::SocketAddr;

use crate::model::{Absent, Asked, Connection, PortRange, Snapshot};

/// The most listeners that are named beside a port without one.
const NAMED: usize = 5;

/// Returns the ports at which neither the look nor `others` shows anything.
pub fn absent_ports(
    snapshot: &Snapshot,
    asked: &[PortRange],
    others: &[Connection],
) -> Vec<PortRange> {
    let sockets = &snapshot.sockets;
    let connections = || sockets.connections.iter().chain(others);
    let is_there = |range: &PortRange| {
        sockets
            .listeners
            .iter()
            .any(|listener| range.contains(listener.local.port()))
            || connections().any(|connection| {
                range.contains(connection.local.port()) || range.contains(connection.remote.port())
            })
    };
    asked
        .iter()
        .copied()
        .filter(|range| !is_there(range))
        .collect()
}

/// Returns whether a look saw no socket at all in its network namespace.
pub fn saw_nothing(snapshot: &Snapshot) -> bool {
    let sockets = &snapshot.sockets;
    sockets.listeners.is_empty()
        && sockets.other_listeners.is_empty()
        && sockets.connections.is_empty()
}

/// A port that is absent, with the listeners nearest to it.
pub fn absent_port(snapshot: &Snapshot, range: PortRange) -> Absent {
    Absent {
        asked: Asked::Port(range),
        nearby: nearest(snapshot, |port| distance(range, port)),
    }
}

/// Returns the listeners whose ports are nearest, one for each address.
fn nearest(snapshot: &Snapshot, distance: impl Fn(u16) -> u16) -> Vec<SocketAddr> {
    let sockets = &snapshot.sockets;
    let all = sockets.listeners.iter().chain(&sockets.other_listeners);
    let mut locals: Vec<SocketAddr> = all.map(|listener| listener.local).collect();
    locals.sort_by_key(|local| (distance(local.port()), *local));
    locals.dedup();
    locals.truncate(NAMED);
    locals
}

fn distance(range: PortRange, port: u16) -> u16 {
    if range.contains(port) {
        return 0;
    }
    let to_first = range.first().abs_diff(port);
    to_first.min(range.last().abs_diff(port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::correlate::fixtures::{listener, snapshot, waiting_connection};
    use crate::model::SocketTable;

    fn looked(connections: Vec<Connection>) -> Snapshot {
        snapshot(SocketTable {
            listeners: vec![listener("127.0.0.1:8081", 7)],
            other_listeners: vec![
                listener("0.0.0.0:22", 8),
                listener("0.0.0.0:22", 9),
                listener("[::]:9090", 10),
            ],
            connections,
        })
    }

    fn ports(words: &[&str]) -> Vec<PortRange> {
        words.iter().map(|word| word.parse().unwrap()).collect()
    }

    #[test]
    fn a_port_is_there_with_a_listener_in_its_range_or_a_connection_on_either_end() {
        let asked = ports(&["8000-8100", "8080", "51004", "9"]);
        let found = absent_ports(&looked(vec![waiting_connection(10)]), &asked, &[]);
        assert_eq!(found, ports(&["9"]));
    }

    #[test]
    fn an_open_connection_that_a_look_does_not_list_is_there() {
        let asked = ports(&["8080"]);
        let open = [waiting_connection(10)];
        assert!(absent_ports(&looked(Vec::new()), &asked, &open).is_empty());
        assert_eq!(absent_ports(&looked(Vec::new()), &asked, &[]), asked);
    }

    #[test]
    fn the_nearest_listeners_are_named_first_and_each_once() {
        let absent = absent_port(&looked(Vec::new()), 808.into());
        let nearby: Vec<String> = absent.nearby.iter().map(ToString::to_string).collect();
        assert_eq!(nearby, ["0.0.0.0:22", "127.0.0.1:8081", "[::]:9090"]);
    }
}
