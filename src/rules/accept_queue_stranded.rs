#![doc = include_str!("../../docs/findings/accept-queue-stranded.md")]

use super::evidence::{self, acceptor_evidence, listener_subject, queue_evidence};
use super::{Check, Confidence, Finding, Rule};
use crate::correlate::acceptor::{Doubt, Standing};
use crate::correlate::{Case, Picture, Waiting};
use crate::model::{Gap, Reading};

pub(super) const RULE: Rule = Rule {
    id: "accept-queue-stranded",
    page: include_str!("../../docs/findings/accept-queue-stranded.md"),
    check: Check::Cause(check),
};

fn check(picture: &Picture, case: &Case) -> Option<Finding> {
    if case.waiting == Waiting::Briefly {
        return None;
    }
    let mut seen = queue_evidence(picture, case);
    seen.extend(acceptor_evidence(picture, case));
    let missing = missing(picture, case);
    Some(Finding {
        id: RULE.id,
        severity: evidence::queue_severity(case),
        confidence: match case.waiting {
            Waiting::TooLong(_) => Confidence::Certain,
            Waiting::Unknown | Waiting::Briefly => Confidence::Possible,
        },
        subject: listener_subject(
            case,
            case.acceptors
                .iter()
                .map(|acceptor| acceptor.process.pid)
                .collect(),
        ),
        headline: headline(picture, case),
        evidence: seen,
        conclusion: Some(missing),
        remedies: remedies(picture, case),
        connections: case.queue.length as usize,
    })
}

fn headline(picture: &Picture, case: &Case) -> String {
    let clause = evidence::waiting_clause(case);
    if picture.snapshot.source.is_text() && case.waiting == Waiting::Unknown {
        return format!("{clause}; for how long, and whether anybody accepts them, is not shown");
    }
    format!("{clause} and nobody accepts them; why could not be established")
}

/// What was missing for a better answer.
fn missing(picture: &Picture, case: &Case) -> String {
    let Some(first) = case.acceptors.first() else {
        return match picture.snapshot.holders_complete {
            Reading::Known(()) => "no process that can be seen holds the listener: it may be in \
                another pid namespace, or held by the kernel"
                .to_owned(),
            Reading::Unknown(_) => "who holds the listener could not be seen".to_owned(),
        };
    };
    match first.standing {
        Standing::Unclear(doubt) => evidence::doubt_clause(doubt),
        Standing::NotWoken => "all that would accept sleep, and the kernel woke none of them for \
            these connections"
            .to_owned(),
        _ => "those who would accept were seen at it, and still it takes too long".to_owned(),
    }
}

fn remedies(picture: &Picture, case: &Case) -> Vec<String> {
    if picture.snapshot.source.is_text() {
        return vec![format!(
            "as root on that host: closewait-doctor scan --port {}, or record -o FILE; it reads \
             what the process's threads wait for, which no copied table shows",
            case.listener.local.port()
        )];
    }
    let hidden =
        case.acceptors.is_empty() && picture.snapshot.holders_complete != Reading::Known(());
    let refused = case
        .acceptors
        .iter()
        .any(|acceptor| acceptor.standing == Standing::Unclear(Doubt::Unseen(Gap::NotPermitted)));
    if hidden || refused {
        return vec![
            "run it again as root, or with CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH: then it can \
             name the process, and what its threads do"
                .to_owned(),
        ];
    }
    if case.acceptors.is_empty() {
        return vec![
            "run it on the host rather than in the container, or with --procfs where the host's \
             /proc is mounted"
                .to_owned(),
        ];
    }
    vec!["watch it for longer: --observe 2s".to_owned()]
}
