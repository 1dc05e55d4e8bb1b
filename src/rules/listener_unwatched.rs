#![doc = include_str!("../../docs/findings/listener-unwatched.md")]

use super::evidence::{self, acceptor_evidence, listener_subject, queue_evidence};
use super::remedies::{Cause, Claim, Facts, remedies};
use super::{Check, Confidence, Finding, Rule, waits};
use crate::correlate::acceptor::{Acceptor, AcceptorState, Unwatched};
use crate::correlate::{Analysis, StuckListener, Waiting};

pub(super) const RULE: Rule = Rule {
    id: "listener-unwatched",
    page: include_str!("../../docs/findings/listener-unwatched.md"),
    check: Check::Cause(check),
};

fn check(analysis: &Analysis, stuck: &StuckListener) -> Option<Finding> {
    if stuck.waiting == Waiting::Briefly {
        return None;
    }
    if let Some(orphan) = orphan(analysis, stuck) {
        return Some(orphan);
    }
    let unwatched: Vec<(&Acceptor, Unwatched)> = stuck
        .acceptors
        .iter()
        .filter_map(|acceptor| match acceptor.state {
            AcceptorState::Unwatched { how, .. } => Some((acceptor, how)),
            _ => None,
        })
        .collect();
    // A supervisor beside one that is at work is not the one that should accept.
    let busy = stuck
        .in_state(|state| matches!(state, AcceptorState::Busy { .. }))
        .next();
    let idle_loop = unwatched
        .iter()
        .find(|(_, how)| *how != Unwatched::Supervisor);
    let (first, how) = match (idle_loop, busy) {
        (Some(idle_loop), _) => idle_loop,
        (None, None) => unwatched.first()?,
        (None, Some(_)) => return None,
    };
    let all = unwatched.len() == stuck.acceptors.len();
    let complete = analysis.snapshot.coverage.holders.is_whole();
    let confidence = match stuck.waiting {
        Waiting::TooLong(_) if all && complete && evidence::watched_long_enough(stuck) => {
            Confidence::Certain
        }
        Waiting::TooLong(_) => Confidence::Likely,
        Waiting::Unknown | Waiting::Briefly => Confidence::Possible,
    };
    let facts = Facts::of(RULE.id, cause(*how), Some(first.process))
        .with(
            Claim::HasClients,
            !analysis.accepted(stuck.listener).is_empty(),
        )
        .with(Claim::HandsOn, !stuck.handlers.is_empty());
    let mut seen = queue_evidence(analysis, stuck);
    seen.extend(acceptor_evidence(analysis, stuck));
    Some(Finding {
        id: RULE.id,
        severity: evidence::queue_severity(stuck),
        confidence,
        subject: listener_subject(
            stuck,
            unwatched
                .iter()
                .map(|(acceptor, _)| acceptor.process.pid)
                .collect(),
        ),
        headline: format!(
            "{}, and {}",
            evidence::waiting_clause(stuck),
            headline_clause(stuck, first, *how)
        ),
        evidence: seen,
        conclusion: conclusion(analysis, stuck, *how),
        remedies: remedies(&facts),
        connections: stuck.queue.length as usize,
    })
}

/// The only holder of the listener has inherited it.
fn orphan(analysis: &Analysis, stuck: &StuckListener) -> Option<Finding> {
    let orphan = stuck
        .in_state(|state| *state == AcceptorState::Orphan)
        .next()?;
    let name = evidence::process_name(orphan.process);
    let mut seen = queue_evidence(analysis, stuck);
    seen.extend(acceptor_evidence(analysis, stuck));
    Some(Finding {
        id: RULE.id,
        severity: evidence::queue_severity(stuck),
        confidence: match stuck.waiting {
            Waiting::TooLong(_) => Confidence::Likely,
            Waiting::Unknown | Waiting::Briefly => Confidence::Possible,
        },
        subject: listener_subject(stuck, vec![orphan.process.pid]),
        headline: format!(
            "{}, and only {name} is left that holds the listener: it has inherited it from a parent that \
             has ended, and does not accept",
            evidence::waiting_clause(stuck),
        ),
        evidence: seen,
        conclusion: Some(format!(
            "{name} keeps the port of a server that is gone: the kernel completes handshakes for \
             whoever holds a listener"
        )),
        remedies: remedies(&Facts::of(RULE.id, Cause::Orphan, Some(orphan.process))),
        connections: stuck.queue.length as usize,
    })
}

/// An event loop that does not watch its listener while it has clients is most likely at a limit of its own.
fn conclusion(analysis: &Analysis, stuck: &StuckListener, how: Unwatched) -> Option<String> {
    let accepted = analysis.accepted(stuck.listener).len();
    if accepted == 0 || how == Unwatched::Supervisor {
        return None;
    }
    let places = format!(
        "most likely it has paused on purpose, at a limit that is full: {} accepted from it {} open",
        evidence::count(accepted, "connection"),
        if accepted == 1 { "is" } else { "are" },
    );
    let open = waits::open_requests(&stuck.waits, analysis.grace).next();
    Some(match (stuck.waits.groups.first(), open) {
        (Some(group), _) => format!(
            "{places}, and {}",
            waits::group_sentence(&stuck.facts, &stuck.waits, group)
        ),
        (None, Some(requests)) => format!(
            "{places}, and {}: no place becomes free before that",
            waits::requests_sentence(requests)
        ),
        (None, None) => places,
    })
}

fn headline_clause(stuck: &StuckListener, acceptor: &Acceptor, how: Unwatched) -> String {
    let name = evidence::process_name(acceptor.process);
    if !stuck.handlers.is_empty() {
        return format!(
            "{name}, which accepts and starts a child for each connection, waits for {} to end",
            count_children(stuck.handlers.len())
        );
    }
    match how {
        Unwatched::NotInSet { .. } => {
            format!("{name} is idle in an event loop that does not watch the listener")
        }
        Unwatched::NoInput { .. } => {
            format!("{name} is idle: it has switched the listener's input events off")
        }
        Unwatched::SpentOneShot { .. } => {
            format!("{name} is idle: it has not re-armed the listener's one-shot registration")
        }
        Unwatched::NotPolled => format!("{name} is idle, polling everything but the listener"),
        Unwatched::Supervisor => {
            format!("only {name} holds the listener, which does not accept")
        }
    }
}

fn count_children(number: usize) -> String {
    if number == 1 {
        "its child".to_owned()
    } else {
        format!("one of its {number} children")
    }
}

fn cause(how: Unwatched) -> Cause {
    match how {
        Unwatched::SpentOneShot { .. } => Cause::SpentOneShot,
        Unwatched::Supervisor => Cause::Supervisor,
        Unwatched::NoInput { .. } => Cause::NoInput,
        Unwatched::NotInSet { .. } | Unwatched::NotPolled => Cause::LeftOut,
    }
}
