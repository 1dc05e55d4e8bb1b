//! Sentences that several rules share.

use std::collections::BTreeMap;
use std::time::Duration;

use super::thresholds::{PROOF_LOOKS, PROOF_SPAN};
pub(super) use super::words::{count, process_name, process_names, seconds};
use super::{Evidence, Severity, Subject, SubjectKind, Weight, waits};
use crate::correlate::acceptor::{Acceptor, AcceptorState, Doubt, Halt, Unwatched};
use crate::correlate::{Analysis, StuckListener, ThreadRecord, Waiting};
use crate::model::{Pid, Process, Reading};

/// So many registrations of a listener in one process are named; more are counted.
const MOST_SETS_NAMED: usize = 8;

/// The listener as the subject of a finding, with the processes that should act.
pub(super) fn listener_subject(stuck: &StuckListener, pids: Vec<Pid>) -> Subject {
    Subject {
        netns: stuck.netns.to_owned(),
        kind: SubjectKind::Listener,
        local: Some(stuck.listener.local),
        remote: None,
        pids,
    }
}

/// `22 connections wait in the accept queue`.
pub(super) fn waiting_clause(stuck: &StuckListener) -> String {
    let length = stuck.queue.length as usize;
    let verb = if length == 1 { "waits" } else { "wait" };
    format!("{} {verb} in the accept queue", count(length, "connection"))
}

/// What the queue holds, and for how long.
pub(super) fn queue_evidence(analysis: &Analysis, stuck: &StuckListener) -> Vec<Evidence> {
    let queue = stuck.queue;
    let mut parts = Vec::new();
    for (number, state) in [
        (queue.close_wait, "CLOSE_WAIT"),
        (queue.established, "ESTABLISHED"),
        (queue.reset, "reset while they waited"),
    ] {
        match number {
            Some(0) | None => {}
            Some(number) => parts.push(format!("{number} {state}")),
        }
    }
    let limit = match &stuck.listener.accept_queue_limit {
        Reading::Known(limit) => format!("{} of {limit}", queue.length),
        Reading::Unknown(_) => format!("{}, limit unknown", queue.length),
    };
    let mut line = format!("accept queue {limit}");
    if !parts.is_empty() {
        line = format!("{line}: {}", parts.join(", "));
    }
    let mut evidence = vec![line];
    evidence.extend(possible_evidence(analysis, stuck));
    evidence.extend(oldest_evidence(analysis, stuck));
    if queue.trend.looks > 2 {
        let progress = if queue.trend.steady {
            "its length did not change"
        } else if queue.trend.shrank {
            "it was never empty, though some left it"
        } else {
            "nobody left it"
        };
        evidence.push(format!(
            "{progress} in {} looks over {}",
            queue.trend.looks,
            seconds(stuck.span)
        ));
    }
    if !queue.group.is_empty() {
        evidence.push(format!(
            "it is one of {} listeners on this address (SO_REUSEPORT); the kernel gives each \
             connection to one of them and never moves it",
            queue.group.len()
        ));
    }
    evidence.into_iter().map(Evidence::background).collect()
}

/// Connections that may be among the waiting, where the source leaves that open.
fn possible_evidence(analysis: &Analysis, stuck: &StuckListener) -> Vec<String> {
    let possible = stuck.queue.possible.iter();
    let (closed, open): (Vec<_>, Vec<_>) = possible
        .map(|index| &analysis.snapshot.sockets.connections[*index])
        .partition(|connection| connection.state == crate::model::TcpState::CloseWait);
    let mut evidence = Vec::new();
    if !closed.is_empty() {
        let unread = closed.iter().map(|connection| connection.recv_q);
        let (least, most) = (unread.clone().min(), unread.max());
        let unread = match (least, most) {
            (Some(least), Some(most)) if least < most => format!("{least} to {most}"),
            (_, most) => most.unwrap_or(0).to_string(),
        };
        evidence.push(format!(
            "{} in CLOSE_WAIT with Recv-Q {unread} and no owner shown may be among them",
            count(closed.len(), "connection"),
        ));
    }
    if !open.is_empty() {
        evidence.push(format!(
            "{} in ESTABLISHED and no owner shown may be among them",
            count(open.len(), "connection"),
        ));
    }
    evidence
}

