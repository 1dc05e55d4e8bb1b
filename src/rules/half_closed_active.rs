#![doc = include_str!("../../docs/findings/half-closed-active.md")]

use super::{Check, Confidence, Finding, Rule, Severity, leaks};
use crate::correlate::{Analysis, Leak, LeakKind};

pub(super) const RULE: Rule = Rule {
    id: "half-closed-active",
    page: include_str!("../../docs/findings/half-closed-active.md"),
    check: Check::Leak(check),
};

fn check(analysis: &Analysis, leak: &Leak) -> Option<Finding> {
    let (fact, doing) = match leak.kind {
        LeakKind::HalfClosed => (
            "data went out on each of them between two looks",
            "still sends on",
        ),
        LeakKind::AnswerDue => (
            "each peer is a process of this host that has closed its direction only and still has its \
             end open; its request was read, and nothing was sent since",
            "works on answers for",
        ),
        _ => return None,
    };
    let mut seen = leaks::evidence(analysis, leak);
    seen.push(fact.to_owned().into());
    Some(Finding {
        id: RULE.id,
        severity: Severity::Info,
        confidence: match leak.kind {
            LeakKind::HalfClosed => Confidence::Certain,
            _ => Confidence::Likely,
        },
        subject: leaks::subject(analysis, leak),
        headline: format!(
            "{} {doing} {}, whose peer has closed its direction only: that is fine",
            leaks::holder(analysis, leak),
            leaks::connections(leak),
        ),
        evidence: seen,
        conclusion: None,
        remedies: vec!["nothing; it ends when the program has sent all".into()],
        connections: leak.connections.len(),
    })
}
