//! Sentences about wait chains.

use std::collections::BTreeSet;
use std::time::Duration;

use super::words::{count, process_name, process_names, seconds};
use super::{Evidence, Finding, Severity};
use crate::correlate::Analysis;
use crate::correlate::acceptor::Halt;
use crate::correlate::waits::{Chain, Facts, Group, Link, Party, Requests, Summary, Target};
use crate::model::{Pid, Process};

/// Where name servers listen.
const DNS_PORT: u16 = 53;

/// The most different waits that are shown.
const SHOWN: usize = 3;

/// What the threads of a service wait for, and where that leads; the largest group first.
pub(super) fn evidence(facts: &Facts, waits: &Summary, grace: Duration) -> Vec<Evidence> {
    let mut lines = Vec::new();
    // What one group waits for may be a thread of another, with the same end.
    let mut passed: BTreeSet<Pid> = BTreeSet::new();
    for group in waits.groups.iter().take(SHOWN) {
        if group.members.iter().all(|one| passed.contains(&one.tid)) {
            continue;
        }
        let chain = Chain::of(facts, waits, group);
        passed.extend(
            chain
                .links
                .iter()
                .skip(1)
                .filter_map(|link| link.party.tid()),
        );
        lines.push(group_sentence(facts, waits, group));
        lines.extend(chain_sentences(facts, &chain));
    }
    let told: BTreeSet<_> = waits
        .groups
        .iter()
        .filter_map(|group| service_of(&group.target))
        .collect();
    let requests = open_requests(waits, grace).filter(|requests| !told.contains(&requests.to));
    for open in requests.take(SHOWN) {
        lines.push(requests_sentence(open));
        let chain = Chain::of_requests(facts, waits, open);
        lines.extend(chain.iter().flat_map(|chain| chain_sentences(facts, chain)));
    }
    lines.extend(standstill_sentence(facts, waits));
    lines.into_iter().map(Evidence::from).collect()
}

/// `all 5 threads of server[7] wait for one another, without a time limit: nothing inside of it wakes them`.
pub(super) fn standstill_sentence(facts: &Facts, waits: &Summary) -> Option<String> {
    // Where locks name their owners the groups say more.
    if !waits.groups.is_empty() {
        return None;
    }
    let pid = *waits.at_standstill.first()?;
    let threads = waits.threads.iter().filter(|wait| wait.pid == pid).count();
    let name = name(facts, pid);
    Some(if threads == 1 {
        format!(
            "the one thread of {name} waits in futex without a time limit, and no other thread is there to wake it"
        )
    } else {
        format!(
            "all {threads} threads of {name} wait for one another in futex, without a time limit: nothing inside of \
             it wakes them"
        )
    })
}

/// Requests that have waited for the grace period.
pub(super) fn open_requests(waits: &Summary, grace: Duration) -> impl Iterator<Item = &Requests> {
    waits
        .requests
        .iter()
        .filter(move |requests| requests.longest.is_none_or(|longest| longest >= grace))
}

fn service_of(target: &Target) -> Option<std::net::SocketAddr> {
    match target {
        Target::Answer { from } | Target::News { from } | Target::Datagram { from } => Some(*from),
        Target::Connect { to } => Some(*to),
        Target::Room { at } => Some(*at),
        _ => None,
    }
}

/// `4 of 5 threads of java[7] wait for the answer of 127.0.0.1:9000 (recvfrom, asked 32.1 s ago)`.
pub(super) fn group_sentence(facts: &Facts, waits: &Summary, group: &Group) -> String {
    format!(
        "{} {} {}{}",
        members(facts, waits, group),
        verb(group.members.len(), &group.target),
        what_for(facts, &group.target, group.members.len()),
        details(group)
    )
}

