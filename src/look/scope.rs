//! Restricts what was seen to what was asked for.

use std::collections::BTreeSet;

use crate::correlate::Listeners;
use crate::model::{InodeSet, Listener, Pid, Snapshot};

/// Drops the sockets that the given processes do not hold.
pub(super) fn restrict_to_pids(snapshot: &mut Snapshot, pids: &[Pid]) {
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
