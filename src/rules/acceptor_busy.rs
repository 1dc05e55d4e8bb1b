#![doc = include_str!("../../docs/findings/acceptor-busy.md")]

use super::evidence::{self, acceptor_evidence, listener_subject, queue_evidence};
use super::{Check, Confidence, Finding, Rule};
use crate::correlate::acceptor::{Acceptor, Standing};
use crate::correlate::{Activity, Case, Picture, ThreadRecord, Waiting};
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
}

fn check(picture: &Picture, case: &Case) -> Option<Finding> {
    if case.waiting == Waiting::Briefly {
        return None;
    }
    let busy: Vec<Busy> = case
        .acceptors
        .iter()
        .filter_map(|acceptor| match &acceptor.standing {
            Standing::Busy {
                tid,
                activity,
                constant,
            } => Some(Busy {
                acceptor,
                tid: *tid,
                activity,
                constant: *constant,
            }),
            _ => None,
        })
        .collect();
    let first = busy.first()?;
    let all = busy.len() == case.acceptors.len();
    let confidence = match case.waiting {
        Waiting::TooLong(_) if all && is_plain(&busy) && evidence::watched_long_enough(case) => {
            Confidence::Certain
        }
        Waiting::TooLong(_) => Confidence::Likely,
        Waiting::Unknown | Waiting::Briefly => Confidence::Possible,
    };
    let mut seen = queue_evidence(picture, case);
    seen.extend(acceptor_evidence(picture, case));
    Some(Finding {
        id: RULE.id,
        severity: evidence::queue_severity(case),
        confidence,
        subject: listener_subject(
            case,
            busy.iter().map(|busy| busy.acceptor.process.pid).collect(),
        ),
        headline: headline(picture, case, &busy),
        evidence: seen,
        conclusion: None,
        remedies: vec![
            format!("in the code: {}", evidence::activity_remedy(first.activity)),
            format!("see what it does: {}", look_closer(first)),
        ],
        connections: case.queue.length as usize,
    })
}

/// Each process has just one thread that could be meant, and it did the same at every look.
fn is_plain(busy: &[Busy]) -> bool {
    busy.iter().all(|busy| {
        let others_wait = busy
            .acceptor
            .threads
            .iter()
            .filter(|thread| thread.tid != busy.tid)
            .filter_map(ThreadRecord::usual)
            .all(|(activity, _)| activity == Activity::Futex);
        busy.constant && others_wait
    })
}

fn headline(picture: &Picture, case: &Case, busy: &[Busy]) -> String {
    let first = &busy[0];
    let doing = picture.describe_activity(first.acceptor.process, first.activity);
    let waiting = evidence::waiting_clause(case);
    if busy.len() == 1 {
        return format!(
            "{waiting}, and {} of {} is {doing}",
            evidence::thread_name(first.acceptor, first.tid),
            evidence::process_name(first.acceptor.process),
        );
    }
    format!(
        "{waiting}, and all {} processes that would accept are busy, {} {doing}",
        busy.len(),
        evidence::process_name(first.acceptor.process),
    )
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
