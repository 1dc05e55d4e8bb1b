#![doc = include_str!("../../docs/findings/edge-triggered-stall.md")]

use super::evidence::{self, acceptor_evidence, listener_subject, queue_evidence};
use super::remedies::{Cause, Facts, remedies};
use super::thresholds::{PROOF_LOOKS, PROOF_SHARE_PERCENT};
use super::{Check, Confidence, Finding, Rule, Severity};
use crate::correlate::acceptor::{Acceptor, AcceptorState};
use crate::correlate::{Analysis, StuckListener, Waiting};
use crate::model::{Scope, Software};

pub(super) const RULE: Rule = Rule {
    id: "edge-triggered-stall",
    page: include_str!("../../docs/findings/edge-triggered-stall.md"),
    check: Check::Cause(check),
};

fn check(analysis: &Analysis, stuck: &StuckListener) -> Option<Finding> {
    if stuck.waiting == Waiting::Briefly {
        return None;
    }
    let asleep: Vec<&Acceptor> = stuck
        .in_state(|state| matches!(state, AcceptorState::AsleepOnEdge { .. }))
        .collect();
    let first = asleep.first()?;
    let confidence = confidence(stuck, &asleep)?;
    let mut seen = queue_evidence(analysis, stuck);
    seen.extend(acceptor_evidence(analysis, stuck));
    Some(Finding {
        id: RULE.id,
        severity: Severity::Critical,
        confidence,
        subject: listener_subject(
            stuck,
            asleep.iter().map(|acceptor| acceptor.process.pid).collect(),
        ),
        headline: format!(
            "{}, and {} {}",
            evidence::waiting_clause(stuck),
            evidence::process_names(asleep.iter().map(|acceptor| acceptor.process)),
            if is_mostly_asleep(first) {
                "sleeps in epoll_wait: nothing will wake it for them"
            } else {
                "runs on and does not accept: in epoll_wait nothing wakes it for them"
            }
        ),
        evidence: seen,
        conclusion: Some(conclusion(first)),
        remedies: remedies(
            &Facts::of(RULE.id, Cause::LostEdge, Some(first.process))
                .place(where_it_listens(stuck, first)),
        ),
        connections: stuck.queue.length as usize,
    })
}

/// Under level-triggering no thread can sleep on the set that holds the listener while connections wait.
/// Enough samples over enough time exclude the moment before a wake-up as well.
fn confidence(stuck: &StuckListener, asleep: &[&Acceptor]) -> Option<Confidence> {
    let AcceptorState::AsleepOnEdge {
        asleep: times,
        looks,
        other_at_work,
        ..
    } = asleep.first()?.state
    else {
        return None;
    };
    let often = times >= PROOF_LOOKS && times * 100 >= looks * PROOF_SHARE_PERCENT;
    let alone = !other_at_work && asleep.len() == stuck.acceptors.len();
    if evidence::watched_long_enough(stuck) && often && alone {
        return Some(Confidence::Certain);
    }
    match stuck.waiting {
        Waiting::TooLong(_) => Some(Confidence::Likely),
        // It was seen once, and no connection is known to have waited: a healthy server looks like that too.
        Waiting::Unknown | Waiting::Briefly => often.then_some(Confidence::Likely),
    }
}

fn is_mostly_asleep(acceptor: &Acceptor) -> bool {
    match acceptor.state {
        AcceptorState::AsleepOnEdge { asleep, looks, .. } => 2 * asleep >= looks,
        _ => false,
    }
}

fn conclusion(acceptor: &Acceptor) -> String {
    let examination = acceptor.process.examination.as_ref();
    let software = examination.map(|examination| &examination.software);
    let edges = software.filter(|software| software.registers_edge_triggered());
    match edges.and_then(Software::name) {
        Some(name) => format!(
            "{name} registers every descriptor edge-triggered and accepts in a loop: that loop is \
             parked, usually behind a connection limit (a semaphore, a full channel), or has ended"
        ),
        _ => "the accept loop stopped before EAGAIN, and an edge is not reported twice. Each new \
              client frees one old connection and takes its place"
            .to_owned(),
    }
}

/// The options that name a listener.
fn where_it_listens(stuck: &StuckListener, acceptor: &Acceptor) -> String {
    let port = stuck.listener.local.port();
    if stuck.netns == Scope::CURRENT_NETNS {
        format!("--port {port}")
    } else {
        format!("--port {port} --netns {}", acceptor.process.pid)
    }
}
