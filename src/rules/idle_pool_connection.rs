#![doc = include_str!("../../docs/findings/idle-pool-connection.md")]

use super::remedies::{Cause, Claim, Facts, remedies};
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
        ).into());
    }
    let process = leak.pids.first().and_then(|pid| analysis.process(*pid));
    let facts =
        Facts::of(RULE.id, Cause::Pool, process).with(Claim::Grows, leaks::grows(analysis, leak));
    Some(Finding {
        id: RULE.id,
        severity: leaks::severity(analysis, leak),
        confidence: Confidence::Likely,
        subject: leaks::subject(analysis, leak),
        headline: headline(analysis, leak),
        evidence: seen,
        conclusion: Some(conclusion(analysis, leak).to_owned()),
        remedies: remedies(&facts),
        connections: leak.connections.len(),
    })
}

fn headline(analysis: &Analysis, leak: &Leak) -> String {
    let (holder, connections) = (leaks::holder(analysis, leak), leaks::connections(leak));
    let keep = if leak.pids.len() > 1 { "keep" } else { "keeps" };
    if leaks::grows(analysis, leak) {
        let grows = leaks::growth_clause(analysis, leak);
        return format!("{holder} {keep} {connections} that the server has closed{grows}");
    }
    format!("{holder} {keep} {connections} that the server has closed, as a pool does")
}

/// A pool at rest and a leak look the same at one look; what was measured tells them apart.
fn conclusion(analysis: &Analysis, leak: &Leak) -> &'static str {
    match analysis.growth(leak.endpoint) {
        _ if leaks::grows(analysis, leak) => {
            "the program opens new ones and does not close the old: responses, sessions or streams \
             are left open on some path"
        }
        Some(growth) if growth.per_minute().is_some() => {
            "a pool at rest: it drops them when it next uses them"
        }
        _ => {
            "a pool at rest drops them when it next uses them; one look does not tell that from a \
             leak, whose number grows"
        }
    }
}