fn oldest_evidence(analysis: &Analysis, stuck: &StuckListener) -> Option<String> {
    let age = match stuck.waiting {
        Waiting::TooLong(oldest) => seconds(oldest),
        Waiting::Unknown => return Some("how long they have waited is not known".to_owned()),
        Waiting::Briefly => seconds(stuck.queue.oldest?),
    };
    let oldest = stuck
        .queue
        .members
        .iter()
        .map(|index| &analysis.snapshot.sockets.connections[*index])
        .max_by_key(|connection| crate::correlate::age::waiting(connection));
    let closed = oldest.filter(|connection| connection.state == crate::model::TcpState::CloseWait);
    Some(match closed {
        Some(connection) if connection.layer.is_mptcp() => format!(
            "the oldest has waited {age}; its MPTCP client {} has closed",
            connection.remote
        ),
        Some(connection) => format!(
            "the oldest has waited {age}; its client {} sent {} and closed",
            connection.remote,
            count(connection.recv_q.saturating_sub(1) as usize, "byte")
        ),
        None => format!("the oldest has waited {age}"),
    })
}

/// What each acceptor was seen doing, what all of them wait for, and which other processes hold the listener.
pub(super) fn acceptor_evidence(analysis: &Analysis, stuck: &StuckListener) -> Vec<Evidence> {
    const SHOWN: usize = 2;
    let mut evidence: Vec<Evidence> = stuck
        .acceptors
        .iter()
        .take(SHOWN)
        .flat_map(|acceptor| state_evidence(analysis, acceptor, stuck))
        .collect();
    // Those of one service do alike: the first stands for them.
    if let Some(first) = stuck.acceptors.first() {
        let own = state_evidence(analysis, first, stuck).len();
        for further in evidence.iter_mut().skip(own) {
            further.weight = Weight::Background;
        }
    }
    if stuck.acceptors.len() > SHOWN {
        evidence.push(Evidence::background(format!(
            "and {} more of the processes that would accept",
            stuck.acceptors.len() - SHOWN
        )));
    }
    if !stuck.handlers.is_empty() {
        evidence.push(Evidence::background(format!(
            "{} {} of its connections, younger than that: it accepts, they handle one each",
            process_names(stuck.handlers.iter().copied()),
            if stuck.handlers.len() == 1 {
                "holds one"
            } else {
                "hold one each"
            },
        )));
    }
    evidence.extend(waits::evidence(&stuck.facts, &stuck.waits, analysis.grace));
    if !stuck.holders.is_empty() {
        evidence.push(Evidence::background(format!(
            "{} also {} the listener, and {} not seen to accept from it",
            process_names(stuck.holders.iter().copied()),
            if stuck.holders.len() == 1 {
                "holds"
            } else {
                "hold"
            },
            if stuck.holders.len() == 1 {
                "is"
            } else {
                "are"
            },
        )));
    }
    evidence
}

fn state_evidence(
    analysis: &Analysis,
    acceptor: &Acceptor,
    stuck: &StuckListener,
) -> Vec<Evidence> {
    let name = process_name(acceptor.process);
    let mut evidence = Vec::new();
    for watch in acceptor.watches.iter().take(MOST_SETS_NAMED) {
        let mode = if watch.registration.edge_triggered() {
            "edge-triggered"
        } else if watch.edge_triggered {
            "level-triggered, nested in a set that is edge-triggered"
        } else {
            "level-triggered"
        };
        let sentence = format!(
            "{name}: listener fd {} is in epoll fd {} as {} ({mode})",
            fd_list(&acceptor.fds),
            watch.epoll_fd,
            watch.registration.events_text(),
        );
        evidence.push(if rests_on_registration(&acceptor.state) {
            sentence.into()
        } else {
            Evidence::background(sentence)
        });
    }
    let more = acceptor.watches.len().saturating_sub(MOST_SETS_NAMED);
    if more > 0 {
        evidence.push(format!("{name}: the listener is in {more} more epoll sets").into());
    }
    if acceptor.watches.is_empty() {
        evidence.push(Evidence::background(if acceptor.fds.is_empty() {
            format!("{name} holds the listener")
        } else {
            format!("{name} holds the listener as fd {}", fd_list(&acceptor.fds))
        }));
    }
    evidence.push(state_sentence(analysis, acceptor, stuck).into());
    evidence
}

