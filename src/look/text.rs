//! The look that a text stands for.

use std::collections::HashSet;
use std::time::Duration;

use super::scope::restrict_to_pids;
use super::seen::Look;
use super::text_blind_spots;
use crate::collect::sock_diag::retain_ports;
use crate::collect::text::Text;
use crate::correlate::Analysis;
use crate::model::{
    Coverage, Gap, HolderSource, Host, InodeSet, Namespace, Pid, Reading, Scope, Snapshot,
    SocketSource, TcpState, WaitFacts,
};

/// The look that a text stands for; `grace` is the age from which on an untended connection is stuck.
pub fn of_text(text: Text, scope: &Scope, grace: Duration) -> Look {
    let snapshots = vec![snapshot(text, scope, grace)];
    Look::new(scope.clone(), true, snapshots, grace)
}

fn snapshot(text: Text, scope: &Scope, grace: Duration) -> Snapshot {
    let mut snapshot = Snapshot {
        namespace: Namespace::named(scope.netns_name()),
        // Nobody copies which machine it was.
        host: Host {
            hostname: String::new(),
            kernel: String::new(),
            machine: String::new(),
        },
        source: SocketSource::Text(Coverage {
            whole: text.whole,
            close_wait: text.whole,
            listeners: text.whole,
        }),
        listeners_after: text.sockets.listeners.clone(),
        sockets: text.sockets,
        later: None,
        holder_source: (!text.holders.is_empty()).then_some(HolderSource::Text),
        holders: text.holders,
        holders_complete: Reading::Unknown(Gap::NotShown),
        hidden: None,
        dead: Vec::new(),
        processes: text.processes,
        waits: WaitFacts::default(),
        open: None,
        samples: Vec::new(),
        dropped: None,
        blind_spots: Vec::new(),
        elapsed: Duration::ZERO,
    };
    snapshot
        .sockets
        .other_listeners
        .clone_from(&snapshot.listeners_after);
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
    let analysis = Analysis::new(snapshot, grace);
    let spots = text_blind_spots::of(
        &analysis,
        &text.tables,
        text.odd_lines,
        text.rows_without_state,
    );
    let mut snapshot = analysis.into_snapshot();
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
