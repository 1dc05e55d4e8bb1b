//! What to read next, decided on what threads were seen waiting for.

use std::collections::BTreeSet;

use super::super::activity::{self, Activity};
use super::super::threads::{self, ThreadRecord};
use super::facts::{Facts, asked, threads as threads_of};
use super::target::{Target, ThreadWait};
use super::thread::wait_of;
use crate::model::{Connection, Inode, InodeSet, Pid, Process, Snapshot, Thread, UnixSocket};

/// The most unanswered connections of one process that are followed.
const MOST_REQUESTS: usize = 8;

/// The most children of one process that are read.
const MOST_CHILDREN: usize = 64;

/// Tables that are needed besides what is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Needs {
    /// Every connection, with its clocks.
    pub connections: bool,
    /// The locks on files.
    pub locks: bool,
    /// Unix sockets.
    pub unix_sockets: bool,
}

/// Where the next links lead.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Next {
    /// Sockets whose holders are to be found.
    pub sockets: InodeSet,
    /// Pipes, files and unix sockets whose holders are to be found, by the text of their links.
    pub links: BTreeSet<String>,
    /// Processes that are waited for.
    pub pids: BTreeSet<Pid>,
}

/// Whether a thread sleeps in `futex`.
pub fn is_in_futex(machine: &str, thread: &Thread) -> bool {
    let polled = thread.polled_fds.as_ref();
    activity::interpret(machine, thread.state, thread.syscall, polled) == Activity::Futex
}

/// The descriptors that the threads of a process are blocked on or poll.
pub fn blocked_descriptors(snapshot: &Snapshot, pid: Pid) -> BTreeSet<u32> {
    let machine = &snapshot.host.machine;
    let first = threads_of(snapshot, pid)
        .iter()
        .map(|thread| (thread.state, thread.syscall, thread.polled_fds.as_ref()));
    let samples = snapshot.samples.iter().flat_map(|sample| &sample.threads);
    let later = samples
        .filter(|seen| seen.pid == pid)
        .map(|seen| (seen.state, seen.syscall, seen.polled_fds.as_ref()));
    first
        .chain(later)
        .flat_map(|(state, syscall, polled)| {
            descriptors(&activity::interpret(machine, state, syscall, polled))
        })
        .collect()
}

fn descriptors(activity: &Activity) -> Vec<u32> {
    match activity {
        Activity::OnDescriptor { fd, .. } | Activity::Accept { fd } => vec![*fd],
        Activity::Poll { fds: Some(fds), .. } => fds.clone(),
        _ => Vec::new(),
    }
}

/// The tables that are needed to name what the processes that were read wait for, and were not read yet.
pub fn needs(snapshot: &Snapshot) -> Needs {
    let facts = Facts::of(snapshot);
    let machine = &snapshot.host.machine;
    let mut needs = Needs::default();
    let waits = &snapshot.waits;
    for process in followed(snapshot) {
        needs.connections |= waits.connections.is_empty() && has_unknown_socket(&facts, process);
        for thread in threads_of(snapshot, process.pid) {
            let polled = thread.polled_fds.as_ref();
            let activity = activity::interpret(machine, thread.state, thread.syscall, polled);
            let call = activity.call_name();
            needs.locks |= waits.locks.is_empty() && (call == "flock" || call == "fcntl");
            let unknown = descriptors(&activity).into_iter().any(|fd| {
                let inode = Facts::socket_of(process, fd);
                inode.is_some_and(|inode| facts.connection(inode).is_none())
            });
            needs.unix_sockets |= unknown && waits.unix_sockets.is_empty();
        }
    }
    needs
}