/// Returns whether what an acceptor is accused of follows from how it has registered the listener.
fn rests_on_registration(state: &AcceptorState) -> bool {
    match state {
        AcceptorState::AsleepOnEdge { .. }
        | AcceptorState::NotWoken
        | AcceptorState::Unwatched { .. }
        | AcceptorState::NoThread { .. } => true,
        AcceptorState::Halted(_)
        | AcceptorState::AtFdLimit { .. }
        | AcceptorState::Busy { .. }
        | AcceptorState::Orphan
        | AcceptorState::Serving
        | AcceptorState::Unclear(_) => false,
    }
}

fn fd_list(fds: &[u32]) -> String {
    let numbers: Vec<String> = fds.iter().map(u32::to_string).collect();
    numbers.join(", ")
}

fn state_sentence(analysis: &Analysis, acceptor: &Acceptor, stuck: &StuckListener) -> String {
    let name = process_name(acceptor.process);
    match &acceptor.state {
        AcceptorState::Halted(halt) => format!("{name} {}", halt_clause(*halt)),
        AcceptorState::AtFdLimit { limit } => format!(
            "{name} has every descriptor number below {limit} in use (RLIMIT_NOFILE): the next \
             accept fails"
        ),
        AcceptorState::AsleepOnEdge {
            watch,
            tid,
            asleep,
            looks,
            other_at_work,
        } => {
            let epoll = acceptor.watches[*watch].reached_by.clone();
            let other = if *other_at_work {
                "; another of its threads is at work meanwhile"
            } else {
                ""
            };
            format!(
                "thread {tid} was asleep in epoll_wait on fd {} in {asleep} of {} while \
                 connections waited{other}",
                fd_list(&epoll),
                looks_over(*looks, stuck.span),
            )
        }
        AcceptorState::NotWoken => format!(
            "{name} sleeps in epoll_wait; with EPOLLEXCLUSIVE the kernel has woken another waiter"
        ),
        AcceptorState::Unwatched { how, tid } => unwatched_sentence(acceptor, *how, *tid),
        AcceptorState::Busy {
            tid,
            activity,
            constant,
            sole,
        } => {
            let how_often = if *constant { "" } else { "mostly " };
            let deep = uninterruptible_clause(acceptor, *tid);
            format!(
                "{}{} was {how_often}{}{deep}, in {}{}",
                if *sole { "" } else { "most likely meant: " },
                thread_name(acceptor, *tid),
                analysis.describe_activity(acceptor.process, activity),
                looks_over(acceptor.look_count(), stuck.span),
                others_clause(acceptor, *tid),
            )
        }
        AcceptorState::NoThread { watch } => format!(
            "no thread is left that waits in epoll_wait on fd {}: the one that did has ended, or is parked{}",
            fd_list(&acceptor.watches[*watch].reached_by),
            all_clause(acceptor),
        ),
        AcceptorState::Orphan => orphan_sentence(acceptor.process),
        AcceptorState::Serving => format!("{name} was seen accepting"),
        AcceptorState::Unclear(doubt) => format!("{name}: {}", doubt_clause(*doubt)),
    }
}

/// Why a process is taken for one that only inherited the listener.
fn orphan_sentence(process: &Process) -> String {
    format!(
        "the parent of {} has ended, it has accepted no connection, and it is not seen to accept: it \
         has inherited the listener",
        process_name(process)
    )
}

/// What all threads of a process mostly do.
fn all_clause(acceptor: &Acceptor) -> String {
    others_clause(acceptor, 0).replacen("; its other threads", "; its threads", 1)
}

/// Where in the kernel a thread sleeps that nothing but the awaited event wakes.
fn uninterruptible_clause(acceptor: &Acceptor, tid: Pid) -> String {
    let thread = acceptor.thread(tid);
    if !thread.is_some_and(ThreadRecord::is_uninterruptible) {
        return String::new();
    }
    let examination = acceptor.process.examination.as_ref();
    let threads = examination.and_then(|examination| examination.threads.known());
    let wchan = threads
        .into_iter()
        .flatten()
        .find(|thread| thread.tid == tid)
        .and_then(|thread| thread.wchan.known());
    let place = wchan.map_or(String::new(), |wchan| format!(", in {wchan}"));
    format!(", in uninterruptible sleep (state D{place})")
}

