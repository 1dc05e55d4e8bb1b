#![doc = include_str!("../../docs/findings/idle-pool-connection.md")]

use super::remedies::{Cause, Facts, remedies};
use super::{Check, Confidence, Finding, Rule, leaks};
use crate::correlate::{Analysis, Leak, LeakKind};

pub(super) const RULE: Rule = Rule {
    id: "idle-pool-connection",
    page: include_str!("../../docs/findings/idle-pool-connection.md"),
    check: Check::Leak(check),
};

fn check(analysis: &Analysis, leak: &Leak) -> Option<Finding> {
    if leak.kind != LeakKind::IdlePool {
        return None;
    }
    let mut seen = leaks::evidence(analysis, leak);
    let unread = leaks::unread(leak);
    let told = leak
        .connections
        .iter()
        .filter(|connection| connection.end_was_read().is_some())
        .count();
    if told > 0 {
        seen.push(format!(
            "on {unread} of {told} the end of the stream is unread: not used since the server closed"
        ));
    }
    let process = leak.pids.first().and_then(|pid| analysis.process(*pid));
    Some(Finding {
        id: RULE.id,
        severity: leaks::severity(analysis, leak),
        confidence: Confidence::Likely,
        subject: leaks::subject(analysis, leak),
        headline: format!(
            "{} keeps {} that the server has closed, as a pool does",
            leaks::holder(analysis, leak),
            leaks::connections(leak),
        ),
        evidence: seen,
        conclusion: Some(
            "harmless while their number is flat: the pool drops them when it next uses them"
                .to_owned(),
        ),
        remedies: remedies(&Facts::of(RULE.id, Cause::Pool, process)),
        connections: leak.connections.len(),
    })
}
