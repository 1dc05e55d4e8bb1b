//! The way from a group of threads to the root of what they wait for.

use std::collections::BTreeSet;
use std::time::Duration;

use super::facts::{Facts, asked};
use super::index::plain;
use super::summary::{Group, Requests, Summary};
use super::target::{Target, ThreadWait};
use crate::model::{Access, Confidence, Connection, Inode, Pid, Process};

/// The most links that are followed.
const MOST_LINKS: usize = 8;

/// Links from the first threads to the root, each with what it is that waits there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// The links, the accused first.
    pub links: Vec<Link>,
    /// Whether the last link leads back to one before: a deadlock.
    pub cycle: bool,
}

/// One link: what waits, and what for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// What waits.
    pub party: Party,
    /// What for.
    pub target: Target,
    /// The call it is in.
    pub call: String,
    /// Since when, where that shows.
    pub since: Option<Duration>,
    /// How sure it is that this is what the link before waits for.
    pub sure: Confidence,
}

/// What waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Party {
    /// So many threads of so many, all of the service that is accused.
    Threads {
        /// The threads.
        members: Vec<(Pid, Pid)>,
        /// Of how many.
        of: usize,
    },
    /// One thread of a process.
    Thread {
        /// The process.
        pid: Pid,
        /// The thread.
        tid: Pid,
        /// The name of the process.
        command: String,
        /// The thread's own name.
        name: String,
    },
    /// A process of which several threads wait for this.
    Process {
        /// The process.
        pid: Pid,
        /// Its name.
        command: String,
        /// How many of its threads.
        members: usize,
    },
    /// No process that was seen holds the other end.
    Nobody,
}

impl Party {
    /// The process, where it is one.
    pub fn pid(&self) -> Option<Pid> {
        match self {
            Self::Threads { members, .. } => members.first().map(|(pid, _)| *pid),
            Self::Thread { pid, .. } | Self::Process { pid, .. } => Some(*pid),
            Self::Nobody => None,
        }
    }

    /// The thread, where it is one.
    pub fn tid(&self) -> Option<Pid> {
        match self {
            Self::Thread { tid, .. } => Some(*tid),
            Self::Threads { .. } | Self::Process { .. } | Self::Nobody => None,
        }
    }
}

impl Chain {
    /// Follows the requests of event loops, which have no thread of their own, to the root.
    pub fn of_requests(facts: &Facts, summary: &Summary, requests: &Requests) -> Option<Self> {
        let pids: BTreeSet<Pid> = summary.threads.iter().map(|wait| wait.pid).collect();
        let mut processes = pids.into_iter().filter_map(|pid| facts.process(pid));
        let (process, wait) = processes
            .find_map(|process| Some((process, request_wait(facts, process, requests.to)?)))?;
        let mut chain = Self {
            links: vec![thread_link(process, &wait, Confidence::Certain)],
            cycle: false,
        };
        chain.follow(facts, wait, &mut BTreeSet::new());
        Some(chain)
    }

    /// Follows a group of threads to the root.
    pub fn of(facts: &Facts, summary: &Summary, group: &Group) -> Self {
        let mut chain = Self {
            links: vec![Link {
                party: Party::Threads {
                    members: group
                        .members
                        .iter()
                        .map(|wait| (wait.pid, wait.tid))
                        .collect(),
                    of: summary.threads.len(),
                },
                target: group.target.clone(),
                call: group.members[0].call.clone(),
                since: group.longest,
                sure: Confidence::Certain,
            }],
            cycle: false,
        };
        let mut seen: BTreeSet<(Pid, Pid)> = group
            .members
            .iter()
            .map(|wait| (wait.pid, wait.tid))
            .collect();
        chain.follow(facts, group.members[0].clone(), &mut seen);
        chain
    }

    fn follow(&mut self, facts: &Facts, first: ThreadWait, seen: &mut BTreeSet<(Pid, Pid)>) {
        let mut wait = first;
        while self.links.len() < MOST_LINKS {
            let Some((link, next)) = next_link(facts, &wait) else {
                break;
            };
            self.links.push(link);
            let Some(next) = next else { break };
            if !seen.insert((next.pid, next.tid)) {
                self.cycle = true;
                break;
            }
            wait = next;
        }
    }

    /// The last link: the root.
    pub fn root(&self) -> &Link {
        // A chain has its first link from the start.
        self.links.last().unwrap_or(&self.links[0])
    }

    /// As sure as its weakest link.
    pub fn sure(&self) -> Confidence {
        let links = self.links.iter().map(|link| link.sure);
        links.min().unwrap_or(Confidence::Possible)
    }
}

