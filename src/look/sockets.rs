//! The first phase: the sockets, from the best source that is available.

use std::collections::{BTreeMap, HashSet};

use super::blind_spots;
use super::error::LookError;
use super::looker::Looker;
use super::scope::narrow_connections;
use crate::collect::kernel::{KernelError, Kind};
use crate::collect::proc;
use crate::collect::sock_diag::{self, Dump, Wanted};
use crate::correlate::{self, Listeners, foresees_exhaustion, needs_unaccepted, triage};
use crate::model::{
    Connection, Coverage, Extent, Inode, InodeSet, Listener, Namespace, PortRange, Snapshot,
    SocketSource, SocketTable,
};

impl Looker<'_> {
    /// The first phase: reads the sockets from the best source that is available.
    pub(super) fn sockets(&mut self, namespace: Namespace) -> Result<Snapshot, LookError> {
        let host = self.kernel.host();
        self.progress.sockets_at = self.now().unwrap_or_default();
        let mut refusal = None;
        let read = if self.options.procfs {
            None
        } else {
            self.sockets_of(SocketSource::InetDiag)
                .map_err(|error| refusal = Some(error))
                .ok()
        };
        let (source, (sockets, listeners_after)) = if let Some(sockets) = read {
            (SocketSource::InetDiag, sockets)
        } else {
            let sockets = self.sockets_of(SocketSource::Procfs);
            let sockets = sockets.map_err(|procfs| LookError::Sockets {
                sock_diag: refusal.clone(),
                procfs,
            })?;
            (SocketSource::Procfs, sockets)
        };
        let mut snapshot = Snapshot::of_sockets(namespace, host, source, sockets, listeners_after);
        snapshot.coverage = Coverage::of_sockets(Extent::Whole);
        if self.options.counters {
            snapshot.counters = proc::read_dropped_counters(self.kernel).ok();
        }
        if source == SocketSource::Procfs {
            let seen = triage(&snapshot, self.options.grace);
            let spot = blind_spots::procfs_only(refusal.as_ref(), !seen.is_idle());
            snapshot.blind_spots.push(spot);
        }
        Ok(snapshot)
    }

    /// Listeners, connections, and listeners again: queues may have changed meanwhile.
    pub(super) fn sockets_of(
        &mut self,
        source: SocketSource,
    ) -> Result<(SocketTable, Vec<Listener>), KernelError> {
        let ports = &self.options.scope.ports;
        let (listeners, other_listeners): (Vec<Listener>, Vec<Listener>) = self
            .listeners(source, &[])?
            .into_iter()
            .partition(|listener| self.options.scope.has_listener(listener.local));
        let waiting = needs_unaccepted(&listeners);
        if foresees_exhaustion(&listeners) {
            self.kernel.expect_descriptor_tables();
        }
        let inodes: InodeSet = listeners.iter().filter_map(|l| l.inode).collect();
        let mut connections;
        if waiting.is_empty() {
            connections = self.connections(source, Wanted::CloseWait, ports, &inodes)?;
        } else if ports.is_empty() {
            connections = self.connections(source, Wanted::Unaccepted, &waiting, &inodes)?;
            let closed = self.connections(source, Wanted::CloseWait, ports, &inodes)?;
            merge(&mut connections, closed);
        } else {
            connections = self.connections(source, Wanted::Unaccepted, ports, &inodes)?;
        }
        if source == SocketSource::InetDiag {
            connections = self.with_mptcp(connections, !waiting.is_empty());
        }
        let after = if waiting.is_empty() {
            listeners.clone()
        } else {
            in_order_of(&listeners, self.listeners(source, ports)?)
        };
        let mut table = SocketTable {
            listeners,
            other_listeners,
            connections,
        };
        narrow_connections(&self.options.scope, &mut table);
        Ok((table, after))
    }

    pub(super) fn listeners(
        &mut self,
        source: SocketSource,
        ports: &[PortRange],
    ) -> Result<Vec<Listener>, KernelError> {
        match source {
            SocketSource::InetDiag => {
                let (listeners, dump) = sock_diag::read_listeners(self.kernel, ports)?;
                self.note_dump(&dump);
                Ok(listeners)
            }
            SocketSource::Procfs => {
                let nobody = InodeSet::default();
                Ok(self.net_tcp(Wanted::CloseWait, ports, &nobody)?.listeners)
            }
            SocketSource::Text => Err(KernelError::not_recorded("the text")),
        }
    }

    pub(super) fn connections(
        &mut self,
        source: SocketSource,
        wanted: Wanted,
        ports: &[PortRange],
        listeners: &InodeSet,
    ) -> Result<Vec<Connection>, KernelError> {
        match source {
            SocketSource::InetDiag => {
                let (connections, dump) =
                    sock_diag::read_connections(self.kernel, wanted, ports, listeners)?;
                self.note_dump(&dump);
                Ok(connections)
            }
            SocketSource::Procfs => Ok(self.net_tcp(wanted, ports, listeners)?.connections),
            SocketSource::Text => Err(KernelError::not_recorded("the text")),
        }
    }

    /// A kernel without MPTCP has no such connections: nothing is missing then.
    pub(super) fn with_mptcp(&mut self, tcp: Vec<Connection>, unaccepted: bool) -> Vec<Connection> {
        let wanted = if unaccepted {
            Wanted::Unaccepted
        } else {
            Wanted::CloseWait
        };
        let ports = &self.options.scope.ports;
        let (mptcp, dump) = match sock_diag::read_mptcp(self.kernel, wanted, ports) {
            Ok(read) => read,
            Err(error) => {
                if !matches!(
                    error.kind,
                    Kind::NotSupported | Kind::NotFound | Kind::NotRecorded
                ) {
                    self.progress.sockets_lack.get_or_insert(error.gap());
                }
                return tcp;
            }
        };
        self.note_dump(&dump);
        correlate::join_subflows(tcp, mptcp)
    }

    pub(super) fn net_tcp(
        &mut self,
        wanted: Wanted,
        ports: &[PortRange],
        listeners: &InodeSet,
    ) -> Result<SocketTable, KernelError> {
        let (mut table, malformed) = proc::read_net_tcp(self.kernel, wanted, listeners)?;
        self.progress.malformed = self.progress.malformed.max(malformed);
        sock_diag::retain_ports(&mut table, ports);
        Ok(table)
    }

    pub(super) fn note_dump(&mut self, dump: &Dump) {
        self.progress.malformed += dump.malformed;
        self.progress.interrupted |= dump.interrupted;
    }

    /// Connections that were redirected to a listener (TPROXY, `sk_lookup`) have another port than
    /// it, and only what no listener explains can be one.
    pub(super) fn look_for_redirected(&mut self, snapshot: &mut Snapshot) {
        let listeners = &snapshot.sockets.listeners;
        let inodes: InodeSet = listeners.iter().filter_map(|l| l.inode).collect();
        let unaccepted = self.connections(snapshot.source, Wanted::Unaccepted, &[], &inodes);
        let mut unaccepted = match unaccepted {
            Ok(unaccepted) => unaccepted,
            Err(error) => {
                snapshot.coverage.lacks_sockets(error.gap());
                return;
            }
        };
        let in_scope = Listeners::new(listeners);
        let others = Listeners::new(&snapshot.sockets.other_listeners);
        unaccepted.retain(|connection| {
            connection.inode.is_none()
                && correlate::may_wait(connection)
                && !in_scope.explain(connection)
                && !others.explain(connection)
        });
        merge(&mut snapshot.sockets.connections, unaccepted);
    }
}

/// Adds connections that are not there yet. One that changed its state between two dumps is taken
/// in the later one.
pub(super) fn merge(connections: &mut Vec<Connection>, later: Vec<Connection>) {
    let identity = |connection: &Connection| {
        (
            connection.cookie,
            connection.local,
            connection.remote,
            connection.interface,
        )
    };
    let known: HashSet<_> = later.iter().map(identity).collect();
    connections.retain(|connection| !known.contains(&identity(connection)));
    connections.extend(later);
}

/// Puts a later reading of listeners in the order of the first; one that is gone keeps its first
/// reading.
pub(super) fn in_order_of(first: &[Listener], later: Vec<Listener>) -> Vec<Listener> {
    let by_inode: BTreeMap<Option<Inode>, Listener> = later
        .into_iter()
        .map(|listener| (listener.inode, listener))
        .collect();
    first
        .iter()
        .map(|listener| by_inode.get(&listener.inode).unwrap_or(listener).clone())
        .collect()
}
