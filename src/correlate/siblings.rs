//! Processes of one service: the same trouble in several of them is one finding.

use std::mem;

use rustc_hash::FxHashMap;

use super::leak_types::{Endpoint, Leak, LeakKind, Pairing};
use super::reader::Reader;
use crate::model::{Pid, Process, Snapshot};

/// A program and the process that its family of processes descends from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Service {
    command: String,
    root: Pid,
}

/// Joins the leaks of one kind that siblings have at the same end of a service.
pub(super) fn join<'a>(leaks: Vec<Leak<'a>>, snapshot: &Snapshot) -> Vec<Leak<'a>> {
    let mut joined: Vec<Leak> = Vec::new();
    let mut by_service: FxHashMap<(Vec<Service>, Endpoint), Vec<usize>> = FxHashMap::default();
    for leak in leaks {
        let services = services(&leak.pids, snapshot);
        if services.is_empty() {
            joined.push(leak);
            continue;
        }
        let same_service = by_service.entry((services, leak.endpoint)).or_default();
        let alike = |index: &&usize| is_alike(&joined[**index].kind, &leak.kind);
        let first = same_service.iter().find(alike).copied();
        if let Some(first) = first {
            absorb(&mut joined[first], leak);
        } else {
            same_service.push(joined.len());
            joined.push(leak);
        }
    }
    joined
}

/// The services of these processes; none where one of them was not read.
fn services(pids: &[Pid], snapshot: &Snapshot) -> Vec<Service> {
    let found: Option<Vec<Service>> = pids
        .iter()
        .map(|pid| Some(service(snapshot.processes.get(pid)?, snapshot)))
        .collect();
    let mut services = found.unwrap_or_default();
    services.sort();
    services.dedup();
    services
}

/// The service of a process: its oldest known ancestor that runs the same program, or the parent of
/// that one, which then started several.
fn service(process: &Process, snapshot: &Snapshot) -> Service {
    let mut oldest = process;
    // Pids may be reused, so the way up could be a circle.
    for _ in 0..snapshot.processes.len() {
        let parent = oldest.parent.known();
        match parent.and_then(|pid| snapshot.processes.get(pid)) {
            Some(parent) if parent.command == process.command => oldest = parent,
            _ => break,
        }
    }
    let root = match oldest.parent.known() {
        // A process that has lost its parent belongs to init.
        Some(0 | 1) | None => oldest.pid,
        Some(parent) => *parent,
    };
    Service {
        command: process.command.clone(),
        root,
    }
}

/// Returns whether two kinds differ at most in the thread that is named.
fn is_alike(one: &LeakKind, other: &LeakKind) -> bool {
    match (one, other) {
        (LeakKind::NotClosed(one), LeakKind::NotClosed(other)) => match (&**one, &**other) {
            (
                Reader::LoopBusy { activity: one, .. },
                Reader::LoopBusy {
                    activity: other, ..
                },
            )
            | (
                Reader::NoLoop { activity: one, .. },
                Reader::NoLoop {
                    activity: other, ..
                },
            ) => {
                mem::discriminant(one) == mem::discriminant(other)
                    && one.call_name() == other.call_name()
            }
            (one, other) => one == other,
        },
        (LeakKind::Relay(one), LeakKind::Relay(other)) => {
            (one.end, one.told_by) == (other.end, other.told_by)
        }
        (one, other) => one == other,
    }
}

/// Adds the leak of a sibling; the text goes on speaking of the first.
fn absorb<'a>(first: &mut Leak<'a>, other: Leak<'a>) {
    let same_hands = first.pids == other.pids;
    if let (LeakKind::Relay(one), LeakKind::Relay(others)) = (&mut first.kind, &other.kind) {
        // What a process passed on was counted for all of it.
        if !(same_hands && one.told_by == Pairing::PassedOn) {
            one.connections += others.connections;
        }
    }
    first.most_in_one = if same_hands {
        first.most_in_one + other.most_in_one
    } else {
        first.most_in_one.max(other.most_in_one)
    };
    for pid in other.pids {
        if !first.pids.contains(&pid) {
            first.pids.push(pid);
        }
    }
    first.connections.extend(other.connections);
    first.ages.extend(other.ages);
    first.overdue += other.overdue;
    first.young.extend(other.young);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::correlate::fixtures;
    use crate::model::{Reading, SocketTable};

    fn family(members: &[(Pid, Pid, &str)]) -> Snapshot {
        let mut snapshot = fixtures::snapshot(SocketTable::default());
        for (pid, parent, command) in members {
            let process = Process {
                parent: Reading::Known(*parent),
                command: (*command).to_owned(),
                ..fixtures::process(*pid)
            };
            snapshot.processes.insert(*pid, process);
        }
        snapshot
    }

    fn leak(pids: &[Pid], kind: LeakKind) -> Leak<'static> {
        Leak {
            pids: pids.to_vec(),
            endpoint: Endpoint::Client("10.0.0.7:5432".parse().unwrap()),
            kind,
            connections: Vec::new(),
            ages: Vec::new(),
            overdue: 1,
            most_in_one: 1,
            young: Vec::new(),
        }
    }

    fn pids_of(leaks: &[Leak]) -> Vec<Vec<Pid>> {
        leaks.iter().map(|leak| leak.pids.clone()).collect()
    }

    #[test]
    fn workers_of_a_master_that_is_not_shown_are_one_service() {
        let snapshot = family(&[(12, 10, "php-fpm"), (13, 10, "php-fpm"), (20, 10, "sh")]);
        let all = [12, 13, 20].map(|pid| leak(&[pid], LeakKind::IdlePool));
        let joined = join(all.into(), &snapshot);
        assert_eq!(pids_of(&joined), [vec![12, 13], vec![20]]);
        assert_eq!(joined[0].overdue, 2);
    }

    #[test]
    fn a_master_its_monitors_and_their_children_are_one_service() {
        let snapshot = family(&[
            (10, 1, "sshd"),
            (12, 10, "sshd"),
            (13, 12, "sshd"),
            (22, 10, "sshd"),
            (23, 22, "sshd"),
        ]);
        let pairs = [[12, 13], [22, 23]].map(|pids| leak(&pids, LeakKind::Inherited));
        let joined = join(pairs.into(), &snapshot);
        assert_eq!(pids_of(&joined), [[12, 13, 22, 23]]);
    }

    #[test]
    fn orphans_of_the_same_name_are_services_of_their_own() {
        let snapshot = family(&[(12, 1, "socat"), (13, 1, "socat")]);
        let all = [12, 13].map(|pid| leak(&[pid], LeakKind::IdlePool));
        assert_eq!(join(all.into(), &snapshot).len(), 2);
    }

    #[test]
    fn what_differs_in_kind_or_has_no_known_process_stays_apart() {
        let snapshot = family(&[(12, 10, "php-fpm"), (13, 10, "php-fpm")]);
        let all = vec![
            leak(&[12], LeakKind::IdlePool),
            leak(&[13], LeakKind::StuckWriter),
            leak(&[14], LeakKind::IdlePool),
            leak(&[], LeakKind::Unattributed),
        ];
        assert_eq!(join(all, &snapshot).len(), 4);
    }
}
