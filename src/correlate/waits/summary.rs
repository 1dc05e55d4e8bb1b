//! What the threads of a service wait for, grouped by what they wait for.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::super::threads;
use super::facts::{Facts, asked};
use super::index::plain;
use super::standstill;
use super::target::{Target, ThreadWait};
use super::thread::wait_of;
use crate::model::{Pid, Process};

/// What the threads of some processes wait for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// What every living thread waits for.
    pub threads: Vec<ThreadWait>,
    /// The blocked ones, grouped by what they wait for; the largest group first.
    pub groups: Vec<Group>,
    /// Services that have not answered requests of these processes; the one with most requests first.
    pub requests: Vec<Requests>,
    /// Processes that nothing inside of them wakes: each of their threads waits for another one, and none has a
    /// time limit.
    pub at_standstill: Vec<Pid>,
}

/// Threads that wait for the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// What for; of several clients the first.
    pub target: Target,
    /// The threads.
    pub members: Vec<ThreadWait>,
    /// The longest of their waits, where that shows.
    pub longest: Option<Duration>,
}

/// Connections to one service that were asked and have not answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requests {
    /// The service.
    pub to: SocketAddr,
    /// How many.
    pub number: usize,
    /// How many of those are still being made.
    pub connecting: usize,
    /// How many of those have not taken all that was sent.
    pub unsent: usize,
    /// The longest time since one was asked, where that shows.
    pub longest: Option<Duration>,
}

impl Summary {
    /// Summarises what the threads of these processes wait for.
    pub fn of(facts: &Facts, pids: &[Pid]) -> Self {
        let processes: Vec<&Process> = pids.iter().filter_map(|pid| facts.process(*pid)).collect();
        let waits: Vec<ThreadWait> = processes
            .iter()
            .flat_map(|process| {
                let records = threads::records(process, facts.snapshot);
                let waits = records.iter();
                waits
                    .filter_map(|record| wait_of(facts, process, record))
                    .collect::<Vec<_>>()
            })
            .collect();
        let counted: Vec<ThreadWait> = waits
            .iter()
            .filter(|wait| wait.target.blocks() && !is_idle_main(facts, wait))
            .cloned()
            .collect();
        Self {
            groups: groups(&counted),
            requests: requests(facts, &processes),
            at_standstill: processes
                .iter()
                .filter(|process| standstill::is_at_standstill(facts, process))
                .map(|process| process.pid)
                .collect(),
            threads: waits,
        }
    }

    /// The processes that the threads belong to.
    pub fn process_count(&self) -> usize {
        let pids: std::collections::BTreeSet<Pid> =
            self.threads.iter().map(|wait| wait.pid).collect();
        pids.len()
    }

    /// The first group that waits for something outside of its own process and of its clients.
    pub fn foreign(&self) -> Option<&Group> {
        let is_foreign =
            |group: &&Group| !matches!(group.target, Target::Processor | Target::Client { .. });
        self.groups.iter().find(is_foreign)
    }
}

/// In such a runtime the main thread waits for the end of another thread as long as the program runs.
fn is_idle_main(facts: &Facts, wait: &ThreadWait) -> bool {
    let process = facts.process(wait.pid);
    let examination = process.and_then(|process| process.examination.as_ref());
    wait.tid == wait.pid
        && matches!(wait.target, Target::Thread { .. })
        && examination.is_some_and(|e| e.software.shares_work_among_threads())
}

fn groups(waits: &[ThreadWait]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for wait in waits {
        let same = groups
            .iter_mut()
            .find(|group| group.target.same_kind(&wait.target));
        match same {
            Some(group) => {
                group.longest = group.longest.max(wait.since);
                group.members.push(wait.clone());
            }
            None => groups.push(Group {
                target: wait.target.clone(),
                members: vec![wait.clone()],
                longest: wait.since,
            }),
        }
    }
    groups.sort_by_key(|group| std::cmp::Reverse(group.members.len()));
    groups
}

fn requests(facts: &Facts, processes: &[&Process]) -> Vec<Requests> {
    let mut by_service: BTreeMap<SocketAddr, Requests> = BTreeMap::new();
    let connections = processes
        .iter()
        .flat_map(|process| facts.connections_of(process))
        .filter(|connection| !facts.is_accepted_here(connection));
    for connection in connections {
        let Some(asked) = asked(connection) else {
            continue;
        };
        let to = plain(connection.remote);
        let requests = by_service.entry(to).or_insert(Requests {
            to,
            number: 0,
            connecting: 0,
            unsent: 0,
            longest: None,
        });
        requests.number += 1;
        requests.connecting += usize::from(asked.connecting);
        requests.unsent += usize::from(!asked.connecting && connection.send_q > 0);
        requests.longest = requests.longest.max(asked.since);
    }
    let mut requests: Vec<Requests> = by_service.into_values().collect();
    requests.sort_by_key(|requests| std::cmp::Reverse((requests.number, requests.longest)));
    requests
}
