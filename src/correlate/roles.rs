//! Which of the processes that hold a listener accept from it, by evidence.
//!
//! A holder of a listener need not accept from it: masters keep it for their workers, children inherit it.

use std::collections::BTreeSet;
use std::time::Duration;

use super::acceptor_types::Acceptor;
use super::matching::Listeners;
use super::waits::Facts;
use crate::model::{Connection, Listener, Pid, Process, TcpState};

/// What a process that holds a listener, or a connection that came in there, is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// It accepts, or would if it could.
    Accepts,
    /// It was started for one connection that its parent accepted.
    Handles,
    /// It keeps the listener for the workers that it started.
    Master,
    /// It holds the listener, nothing shows that it accepts, and another process does.
    Holds,
    /// It holds the listener and nothing shows that it ever accepts; its parent has ended.
    Orphan,
}

/// `starttime` and the machine's uptime count in hundredths of a second.
const CLOCK_SLACK: Duration = Duration::from_millis(10);

/// Workers that were started this soon after their parent belong to a pool.
const START_OF_A_POOL: Duration = Duration::from_millis(100);

/// Decides the role of each owner of a listener.
pub(super) fn roles(facts: &Facts, listener: &Listener, all: &[Acceptor]) -> Vec<Role> {
    let owners = Owners {
        facts,
        listener,
        all,
    };
    let handlers = owners.handlers();
    let seen: Vec<bool> = all.iter().map(|one| owners.serves(one)).collect();
    let any_seen = all
        .iter()
        .zip(&seen)
        .any(|(one, seen)| *seen && !handlers.contains(&one.process.pid));
    all.iter()
        .zip(seen)
        .map(|(one, seen)| {
            if handlers.contains(&one.process.pid) {
                Role::Handles
            } else if owners.is_orphan(one) {
                if all.len() == 1 {
                    Role::Orphan
                } else {
                    Role::Holds
                }
            } else if seen {
                Role::Accepts
            } else if any_seen {
                Role::Holds
            } else if owners.is_master(one, &handlers) {
                Role::Master
            } else if owners.is_helper(one) {
                Role::Holds
            } else {
                Role::Accepts
            }
        })
        .collect()
}

struct Owners<'f, 'a> {
    facts: &'f Facts<'a>,
    listener: &'f Listener,
    all: &'f [Acceptor<'a>],
}

impl Owners<'_, '_> {
    /// It was seen accepting, or registers the listener in a set of its own.
    fn serves(&self, one: &Acceptor) -> bool {
        one.accepts() || (one.is_armed() && !is_copy(one, self.all))
    }

    /// Connections that came in at the listener and that the process holds.
    fn accepted(&self, process: &Process) -> Vec<&Connection> {
        let listeners = std::slice::from_ref(self.listener);
        let listeners = Listeners::new(listeners);
        self.facts
            .connections_of(process)
            .into_iter()
            .filter(|connection| connection.state != TcpState::Listen)
            .filter(|connection| listeners.explain(connection))
            .collect()
    }

    /// Children that are younger than the connection they hold: their parent accepted it, then started them.
    fn handlers(&self) -> BTreeSet<Pid> {
        let parents: BTreeSet<Pid> = self.all.iter().map(|one| one.process.pid).collect();
        let of_owners = self
            .all
            .iter()
            .filter(|one| !one.accepts() && !one.waits() && !was_given_listener(one))
            .map(|one| one.process);
        of_owners
            .filter(|process| {
                let parent = process.parent.copied();
                parent.is_some_and(|parent| parents.contains(&parent))
            })
            .filter(|process| self.started_after_its_parent(process))
            .filter(|process| self.is_younger_than_its_connections(process))
            .map(|process| process.pid)
            .collect()
    }

    /// A pool of workers starts together with its master, and what waits in the queue then may be older than
    /// all of them.
    fn started_after_its_parent(&self, process: &Process) -> bool {
        let parent = process
            .parent
            .copied()
            .and_then(|pid| self.facts.process(pid));
        let ages = parent.map(|parent| (self.facts.age(parent), self.facts.age(process)));
        matches!(ages, Some((Some(parent), Some(child))) if parent >= child + START_OF_A_POOL)
    }

    fn is_younger_than_its_connections(&self, process: &Process) -> bool {
        let accepted = self.accepted(process);
        let Some(age) = self.facts.age(process) else {
            return false;
        };
        !accepted.is_empty()
            && accepted.iter().all(|connection| {
                connection.ages.is_some_and(|ages| {
                    // A connection is at least as old as the oldest thing that happened on it.
                    let oldest = ages
                        .last_data_recv()
                        .max(ages.last_data_sent())
                        .max(ages.last_ack_recv());
                    age <= oldest + CLOCK_SLACK
                })
            })
    }

    /// It started other owners, holds no connection of this listener, and waits as masters do.
    fn is_master(&self, one: &Acceptor, handlers: &BTreeSet<Pid>) -> bool {
        let workers: Vec<&Acceptor> = self
            .all
            .iter()
            .filter(|other| other.process.parent.copied() == Some(one.process.pid))
            .filter(|other| !handlers.contains(&other.process.pid))
            .collect();
        if workers.is_empty() || !self.accepted(one.process).is_empty() {
            return false;
        }
        let worker_accepted = workers
            .iter()
            .any(|worker| !self.accepted(worker.process).is_empty());
        worker_accepted || one.is_supervisor()
    }

    /// It was started by another owner that has accepted, and has accepted nothing itself.
    fn is_helper(&self, one: &Acceptor) -> bool {
        let parent = one.process.parent.copied();
        let Some(parent) = self
            .all
            .iter()
            .find(|other| Some(other.process.pid) == parent)
        else {
            return false;
        };
        self.accepted(one.process).is_empty() && !self.accepted(parent.process).is_empty()
    }

    /// Its parent has ended, it is no leader of a session or of a group, as a server is that was started or
    /// made itself a daemon, and nothing shows that it accepts.
    fn is_orphan(&self, one: &Acceptor) -> bool {
        const FIRST_PROCESS: Pid = 1;
        let process = one.process;
        let leads = |of: Option<Pid>| of.is_none_or(|leader| leader == process.pid || leader == 0);
        process.parent.copied() == Some(FIRST_PROCESS)
            && !leads(process.session.copied())
            && !leads(process.group.copied())
            && !one.accepts()
            && !one.waits()
            && self.accepted(process).is_empty()
            && process
                .examination
                .as_ref()
                .is_some_and(|examination| examination.descriptors_complete)
    }
}

/// A super-server starts a program of its `wait` kind with the listener as its standard input: that program accepts.
fn was_given_listener(one: &Acceptor) -> bool {
    const STANDARD_INPUT: u32 = 0;
    one.fds.contains(&STANDARD_INPUT)
}

/// A process that was forked with an epoll set shares the set, registrations and all. If it was
/// never seen waiting on it, and a relative with the same registrations was, it is just a copy.
fn is_copy(acceptor: &Acceptor, all: &[Acceptor]) -> bool {
    !acceptor.waits()
        && all.iter().any(|other| {
            let related = other.process.parent.known() == Some(&acceptor.process.pid)
                || acceptor.process.parent.known() == Some(&other.process.pid);
            related && other.watches == acceptor.watches && other.waits()
        })
}