/// The members of a group: processes, threads, or the one thread.
pub(super) fn members(facts: &Facts, waits: &Summary, group: &Group) -> String {
    let pids: BTreeSet<Pid> = group.members.iter().map(|member| member.pid).collect();
    let first = facts.process(group.members[0].pid);
    let name = |process: Option<&Process>| process.map_or("a process".to_owned(), process_name);
    let (number, of) = (group.members.len(), waits.threads.len());
    if pids.len() > 1 {
        let command = first.map_or("", |process| process.command.as_str());
        let all = waits.process_count();
        return format!("{} {command} processes", share(pids.len(), all));
    }
    if of == 1 {
        return format!("thread {} of {}", group.members[0].tid, name(first));
    }
    if number == 1 {
        let member = &group.members[0];
        let own = first.map_or("", |process| process.command.as_str());
        return if member.name.is_empty() || member.name == own {
            format!("thread {} of {}", member.tid, name(first))
        } else {
            format!("thread {} ({}) of {}", member.tid, member.name, name(first))
        };
    }
    format!("{} threads of {}", share(number, of), name(first))
}

fn share(number: usize, of: usize) -> String {
    if number == of {
        format!("all {number}")
    } else {
        format!("{number} of {of}")
    }
}

fn verb(number: usize, target: &Target) -> &'static str {
    match (target, number) {
        (Target::Processor, 1) => "uses",
        (Target::Processor, _) => "use",
        (Target::Halted(_), 1) => "is",
        (Target::Halted(_), _) => "are",
        (Target::Nap, 1) => "sleeps",
        (Target::Nap, _) => "sleep",
        (_, 1) => "waits",
        _ => "wait",
    }
}

/// What a wait is for, as the end of a sentence.
pub(super) fn what_for(facts: &Facts, target: &Target, number: usize) -> String {
    match target {
        Target::Answer { from } => format!("for the answer of {from}"),
        Target::News { from } => format!("for what {from} may send"),
        Target::Connect { to } => format!("for a connection to {to}, which does not accept"),
        Target::Room { at } => format!("to send to {at}, which does not read"),
        Target::Client { from, at, silent } => client(*from, *at, *silent, number),
        Target::FileLock { file, holder } => match holder {
            Some(pid) => format!("for the lock on {file}, which {} holds", name(facts, *pid)),
            None => format!("for the lock on {file}"),
        },
        Target::Lock { owner, .. } => match owner {
            Some(tid) => format!("for a lock that thread {tid} holds"),
            None => "for a lock of another thread".to_owned(),
        },
        Target::Thread { tid } => format!("for thread {tid} to end"),
        Target::Child {
            pid, until_exec, ..
        } => child(facts, *pid, *until_exec),
        Target::Output { child } if number > 1 => {
            format!(
                "for the output of a child each ({}, ...)",
                name(facts, *child)
            )
        }
        Target::Output { child } => format!("for the output of its child {}", name(facts, *child)),
        Target::Datagram { from } if from.port() == DNS_PORT => {
            format!("for the answer of the name server {from} (UDP)")
        }
        Target::Datagram { from } => format!("for a datagram of {from} (UDP)"),
        Target::OpenPipe => "for another process to open the other end of a named pipe".to_owned(),
        Target::Pipe { name, writes } => {
            if *writes {
                format!("to write into {name}, which is full")
            } else {
                format!("for something to read from {name}")
            }
        }
        Target::Unix { name, .. } => match name {
            Some(name) => format!("for the other end of the unix socket {name}"),
            None => "for the other end of a unix socket".to_owned(),
        },
        Target::Nap => "and lets time pass".to_owned(),
        Target::Processor => "a processor".to_owned(),
        Target::Kernel { function } => match function {
            Some(function) => format!("in the kernel ({function}, state D)"),
            None => "in the kernel (state D)".to_owned(),
        },
        Target::Halted(halt) => match halt {
            Halt::Stopped => "stopped (state T)".to_owned(),
            Halt::Traced => "stopped by a debugger (state t)".to_owned(),
            Halt::Frozen => "in a frozen cgroup".to_owned(),
        },
        Target::Events => "for events".to_owned(),
        Target::Accept => "for a connection to accept".to_owned(),
        Target::WorkQueue => "for another thread".to_owned(),
        Target::Signal => "for a signal".to_owned(),
        Target::Other(call) => format!("in {call}"),
        Target::Unseen(gap) => format!("for something that could not be seen ({gap})"),
    }
}

