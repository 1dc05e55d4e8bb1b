#![doc = include_str!("../../docs/findings/unread-eof.md")]

use super::software::{self, Ailment};
use super::{Check, Confidence, Finding, Rule, leaks, waits};
use crate::correlate::acceptor::Halt;
use crate::correlate::waits::{Group, Summary};
use crate::correlate::{Analysis, Leak, LeakKind, Reader};
use crate::model::{Pid, Process};

pub(super) const RULE: Rule = Rule {
    id: "unread-eof",
    page: include_str!("../../docs/findings/unread-eof.md"),
    check: Check::Leak(check),
};

fn check(analysis: &Analysis, leak: &Leak) -> Option<Finding> {
    let LeakKind::NotClosed(reader) = &leak.kind else {
        return None;
    };
    if matches!(**reader, Reader::Done | Reader::NotShown) {
        return None;
    }
    let unread: u64 = leak
        .connections
        .iter()
        .map(|connection| u64::from(connection.recv_q.saturating_sub(1)))
        .sum();
    let mut seen = leaks::evidence(analysis, leak);
    seen.push(format!(
        "Recv-Q is 1 or more: the end of the stream was not read, nor {unread} bytes before it"
    ));
    let process = leak.pids.first().and_then(|pid| analysis.process(*pid));
    let why = why(analysis, leak, reader, process);
    Some(Finding {
        id: RULE.id,
        severity: leaks::severity(analysis, leak),
        confidence: confidence(leak),
        subject: leaks::subject(analysis, leak),
        headline: format!(
            "{} of {} {} closed by the peer and nobody reads {}: {why}",
            leaks::connections(leak),
            leaks::holder(analysis, leak),
            if leak.connections.len() == 1 {
                "was"
            } else {
                "were"
            },
            leaks::them(leak),
        ),
        evidence: seen,
        conclusion: None,
        remedies: remedies(reader, process),
        connections: leak.connections.len(),
    })
}

/// Certain where all are overdue; where clocks were renewed, it was unread at both looks.
fn confidence(leak: &Leak) -> Confidence {
    let known = leak.ages.iter().all(|age| age.exact().is_some());
    match (leak.overdue == leak.connections.len(), known) {
        (true, true) => Confidence::Certain,
        (true, false) => Confidence::Likely,
        (false, _) => Confidence::Possible,
    }
}

fn why(analysis: &Analysis, leak: &Leak, reader: &Reader, process: Option<&Process>) -> String {
    let plural = leak.connections.len() > 1;
    let they_are = if plural { "they are" } else { "it is" };
    let facts = analysis.facts();
    let waits = Summary::of(&facts, &leak.pids);
    let doing = |tid: &Pid, activity| {
        let is_of = |group: &&Group| group.members.iter().any(|one| one.tid == *tid);
        if let Some(group) = waits.groups.iter().find(is_of) {
            return waits::group_sentence(&facts, &waits, group);
        }
        let what = process.map_or_else(
            || format!("{activity}"),
            |process| analysis.describe_activity(process, activity),
        );
        format!("thread {tid} is {what}")
    };
    match reader {
        Reader::Done | Reader::NotShown => String::new(),
        Reader::Halted(halt) => match halt {
            Halt::Stopped => "the process is stopped".to_owned(),
            Halt::Traced => "the process is stopped by a debugger".to_owned(),
            Halt::Frozen => "the process is in a frozen cgroup".to_owned(),
        },
        Reader::NotInSet { sets } => format!(
            "{they_are} in {}",
            match sets {
                1 => "no epoll set (it has one)".to_owned(),
                sets => format!("none of its {sets} epoll sets"),
            }
        ),
        Reader::NoInput { events } => {
            format!(
                "{they_are} watched with the mask {events}, without EPOLLIN and EPOLLRDHUP: it \
                 wakes for neither data nor end"
            )
        }
        Reader::SpentOneShot => format!("{they_are} watched one-shot and not re-armed"),
        Reader::EdgeConsumed { events } => format!(
            "{they_are} watched edge-triggered ({events}), and the edge is gone with data left: the \
             event loop goes on without them"
        ),
        Reader::LoopBusy { tid, activity } => {
            format!("the event loop is not waiting, {}", doing(tid, activity))
        }
        Reader::NoLoop { tid, activity } => {
            format!("there is no event loop, and {}", doing(tid, activity))
        }
        Reader::NoThread => "no thread of it waits for them".to_owned(),
        Reader::OwnerUnknown => "who should read is not visible".to_owned(),
        Reader::Unclear => "why could not be established".to_owned(),
    }
}

fn remedies(reader: &Reader, process: Option<&Process>) -> Vec<String> {
    let mut remedies = vec![format!("in the code: {}", remedy(reader))];
    remedies.extend(
        process
            .zip(ailment(reader))
            .and_then(|(process, ailment)| software::remedy(process, ailment)),
    );
    remedies
}

fn ailment(reader: &Reader) -> Option<Ailment> {
    match reader {
        Reader::Done | Reader::NotShown => Some(Ailment::Unclosed),
        Reader::Halted(_) | Reader::OwnerUnknown => None,
        Reader::LoopBusy { .. } => Some(Ailment::Busy),
        Reader::NotInSet { .. }
        | Reader::NoInput { .. }
        | Reader::SpentOneShot
        | Reader::EdgeConsumed { .. }
        | Reader::NoLoop { .. }
        | Reader::NoThread
        | Reader::Unclear => Some(Ailment::Unread),
    }
}

fn remedy(reader: &Reader) -> &'static str {
    match reader {
        Reader::Done | Reader::NotShown => "",
        Reader::Halted(_) => "nothing; continue or thaw the process and see who stopped it",
        Reader::NotInSet { .. } => {
            "register every accepted connection at once, and keep it registered for at least \
             EPOLLRDHUP while it waits for a worker; evict pooled connections that were closed"
        }
        Reader::NoInput { .. } => {
            "keep EPOLLRDHUP in the mask while reading is paused, and give the pause a deadline"
        }
        Reader::SpentOneShot => {
            "re-arm with epoll_ctl(EPOLL_CTL_MOD) on every path that does not close"
        }
        Reader::EdgeConsumed { .. } => {
            "under EPOLLET read until EAGAIN or 0, or re-arm when stopping early"
        }
        Reader::LoopBusy { .. } => {
            "let the event loop do nothing that blocks or takes long: deadlines for every read, \
             write and connect, and other threads for the rest"
        }
        Reader::NoLoop { .. } | Reader::NoThread => {
            "let a thread or an event loop read every connection until it returns 0; give every \
             other wait a deadline"
        }
        Reader::OwnerUnknown | Reader::Unclear => {
            "read every connection until it returns 0, then close it"
        }
    }
}
