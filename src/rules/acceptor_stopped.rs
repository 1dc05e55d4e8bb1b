#![doc = include_str!("../../docs/findings/acceptor-stopped.md")]

use super::evidence::{self, acceptor_evidence, listener_subject, queue_evidence};
use super::{Check, Confidence, Finding, Rule};
use crate::correlate::acceptor::{Acceptor, Halt, Standing};
use crate::correlate::{Activity, Case, Picture, Waiting};

pub(super) const RULE: Rule = Rule {
    id: "acceptor-stopped",
    page: include_str!("../../docs/findings/acceptor-stopped.md"),
    check: Check::Cause(check),
};

fn check(picture: &Picture, case: &Case) -> Option<Finding> {
    if case.waiting == Waiting::Briefly {
        return None;
    }
    // One that was not woken because a stopped one was chosen does not help, and one that waits
    // for a lock waits for the stopped one to release it.
    let helpless = |standing: &Standing| match standing {
        Standing::Halted(_) | Standing::NotWoken => true,
        Standing::Busy { activity, .. } => waits_for_a_lock(activity),
        _ => false,
    };
    if !case.all_stand(helpless) {
        return None;
    }
    let all =
        case.all_stand(|standing| matches!(standing, Standing::Halted(_) | Standing::NotWoken));
    let halted: Vec<(&Acceptor, Halt)> = case
        .acceptors
        .iter()
        .filter_map(|acceptor| match acceptor.standing {
            Standing::Halted(halt) => Some((acceptor, halt)),
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
    let mut seen = queue_evidence(picture, case);
    seen.extend(acceptor_evidence(picture, case));
    Some(Finding {
        id: RULE.id,
        severity: evidence::queue_severity(case),
        confidence: if matches!(case.waiting, Waiting::TooLong(_)) && all {
            Confidence::Certain
        } else {
            Confidence::Likely
        },
        subject: listener_subject(
            case,
            halted
                .iter()
                .map(|(acceptor, _)| acceptor.process.pid)
                .collect(),
        ),
        headline: format!("{}, and {names} {clause}", evidence::waiting_clause(case)),
        evidence: seen,
        conclusion: Some("nobody else would accept them".to_owned()),
        remedies: halted
            .iter()
            .map(|(acceptor, halt)| remedy(acceptor, *halt))
            .collect(),
        connections: case.queue.length as usize,
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

fn remedy(acceptor: &Acceptor, halt: Halt) -> String {
    let pid = acceptor.process.pid;
    match halt {
        Halt::Stopped => format!("right now: kill -CONT {pid}, after finding out who stopped it"),
        Halt::Traced => {
            format!("right now: continue or detach the debugger (TracerPid in /proc/{pid}/status)")
        }
        Halt::Frozen => format!(
            "right now: thaw its cgroup (docker unpause, systemctl thaw; /proc/{pid}/cgroup names it)"
        ),
    }
}
