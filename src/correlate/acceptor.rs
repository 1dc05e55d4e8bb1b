//! For a listener with waiting connections: which processes should accept them, and why they do not.

use std::collections::{BTreeMap, BTreeSet};

use super::acceptor_state::state_of;
pub use super::acceptor_types::{Acceptor, AcceptorState, Doubt};
pub use super::halt::{Halt, halt};
use super::loops::client_loops;
use super::matching::Listeners;
use super::roles::{Role, roles};
pub use super::threads::Unwatched;
use super::threads::{ThreadRecord, first_look, later_look};
use super::waits::{Facts, Summary};
use super::watch::Watches;
use crate::model::{Inode, Listener, Pid, Process, Snapshot};

/// The processes that hold a listener, by what they are for.
#[derive(Debug, Default)]
pub struct Division<'a> {
    /// Those that accept, or would if they could. The ones with the busiest threads come first.
    pub acceptors: Vec<Acceptor<'a>>,
    /// Those that were started for one connection each.
    pub handlers: Vec<&'a Process>,
    /// Those that merely hold the listener.
    pub holders: Vec<&'a Process>,
}

/// Divides the owners of a listener.
pub fn division<'a>(facts: &Facts<'a>, listener: &Listener) -> Division<'a> {
    let Some(inode) = listener.inode else {
        return Division::default();
    };
    let snapshot = facts.snapshot;
    let all: Vec<Acceptor> = owners(snapshot, inode)
        .into_iter()
        .filter_map(|(pid, fds)| {
            let process = snapshot.processes.get(&pid)?;
            Some(acceptor(facts, process, inode, fds))
        })
        .collect();
    let roles = roles(facts, listener, &all);
    let mut division = Division::default();
    for (mut acceptor, role) in all.into_iter().zip(roles) {
        match role {
            Role::Accepts => division.acceptors.push(acceptor),
            Role::Orphan => {
                acceptor.state = AcceptorState::Orphan;
                division.acceptors.push(acceptor);
            }
            Role::Handles => division.handlers.push(acceptor.process),
            Role::Master | Role::Holds => division.holders.push(acceptor.process),
        }
    }
    let weight = |acceptor: &Acceptor| std::cmp::Reverse(acceptor.weight());
    division.acceptors.sort_by_key(weight);
    let accepting = division.acceptors.iter().map(|one| one.process.pid);
    let accepting: BTreeSet<Pid> = accepting.collect();
    division
        .handlers
        .extend(other_handlers(facts, listener, &accepting));
    division
}

/// Children of an acceptor that do not hold the listener and hold connections that came in there.
fn other_handlers<'a>(
    facts: &Facts<'a>,
    listener: &Listener,
    parents: &BTreeSet<Pid>,
) -> Vec<&'a Process> {
    let listeners = Listeners::new(std::slice::from_ref(listener));
    let held: BTreeSet<Pid> = listener
        .inode
        .map(|inode| owners(facts.snapshot, inode).into_keys().collect())
        .unwrap_or_default();
    let children = parents
        .iter()
        .filter_map(|pid| facts.snapshot.waits.children.get(pid))
        .flatten();
    children
        .filter(|child| !held.contains(child))
        .filter_map(|child| facts.snapshot.processes.get(child))
        .filter(|child| {
            let connections = facts.connections_of(child);
            connections
                .iter()
                .any(|connection| listeners.explain(connection))
        })
        .collect()
}

/// Processes and their descriptors of a socket.
fn owners(snapshot: &Snapshot, inode: Inode) -> BTreeMap<Pid, Vec<u32>> {
    let start = snapshot
        .holders
        .partition_point(|holder| holder.inode < inode);
    let mut owners: BTreeMap<Pid, Vec<u32>> = BTreeMap::new();
    for holder in &snapshot.holders[start..] {
        if holder.inode != inode {
            break;
        }
        owners.entry(holder.pid).or_default().extend(holder.fd);
    }
    owners
}

fn acceptor<'a>(
    facts: &Facts<'a>,
    process: &'a Process,
    inode: Inode,
    fds: Vec<u32>,
) -> Acceptor<'a> {
    let all_watches = Watches::of(process);
    let mut acceptor = Acceptor {
        process,
        watches: all_watches
            .find(inode, fds.iter().copied())
            .map(|(epoll_fd, registration)| all_watches.describe(epoll_fd, registration))
            .collect(),
        threads: thread_records(facts.snapshot, process, inode),
        waits: Summary::of(facts, &[process.pid]),
        loops: client_loops(facts, process),
        has_clients: facts
            .connections_of(process)
            .into_iter()
            .any(|connection| facts.is_accepted_here(connection)),
        fds,
        state: AcceptorState::Serving,
    };
    acceptor.state = state_of(&acceptor, &all_watches);
    acceptor
}

/// What each thread did while connections waited.
fn thread_records(snapshot: &Snapshot, process: &Process, inode: Inode) -> Vec<ThreadRecord> {
    let threads = match &process.examination {
        Some(examination) => examination.threads.known().map_or(&[][..], Vec::as_slice),
        None => &[],
    };
    let mut records: Vec<ThreadRecord> = threads
        .iter()
        .map(|thread| ThreadRecord {
            tid: thread.tid,
            command: thread.command.clone(),
            looks: Vec::new(),
        })
        .collect();
    if snapshot.samples.is_empty() {
        for (record, thread) in records.iter_mut().zip(threads) {
            record
                .looks
                .push(first_look(&snapshot.host.machine, thread));
        }
        return records;
    }
    let waits = |lengths: &BTreeMap<Inode, u32>| lengths.get(&inode).is_some_and(|len| *len > 0);
    for sample in &snapshot.samples {
        if !waits(&sample.before) || !waits(&sample.after) {
            continue;
        }
        for seen in sample.threads.iter().filter(|seen| seen.pid == process.pid) {
            let look = later_look(&snapshot.host.machine, sample.at, seen);
            match records.iter_mut().find(|record| record.tid == seen.tid) {
                Some(record) => record.looks.push(look),
                None => records.push(ThreadRecord {
                    tid: seen.tid,
                    command: String::new(),
                    looks: vec![look],
                }),
            }
        }
    }
    records
}