fn client(
    from: std::net::SocketAddr,
    at: std::net::SocketAddr,
    silent: bool,
    number: usize,
) -> String {
    match (number, silent) {
        (1, true) => format!(
            "for the client {from}, whose connection to port {} was accepted and which has sent no byte",
            at.port()
        ),
        (1, false) => format!(
            "for more data of the client {from}, whose connection to port {} was accepted",
            at.port()
        ),
        (_, true) => format!(
            "for a client each ({from}, ...) whose connection to port {} was accepted and which has \
             sent no byte",
            at.port()
        ),
        (_, false) => format!(
            "for more data of a client each ({from}, ...) whose connection to port {} was accepted",
            at.port()
        ),
    }
}

fn child(facts: &Facts, pid: Option<Pid>, until_exec: bool) -> String {
    match (pid, until_exec) {
        (_, true) => "for the child that it starts to execute its program (vfork)".to_owned(),
        (Some(pid), false) => format!("for its child {} to end", name(facts, pid)),
        (None, false) => "for a child to end".to_owned(),
    }
}

fn name(facts: &Facts, pid: Pid) -> String {
    facts
        .process(pid)
        .map_or_else(|| format!("process {pid}"), process_name)
}

fn details(group: &Group) -> String {
    let call = &group.members[0].call;
    let since = match (&group.target, group.longest) {
        (Target::Answer { .. }, Some(since)) => {
            format!(", asked {} ago and nothing received since", seconds(since))
        }
        (_, Some(since)) => format!(", for {}", seconds(since)),
        (_, None) => String::new(),
    };
    match group.target {
        Target::Processor => String::new(),
        _ => format!(" ({call}{since})"),
    }
}

/// `10 connections to 127.0.0.1:9001 were asked and have not been answered, the longest 12.1 s ago`.
pub(super) fn requests_sentence(requests: &Requests) -> String {
    let number = count(requests.number, "connection");
    if requests.connecting == requests.number {
        return format!(
            "{number} to {} {} not come about: nobody answers there",
            requests.to,
            if requests.number == 1 { "has" } else { "have" }
        );
    }
    if requests.unsent == requests.number {
        return format!(
            "{} has not taken all that was sent on {number}{}",
            requests.to,
            requests.longest.map_or(String::new(), |longest| format!(
                ", the last {} ago",
                seconds(longest)
            ))
        );
    }
    let when = requests.longest.map_or(String::new(), |longest| {
        let which = if requests.number == 1 {
            ""
        } else {
            "the longest "
        };
        format!(", {which}{} ago", seconds(longest))
    });
    let (were, have) = if requests.number == 1 {
        ("was", "has")
    } else {
        ("were", "have")
    };
    format!(
        "{number} to {} {were} asked and {have} not been answered{when}",
        requests.to
    )
}

/// The links behind the first, one sentence each.
fn chain_sentences(facts: &Facts, chain: &Chain) -> Vec<String> {
    let mut lines: Vec<String> = chain
        .links
        .windows(2)
        .map(|pair| link_sentence(facts, &pair[0], &pair[1]))
        .collect();
    if chain.cycle {
        lines.push("that is where it began: they wait for each other (a deadlock)".to_owned());
    }
    lines
}

