//! Restricts what was seen to what was asked for.

use std::collections::BTreeSet;

use crate::correlate::Listeners;
use crate::model::{InodeSet, Listener, Pid, Process, Scope, Snapshot, SocketTable};

/// Drops the connections that an address in the scope leaves out. What waits in the queue of a listener in
/// scope stays: without it the queue would seem to hold resets.
pub(super) fn narrow_connections(scope: &Scope, sockets: &mut SocketTable) {
    if scope.addresses.is_empty() {
        return;
    }
    let listeners = Listeners::new(&sockets.listeners);
    sockets.connections.retain(|connection| {
        scope.has_end(connection.local)
            || scope.has_end(connection.remote)
            || listeners.explain(connection)
    });
}

/// Returns whether a process is one whose sockets were asked for; all are, if none was named.
pub(super) fn is_selected(scope: &Scope, process: &Process) -> bool {
    !scope.selects_holders()
        || scope.pids.contains(&process.pid)
        || scope.names.iter().any(|name| process.is_called(name))
}

/// Drops the sockets that no selected process holds.
pub(super) fn restrict_to_holders(snapshot: &mut Snapshot, scope: &Scope) {
    let selected = snapshot.processes.values();
    let selected = selected.filter(|process| is_selected(scope, process));
    let pids: Vec<Pid> = selected.map(|process| process.pid).collect();
    restrict_to_pids(snapshot, &pids);
}

/// Drops the sockets that the given processes do not hold.
fn restrict_to_pids(snapshot: &mut Snapshot, pids: &[Pid]) {
    let owned: InodeSet = snapshot.holders.iter().map(|holder| holder.inode).collect();
    let held: InodeSet = snapshot
        .holders
        .iter()
        .filter(|holder| pids.contains(&holder.pid))
        .map(|holder| holder.inode)
        .collect();
    let is_held = |listener: &Listener| listener.inode.is_some_and(|inode| held.contains(&inode));
    snapshot.sockets.listeners.retain(is_held);
    snapshot.listeners_after.retain(is_held);
    let sockets = &mut snapshot.sockets;
    let listeners = Listeners::new(&sockets.listeners);
    sockets
        .connections
        .retain(|connection| match connection.inode {
            Some(inode) if !inode.is_stand_in() || owned.contains(&inode) => held.contains(&inode),
            Some(_) | None => listeners.explain(connection),
        });
    snapshot
        .holders
        .retain(|holder| held.contains(&holder.inode));
    let shown: BTreeSet<Pid> = snapshot.holders.iter().map(|holder| holder.pid).collect();
    snapshot.processes.retain(|pid, _| shown.contains(pid));
}
