#![doc = include_str!("../../docs/findings/accept-queue-stranded.md")]

use super::evidence::{self, acceptor_evidence, listener_subject, queue_evidence};
use super::words::what_helps;
use super::{Advice, Check, Confidence, Finding, Rule};
use crate::correlate::acceptor::{AcceptorState, Doubt};
use crate::correlate::{Analysis, StuckListener, Waiting};
use crate::model::{Extent, Gap};

pub(super) const RULE: Rule = Rule {
    id: "accept-queue-stranded",
    page: include_str!("../../docs/findings/accept-queue-stranded.md"),
    check: Check::Cause(check),
};

fn check(analysis: &Analysis, stuck: &StuckListener) -> Option<Finding> {
    if stuck.waiting == Waiting::Briefly {
        return None;
    }
    let mut seen = queue_evidence(analysis, stuck);
    seen.extend(acceptor_evidence(analysis, stuck));
    let missing = missing(analysis, stuck);
    Some(Finding {
        id: RULE.id,
        severity: evidence::queue_severity(stuck),
        confidence: match stuck.waiting {
            Waiting::TooLong(_) => Confidence::Certain,
            Waiting::Unknown | Waiting::Briefly => Confidence::Possible,
        },
        subject: listener_subject(
            stuck,
            stuck
                .acceptors
                .iter()
                .map(|acceptor| acceptor.process.pid)
                .collect(),
        ),
        headline: headline(analysis, stuck),
        evidence: seen,
        conclusion: Some(missing),
        remedies: remedies(analysis, stuck),
        connections: stuck.queue.length as usize,
    })
}

fn headline(analysis: &Analysis, stuck: &StuckListener) -> String {
    let clause = evidence::waiting_clause(stuck);
    if analysis.snapshot.source.is_text() && stuck.waiting == Waiting::Unknown {
        return format!("{clause}; for how long, and whether anybody accepts them, is not shown");
    }
    format!("{clause} and nobody accepts them; why could not be established")
}

/// What was missing for a better answer.
fn missing(analysis: &Analysis, stuck: &StuckListener) -> String {
    let Some(first) = stuck.acceptors.first() else {
        return match analysis.snapshot.coverage.holders {
            Extent::Whole => "no process that can be seen holds the listener: it may be in \
                another pid namespace, or held by the kernel"
                .to_owned(),
            Extent::NotNeeded | Extent::Partly(_) | Extent::Unread(_) => {
                "who holds the listener could not be seen".to_owned()
            }
        };
    };
    match first.state {
        AcceptorState::Unclear(doubt) => evidence::doubt_clause(doubt),
        AcceptorState::NotWoken => {
            "all that would accept sleep, and the kernel woke none of them for \
            these connections"
                .to_owned()
        }
        _ => "those who would accept were seen at it, and still it takes too long".to_owned(),
    }
}

fn remedies(analysis: &Analysis, stuck: &StuckListener) -> Vec<Advice> {
    if analysis.snapshot.source.is_text() {
        return vec![Advice::with_command(
            "look on that host as root, or record there: what the process's threads wait for is \
             in no copied table",
            format!(
                "closewait-doctor scan --port {}",
                stuck.listener.local.port()
            ),
        )];
    }
    let hidden = stuck.acceptors.is_empty() && !analysis.snapshot.coverage.holders.is_whole();
    let refused = stuck
        .acceptors
        .iter()
        .any(|acceptor| acceptor.state == AcceptorState::Unclear(Doubt::Unseen(Gap::NotPermitted)));
    if hidden || refused {
        let helps = what_helps(analysis);
        return vec![
            format!("{helps}: then it can name the process, and what its threads do").into(),
        ];
    }
    if stuck.acceptors.is_empty() {
        return vec![
            "run it on the host rather than in the container, or with --procfs where the host's \
             /proc is mounted"
                .into(),
        ];
    }
    vec!["watch it for longer: --observe 2s".into()]
}