fn link_sentence(facts: &Facts, before: &Link, link: &Link) -> String {
    let relation = relation(&before.target);
    let Some(party) = party(facts, &link.party) else {
        return format!("{relation} is held by no other process that can be seen");
    };
    let number = match &link.party {
        Party::Threads { members, .. } => members.len(),
        Party::Process { members, .. } => *members,
        Party::Thread { .. } | Party::Nobody => 1,
    };
    let since = match (&link.target, link.since) {
        (Target::Answer { .. }, Some(since)) => format!(", asked {} ago", seconds(since)),
        (_, Some(since)) => format!(", for {}", seconds(since)),
        (_, None) => String::new(),
    };
    let call = match link.target {
        Target::Processor | Target::Halted(_) => String::new(),
        _ => format!(" ({}{since})", link.call),
    };
    format!(
        "{relation}{party} {} {}{call}",
        verb(number, &link.target),
        what_for(facts, &link.target, number)
    )
}

fn relation(target: &Target) -> String {
    match target {
        Target::Answer { from } | Target::Datagram { from } => format!("{from} is on this host: "),
        Target::Connect { to } => format!("{to} is on this host: "),
        Target::Room { at } => format!("{at} is on this host: "),
        Target::Output { .. } => "its child: ".to_owned(),
        Target::FileLock { file, .. } => format!("who holds the lock on {file}: "),
        Target::Lock { .. } => "who holds the lock: ".to_owned(),
        Target::Pipe { name, .. } => format!("the other end of {name}: "),
        Target::Unix { .. } => "the other end of the unix socket: ".to_owned(),
        Target::Child { .. } => "its children: ".to_owned(),
        _ => "there: ".to_owned(),
    }
}

fn party(facts: &Facts, party: &Party) -> Option<String> {
    match party {
        Party::Threads { members, of } => {
            let pids: BTreeSet<Pid> = members.iter().map(|(pid, _)| *pid).collect();
            let first = pids.first().map_or(String::new(), |pid| name(facts, *pid));
            Some(if pids.len() == 1 {
                first
            } else {
                format!("{} ({first}, ...)", share(members.len(), *of))
            })
        }
        Party::Thread {
            pid,
            tid,
            command,
            name,
        } => Some(if tid == pid {
            format!("{command}[{pid}]")
        } else if name == command {
            format!("thread {tid} of {command}[{pid}]")
        } else {
            format!("thread {tid} ({name}) of {command}[{pid}]")
        }),
        Party::Process {
            pid,
            command,
            members,
        } => Some(format!("{members} threads of {command}[{pid}]")),
        Party::Nobody => None,
    }
}

/// Why those who could serve cannot, as a clause.
pub(super) fn reason(facts: &Facts, waits: &Summary, grace: Duration) -> Option<String> {
    let group = waits.foreign().or(waits.groups.first());
    group
        .map(|group| group_sentence(facts, waits, group))
        .or_else(|| open_requests(waits, grace).next().map(requests_sentence))
        .or_else(|| standstill_sentence(facts, waits))
}

/// Adds to a finding about connections that a process holds what its threads wait for.
///
/// A program that has read the end may forget to close whatever it waits for; there the root comes first only
/// where threads are blocked, or it has asked about as often as it has leaked.
pub(super) fn explain_leak(analysis: &Analysis, mut finding: Finding) -> Finding {
    if finding.severity == Severity::Info || finding.subject.pids.is_empty() {
        return finding;
    }
    let facts = analysis.facts();
    let mut waits = Summary::of(&facts, &finding.subject.pids);
    // An idle process may pass its connections on to children that are busy.
    if waits.groups.is_empty() && waits.requests.is_empty() {
        let children = facts.children(&finding.subject.pids);
        waits = Summary::of(&facts, &children);
        let on_their_way = in_flight_sentence(&facts, &children, &waits);
        if let Some(sentence) = on_their_way {
            finding.evidence.push(sentence.into());
        } else if !waits.groups.is_empty() {
            finding
                .evidence
                .push(children_sentence(&facts, &children).into());
        }
    }
    finding
        .evidence
        .extend(evidence(&facts, &waits, analysis.grace));
    let asked: usize = open_requests(&waits, analysis.grace)
        .map(|requests| requests.number)
        .sum();
    let related =
        finding.id == "unread-eof" || waits.foreign().is_some() || asked * 2 >= finding.connections;
    if related && let Some(remedy) = first_remedy(&facts, &waits, analysis.grace) {
        finding.remedies.insert(0, remedy.into());
    }
    finding
}

