//! Metrics of findings: counts by id and severity, and what each one covers and how old it is.

use std::cmp::Reverse;
use std::time::Duration;

use super::catalog::{FINDING_AGE, FINDING_CONNECTIONS, FINDINGS};
use super::family::Family;
use super::listeners::OTHER;
use crate::follow::{FindingKey, History, Tracked};
use crate::report::Report;
use crate::rules::{RULES, Severity};

const SEVERITIES: [Severity; 3] = [Severity::Critical, Severity::Warning, Severity::Info];

fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "critical",
        Severity::Warning => "warning",
        Severity::Info => "info",
    }
}

/// Returns how many findings there are of each id and severity. Zero is told only where nothing hides.
pub(super) fn counts(report: &Report) -> Family {
    let hidden = report.blind_spots.iter().any(|spot| spot.hides_findings);
    let mut family = Family::new(&FINDINGS);
    for rule in RULES {
        for severity in SEVERITIES {
            let findings = report.findings.iter();
            let these = findings.filter(|one| one.id == rule.id && one.severity == severity);
            let number = these.count();
            if number > 0 || !hidden {
                family.add(&[rule.id, word(severity)], count(number));
            }
        }
    }
    family
}

/// Returns the connections and the age of each finding, and how many findings are summed in `other`. The worst and
/// largest have series of their own.
pub(super) fn followed(history: &History, now: Duration, most: usize) -> (Vec<Family>, usize) {
    let mut there: Vec<(&FindingKey, &Tracked)> = history
        .findings()
        .filter(|(_, tracked)| tracked.gone_at.is_none())
        .collect();
    there.sort_by_key(|(_, tracked)| Reverse((tracked.severity, tracked.connections())));
    let rest = there.split_off(there.len().min(most));
    let mut connections = Family::new(&FINDING_CONNECTIONS);
    let mut ages = Family::new(&FINDING_AGE);
    for (key, tracked) in there {
        let (place, command) = (key.place(), key.command());
        let labels = [key.id, word(tracked.severity), &key.netns, &place, &command];
        connections.add(&labels, count(tracked.connections()));
        ages.add(&labels, age(tracked, now));
    }
    let oldest = rest.iter().map(|(_, tracked)| age(tracked, now));
    if let Some(oldest) = oldest.reduce(f64::max) {
        let covered = rest.iter().map(|(_, tracked)| tracked.connections()).sum();
        let labels = [OTHER, OTHER, OTHER, OTHER, ""];
        connections.add(&labels, count(covered));
        ages.add(&labels, oldest);
    }
    (vec![connections, ages], rest.len())
}

fn age(tracked: &Tracked, now: Duration) -> f64 {
    now.saturating_sub(tracked.first_seen).as_secs_f64()
}

#[expect(
    clippy::cast_precision_loss,
    reason = "numbers of connections are far below 2^52"
)]
pub(super) fn count(number: usize) -> f64 {
    number as f64
}
