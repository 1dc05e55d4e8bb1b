#![doc = include_str!("../../docs/findings/stuck-writer.md")]

use std::time::Duration;

use super::{Check, Confidence, Finding, Rule, evidence, leaks};
use crate::correlate::{Analysis, Leak, LeakKind};
use crate::model::{Reading, TcpAges, Timer};

pub(super) const RULE: Rule = Rule {
    id: "stuck-writer",
    page: include_str!("../../docs/findings/stuck-writer.md"),
    check: Check::Leak(check),
};

fn check(analysis: &Analysis, leak: &Leak) -> Option<Finding> {
    if leak.kind != LeakKind::StuckWriter {
        return None;
    }
    let unsent: u64 = leak
        .connections
        .iter()
        .map(|connection| u64::from(connection.send_q))
        .sum();
    let probing = leak
        .connections
        .iter()
        .filter(|connection| connection.timer == Reading::Known(Timer::ZeroWindowProbe))
        .count();
    let mut seen = leaks::evidence(analysis, leak);
    seen.push(
        format!(
            "{unsent} bytes wait to be sent or acknowledged; nothing went out for {} or more",
            evidence::seconds(idle(leak))
        )
        .into(),
    );
    if probing > 0 {
        seen.push(
            format!(
                "on {probing} of them the peer keeps its receive window shut (zero-window probes)"
            )
            .into(),
        );
    }
    Some(Finding {
        id: RULE.id,
        severity: leaks::severity(analysis, leak),
        // One look cannot tell slow from stuck.
        confidence: if analysis.snapshot.later.is_some() {
            Confidence::Certain
        } else {
            Confidence::Likely
        },
        subject: leaks::subject(analysis, leak),
        headline: format!(
            "{} of {} cannot be sent to: the peer has closed its direction and takes nothing more",
            leaks::connections(leak),
            leaks::holder(analysis, leak),
        ),
        evidence: seen,
        conclusion: None,
        remedies: vec![
            "in the code: give writes a deadline, or set TCP_USER_TIMEOUT; then close".into(),
            "close() alone leaves the kernel trying: set SO_LINGER to 0 first to drop what is left"
                .into(),
        ],
        connections: leak.connections.len(),
    })
}

fn idle(leak: &Leak) -> Duration {
    let clocks = leak
        .connections
        .iter()
        .filter_map(|connection| connection.ages);
    clocks
        .map(TcpAges::last_data_sent)
        .min()
        .unwrap_or_default()
}
