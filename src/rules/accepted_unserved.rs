#![doc = include_str!("../../docs/findings/accepted-unserved.md")]

use super::evidence::{count, process_names, seconds};
use super::{Advice, Check, Confidence, Finding, Rule, Severity, Subject, SubjectKind, waits};
use crate::correlate::{Analysis, Lack, Outage};

pub(super) const RULE: Rule = Rule {
    id: "accepted-unserved",
    page: include_str!("../../docs/findings/accepted-unserved.md"),
    check: Check::Outage(check),
};

fn check(analysis: &Analysis, outage: &Outage) -> Option<Finding> {
    let facts = analysis.facts();
    let names = process_names(outage.pids.iter().filter_map(|pid| analysis.process(*pid)));
    let reason = waits::reason(&facts, &outage.waits, analysis.grace)
        .or_else(|| (outage.unattended > 0).then(|| away(outage.unattended)))?;
    let mut seen = vec![evidence(outage).into()];
    seen.extend(waits::evidence(&facts, &outage.waits, analysis.grace));
    Some(Finding {
        id: RULE.id,
        severity: Severity::Critical,
        confidence: Confidence::Likely,
        subject: Subject {
            netns: analysis.snapshot.namespace.name.clone(),
            kind: SubjectKind::Process,
            local: Some(outage.listener.local),
            remote: None,
            pids: outage.pids.clone(),
        },
        headline: format!(
            "{} of {} {} accepted by {names} and not read for up to {}: {reason}",
            count(outage.open.len(), "request"),
            outage.listener.local,
            if outage.open.len() == 1 { "is" } else { "are" },
            seconds(outage.oldest),
        ),
        evidence: seen,
        conclusion: None,
        remedies: waits::first_remedy(&facts, &outage.waits, analysis.grace)
            .into_iter()
            .map(Advice::from)
            .chain(std::iter::once(Advice::from(
                "give every wait for another service a time limit, so that workers come free",
            )))
            .collect(),
        connections: outage.open.len(),
    })
}

/// Event loops that do something else, as a clause.
pub(super) fn away(sets: usize) -> String {
    if sets == 1 {
        "no thread waits on the epoll set that watches its clients: that event loop is blocked or busy"
            .to_owned()
    } else {
        format!(
            "no thread waits on {sets} epoll sets that watch its clients: those event loops are blocked or busy"
        )
    }
}

/// What makes a finding about the same processes an outage, in one line.
pub(super) fn evidence(outage: &Outage) -> String {
    let connections = count(outage.open.len(), "open connection");
    let have = if outage.open.len() == 1 {
        "has"
    } else {
        "have"
    };
    let lack = match outage.lack {
        Lack::Unread => "that nobody has read",
        Lack::Unanswered => "that was read and not answered",
    };
    format!(
        "{connections} accepted on {} {have} sent something {lack} for up to {}, and no client there was sent \
         anything meanwhile: live clients wait",
        outage.listener.local,
        seconds(outage.oldest),
    )
}
