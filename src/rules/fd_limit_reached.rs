#![doc = include_str!("../../docs/findings/fd-limit-reached.md")]

use super::evidence::{self, acceptor_evidence, listener_subject, queue_evidence};
use super::remedies::{Cause, Facts, remedies};
use super::{Check, Confidence, Finding, Rule};
use crate::correlate::acceptor::AcceptorState;
use crate::correlate::{Analysis, StuckListener, Waiting};

pub(super) const RULE: Rule = Rule {
    id: "fd-limit-reached",
    page: include_str!("../../docs/findings/fd-limit-reached.md"),
    check: Check::Cause(check),
};

fn check(analysis: &Analysis, stuck: &StuckListener) -> Option<Finding> {
    if stuck.waiting == Waiting::Briefly {
        return None;
    }
    let at_limit: Vec<_> = stuck
        .in_state(|state| matches!(state, AcceptorState::AtFdLimit { .. }))
        .collect();
    let first = at_limit.first()?;
    let AcceptorState::AtFdLimit { limit } = first.state else {
        return None;
    };
    let mut seen = queue_evidence(analysis, stuck);
    seen.extend(acceptor_evidence(analysis, stuck));
    Some(Finding {
        id: RULE.id,
        severity: evidence::queue_severity(stuck),
        confidence: if matches!(stuck.waiting, Waiting::TooLong(_)) {
            Confidence::Certain
        } else {
            Confidence::Likely
        },
        subject: listener_subject(
            stuck,
            at_limit
                .iter()
                .map(|acceptor| acceptor.process.pid)
                .collect(),
        ),
        headline: format!(
            "{}, and {} has used up the {limit} descriptors that it may open: accept fails with EMFILE",
            evidence::waiting_clause(stuck),
            evidence::process_name(first.process),
        ),
        evidence: seen,
        conclusion: None,
        remedies: remedies(&Facts::of(RULE.id, Cause::AtLimit, Some(first.process))),
        connections: stuck.queue.length as usize,
    })
}
