//! Why a check is not OK, the worst first: what the line, JUnit and GitHub tell in their own ways.

use super::place::{scope_clause, subject};
use crate::model::{Absent, BlindSpot};
use crate::report::{Check, Evaluation, Metric, Report, Status, Verdict, absent_sentence};
use crate::rules::{Finding, Severity};

/// One reason. Its texts may hold what a process calls itself.
pub(super) struct Problem {
    pub(super) kind: Kind,
    pub(super) status: Status,
    /// The same at every check that it lasts.
    pub(super) name: String,
    /// What it is, where, and whose.
    pub(super) title: String,
    /// What is wrong.
    pub(super) headline: String,
    /// What was seen and what to do.
    pub(super) details: Vec<String>,
}

/// What a reason comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Finding,
    Threshold(Metric),
    Absent,
    BlindSpot,
}

impl Problem {
    /// All but the details.
    pub(super) fn sentence(&self) -> String {
        match self.kind {
            Kind::Threshold(_) | Kind::Absent => self.headline.clone(),
            Kind::Finding | Kind::BlindSpot => format!("{}: {}", self.title, self.headline),
        }
    }
}

/// Everything that keeps a check from being OK.
pub(super) fn problems(report: &Report, check: &Check) -> Vec<Problem> {
    let findings = report.findings.iter();
    let mut problems: Vec<Problem> = findings
        .filter_map(|finding| of_finding(report, finding))
        .collect();
    problems.extend(check.judged().filter_map(of_threshold));
    let absent = report.absent.iter();
    problems.extend(absent.map(|one| of_absent(one, report)));
    problems.extend(hiding(report).map(of_blind_spot));
    problems.sort_by_key(|problem| std::cmp::Reverse(problem.status));
    problems
}

/// The blind spots that count: where findings would be seen, they do not.
fn hiding(report: &Report) -> impl Iterator<Item = &BlindSpot> {
    let counts = report.verdict == Verdict::Unknown;
    report
        .blind_spots
        .iter()
        .filter(move |spot| counts && spot.hides_findings)
}

fn of_finding(report: &Report, finding: &Finding) -> Option<Problem> {
    let status = match finding.severity {
        Severity::Critical => Status::Critical,
        Severity::Warning => Status::Warning,
        Severity::Info => return None,
    };
    let evidence = finding.evidence.iter().map(|one| one.text.clone());
    let details = evidence.chain(finding.conclusion.clone());
    let remedies = finding.remedies.iter().map(ToString::to_string);
    let address = finding.subject.local.or(finding.subject.remote);
    let address = address.map_or_else(String::new, |address| format!(" {address}"));
    let subject = subject(report, finding).replace("  ", " ");
    Some(Problem {
        kind: Kind::Finding,
        status,
        name: format!("{}{address}", finding.id),
        title: format!("{} {subject}", finding.id),
        headline: finding.headline.clone(),
        details: details.chain(remedies).collect(),
    })
}

fn of_threshold(evaluation: &Evaluation) -> Option<Problem> {
    Some(Problem {
        kind: Kind::Threshold(evaluation.metric),
        status: evaluation.status,
        name: evaluation.metric.name().to_owned(),
        title: "threshold".to_owned(),
        headline: evaluation.reason()?,
        details: Vec::new(),
    })
}

fn of_absent(absent: &Absent, report: &Report) -> Problem {
    Problem {
        kind: Kind::Absent,
        status: Status::Unknown,
        name: "not there".to_owned(),
        title: "not there".to_owned(),
        headline: absent_sentence(absent, &report.scope),
        details: Vec::new(),
    }
}

fn of_blind_spot(spot: &BlindSpot) -> Problem {
    Problem {
        kind: Kind::BlindSpot,
        status: Status::Unknown,
        name: spot.what.clone(),
        title: "not seen".to_owned(),
        headline: format!("{}: {}", spot.what, spot.why),
        details: vec![spot.remedy.clone()],
    }
}

/// What was looked at and what there is, in one clause.
pub(super) fn in_short(report: &Report) -> String {
    let waiting: u32 = report.listeners.iter().map(|row| row.queue.length).sum();
    let listeners = match report.listeners.len() {
        1 => "1 listener".to_owned(),
        number => format!("{number} listeners"),
    };
    format!(
        "{listeners}{}, {waiting} waiting to be accepted, {} CLOSE_WAIT",
        scope_clause(report),
        report.close_wait.total()
    )
}
