//! Which connections wait at one listener, asked of a fresh list of sockets.

use super::accept_queue::never_accepted;
use super::matching::Listeners;
use crate::model::{Connection, Inode, InodeSet, Listener};

/// A connection that waits to be accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaitsAt {
    /// Its index in the list of connections.
    pub connection: usize,
    /// Whether it certainly waits in the queue that was asked about. Otherwise it may wait at
    /// another listener on the same port.
    pub certain: bool,
}

/// Returns the connections that wait at the listeners with these inodes, or may.
pub fn waiting_at(
    listeners: &[Listener],
    connections: &[Connection],
    wanted: &[Inode],
) -> Vec<WaitsAt> {
    let inodes: InodeSet = listeners.iter().filter_map(|one| one.inode).collect();
    let matching = Listeners::new(listeners);
    let is_wanted = |index: &usize| {
        let inode = listeners[*index].inode;
        inode.is_some_and(|inode| wanted.contains(&inode))
    };
    let on_port = |connection: &Connection| {
        let port = connection.local.port();
        (0..listeners.len()).any(|index| is_wanted(&index) && listeners[index].local.port() == port)
    };
    let mut waiting = Vec::new();
    for (index, connection) in connections.iter().enumerate() {
        if !on_port(connection) || !never_accepted(connection, &inodes) {
            continue;
        }
        let fitting = matching.of(connection);
        // One that fits no listener was redirected, perhaps here.
        let possible = fitting.is_empty() || fitting.iter().any(is_wanted);
        if possible {
            waiting.push(WaitsAt {
                connection: index,
                certain: fitting.len() == 1 && fitting.iter().all(is_wanted),
            });
        }
    }
    waiting
}

/// Whether a process has got this connection: it has an inode, and not that of a listener.
pub fn is_accepted(connection: &Connection, listeners: &InodeSet) -> bool {
    connection
        .inode
        .is_some_and(|inode| !listeners.contains(&inode))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::correlate::fixtures::{self, waiting_connection};

    fn listener(local: &str, inode: u32) -> Listener {
        Listener {
            accept_queue_len: 1,
            v6_only: Some(false),
            ..fixtures::listener(local, inode)
        }
    }

    fn asked(listeners: &[Listener], local: &str) -> Vec<WaitsAt> {
        let mut connection = waiting_connection(10);
        connection.local = local.parse().unwrap();
        waiting_at(listeners, &[connection], &[Inode::new(1).unwrap()])
    }

    const CERTAIN: WaitsAt = WaitsAt {
        connection: 0,
        certain: true,
    };

    #[test]
    fn a_connection_waits_where_its_local_address_is_listened_on() {
        let at = |bound: &str, local: &str| asked(&[listener(bound, 1)], local);
        assert_eq!(at("127.0.0.1:80", "127.0.0.1:80"), [CERTAIN]);
        assert_eq!(at("0.0.0.0:80", "127.0.0.2:80"), [CERTAIN]);
        assert_eq!(at("[::]:80", "[::ffff:127.0.0.2]:80"), [CERTAIN]);
        assert_eq!(at("[::]:80", "[::1]:80"), [CERTAIN]);
        assert_eq!(at("127.0.0.1:80", "127.0.0.1:81"), []);
    }

    #[test]
    fn a_connection_of_another_listener_on_the_port_does_not_wait_here() {
        let both = [listener("0.0.0.0:80", 1), listener("127.0.0.1:80", 2)];
        assert_eq!(asked(&both, "127.0.0.1:80"), []);
        assert_eq!(asked(&both, "127.0.0.2:80"), [CERTAIN]);
    }

    #[test]
    fn in_a_group_of_listeners_the_queue_is_not_certain() {
        let group = [listener("127.0.0.1:80", 1), listener("127.0.0.1:80", 2)];
        let found = asked(&group, "127.0.0.1:80");
        assert_eq!(found.len(), 1);
        assert!(!found[0].certain);
    }

    #[test]
    fn only_an_inode_of_its_own_shows_that_a_connection_was_accepted() {
        let listeners: InodeSet = [Inode::new(1).unwrap()].into_iter().collect();
        let with = |inode| {
            let mut connection = waiting_connection(10);
            connection.inode = Inode::new(inode);
            is_accepted(&connection, &listeners)
        };
        assert!(!with(0), "none");
        assert!(!with(1), "that of the listener");
        assert!(with(2));
    }
}