/// What the other threads of a process mostly do.
fn others_clause(acceptor: &Acceptor, tid: Pid) -> String {
    const SHOWN: usize = 3;
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    let others = acceptor.threads.iter().filter(|thread| thread.tid != tid);
    for (activity, _) in others.filter_map(ThreadRecord::usual) {
        *kinds.entry(activity.call_name().to_owned()).or_default() += 1;
    }
    if kinds.is_empty() {
        return String::new();
    }
    let mut kinds: Vec<(String, usize)> = kinds.into_iter().collect();
    kinds.sort_by_key(|(_, number)| std::cmp::Reverse(*number));
    let named: Vec<String> = kinds
        .iter()
        .take(SHOWN)
        .map(|(call, number)| format!("{number} in {call}"))
        .collect();
    format!("; its other threads: {}", named.join(", "))
}

fn looks_over(looks: usize, span: Duration) -> String {
    if looks <= 1 {
        "1 look".to_owned()
    } else {
        format!("{looks} looks over {}", seconds(span))
    }
}

/// A thread by id, and by name where it has its own.
pub(super) fn thread_name(acceptor: &Acceptor, tid: Pid) -> String {
    match acceptor.thread(tid) {
        Some(thread)
            if !thread.command.is_empty() && thread.command != acceptor.process.command =>
        {
            format!("thread {tid} ({})", thread.command)
        }
        _ => format!("thread {tid}"),
    }
}

/// Why a process does not run, as a predicate.
pub(super) fn halt_clause(halt: Halt) -> &'static str {
    match halt {
        Halt::Stopped => "is stopped (state T)",
        Halt::Traced => "is stopped by a debugger (state t)",
        Halt::Frozen => "is in a frozen cgroup",
    }
}

/// Why it cannot be told what a process does.
pub(super) fn doubt_clause(doubt: Doubt) -> String {
    match doubt {
        Doubt::Unseen(gap) => format!("what its threads do could not be seen: {gap}"),
        Doubt::IoUring => "it may accept through its io_uring, which cannot be seen".to_owned(),
        Doubt::Contradiction => {
            "it sleeps on a level-triggered set that should have woken it: its cgroup may be frozen, \
             or it shares the set with another process"
                .to_owned()
        }
    }
}

fn unwatched_sentence(acceptor: &Acceptor, how: Unwatched, tid: Pid) -> String {
    let idle = thread_name(acceptor, tid);
    match how {
        Unwatched::NotInSet { epoll_fd } => format!(
            "{idle} is idle in epoll_wait on fd {epoll_fd}, and the listener is in none of the \
             epoll sets of the process"
        ),
        Unwatched::NoInput { watch } => format!(
            "{idle} is idle in epoll_wait, and the listener's mask {} lets nothing in",
            acceptor.watches[watch].registration.events_text()
        ),
        Unwatched::SpentOneShot { watch } => format!(
            "{idle} is idle in epoll_wait, and the listener's one-shot registration in fd {} is \
             spent",
            acceptor.watches[watch].epoll_fd
        ),
        Unwatched::NotPolled => format!(
            "{idle} is idle in poll or select for other descriptors: it would have returned at \
             once for a listener with connections"
        ),
        Unwatched::Supervisor => format!("{idle} waits for a child process or a signal"),
    }
}

/// Returns the severity of a stuck queue, by the longest wait and by whether the queue moves.
pub(super) fn queue_severity(stuck: &StuckListener) -> Severity {
    match stuck.waiting {
        Waiting::TooLong(_) if stuck.queue.trend.shrank => Severity::Warning,
        Waiting::TooLong(_) => Severity::Critical,
        Waiting::Unknown | Waiting::Briefly => Severity::Info,
    }
}

/// Returns whether what was seen was seen often enough to be no coincidence.
pub(super) fn watched_long_enough(stuck: &StuckListener) -> bool {
    stuck.samples >= PROOF_LOOKS && stuck.span >= PROOF_SPAN
}
