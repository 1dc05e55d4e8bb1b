//! The event loops of a process, by the epoll sets in which it waits for its clients.

use std::collections::BTreeSet;

use super::activity::Activity;
use super::threads::ThreadRecord;
use super::waits::Facts;
use super::watch::Watches;
use crate::model::Process;

/// The sets in which a process waits for its clients.
pub(super) fn client_loops(facts: &Facts, process: &Process) -> BTreeSet<u32> {
    let clients: BTreeSet<u64> = facts
        .connections_of(process)
        .into_iter()
        .filter(|connection| facts.is_accepted_here(connection))
        .filter_map(|connection| connection.inode?.number())
        .map(u64::from)
        .collect();
    let sets = process.examination.iter().flat_map(|e| &e.epoll_sets);
    sets.filter(|set| {
        let watches = set.watches.known().into_iter().flatten();
        let mut targets = watches.filter_map(|watch| watch.target_inode);
        targets.any(|inode| clients.contains(&inode))
    })
    .map(|set| set.fd)
    .collect()
}

/// How many sets with clients there are on which no thread was ever seen waiting: their loops do something
/// else. None where what the threads do could not be seen, or they may wait for an `io_uring`.
pub(super) fn unattended(facts: &Facts, process: &Process, threads: &[ThreadRecord]) -> usize {
    let mut seen = threads.iter().flat_map(|thread| &thread.looks).peekable();
    let hidden = |activity: &Activity| matches!(activity, Activity::Unseen(_) | Activity::IoUring);
    if seen.peek().is_none() || seen.any(|look| hidden(&look.activity)) {
        return 0;
    }
    let watches = Watches::of(process);
    client_loops(facts, process)
        .into_iter()
        .filter(|set| !is_attended(&watches.noticed_by(*set).0, threads))
        .count()
}

fn is_attended(sets: &[u32], threads: &[ThreadRecord]) -> bool {
    threads
        .iter()
        .flat_map(|thread| &thread.looks)
        .any(|look| matches!(look.activity, Activity::EpollWait { fd } if sets.contains(&fd)))
}
