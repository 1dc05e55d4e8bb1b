#![doc = include_str!("../../docs/findings/fd-limit-reached.md")]

use super::evidence::{self, acceptor_evidence, listener_subject, queue_evidence};
use super::software::{self, Ailment};
use super::{Check, Confidence, Finding, Rule};
use crate::correlate::acceptor::Standing;
use crate::correlate::{Case, Picture, Waiting};
use crate::model::Process;

pub(super) const RULE: Rule = Rule {
    id: "fd-limit-reached",
    page: include_str!("../../docs/findings/fd-limit-reached.md"),
    check: Check::Cause(check),
};

fn check(picture: &Picture, case: &Case) -> Option<Finding> {
    if case.waiting == Waiting::Briefly {
        return None;
    }
    let at_limit: Vec<_> = case
        .with_standing(|standing| matches!(standing, Standing::AtFdLimit { .. }))
        .collect();
    let first = at_limit.first()?;
    let Standing::AtFdLimit { limit } = first.standing else {
        return None;
    };
    let mut seen = queue_evidence(picture, case);
    seen.extend(acceptor_evidence(picture, case));
    Some(Finding {
        id: RULE.id,
        severity: evidence::queue_severity(case),
        confidence: if matches!(case.waiting, Waiting::TooLong(_)) {
            Confidence::Certain
        } else {
            Confidence::Likely
        },
        subject: listener_subject(
            case,
            at_limit
                .iter()
                .map(|acceptor| acceptor.process.pid)
                .collect(),
        ),
        headline: format!(
            "{}, and {} has used up the {limit} descriptors that it may open: accept fails with EMFILE",
            evidence::waiting_clause(case),
            evidence::process_name(first.process),
        ),
        evidence: seen,
        conclusion: None,
        remedies: remedies(first.process),
        connections: case.queue.length as usize,
    })
}

fn remedies(process: &Process) -> Vec<String> {
    let pid = process.pid;
    let mut remedies = vec![
        format!(
            "first find what holds the descriptors: ls -l /proc/{pid}/fd; other findings may name \
             a leak"
        ),
        format!(
            "right now: prlimit --pid {pid} --nofile=SOFT:HARD raises the limit of the running \
             process"
        ),
        "for good: LimitNOFILE= of its systemd unit, or ulimit -n where it is started".to_owned(),
    ];
    remedies.extend(software::remedy(process, Ailment::NoDescriptors));
    remedies
}
