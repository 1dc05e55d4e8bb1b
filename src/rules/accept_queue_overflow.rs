#![doc = include_str!("../../docs/findings/accept-queue-overflow.md")]

use super::evidence::{self, listener_subject, queue_evidence};
use super::{Check, Confidence, Finding, Rule, Severity};
use crate::correlate::{Analysis, StuckListener, Waiting};

pub(super) const RULE: Rule = Rule {
    id: "accept-queue-overflow",
    page: include_str!("../../docs/findings/accept-queue-overflow.md"),
    check: Check::Queue(check),
};

fn check(analysis: &Analysis, stuck: &StuckListener) -> Option<Finding> {
    let limit = stuck.listener.accept_queue_limit.copied()?;
    // The kernel refuses when there are more than the limit, so the queue holds one more.
    if stuck.queue.length <= limit {
        return None;
    }
    let dropped = analysis
        .snapshot
        .dropped
        .map(|(before, after)| after.overflows.saturating_sub(before.overflows));
    let always = stuck.queue.trend.shortest > limit;
    let too_long = matches!(stuck.waiting, Waiting::TooLong(_));
    let severity = if always && (too_long || stuck.queue.trend.looks > 2) {
        Severity::Critical
    } else if dropped.is_some_and(|dropped| dropped > 0) {
        Severity::Warning
    } else {
        Severity::Info
    };
    let mut seen = queue_evidence(analysis, stuck);
    if let Some(dropped) = dropped {
        seen.push(
            format!(
                "ListenOverflows of this network namespace rose by {dropped} in {}",
                evidence::seconds(stuck.span)
            )
            .into(),
        );
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
            stuck,
            stuck
                .acceptors
                .iter()
                .map(|acceptor| acceptor.process.pid)
                .collect(),
        ),
        headline: format!(
            "the accept queue is full, {} for a limit of {limit}: new connections are dropped",
            stuck.queue.length
        ),
        evidence: seen,
        conclusion: None,
        remedies: vec![
            "find why nobody accepts; a longer queue only hides it for a while".into(),
            "if it fills in bursts while the server keeps accepting: raise both the backlog of \
             listen(2) and net.core.somaxconn, which caps it"
                .into(),
        ],
        connections: stuck.queue.length as usize,
    })
}
