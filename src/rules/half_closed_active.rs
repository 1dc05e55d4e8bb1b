#![doc = include_str!("../../docs/findings/half-closed-active.md")]

use super::{Check, Confidence, Finding, Rule, Severity, leaks};
use crate::correlate::{Analysis, Leak, LeakKind};

pub(super) const RULE: Rule = Rule {
    id: "half-closed-active",
    page: include_str!("../../docs/findings/half-closed-active.md"),
    check: Check::Leak(check),
};

fn check(analysis: &Analysis, leak: &Leak) -> Option<Finding> {
    if leak.kind != LeakKind::HalfClosed {
        return None;
    }
    let mut seen = leaks::evidence(analysis, leak);
    seen.push("data went out on each of them between two looks".to_owned());
    Some(Finding {
        id: RULE.id,
        severity: Severity::Info,
        confidence: Confidence::Certain,
        subject: leaks::subject(analysis, leak),
        headline: format!(
            "{} still sends on {}, whose peer has closed its direction only: that is fine",
            leaks::holder(analysis, leak),
            leaks::connections(leak),
        ),
        evidence: seen,
        conclusion: None,
        remedies: vec!["nothing; it ends when the program has sent all".to_owned()],
        connections: leak.connections.len(),
    })
}
