//! What a trace has to follow, from a look.

use std::sync::Arc;

use crate::correlate::Watch;
use crate::correlate::acceptor::division;
use crate::correlate::analysis::Analysis;
use crate::model::{Listener, Pid, Scope, TraceFilter, TracedListener, TracedWatch};

/// Returns what to follow for a scope, by the listeners that a look has seen.
///
/// With processes, their listeners' ports are followed. With a port at which nobody listens here, the connections
/// that have it at their other end are: then our side is the client.
pub fn trace_filter(analyses: &[Arc<Analysis>], scope: &Scope, netns: Option<u32>) -> TraceFilter {
    let listeners: Vec<(&Arc<Analysis>, &Listener)> = listeners(analyses).collect();
    let holders = listeners
        .iter()
        .flat_map(|(analysis, listener)| holders(analysis, listener))
        .filter(|(pid, _)| scope.pids.is_empty() || scope.pids.contains(pid))
        .collect();
    let mut ports = scope.ports.clone();
    if ports.is_empty() && !scope.pids.is_empty() {
        let theirs = listeners.iter();
        ports = theirs
            .map(|(_, listener)| listener.local.port().into())
            .collect();
    }
    TraceFilter {
        ports,
        either_end: listeners.is_empty(),
        netns,
        holders,
        only_holders: !scope.pids.is_empty(),
    }
}

/// Returns the listeners of a look as a trace keeps them.
pub fn traced_listeners(analyses: &[Arc<Analysis>]) -> Vec<TracedListener> {
    listeners(analyses)
        .map(|(analysis, listener)| TracedListener {
            local: listener.local,
            queue: listener.accept_queue_len,
            holders: holders(analysis, listener).collect(),
            watches: watches(analysis, listener),
        })
        .collect()
}

fn listeners(analyses: &[Arc<Analysis>]) -> impl Iterator<Item = (&Arc<Analysis>, &Listener)> {
    analyses.iter().flat_map(|analysis| {
        let its = analysis.snapshot.sockets.listeners.iter();
        its.map(move |listener| (analysis, listener))
    })
}

fn holders(analysis: &Analysis, listener: &Listener) -> impl Iterator<Item = (Pid, u32)> {
    let inode = listener.inode.into_iter();
    inode
        .flat_map(|inode| analysis.owners.of(inode))
        .filter_map(|holder| Some((holder.pid, holder.fd?)))
}

fn watches(analysis: &Analysis, listener: &Listener) -> Vec<TracedWatch> {
    let facts = analysis.facts();
    let acceptors = division(&facts, listener).acceptors.into_iter();
    acceptors
        .flat_map(|acceptor| {
            let pid = acceptor.process.pid;
            let watches = acceptor.watches.into_iter();
            watches.flat_map(move |watch| traced(pid, &watch))
        })
        .collect()
}

/// The sets on which a waiting thread notices the listener.
fn traced(pid: Pid, watch: &Watch) -> Vec<TracedWatch> {
    let sets = watch.reached_by.iter();
    sets.map(|set| TracedWatch {
        pid,
        epoll_fd: *set,
        edge_triggered: watch.edge_triggered,
    })
    .collect()
}