/// Whether a thread reads from a socket that is neither TCP nor unix, or polls nothing but one.
pub fn needs_udp_sockets(snapshot: &Snapshot) -> bool {
    let facts = Facts::of(snapshot);
    if !snapshot.waits.udp_sockets.is_empty() {
        return false;
    }
    let is_of_another_kind = |process: &Process, fd: u32| {
        Facts::socket_of(process, fd).is_some_and(|inode| {
            let number = inode.number();
            let unix = number.and_then(|number| facts.unix_socket(number));
            !number.is_some_and(|number| facts.is_tcp(number.into())) && unix.is_none()
        })
    };
    followed(snapshot).any(|process| {
        let records = threads::records(process, snapshot);
        let mut usual = records.iter().filter_map(ThreadRecord::usual);
        usual.any(|(activity, _)| match &descriptors(&activity)[..] {
            [fd] => is_of_another_kind(process, *fd),
            _ => false,
        })
    })
}

fn has_unknown_socket(facts: &Facts, process: &Process) -> bool {
    let listeners: InodeSet = facts
        .snapshot
        .sockets
        .listeners
        .iter()
        .chain(&facts.snapshot.sockets.other_listeners)
        .filter_map(|listener| listener.inode)
        .collect();
    let descriptors = process.examination.iter().flat_map(|e| &e.descriptors);
    descriptors
        .filter_map(crate::model::Descriptor::socket)
        .any(|inode| !listeners.contains(&inode) && facts.connection(inode).is_none())
}

fn followed(snapshot: &Snapshot) -> impl Iterator<Item = &Process> {
    let pids = snapshot.waits.followed.iter();
    pids.filter_map(|pid| snapshot.processes.get(pid))
}

/// The most sockets of one process that are searched for descriptors in flight.
const MOST_CHANNELS: usize = 16;

/// Sockets of these processes over which the parent may have sent descriptors, of those that were followed as
/// children: not TCP sockets.
pub fn channels_of_children(snapshot: &Snapshot, pids: &BTreeSet<Pid>) -> Vec<(Pid, u32)> {
    let facts = Facts::of(snapshot);
    let children: BTreeSet<Pid> = snapshot
        .waits
        .children
        .values()
        .flatten()
        .copied()
        .collect();
    let of_child = |process: &Process| {
        let descriptors = process.examination.iter().flat_map(|e| &e.descriptors);
        let pid = process.pid;
        descriptors
            .filter(|one| {
                let inode = one.socket();
                inode.is_some_and(|inode| facts.connection(inode).is_none())
            })
            .map(|one| (pid, one.fd))
            .take(MOST_CHANNELS)
            .collect::<Vec<_>>()
    };
    pids.intersection(&children)
        .filter_map(|pid| facts.process(*pid))
        .flat_map(of_child)
        .collect()
}

/// Where the waits of these processes lead.
pub fn next(snapshot: &Snapshot, front: &BTreeSet<Pid>) -> Next {
    let facts = Facts::of(snapshot);
    let mut next = Next::default();
    for process in front.iter().filter_map(|pid| facts.process(*pid)) {
        let records = threads::records(process, snapshot);
        if facts.has_children(process.pid) {
            let activities = records.iter().filter_map(ThreadRecord::usual);
            let polled = activities.flat_map(|(activity, _)| polled_pipes(process, &activity));
            next.links.extend(polled);
        }
        let waits: Vec<ThreadWait> = records
            .iter()
            .filter_map(|record| wait_of(&facts, process, record))
            .collect();
        for wait in &waits {
            note_wait(&facts, process, wait, &mut next);
        }
        let open = facts.connections_of(process);
        let open = open.into_iter().filter(|connection| {
            !facts.is_accepted_here(connection) && asked(connection).is_some()
        });
        for connection in open.take(MOST_REQUESTS) {
            note_connection(&facts, connection, &mut next);
        }
        if !waits.iter().any(|wait| wait.target.blocks()) {
            next.pids.extend(children(snapshot, process.pid));
        }
    }
    next
}

/// The most pipes in one poll whose other ends are looked for.
const MOST_POLLED_PIPES: usize = 4;

