//! Connections for which the source shows no inode. Other facts decide whether they were accepted; without
//! such facts it stays open.

use super::matching::Listeners;
use super::place::Place;
use crate::model::{Connection, Inode, Snapshot};

/// The place of a connection that is not known to wait in an accept queue.
pub(super) fn place(connection: &Connection, snapshot: &Snapshot, listeners: &Listeners) -> Place {
    match connection.inode {
        None => Place::Orphan,
        Some(inode) if inode.is_stand_in() && !accepted(connection, inode, snapshot, listeners) => {
            Place::Undecided
        }
        Some(inode) => Place::Accepted(inode),
    }
}

/// Returns the listeners in whose queues an undecided connection may wait.
pub(super) fn possible_listeners(
    place: Place,
    connection: &Connection,
    listeners: &Listeners,
) -> Vec<usize> {
    match place {
        Place::Undecided => listeners.of(connection),
        Place::AcceptQueue(_) | Place::Accepted(_) | Place::Orphan => Vec::new(),
    }
}

fn accepted(
    connection: &Connection,
    inode: Inode,
    snapshot: &Snapshot,
    listeners: &Listeners,
) -> bool {
    is_held(snapshot, inode)
        || was_used(connection)
        || nobody_waits(connection, snapshot, listeners)
}

fn is_held(snapshot: &Snapshot, inode: Inode) -> bool {
    let by_inode = snapshot
        .holders
        .binary_search_by_key(&inode, |holder| holder.inode);
    by_inode.is_ok()
}

/// Returns whether a program has acted on it: only a program sends, or reads the end of a stream (which Recv-Q
/// counts).
fn was_used(connection: &Connection) -> bool {
    connection.end_was_read() == Some(true) || connection.send_q > 0
}

/// The queues in which it could wait are shown, and empty.
fn nobody_waits(connection: &Connection, snapshot: &Snapshot, listeners: &Listeners) -> bool {
    let fitting = listeners.of(connection);
    let all = &snapshot.sockets.listeners;
    !fitting.is_empty()
        && fitting
            .iter()
            .all(|index| all[*index].queue_is_shown && all[*index].accept_queue_len == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::correlate::fixtures;
    use crate::model::{Holder, Listener, SocketTable, Via};

    fn decide(recv_q: u32, queue: Option<u32>, held: bool) -> Place {
        let inode = Inode::stand_in(7);
        let listener = queue.map(|length| Listener {
            accept_queue_len: length,
            ..fixtures::listener("127.0.0.1:8080", 1)
        });
        let connection = Connection {
            inode: Some(inode),
            recv_q,
            ..fixtures::waiting_connection(5000)
        };
        let mut snapshot = fixtures::snapshot(SocketTable {
            listeners: listener.into_iter().collect(),
            connections: vec![connection.clone()],
            ..SocketTable::default()
        });
        let holder = Holder {
            inode,
            pid: 12,
            fd: None,
            via: Via::Table,
        };
        snapshot.holders = held.then_some(holder).into_iter().collect();
        let listeners = Listeners::new(&snapshot.sockets.listeners);
        place(&connection, &snapshot, &listeners)
    }

    #[test]
    fn a_connection_without_owner_beside_a_queue_that_is_not_empty_is_left_open() {
        assert_eq!(decide(46, Some(24), false), Place::Undecided);
    }

    #[test]
    fn a_connection_whose_listener_is_not_shown_is_left_open() {
        assert_eq!(decide(46, None, false), Place::Undecided);
    }

    #[test]
    fn who_is_held_or_was_read_to_the_end_or_finds_the_queue_empty_was_accepted() {
        let accepted = Place::Accepted(Inode::stand_in(7));
        assert_eq!(decide(46, Some(24), true), accepted);
        assert_eq!(decide(0, Some(24), false), accepted);
        assert_eq!(decide(46, Some(0), false), accepted);
    }
}
