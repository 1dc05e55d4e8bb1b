#![doc = include_str!("../../docs/findings/relay-pair.md")]

use super::evidence::count;
use super::{Check, Confidence, Finding, Rule, leaks};
use crate::correlate::{Analysis, Leak, LeakKind};

pub(super) const RULE: Rule = Rule {
    id: "relay-pair",
    page: include_str!("../../docs/findings/relay-pair.md"),
    check: Check::Leak(check),
};

fn check(analysis: &Analysis, leak: &Leak) -> Option<Finding> {
    let LeakKind::Relay { other_side } = leak.kind else {
        return None;
    };
    let mut seen = leaks::evidence(analysis, leak);
    seen.push(format!(
        "the same process has {} in FIN_WAIT2: there it has closed its direction, and the peer \
         does not close",
        count(other_side, "connection")
    ));
    Some(Finding {
        id: RULE.id,
        severity: leaks::severity(analysis, leak),
        confidence: Confidence::Likely,
        subject: leaks::subject(analysis, leak),
        headline: format!(
            "{} relays: {} ended on one side, and it waits for the other side to end, too",
            leaks::holder(analysis, leak),
            leaks::connections(leak),
        ),
        evidence: seen,
        conclusion: Some(
            "one end of each pair is done and the other does not close; the relay copies until both \
             are"
            .to_owned(),
        ),
        remedies: vec![
            "in the relay: a timeout for half-closed pairs (HAProxy timeout client-fin and \
             server-fin, nginx proxy_timeout, envoy idle_timeout)"
                .to_owned(),
            "behind the relay: find why that end does not close".to_owned(),
        ],
        connections: leak.connections.len(),
    })
}
