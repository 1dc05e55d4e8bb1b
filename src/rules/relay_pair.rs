#![doc = include_str!("../../docs/findings/relay-pair.md")]

use super::evidence::count;
use super::{Advice, Check, Confidence, Finding, Rule, leaks};
use crate::correlate::{Analysis, Endpoint, Leak, LeakKind, OtherSide, Pairing};

pub(super) const RULE: Rule = Rule {
    id: "relay-pair",
    page: include_str!("../../docs/findings/relay-pair.md"),
    check: Check::Leak(check),
};

fn check(analysis: &Analysis, leak: &Leak) -> Option<Finding> {
    let LeakKind::Relay(other_side) = &leak.kind else {
        return None;
    };
    let mut seen = leaks::evidence(analysis, leak);
    seen.push(other_side_evidence(other_side).into());
    let waits = match other_side.told_by {
        Pairing::PassedOn => "it waits for the other side to end, too",
        Pairing::SameBytes | Pairing::SameTimes => "the other side does not learn of it",
    };
    Some(Finding {
        id: RULE.id,
        severity: leaks::severity(analysis, leak),
        confidence: match other_side.told_by {
            Pairing::PassedOn | Pairing::SameBytes => Confidence::Likely,
            Pairing::SameTimes => Confidence::Possible,
        },
        subject: leaks::subject(analysis, leak),
        headline: format!(
            "{} relays: {} ended on one side, and {waits}: {}",
            leaks::holder(analysis, leak),
            leaks::connections(leak),
            end(other_side),
        ),
        evidence: seen,
        conclusion: Some(conclusion(other_side)),
        remedies: remedies(other_side),
        connections: leak.connections.len(),
    })
}

/// `12 connections to 10.0.0.7:9000`.
fn end(other_side: &OtherSide) -> String {
    let number = count(other_side.connections, "connection");
    match other_side.end {
        Endpoint::Server(local) => format!("{number} on {local}"),
        Endpoint::Client(remote) => format!("{number} to {remote}"),
    }
}

fn other_side_evidence(other_side: &OtherSide) -> String {
    let end = end(other_side);
    match other_side.told_by {
        Pairing::PassedOn => format!(
            "the same process has {end} in FIN_WAIT2: there it has closed its direction, and the peer \
             does not close"
        ),
        Pairing::SameBytes => format!(
            "the same process has {end} in ESTABLISHED that sent and received just as many bytes, at \
             the same times"
        ),
        Pairing::SameTimes => format!(
            "the same process has {end} in ESTABLISHED that sent when these received, and received \
             when these sent"
        ),
    }
}

fn conclusion(other_side: &OtherSide) -> String {
    match other_side.told_by {
        Pairing::PassedOn => {
            "one end of each pair is done and the other does not close; the relay copies until both \
             are"
        }
        Pairing::SameBytes | Pairing::SameTimes => {
            "the relay has read the end of one side and not passed it on: the peer of the other side \
             cannot know that it should close"
        }
    }
    .to_owned()
}

fn remedies(other_side: &OtherSide) -> Vec<Advice> {
    match other_side.told_by {
        Pairing::PassedOn => vec![
            "in the relay: a timeout for half-closed pairs (HAProxy timeout client-fin and \
             server-fin, nginx proxy_timeout, envoy idle_timeout)"
                .into(),
            "behind the relay: find why that end does not close".into(),
        ],
        Pairing::SameBytes | Pairing::SameTimes => vec![
            "in the relay: shutdown(SHUT_WR) on the other side where one was read to its end, and a \
             time limit from then on for the pair"
                .into(),
        ],
    }
}
