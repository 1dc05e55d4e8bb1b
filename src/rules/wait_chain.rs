//! The chain of waits behind a finding, as values that a report hands to programs.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Finding, waits};
use crate::correlate::Analysis;
use crate::correlate::waits::{Chain, Facts, Link, Party, Summary, Target};
use crate::model::{Confidence, Pid};

/// What waits for what, from the accused to the root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitChain {
    /// The links, the accused first.
    pub links: Vec<WaitLink>,
    /// What the last link waits for, in words.
    pub root: String,
    /// Whether the chain leads back to where it began.
    pub deadlock: bool,
    /// How many threads of the accused wait for the first thing.
    pub members: usize,
    /// Of how many.
    pub of: usize,
}

/// One link of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitLink {
    /// What kind of thing is waited for.
    pub kind: &'static str,
    /// The process that waits; of several the first.
    pub pid: Option<Pid>,
    /// Its thread.
    pub tid: Option<Pid>,
    /// The descriptor in the call.
    pub fd: Option<u32>,
    /// What is waited for, in words.
    pub what: String,
    /// Since when, where that shows.
    pub since: Option<Duration>,
    /// How sure the link is.
    pub sure: Confidence,
}

/// Follows the waits behind a finding; none if its processes are not blocked.
pub fn wait_chain(analysis: &Analysis, finding: &Finding) -> Option<WaitChain> {
    if finding.subject.pids.is_empty() {
        return None;
    }
    let facts = analysis.facts();
    let summary = accused(&facts, finding);
    if let Some(group) = summary.foreign().or(summary.groups.first()) {
        let chain = Chain::of(&facts, &summary, group);
        let fd = group.members[0].fd;
        return Some(WaitChain {
            links: links(&facts, &chain, fd),
            root: root(&facts, &chain),
            deadlock: chain.cycle,
            members: group.members.len(),
            of: summary.threads.len(),
        });
    }
    let requests = waits::open_requests(&summary, analysis.grace).next()?;
    let what = waits::requests_sentence(requests);
    Some(WaitChain {
        links: vec![WaitLink {
            kind: "answer",
            pid: finding.subject.pids.first().copied(),
            tid: None,
            fd: None,
            what: what.clone(),
            since: requests.longest,
            sure: Confidence::Likely,
        }],
        root: what,
        deadlock: false,
        members: requests.number,
        of: requests.number,
    })
}

/// What every thread of the processes that were followed waits for, in words.
pub fn thread_waits(analysis: &Analysis) -> BTreeMap<(Pid, Pid), String> {
    let facts = analysis.facts();
    let summary = Summary::of(&facts, &analysis.snapshot.waits.followed);
    summary
        .threads
        .iter()
        .map(|wait| {
            let what = waits::what_for(&facts, &wait.target, 1);
            ((wait.pid, wait.tid), what)
        })
        .collect()
}

/// The processes of the finding, and where those are at rest their children.
fn accused(facts: &Facts, finding: &Finding) -> Summary {
    let own = Summary::of(facts, &finding.subject.pids);
    if !own.groups.is_empty() || !own.requests.is_empty() {
        return own;
    }
    Summary::of(facts, &facts.children(&finding.subject.pids))
}

fn links(facts: &Facts, chain: &Chain, first_fd: Option<u32>) -> Vec<WaitLink> {
    let fds = std::iter::once(first_fd).chain(std::iter::repeat(None));
    chain
        .links
        .iter()
        .zip(fds)
        .map(|(link, fd)| {
            let (pid, tid) = ids(&link.party);
            WaitLink {
                kind: kind(link),
                pid,
                tid,
                fd,
                what: waits::what_for(facts, &link.target, 1),
                since: link.since,
                sure: link.sure,
            }
        })
        .collect()
}

fn ids(party: &Party) -> (Option<Pid>, Option<Pid>) {
    match party {
        Party::Threads { members, .. } => {
            let first = members.first().copied();
            (first.map(|(pid, _)| pid), first.map(|(_, tid)| tid))
        }
        Party::Thread { pid, tid, .. } => (Some(*pid), Some(*tid)),
        Party::Process { pid, .. } => (Some(*pid), None),
        Party::Nobody => (None, None),
    }
}

fn root(facts: &Facts, chain: &Chain) -> String {
    let root = chain.root();
    if root.party == Party::Nobody {
        return "an end that no process holds".to_owned();
    }
    waits::what_for(facts, &root.target, 1)
}

/// The word that stands for the kind of a wait in JSON.
fn kind(link: &Link) -> &'static str {
    if link.party == Party::Nobody {
        return "nobody";
    }
    match link.target {
        Target::Answer { .. } => "answer",
        Target::News { .. } => "news",
        Target::Connect { .. } => "connect",
        Target::Room { .. } => "room",
        Target::Client { .. } => "client",
        Target::FileLock { .. } => "file_lock",
        Target::Lock { .. } => "lock",
        Target::Thread { .. } => "thread",
        Target::Child { .. } => "child",
        Target::Output { .. } => "output",
        Target::Datagram { .. } => "datagram",
        Target::OpenPipe => "open_pipe",
        Target::Pipe { .. } => "pipe",
        Target::Unix { .. } => "unix_socket",
        Target::Nap => "nap",
        Target::Processor => "processor",
        Target::Kernel { .. } => "kernel",
        Target::Halted(_) => "stopped",
        Target::Events => "events",
        Target::Accept => "accept",
        Target::WorkQueue => "work_queue",
        Target::Signal => "signal",
        Target::Other(_) => "other",
        Target::Unseen(_) => "unseen",
    }
}
