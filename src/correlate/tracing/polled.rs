//! What has changed between two looks at the sockets.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use crate::model::{Connection, Ends, Event, EventKind, Inode, Listener, SocketTable};

/// Returns what has changed from one look at the sockets to the next. What began and ended in between is not seen.
pub fn changes(before: &SocketTable, after: &SocketTable, at: Duration) -> Vec<Event> {
    let mut events = queue_changes(before, after, at);
    let old: HashMap<u64, &Connection> = by_identity(before);
    let new: HashMap<u64, &Connection> = by_identity(after);
    for connection in &after.connections {
        let Some(socket) = identity(connection) else {
            continue;
        };
        let kind = match old.get(&socket) {
            None => EventKind::Seen {
                state: connection.state,
            },
            Some(known) if known.state != connection.state => EventKind::State {
                from: known.state,
                to: connection.state,
                ending: false,
            },
            Some(_) => continue,
        };
        events.push(event(at, socket, ends(connection), kind));
    }
    let gone = before.connections.iter();
    for connection in gone {
        if let Some(socket) = identity(connection).filter(|socket| !new.contains_key(socket)) {
            events.push(event(at, socket, ends(connection), EventKind::Gone));
        }
    }
    events
}

fn queue_changes(before: &SocketTable, after: &SocketTable, at: Duration) -> Vec<Event> {
    let same = |listener: &&Listener, other: &Listener| listener.inode == other.inode;
    let changed = after.listeners.iter().filter(|listener| {
        let known = before.listeners.iter().find(|old| same(old, listener));
        known.is_none_or(|old| old.accept_queue_len != listener.accept_queue_len)
    });
    changed
        .map(|listener| {
            let unspecified = SocketAddr::new([0, 0, 0, 0].into(), 0);
            let ends = Ends {
                local: listener.local,
                remote: unspecified,
            };
            let socket = listener.inode.and_then(Inode::number);
            let queue = listener.accept_queue_len;
            let kind = EventKind::QueueSeen { queue };
            event(at, socket.unwrap_or_default().into(), ends, kind)
        })
        .collect()
}

fn by_identity(table: &SocketTable) -> HashMap<u64, &Connection> {
    let connections = table.connections.iter();
    connections
        .filter_map(|connection| Some((identity(connection)?, connection)))
        .collect()
}

fn identity(connection: &Connection) -> Option<u64> {
    connection.cookie.map(u64::from)
}

fn ends(connection: &Connection) -> Ends {
    Ends {
        local: connection.local,
        remote: connection.remote,
    }
}

fn event(at: Duration, socket: u64, ends: Ends, kind: EventKind) -> Event {
    Event {
        at,
        actor: None,
        socket,
        ends,
        kind,
    }
}
