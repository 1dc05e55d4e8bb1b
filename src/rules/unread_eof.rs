#![doc = include_str!("../../docs/findings/unread-eof.md")]

use super::remedies::{Cause, Facts, remedies};
use super::{Check, Confidence, Finding, Rule, accepted_unserved, leaks, waits};
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
    let before = match unread {
        0 => String::new(),
        1 => ", nor 1 byte before it".to_owned(),
        bytes => format!(", nor {bytes} bytes before it"),
    };
    seen.push(format!("Recv-Q is 1 or more: the end of the stream was not read{before}").into());
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
        remedies: remedies(&Facts::of(RULE.id, cause(reader), process)),
        connections: leak.connections.len(),
    })
}

/// It is certain where all are overdue, or were unread at both looks where clocks were renewed.
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
        Reader::NotInSet { sets, unattended } => {
            let place = match sets {
                1 => "no epoll set (it has one)".to_owned(),
                sets => format!("none of its {sets} epoll sets"),
            };
            let blocked = waits
                .foreign()
                .filter(|_| is_outage(analysis, leak))
                .map(|group| waits::group_sentence(&facts, &waits, group));
            let away = || (*unattended > 0).then(|| accepted_unserved::away(*unattended));
            match blocked.or_else(away) {
                Some(clause) => format!("{they_are} in {place}, and {clause}"),
                None => format!("{they_are} in {place}"),
            }
        }
        Reader::Unattended => format!(
            "{they_are} in an epoll set on which no thread waits: what it waits for is something else"
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

/// Whether live clients of the same processes wait as well.
fn is_outage(analysis: &Analysis, leak: &Leak) -> bool {
    let mut stuck = analysis
        .outages()
        .into_iter()
        .flat_map(|outage| outage.pids);
    stuck.any(|pid| leak.pids.contains(&pid))
}

fn cause(reader: &Reader) -> Cause {
    match reader {
        Reader::Done | Reader::NotShown => Cause::NotClosed,
        Reader::Halted(_) => Cause::Halted,
        Reader::NotInSet { unattended, .. } if *unattended > 0 => Cause::LoopBusy,
        Reader::NotInSet { .. } => Cause::LeftOut,
        Reader::NoInput { .. } => Cause::NoInput,
        Reader::SpentOneShot => Cause::SpentOneShot,
        Reader::EdgeConsumed { .. } => Cause::LostEdge,
        Reader::LoopBusy { .. } | Reader::Unattended => Cause::LoopBusy,
        Reader::NoLoop { .. } => Cause::NoLoop,
        Reader::NoThread => Cause::NoThread,
        Reader::OwnerUnknown | Reader::Unclear => Cause::Unclear,
    }
}
