//! The look that a text stands for.

use std::collections::HashSet;
use std::time::Duration;

use super::{restrict_to_pids, text_blind_spots};
use crate::collect::sock_diag::retain_ports;
use crate::collect::text::Text;
use crate::correlate::Analysis;
use crate::model::{
    Gap, HolderSource, Host, InodeSet, Namespace, Pid, Reading, Scope, Snapshot, SocketSource,
    TcpState,
};

/// The look that a text stands for.
pub fn snapshot(text: Text, scope: &Scope, grace: Duration) -> Snapshot {
    let mut snapshot = Snapshot {
        namespace: Namespace::named(scope.netns_name()),
        // Nobody copies which machine it was.
        host: Host {
            hostname: String::new(),
            kernel: String::new(),
            machine: String::new(),
        },
        source: SocketSource::Text { whole: text.whole },
        listeners_after: text.sockets.listeners.clone(),
        sockets: text.sockets,
        later: None,
        holder_source: (!text.holders.is_empty()).then_some(HolderSource::Text),
        holders: text.holders,
        holders_complete: Reading::Unknown(Gap::NotShown),
        hidden: None,
        dead: Vec::new(),
        processes: text.processes,
        peers: Vec::new(),
        samples: Vec::new(),
        dropped: None,
        blind_spots: Vec::new(),
        uptime: None,
        elapsed: Duration::ZERO,
    };
    snapshot.sockets.other_listeners = snapshot.listeners_after.clone();
    snapshot
        .sockets
        .other_listeners
        .retain(|listener| !scope.has_port(listener.local.port()));
    snapshot
        .listeners_after
        .retain(|listener| scope.has_port(listener.local.port()));
    retain_ports(&mut snapshot.sockets, &scope.ports);
    forget_other_holders(&mut snapshot);
    if !scope.pids.is_empty() {
        restrict_to_pids(&mut snapshot, &scope.pids);
    }
    let spots = text_blind_spots::of(
        &Analysis::new(&snapshot, grace),
        &text.tables,
        text.odd_lines,
        text.rows_without_state,
    );
    snapshot.blind_spots = spots;
    snapshot
}

/// Keeps who holds a listener or a connection that its peer has closed, as a look at the kernel does.
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
