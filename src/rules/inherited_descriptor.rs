#![doc = include_str!("../../docs/findings/inherited-descriptor.md")]

use super::remedies::{Cause, Claim, Facts, remedies};
use super::{Check, Confidence, Evidence, Finding, Rule, evidence, leaks};
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
    ).into());
    let heirs: Vec<&Process> = heirs(analysis, leak);
    seen.extend(heirs.iter().map(|heir| {
        Evidence::background(format!(
            "{} was started by one of the others",
            evidence::process_name(heir)
        ))
    }));
    let process = leak.pids.first().and_then(|pid| analysis.process(*pid));
    let helper = heirs.iter().find(|heir| is_another_program(analysis, heir));
    let facts = Facts::of(RULE.id, Cause::Shared, process)
        .with(Claim::Helper, helper.is_some())
        .heir(helper.map_or(String::new(), |heir| evidence::process_name(heir)));
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
        remedies: remedies(&facts),
        connections: leak.connections.len(),
    })
}

/// Whether a process runs another executable than its parent. A fork of the same program may well have to hold
/// the connection.
fn is_another_program(analysis: &Analysis, heir: &Process) -> bool {
    let executable = |process: &'_ Process| {
        let examination = process.examination.as_ref()?;
        examination.executable.known().cloned()
    };
    let parent = heir.parent.copied().and_then(|pid| analysis.process(pid));
    let (own, other) = (executable(heir), parent.and_then(executable));
    own.is_some() && other.is_some() && own != other
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
