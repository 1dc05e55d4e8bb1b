#![doc = include_str!("../../docs/findings/peer-not-closing.md")]

use super::thresholds::POOL_CONNECTIONS;
use super::{Check, Confidence, Evidence, Finding, Rule, Severity, leaks};
use crate::correlate::{Analysis, Leak, LeakKind};

pub(super) const RULE: Rule = Rule {
    id: "peer-not-closing",
    page: include_str!("../../docs/findings/peer-not-closing.md"),
    check: Check::Leak(check),
};

fn check(analysis: &Analysis, leak: &Leak) -> Option<Finding> {
    if leak.kind != LeakKind::PeerNotClosing {
        return None;
    }
    let mut seen = vec![Evidence::background(leaks::peer_evidence(
        leak,
        "kept open by",
    ))];
    seen.push(
        "state FIN_WAIT2 with a descriptor: we have sent our end of the stream, the peer has \
         acknowledged it and sends neither data nor its own"
            .to_owned()
            .into(),
    );
    Some(Finding {
        id: RULE.id,
        severity: if leak.connections.len() > POOL_CONNECTIONS {
            Severity::Warning
        } else {
            Severity::Info
        },
        confidence: Confidence::Certain,
        subject: leaks::subject(analysis, leak),
        headline: format!(
            "{} waits on {} for peers that do not close: over there they are CLOSE_WAIT",
            leaks::holder(analysis, leak),
            leaks::connections(leak),
        ),
        evidence: seen,
        conclusion: Some(
            "the leak is on the other host, or in a program that takes long".to_owned(),
        ),
        remedies: vec![
            "look on the peer's host with the same tool".into(),
            "in the code: give the wait after shutdown(SHUT_WR) a deadline, then close()".into(),
        ],
        connections: leak.connections.len(),
    })
}
