#![doc = include_str!("../../docs/findings/acceptor-stopped.md")]

use super::evidence::{self, acceptor_evidence, listener_subject, queue_evidence};
use super::{Advice, Check, Confidence, Finding, Rule};
use crate::correlate::acceptor::{Acceptor, AcceptorState, Halt};
use crate::correlate::{Activity, Analysis, StuckListener, Waiting};

pub(super) const RULE: Rule = Rule {
    id: "acceptor-stopped",
    page: include_str!("../../docs/findings/acceptor-stopped.md"),
    check: Check::Cause(check),
};

fn check(analysis: &Analysis, stuck: &StuckListener) -> Option<Finding> {
    if stuck.waiting == Waiting::Briefly {
        return None;
    }
    // One that was not woken because a stopped one was chosen does not help, and one that waits
    // for a lock waits for the stopped one to release it.
    let helpless = |state: &AcceptorState| match state {
        AcceptorState::Halted(_) | AcceptorState::NotWoken => true,
        AcceptorState::Busy { activity, .. } => waits_for_a_lock(activity),
        _ => false,
    };
    if !stuck.all_in_state(helpless) {
        return None;
    }
    let all = stuck
        .all_in_state(|state| matches!(state, AcceptorState::Halted(_) | AcceptorState::NotWoken));
    let halted: Vec<(&Acceptor, Halt)> = stuck
        .acceptors
        .iter()
        .filter_map(|acceptor| match acceptor.state {
            AcceptorState::Halted(halt) => Some((acceptor, halt)),
            _ => None,
        })
        .collect();
    let (_, halt) = halted.first()?;
    let names = evidence::process_names(halted.iter().map(|(acceptor, _)| acceptor.process));
    let clause = if halted.len() == 1 {
        evidence::halt_clause(*halt).to_owned()
    } else {
        evidence::halt_clause(*halt).replacen("is ", "are ", 1)
    };
    let mut seen = queue_evidence(analysis, stuck);
    seen.extend(acceptor_evidence(analysis, stuck));
    Some(Finding {
        id: RULE.id,
        severity: evidence::queue_severity(stuck),
        confidence: if matches!(stuck.waiting, Waiting::TooLong(_)) && all {
            Confidence::Certain
        } else {
            Confidence::Likely
        },
        subject: listener_subject(
            stuck,
            halted
                .iter()
                .map(|(acceptor, _)| acceptor.process.pid)
                .collect(),
        ),
        headline: format!("{}, and {names} {clause}", evidence::waiting_clause(stuck)),
        evidence: seen,
        conclusion: Some("nobody else would accept them".to_owned()),
        remedies: halted
            .iter()
            .map(|(acceptor, halt)| remedy(acceptor, *halt))
            .collect(),
        connections: stuck.queue.length as usize,
    })
}

/// A lock among processes: a shared mutex, a semaphore, a file lock.
fn waits_for_a_lock(activity: &Activity) -> bool {
    match activity {
        Activity::Futex => true,
        Activity::OnDescriptor { call, .. } => matches!(*call, "fcntl" | "flock"),
        Activity::Other(call) => call.starts_with("sem"),
        _ => false,
    }
}

fn remedy(acceptor: &Acceptor, halt: Halt) -> Advice {
    let pid = acceptor.process.pid;
    match halt {
        Halt::Stopped => Advice::with_command(
            "right now: let it continue, after finding out who stopped it",
            format!("kill -CONT {pid}"),
        ),
        Halt::Traced => {
            format!("right now: continue or detach the debugger (TracerPid in /proc/{pid}/status)").into()
        }
        Halt::Frozen => format!(
            "right now: thaw its cgroup (docker unpause, systemctl thaw; /proc/{pid}/cgroup names it)"
        )
        .into(),
    }
}
