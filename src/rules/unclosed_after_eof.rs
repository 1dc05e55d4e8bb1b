#![doc = include_str!("../../docs/findings/unclosed-after-eof.md")]

use super::remedies::{Cause, Claim, Facts, remedies};
use super::thresholds::NOT_AN_ANSWER_ANY_MORE;
use super::{Check, Confidence, Finding, Rule, leaks};
use crate::correlate::{Analysis, Leak, LeakKind, Reader};

pub(super) const RULE: Rule = Rule {
    id: "unclosed-after-eof",
    page: include_str!("../../docs/findings/unclosed-after-eof.md"),
    check: Check::Leak(check),
};

fn check(analysis: &Analysis, leak: &Leak) -> Option<Finding> {
    let LeakKind::NotClosed(reader) = &leak.kind else {
        return None;
    };
    if !matches!(**reader, Reader::Done | Reader::NotShown) {
        return None;
    }
    let was_read = **reader == Reader::Done;
    let mut seen = leaks::evidence(analysis, leak);
    if was_read {
        seen.push(
            "Recv-Q is 0: the program has read everything, the end of the stream included"
                .to_owned()
                .into(),
        );
    }
    let process = leak.pids.first().and_then(|pid| analysis.process(*pid));
    let facts = Facts::of(RULE.id, Cause::NotClosed, process).with(Claim::EndRead, was_read);
    Some(Finding {
        id: RULE.id,
        severity: leaks::severity(analysis, leak),
        confidence: confidence(analysis, leak, was_read),
        subject: leaks::subject(analysis, leak),
        headline: headline(analysis, leak, was_read) + &leaks::growth_clause(analysis, leak),
        evidence: seen,
        conclusion: None,
        remedies: remedies(&facts),
        connections: leak.connections.len(),
    })
}

fn headline(analysis: &Analysis, leak: &Leak, was_read: bool) -> String {
    let (connections, holder) = (leaks::connections(leak), leaks::holder(analysis, leak));
    let them = leaks::them(leak);
    let were = if leak.connections.len() == 1 {
        "was"
    } else {
        "were"
    };
    if was_read {
        format!("the end of {connections} was read, and {holder} never closed {them}")
    } else {
        format!("{connections} {were} closed by the MPTCP peer, and {holder} has not closed {them}")
    }
}

/// A client may close its direction and wait for the answer; only after long is that out of the
/// question.
fn confidence(analysis: &Analysis, leak: &Leak, was_read: bool) -> Confidence {
    let at_least: Option<Vec<_>> = leak.ages.iter().map(|age| age.at_least).collect();
    match at_least.and_then(|ages| ages.into_iter().min()) {
        None => Confidence::Possible,
        _ if !was_read || leak.overdue == 0 || analysis.comes_and_goes(leak) => {
            Confidence::Possible
        }
        Some(youngest) if youngest >= analysis.grace * NOT_AN_ANSWER_ANY_MORE => {
            Confidence::Certain
        }
        Some(_) => Confidence::Likely,
    }
}