/// Descriptors in flight that were not received, and what the receivers do.
fn in_flight_sentence(facts: &Facts, children: &[Pid], waits: &Summary) -> Option<String> {
    let of_children = facts
        .snapshot
        .waits
        .in_flight
        .iter()
        .filter(|one| children.contains(&one.pid));
    let number: u32 = of_children.clone().map(|one| one.number).sum();
    let receivers: BTreeSet<Pid> = of_children.map(|one| one.pid).collect();
    let first = receivers.first()?;
    let doing =
        waits
            .threads
            .iter()
            .find(|wait| wait.pid == *first)
            .map_or(String::new(), |wait| {
                format!(
                    "; thread {} {} {} ({})",
                    wait.tid,
                    verb(1, &wait.target),
                    what_for(facts, &wait.target, 1),
                    wait.call
                )
            });
    let names = process_names(receivers.iter().filter_map(|pid| facts.process(*pid)));
    Some(format!(
        "{} it has sent on over unix sockets {} not been taken by {names}{doing}",
        count(number as usize, "descriptor"),
        if number == 1 { "has" } else { "have" },
    ))
}

fn children_sentence(facts: &Facts, children: &[Pid]) -> String {
    let children = children.iter().filter_map(|pid| facts.process(*pid));
    format!(
        "it is at rest itself; its children are {}",
        process_names(children)
    )
}

/// What to look into first: the root of what most threads wait for, or the service that was asked most.
pub(super) fn first_remedy(facts: &Facts, waits: &Summary, grace: Duration) -> Option<String> {
    let group = waits.foreign().or(waits.groups.first());
    let root = group.and_then(|group| root_remedy(facts, &Chain::of(facts, waits, group)));
    root.or_else(|| {
        let requests = open_requests(waits, grace).next()?;
        let chain = Chain::of_requests(facts, waits, requests);
        chain
            .and_then(|chain| root_remedy(facts, &chain))
            .or_else(|| Some(request_remedy(requests)))
    })
    .or_else(|| standstill_sentence(facts, waits).map(|_| STANDSTILL_REMEDY.to_owned()))
}

const STANDSTILL_REMEDY: &str = "compare the stacks of all its threads: which lock each waits for, and which of them \
    holds it; take locks in one order, or give each wait a time limit";

fn request_remedy(requests: &Requests) -> String {
    if requests.unsent == requests.number {
        format!("find out why {} does not read what it is sent", requests.to)
    } else {
        format!("find out why {} does not answer", requests.to)
    }
}

/// How a circle of waits is broken, by what they are for.
fn deadlock_remedy(chain: &Chain) -> &'static str {
    let is_lock =
        |link: &Link| matches!(link.target, Target::Lock { .. } | Target::FileLock { .. });
    let is_request =
        |link: &Link| matches!(link.target, Target::Answer { .. } | Target::Connect { .. });
    if chain.links.iter().any(is_lock) {
        "break the deadlock: take the locks in one order, or give each wait a time limit"
    } else if chain.links.iter().all(is_request) {
        "break the deadlock: no request may wait for one that needs the same worker: more workers, a pool of \
         their own for such calls, and a time limit for each"
    } else {
        "break the deadlock: each end reads while it has something to write, or gives each wait a time limit"
    }
}