type Step = (Link, Option<ThreadWait>);

/// Returns what is on the other side of a wait, and what that waits for in turn.
fn next_link(facts: &Facts, wait: &ThreadWait) -> Option<Step> {
    match &wait.target {
        Target::Answer { .. } | Target::Connect { .. } | Target::Room { .. } => {
            on_connection(facts, wait)
        }
        Target::FileLock {
            holder: Some(holder),
            ..
        } => of_process(facts, *holder, Confidence::Certain),
        Target::Lock {
            pid,
            owner: Some(owner),
            ..
        } => of_thread(facts, *pid, *owner),
        Target::Thread { tid } => of_thread(facts, wait.pid, *tid),
        Target::Child { pid: Some(pid), .. } => of_process(facts, *pid, Confidence::Certain),
        Target::Child { pid: None, .. } => of_children(facts, wait.pid),
        Target::Output { child } => of_process(facts, *child, Confidence::Certain),
        Target::Datagram { from } => {
            let pid = holder_of(facts, facts.receiver_of(*from)?)?;
            of_process(facts, pid, Confidence::Certain)
        }
        Target::Pipe { name, writes } => of_link(facts, wait.pid, name, *writes),
        Target::Unix { inode, .. } => of_unix(facts, wait.pid, *inode),
        _ => None,
    }
}

fn on_connection(facts: &Facts, wait: &ThreadWait) -> Option<Step> {
    let process = facts.process(wait.pid)?;
    let inode = Facts::socket_of(process, wait.fd?)?;
    let connection = facts.connection(inode)?;
    of_connection(facts, connection)
}

/// The process at the other end of a connection that stays on this host.
fn of_connection(facts: &Facts, connection: &Connection) -> Option<Step> {
    if let Some(other) = facts.other_end(connection)
        && let Some(inode) = other.inode
    {
        let pid = holder_of(facts, inode)?;
        return of_process(facts, pid, Confidence::Certain);
    }
    let listener = facts.listener_of(connection)?;
    // It has not accepted the connection, or has not got it at all. Of several that hold the listener one that
    // cannot go on tells more than their master.
    let holders = holders_of(facts, listener);
    let blocked = |pid: &&Pid| !Summary::of(facts, &[**pid]).groups.is_empty();
    let pid = holders.iter().find(blocked).or(holders.first())?;
    of_process(facts, *pid, Confidence::Likely)
}

fn holder_of(facts: &Facts, inode: Inode) -> Option<Pid> {
    holders_of(facts, inode).into_iter().next()
}

/// Those found for this socket first, then those whose descriptors show it.
fn holders_of(facts: &Facts, inode: Inode) -> Vec<Pid> {
    let found = facts.snapshot.waits.holders.iter();
    let known = found.chain(&facts.snapshot.holders);
    let pids: Vec<Pid> = known
        .filter(|holder| holder.inode == inode)
        .map(|holder| holder.pid)
        .collect();
    if !pids.is_empty() {
        return pids;
    }
    let followed = facts.snapshot.waits.followed.iter();
    let holds = |process: &&Process| {
        let descriptors = process.examination.iter().flat_map(|e| &e.descriptors);
        descriptors
            .filter_map(crate::model::Descriptor::socket)
            .any(|held| held == inode)
    };
    followed
        .filter_map(|pid| facts.process(*pid))
        .filter(holds)
        .map(|process| process.pid)
        .collect()
}

fn of_thread(facts: &Facts, pid: Pid, tid: Pid) -> Option<Step> {
    let summary = Summary::of(facts, &[pid]);
    let wait = summary.threads.into_iter().find(|wait| wait.tid == tid)?;
    let process = facts.process(pid)?;
    Some((thread_link(process, &wait, Confidence::Certain), Some(wait)))
}

/// What a process does, as one link: the largest group of its threads that cannot go on, else what it asked
/// for in an event loop, else what its main thread does.
fn of_process(facts: &Facts, pid: Pid, sure: Confidence) -> Option<Step> {
    let process = facts.process(pid)?;
    let summary = Summary::of(facts, &[pid]);
    if let Some(group) = summary.groups.first() {
        let wait = group.members[0].clone();
        let link = if group.members.len() == 1 {
            // Of several threads it may be another that serves this one.
            let sure = if summary.threads.len() == 1 {
                sure
            } else {
                sure.min(Confidence::Likely)
            };
            thread_link(process, &wait, sure)
        } else {
            Link {
                party: Party::Process {
                    pid,
                    command: process.command.clone(),
                    members: group.members.len(),
                },
                target: group.target.clone(),
                call: wait.call.clone(),
                since: group.longest,
                sure: sure.min(Confidence::Likely),
            }
        };
        return Some((link, Some(wait)));
    }
    if let Some(requests) = summary.requests.first() {
        let wait = request_wait(facts, process, requests.to)?;
        return Some((
            thread_link(process, &wait, sure.min(Confidence::Likely)),
            Some(wait),
        ));
    }
    let wait = summary.threads.into_iter().next()?;
    Some((thread_link(process, &wait, sure), None))
}

