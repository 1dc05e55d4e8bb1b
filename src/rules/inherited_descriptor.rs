#![doc = include_str!("../../docs/findings/inherited-descriptor.md")]

use super::{Check, Confidence, Finding, Rule, evidence, leaks};
use crate::correlate::{Analysis, Leak, LeakKind};
use crate::model::Process;

pub(super) const RULE: Rule = Rule {
    id: "inherited-descriptor",
    page: include_str!("../../docs/findings/inherited-descriptor.md"),
    check: Check::Leak(check),
};

fn check(analysis: &Analysis, leak: &Leak) -> Option<Finding> {
    if leak.kind != LeakKind::Inherited {
        return None;
    }
    let mut seen = leaks::evidence(analysis, leak);
    let unread = leaks::unread(leak);
    seen.push(format!(
        "each of {} processes has a descriptor of it; the end of the stream is unread on {unread}",
        leak.pids.len()
    ));
    let heirs: Vec<&Process> = heirs(analysis, leak);
    seen.extend(heirs.iter().map(|heir| {
        format!(
            "{} was started by one of the others",
            evidence::process_name(heir)
        )
    }));
    Some(Finding {
        id: RULE.id,
        severity: leaks::severity(analysis, leak),
        confidence: Confidence::Certain,
        subject: leaks::subject(analysis, leak),
        headline: format!(
            "{} held by {} processes at once, so that one close() does not end {}: {}",
            leaks::connections(leak),
            leak.pids.len(),
            leaks::them(leak),
            leaks::holder(analysis, leak),
        ),
        evidence: seen,
        conclusion: None,
        remedies: vec![
            "in the code: accept with SOCK_CLOEXEC, and close in the child what it does not need"
                .to_owned(),
            match heirs.first() {
                Some(heir) => format!(
                    "right now: if {} has no business with it, ending it lets the close of the \
                     other take effect",
                    evidence::process_name(heir)
                ),
                None => "right now: end the process that has no business with it".to_owned(),
            },
        ],
        connections: leak.connections.len(),
    })
}

/// Those whose parent holds the connection too.
fn heirs<'a>(analysis: &'a Analysis, leak: &Leak) -> Vec<&'a Process> {
    let processes = leak.pids.iter().filter_map(|pid| analysis.process(*pid));
    processes
        .filter(|process| {
            process
                .parent
                .known()
                .is_some_and(|parent| leak.pids.contains(parent))
        })
        .collect()
}
