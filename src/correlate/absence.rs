//! Requested ports with neither a listener nor a connection.

use std::net::SocketAddr;

use crate::model::similar;
use crate::model::{Absent, Asked, Connection, PortRange, Scope, Snapshot};

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

/// Returns the addresses that no listener in scope serves and that no connection has on either end, `others`
/// included.
pub fn absent_addresses(
    snapshot: &Snapshot,
    asked: &[SocketAddr],
    others: &[Connection],
) -> Vec<SocketAddr> {
    let of_one = |address: SocketAddr| Scope {
        ports: vec![address.port().into()],
        addresses: vec![address],
        ..Scope::default()
    };
    let sockets = &snapshot.sockets;
    let is_there = |scope: &Scope| {
        let mut connections = sockets.connections.iter().chain(others);
        let mut listeners = sockets.listeners.iter();
        listeners.any(|listener| scope.has_listener(listener.local))
            || connections.any(|one| scope.has_end(one.local) || scope.has_end(one.remote))
    };
    let asked = asked.iter().copied();
    asked
        .filter(|address| !is_there(&of_one(*address)))
        .collect()
}

/// An address that is absent, with the listeners on the nearest ports.
pub fn absent_address(snapshot: &Snapshot, address: SocketAddr) -> Absent {
    let range = PortRange::from(address.port());
    Absent {
        asked: Asked::Address(address),
        nearby: nearest(snapshot, |port| distance(range, port)),
    }
}

/// Returns the names that no process with a socket in scope has, with the most similar names of those processes.
pub fn absent_names(snapshot: &Snapshot, names: &[String]) -> Vec<Absent> {
    let is_there = |name: &&String| snapshot.processes.values().any(|one| one.is_called(name));
    let commands = || snapshot.processes.values().map(|one| one.command.as_str());
    names
        .iter()
        .filter(|name| !is_there(name))
        .map(|name| Absent {
            asked: Asked::Name(name.clone(), similar::closest(name, commands(), NAMED)),
            nearby: Vec::new(),
        })
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
    fn an_address_is_there_at_a_listener_that_serves_it_and_on_either_end_of_a_connection() {
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        let asked = [
            "127.0.0.1:8081",
            "10.0.0.5:22",
            "10.0.0.5:8081",
            "127.0.0.1:51004",
        ];
        let mut snapshot = looked(vec![waiting_connection(10)]);
        let mut others = std::mem::take(&mut snapshot.sockets.other_listeners);
        snapshot.sockets.listeners.append(&mut others);
        let absent = absent_addresses(&snapshot, &asked.map(address), &[]);
        assert_eq!(absent, [address("10.0.0.5:8081")]);
    }

    #[test]
    fn a_name_that_nobody_has_comes_with_similar_ones() {
        let mut snapshot = looked(Vec::new());
        let process = crate::correlate::fixtures::process(7);
        let name = process.command.clone();
        snapshot.processes.insert(7, process);
        let slip = format!("{name}x");
        let absent = absent_names(&snapshot, &[name.clone(), slip.clone()]);
        assert_eq!(absent.len(), 1);
        assert_eq!(absent[0].asked, Asked::Name(slip, vec![name]));
    }

    #[test]
    fn the_nearest_listeners_are_named_first_and_each_once() {
        let absent = absent_port(&looked(Vec::new()), 808.into());
        let nearby: Vec<String> = absent.nearby.iter().map(ToString::to_string).collect();
        assert_eq!(nearby, ["0.0.0.0:22", "127.0.0.1:8081", "[::]:9090"]);
    }
}
