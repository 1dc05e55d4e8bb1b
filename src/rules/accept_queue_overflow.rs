#![doc = include_str!("../../docs/findings/accept-queue-overflow.md")]

use super::evidence::{self, listener_subject, queue_evidence};
use super::{Check, Confidence, Finding, Rule, Severity};
use crate::correlate::{Case, Picture, Waiting};

pub(super) const RULE: Rule = Rule {
    id: "accept-queue-overflow",
    page: include_str!("../../docs/findings/accept-queue-overflow.md"),
    check: Check::Queue(check),
};

fn check(picture: &Picture, case: &Case) -> Option<Finding> {
    let limit = case.listener.accept_queue_limit.copied()?;
    // The kernel refuses when there are more than the limit, so the queue holds one more.
    if case.queue.length <= limit {
        return None;
    }
    let dropped = picture
        .snapshot
        .dropped
        .map(|(before, after)| after.overflows.saturating_sub(before.overflows));
    let always = case.queue.course.shortest > limit;
    let stuck = matches!(case.waiting, Waiting::TooLong(_));
    let severity = if always && (stuck || case.queue.course.looks > 2) {
        Severity::Critical
    } else if dropped.is_some_and(|dropped| dropped > 0) {
        Severity::Warning
    } else {
        Severity::Info
    };
    let mut seen = queue_evidence(picture, case);
    if let Some(dropped) = dropped {
        seen.push(format!(
            "ListenOverflows of this network namespace rose by {dropped} in {}",
            evidence::seconds(case.span)
        ));
    }
    Some(Finding {
        id: RULE.id,
        severity,
        confidence: if always {
            Confidence::Certain
        } else {
            Confidence::Likely
        },
        subject: listener_subject(
            case,
            case.acceptors
                .iter()
                .map(|acceptor| acceptor.process.pid)
                .collect(),
        ),
        headline: format!(
            "the accept queue is full, {} for a limit of {limit}: new connections are dropped",
            case.queue.length
        ),
        evidence: seen,
        conclusion: None,
        remedies: vec![
            "find why nobody accepts; a longer queue only hides it for a while".to_owned(),
            "if it fills in bursts while the server keeps accepting: raise both the backlog of \
             listen(2) and net.core.somaxconn, which caps it"
                .to_owned(),
        ],
        connections: case.queue.length as usize,
    })
}