/// What to ask of an idle process at the end of a chain, by what the link before wants from it.
fn rest_remedy(name: &str, chain: &Chain) -> String {
    let wanted = chain.links.iter().rev().nth(1).map(|link| &link.target);
    match wanted {
        Some(Target::Answer { from } | Target::Datagram { from }) => {
            format!("find out why {name} does not answer at {from}")
        }
        Some(Target::Connect { to }) => format!("find out why {name} does not accept at {to}"),
        Some(Target::Room { at }) => {
            format!("find out why {name} does not read what it is sent at {at}")
        }
        _ => format!("find out why {name} does not go on"),
    }
}

/// Returns the service that the link before the root waits for.
fn service_before(chain: &Chain) -> Option<std::net::SocketAddr> {
    let before = chain.links.len().checked_sub(2)?;
    service_of(&chain.links.get(before)?.target)
}

/// Returns what the chain amounts to, if it has more than one link or leads to another service.
pub(super) fn conclusion(facts: &Facts, waits: &Summary) -> Option<String> {
    let group = waits.foreign()?;
    let chain = Chain::of(facts, waits, group);
    if chain.cycle {
        return Some("they wait for each other: none of them can go on".to_owned());
    }
    let root = chain.root();
    let what = match (&root.target, service_before(&chain)) {
        (Target::Answer { from } | Target::Datagram { from }, _) => {
            format!("{from} does not answer")
        }
        (Target::Connect { to }, _) => format!("{to} does not accept connections"),
        (Target::Room { at }, _) => format!("{at} does not read what it is sent"),
        (_, Some(service)) => {
            let pid = root.party.pid()?;
            format!(
                "{service}, which is {} on this host, does not answer",
                name(facts, pid)
            )
        }
        _ => return None,
    };
    Some(match chain.links[0].target {
        Target::FileLock { .. } | Target::Lock { .. } => {
            format!("{what}, and the lock makes one slow request stop all who need it")
        }
        _ => what,
    })
}

/// What to do about the end of a chain, if the user can look into it.
fn root_remedy(facts: &Facts, chain: &Chain) -> Option<String> {
    let root = chain.root();
    if chain.cycle {
        return Some(deadlock_remedy(chain).to_owned());
    }
    Some(match &root.target {
        Target::Datagram { from } if from.port() == DNS_PORT => format!(
            "find out why the name server {from} does not answer; `options timeout:1 attempts:2` in \
             resolv.conf shortens the wait"
        ),
        Target::Answer { from } | Target::Datagram { from } => {
            format!("find out why {from} does not answer")
        }
        Target::Connect { to } => format!("find out why {to} does not accept connections"),
        Target::Room { at } => format!("find out why {at} does not read what it is sent"),
        Target::OpenPipe => {
            "start the program that should open the other end of the pipe; with O_NONBLOCK open does not wait"
                .to_owned()
        }
        Target::Halted(_) => {
            let pid = root.party.pid()?;
            format!("continue {}, and find out who stopped it", name(facts, pid))
        }
        Target::Nap | Target::Events | Target::WorkQueue | Target::Signal | Target::Accept
            if chain.links.len() > 1 =>
        {
            let pid = root.party.pid()?;
            rest_remedy(&name(facts, pid), chain)
        }
        Target::Processor if chain.links.len() > 1 => {
            let pid = root.party.pid()?;
            format!(
                "find out what {} computes (perf top -p {pid})",
                name(facts, pid)
            )
        }
        Target::Client { .. } => {
            "give clients a time limit for their first byte and between bytes".to_owned()
        }
        Target::Kernel { .. } => {
            "the kernel waits for a disk, a network file system or a driver: dmesg may name it"
                .to_owned()
        }
        Target::Other(_) if root.party == Party::Nobody => {
            "find out who should hold the other end, and has ended".to_owned()
        }
        Target::Other(call) if chain.links.len() > 1 => {
            let pid = root.party.pid()?;
            format!(
                "find out why {} does not return from {call}",
                name(facts, pid)
            )
        }
        _ => return None,
    })
}