/// Pipes that a thread polls: a child may write into them.
fn polled_pipes(process: &Process, activity: &Activity) -> Vec<String> {
    let Activity::Poll { fds: Some(fds), .. } = activity else {
        return Vec::new();
    };
    let texts = fds.iter().filter_map(|fd| Facts::target_text(process, *fd));
    let texts: Vec<&str> = texts.collect();
    // Beside a socket it is what a loop is woken with.
    if texts.iter().any(|text| text.starts_with("socket:")) {
        return Vec::new();
    }
    let pipes = texts.iter().filter(|text| text.starts_with("pipe:"));
    pipes
        .take(MOST_POLLED_PIPES)
        .map(|text| (*text).to_owned())
        .collect()
}

fn children(snapshot: &Snapshot, pid: Pid) -> impl Iterator<Item = Pid> {
    let children = snapshot.waits.children.get(&pid);
    children.into_iter().flatten().copied().take(MOST_CHILDREN)
}

fn note_wait(facts: &Facts, process: &Process, wait: &ThreadWait, next: &mut Next) {
    match &wait.target {
        Target::Answer { .. } | Target::Room { .. } | Target::Connect { .. } => {
            let inode = wait.fd.and_then(|fd| Facts::socket_of(process, fd));
            if let Some(connection) = inode.and_then(|inode| facts.connection(inode)) {
                note_connection(facts, connection, next);
            }
        }
        Target::FileLock { holder, .. } => next.pids.extend(*holder),
        Target::Child { pid: Some(pid), .. } => {
            next.pids.insert(*pid);
        }
        Target::Child { pid: None, .. } => {
            next.pids.extend(children(facts.snapshot, process.pid));
        }
        Target::Pipe { name, .. } => {
            next.links.insert(name.clone());
        }
        Target::Output { child } => {
            next.pids.insert(*child);
        }
        Target::Datagram { from } => {
            let receiver = facts.receiver_of(*from);
            next.sockets
                .extend(receiver.filter(|inode| !is_held_by_known(facts, *inode)));
        }
        Target::Unix { inode, .. } => next.links.extend(unix_end(facts, *inode)),
        _ => {}
    }
}

/// The link text of the other end of a unix socket: its peer, or the listener where it was not accepted.
fn unix_end(facts: &Facts, inode: u32) -> Option<String> {
    let link = |socket: &UnixSocket| format!("socket:[{}]", socket.inode);
    let peer = facts.unix_socket(inode)?.peer;
    let accepted = peer.and_then(|peer| facts.unix_socket(peer)).map(link);
    accepted.or_else(|| {
        let sockets = &facts.snapshot.waits.unix_sockets;
        let listener = sockets.iter().find(|one| one.waiting.contains(&inode));
        listener.map(link)
    })
}

/// The other end on this host, or the listener that has not accepted it.
fn note_connection(facts: &Facts, connection: &Connection, next: &mut Next) {
    let other = facts.other_end(connection).and_then(|other| other.inode);
    let inode = other.or_else(|| facts.listener_of(connection));
    next.sockets
        .extend(inode.filter(|inode| !is_held_by_known(facts, *inode)));
}

fn is_held_by_known(facts: &Facts, inode: Inode) -> bool {
    facts
        .snapshot
        .waits
        .holders
        .iter()
        .any(|holder| holder.inode == inode)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::correlate::fixtures;
    use crate::model::{Reading, RunState, SocketTable, Syscall};

    #[test]
    fn a_host_without_followed_processes_needs_nothing() {
        let snapshot = fixtures::snapshot(SocketTable::default());
        assert_eq!(needs(&snapshot), Needs::default());
        assert_eq!(next(&snapshot, &BTreeSet::from([7])), Next::default());
    }

    #[test]
    fn a_thread_in_flock_needs_the_locks() {
        let mut snapshot = fixtures::snapshot(SocketTable::default());
        let mut process = fixtures::process(7);
        let examination = process.examination.as_mut().unwrap();
        examination.threads = Reading::Known(vec![fixtures::thread(
            7,
            RunState::Sleeping,
            Syscall::Call {
                number: 73,
                args: [3, 2, 0, 0],
            },
        )]);
        snapshot.processes.insert(7, process);
        snapshot.waits.followed.push(7);
        assert!(needs(&snapshot).locks);
    }
}
