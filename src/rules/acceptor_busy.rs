#![doc = include_str!("../../docs/findings/acceptor-busy.md")]

use super::evidence::{self, acceptor_evidence, listener_subject, queue_evidence};
use super::software::{self, Ailment};
use super::{Check, Confidence, Finding, Rule};
use crate::correlate::acceptor::{Acceptor, AcceptorState};
use crate::correlate::{Activity, Analysis, StuckListener, ThreadRecord, Waiting};
use crate::model::Pid;

pub(super) const RULE: Rule = Rule {
    id: "acceptor-busy",
    page: include_str!("../../docs/findings/acceptor-busy.md"),
    check: Check::Cause(check),
};

struct Busy<'a> {
    acceptor: &'a Acceptor<'a>,
    tid: Pid,
    activity: &'a Activity,
    constant: bool,
    sole: bool,
}

fn check(analysis: &Analysis, stuck: &StuckListener) -> Option<Finding> {
    if stuck.waiting == Waiting::Briefly {
        return None;
    }
    let busy: Vec<Busy> = stuck
        .acceptors
        .iter()
        .filter_map(|acceptor| match &acceptor.state {
            AcceptorState::Busy {
                tid,
                activity,
                constant,
                sole,
            } => Some(Busy {
                acceptor,
                tid: *tid,
                activity,
                constant: *constant,
                sole: *sole,
            }),
            _ => None,
        })
        .collect();
    let first = busy.first()?;
    // Where nobody registers the listener, a supervisor that holds it may be who accepts.
    let registered = stuck
        .acceptors
        .iter()
        .any(|acceptor| !acceptor.watches.is_empty());
    let all = busy.len() == stuck.acceptors.len() && (registered || stuck.holders.is_empty());
    let confidence = match stuck.waiting {
        Waiting::TooLong(_) if all && is_plain(&busy) && evidence::watched_long_enough(stuck) => {
            Confidence::Certain
        }
        Waiting::TooLong(_) => Confidence::Likely,
        Waiting::Unknown | Waiting::Briefly => Confidence::Possible,
    };
    let mut seen = queue_evidence(analysis, stuck);
    seen.extend(acceptor_evidence(analysis, stuck));
    Some(Finding {
        id: RULE.id,
        severity: evidence::queue_severity(stuck),
        confidence,
        subject: listener_subject(
            stuck,
            busy.iter().map(|busy| busy.acceptor.process.pid).collect(),
        ),
        headline: headline(analysis, stuck, &busy),
        evidence: seen,
        conclusion: None,
        remedies: remedies(first),
        connections: stuck.queue.length as usize,
    })
}

/// Each process has just one thread, and it did the same at every look. No fact ties one of several
/// threads to what it does not wait for.
fn is_plain(busy: &[Busy]) -> bool {
    busy.iter().all(|busy| busy.constant && busy.sole)
}

fn headline(analysis: &Analysis, stuck: &StuckListener, busy: &[Busy]) -> String {
    let first = &busy[0];
    let doing = analysis.describe_activity(first.acceptor.process, first.activity);
    let waiting = evidence::waiting_clause(stuck);
    let name = evidence::process_name(first.acceptor.process);
    match (busy.len(), first.sole) {
        (1, true) => format!(
            "{waiting}, and {} of {name} is {doing}",
            evidence::thread_name(first.acceptor, first.tid),
        ),
        (1, false) => format!(
            "{waiting}, and none of the {} threads of {name} waits for them; {} is {doing}",
            first.acceptor.threads.len(),
            evidence::thread_name(first.acceptor, first.tid),
        ),
        (number, _) => format!(
            "{waiting}, and all {number} processes that would accept are busy, {name} {doing}"
        ),
    }
}

fn remedies(busy: &Busy) -> Vec<String> {
    let mut remedies = vec![format!(
        "in the code: {}",
        evidence::activity_remedy(busy.activity)
    )];
    if is_uninterruptible(busy) {
        remedies.push(
            "it waits for the kernel: for a disk, a network file system or a driver that does not \
             answer; dmesg may name it"
                .to_owned(),
        );
    } else {
        remedies.extend(software::remedy(busy.acceptor.process, Ailment::Busy));
    }
    remedies.push(format!("see what it does: {}", look_closer(busy)));
    remedies
}

fn is_uninterruptible(busy: &Busy) -> bool {
    busy.acceptor
        .thread(busy.tid)
        .is_some_and(ThreadRecord::is_uninterruptible)
}

fn look_closer(busy: &Busy) -> String {
    let tid = busy.tid;
    let pid = busy.acceptor.process.pid;
    match evidence::runtime(busy.acceptor) {
        crate::model::Runtime::Java | crate::model::Runtime::Netty => format!("jstack {pid}"),
        crate::model::Runtime::Python => format!("py-spy dump --pid {pid}"),
        crate::model::Runtime::Go => {
            format!("kill -QUIT {pid} prints all goroutines, and ends the process")
        }
        _ => format!(
            "cat /proc/{pid}/task/{tid}/stack, or gdb -p {pid} -batch -ex 'thread apply all bt'"
        ),
    }
}