/// An event loop waits for an answer with no thread of its own.
fn request_wait(facts: &Facts, process: &Process, to: std::net::SocketAddr) -> Option<ThreadWait> {
    let summary = Summary::of(facts, &[process.pid]);
    let requests = summary.requests.iter().find(|requests| requests.to == to)?;
    let first = summary.threads.first()?;
    let descriptors = process.examination.iter().flat_map(|e| &e.descriptors);
    let open: Vec<(u32, &Connection)> = descriptors
        .filter_map(|one| Some((one.fd, facts.connection(one.socket()?)?)))
        .filter(|(_, connection)| plain(connection.remote) == to && asked(connection).is_some())
        .collect();
    // Who has accepted one is surer than who should accept another.
    let is_accepted = |(_, connection): &&(u32, &Connection)| {
        facts
            .other_end(connection)
            .is_some_and(|other| other.inode.is_some())
    };
    let fd = open
        .iter()
        .find(is_accepted)
        .or(open.first())
        .map(|(fd, _)| *fd);
    Some(ThreadWait {
        fd,
        target: Target::Answer { from: to },
        since: requests.longest,
        ..first.clone()
    })
}

fn thread_link(process: &Process, wait: &ThreadWait, sure: Confidence) -> Link {
    Link {
        party: Party::Thread {
            pid: wait.pid,
            tid: wait.tid,
            command: process.command.clone(),
            name: wait.name.clone(),
        },
        target: wait.target.clone(),
        call: wait.call.clone(),
        since: wait.since,
        sure,
    }
}

/// Any child will do for a parent that waits for one: what most of them wait for is what it waits for.
fn of_children(facts: &Facts, pid: Pid) -> Option<Step> {
    let children = facts.snapshot.waits.children.get(&pid)?;
    let summary = Summary::of(facts, children);
    if let Some(group) = summary.groups.first() {
        let wait = group.members[0].clone();
        let link = Link {
            party: Party::Threads {
                members: group.members.iter().map(|one| (one.pid, one.tid)).collect(),
                of: summary.threads.len(),
            },
            target: group.target.clone(),
            call: wait.call.clone(),
            since: group.longest,
            sure: Confidence::Likely,
        };
        return Some((link, Some(wait)));
    }
    let asks = |child: &&Pid| !Summary::of(facts, &[**child]).requests.is_empty();
    let first = children.iter().find(asks).or(children.first())?;
    of_process(facts, *first, Confidence::Likely)
}

fn of_link(facts: &Facts, pid: Pid, name: &str, writes: bool) -> Option<Step> {
    let links = &facts.snapshot.waits.links;
    let others = || {
        links
            .iter()
            .filter(|link| link.target == name && link.pid != pid)
    };
    if others().next().is_none() {
        return links.iter().any(|link| link.target == name).then(nobody);
    }
    let wanted = if writes { Access::Read } else { Access::Write };
    let fits = |access: &Access| *access == wanted || *access == Access::Both;
    let other = others().find(|link| link.access.known().is_some_and(fits));
    match other {
        Some(other) => of_process(facts, other.pid, Confidence::Certain),
        None => Some(nobody()),
    }
}

fn nobody() -> Step {
    let link = Link {
        party: Party::Nobody,
        target: Target::Other("nobody".to_owned()),
        call: String::new(),
        since: None,
        sure: Confidence::Likely,
    };
    (link, None)
}

fn of_unix(facts: &Facts, pid: Pid, inode: u32) -> Option<Step> {
    let peer = facts.unix_socket(inode)?.peer;
    let sockets = &facts.snapshot.waits.unix_sockets;
    let waits_at = sockets.iter().find(|one| one.waiting.contains(&inode));
    let (end, sure) = match peer {
        Some(peer) => (peer, Confidence::Certain),
        None => (waits_at?.inode, Confidence::Certain),
    };
    let text = format!("socket:[{end}]");
    let links = &facts.snapshot.waits.links;
    let holder = links
        .iter()
        .find(|link| link.target == text && link.pid != pid)?;
    of_process(facts, holder.pid, sure)
}
