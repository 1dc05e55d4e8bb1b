//! A look made of pasted text.

use std::collections::HashSet;
use std::time::Duration;

use super::scope::{narrow_connections, restrict_to_holders};
use super::seen::Look;
use super::text_blind_spots::{self, Unused};
use crate::collect::sock_diag::retain_ports;
use crate::collect::text::{Part, Text};
use crate::correlate::{Analysis, absent_names};
use crate::model::{
    HolderSource, Host, InodeSet, Namespace, Pid, Scope, Snapshot, SocketSource, TcpState,
};

/// Makes a look of pasted text; `grace` is the age from which on an unserved connection is stuck.
///
/// Several hosts or namespaces in one text are judged separately.
pub fn of_text(text: Text, scope: &Scope, grace: Duration) -> Look {
    let unused = Unused {
        odd_lines: text.odd_lines,
        rows_without_state: text.rows_without_state,
        replaced_tables: text.replaced,
        places: text.parts.len(),
    };
    let parts = text.parts.into_iter();
    let snapshots = parts.map(|part| snapshot(part, unused, scope, grace));
    Look::new(scope.clone(), true, snapshots.collect(), grace)
}

fn snapshot(text: Part, unused: Unused, scope: &Scope, grace: Duration) -> Snapshot {
    let several = unused.places > 1;
    let name = match &text.name {
        Some(name) if several => name,
        _ => scope.netns_name(),
    };
    let host = Host {
        hostname: text.name.clone().unwrap_or_default(),
        kernel: String::new(),
        machine: String::new(),
    };
    let listeners = text.sockets.listeners.clone();
    let mut snapshot = Snapshot::of_sockets(
        Namespace::named(name),
        host,
        SocketSource::Text,
        text.sockets,
        listeners,
    );
    snapshot.holder_source = (!text.holders.is_empty()).then_some(HolderSource::Text);
    snapshot.holders = text.holders;
    snapshot.processes = text.processes;
    snapshot.coverage = text.coverage;
    snapshot
        .sockets
        .other_listeners
        .clone_from(&snapshot.listeners_after);
    snapshot
        .sockets
        .other_listeners
        .retain(|listener| !scope.has_listener(listener.local));
    snapshot
        .listeners_after
        .retain(|listener| scope.has_listener(listener.local));
    retain_ports(&mut snapshot.sockets, &scope.ports);
    snapshot
        .sockets
        .listeners
        .retain(|listener| scope.has_listener(listener.local));
    narrow_connections(scope, &mut snapshot.sockets);
    forget_other_holders(&mut snapshot);
    if scope.selects_holders() {
        snapshot.absent = absent_names(&snapshot, &scope.names);
        restrict_to_holders(&mut snapshot, scope);
    }
    let analysis = Analysis::new(snapshot, grace);
    let spots = text_blind_spots::of(&analysis, &text.tables, unused);
    let mut snapshot = analysis.into_snapshot();
    snapshot.blind_spots = spots;
    snapshot
}

/// Keeps the holders of listeners and of connections that the peer has closed, as a look at the kernel does.
fn forget_other_holders(snapshot: &mut Snapshot) {
    let sockets = &snapshot.sockets;
    let listeners = sockets
        .listeners
        .iter()
        .filter_map(|listener| listener.inode);
    let closed = sockets
        .connections
        .iter()
        .filter(|connection| connection.state == TcpState::CloseWait)
        .filter_map(|connection| connection.inode);
    let shown: InodeSet = listeners.chain(closed).collect();
    snapshot
        .holders
        .retain(|holder| shown.contains(&holder.inode));
    let holding: HashSet<Pid> = snapshot.holders.iter().map(|holder| holder.pid).collect();
    snapshot.processes.retain(|pid, _| holding.contains(pid));
}
