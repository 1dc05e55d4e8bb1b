//! A report held against thresholds: one status for a monitoring system or a CI job.

#[cfg(test)]
mod fixtures;
mod metric;
mod thresholds;

use super::{Report, Verdict};
use crate::rules::Severity;

pub use metric::{AmountText, Measurement, Metric, Unit};
pub use thresholds::{Limits, Threshold, Thresholds, ThresholdsError};

/// The status of a check, or of a part of it. Ordered: the one that prevails is the greatest.
///
/// A finding prevails over a blind spot: a stuck queue stays stuck although something else could not be
/// read, and the alert for it must not be lost. A blind spot prevails over health, so that a host that
/// could not be read never looks healthy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// Nothing is wrong.
    Ok,
    /// Nothing wrong was seen, and something wrong could be out of sight.
    Unknown,
    /// A warning finding, or above a warning threshold.
    Warning,
    /// A critical finding, or above a critical threshold.
    Critical,
}

/// What a check came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// The worst of the verdict and of all thresholds.
    pub status: Status,
    /// Every metric, whether it has thresholds or not.
    pub evaluations: Vec<Evaluation>,
}

/// A metric, its limits, and what follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evaluation {
    /// What was measured.
    pub metric: Metric,
    /// What it is.
    pub measured: Measurement,
    /// What it may be.
    pub limits: Limits,
    /// What follows; `Ok` where there is no limit.
    pub status: Status,
}

impl Check {
    /// Holds a report against thresholds. Findings count by themselves.
    pub fn new(report: &Report, thresholds: &Thresholds) -> Self {
        let evaluations: Vec<Evaluation> = Metric::ALL
            .iter()
            .map(|metric| Evaluation::new(*metric, metric.measure(report), thresholds.of(*metric)))
            .collect();
        let worst = evaluations.iter().map(|evaluation| evaluation.status).max();
        Self {
            status: Status::from(report.verdict).max(worst.unwrap_or(Status::Ok)),
            evaluations,
        }
    }

    /// The metrics that have thresholds.
    pub fn judged(&self) -> impl Iterator<Item = &Evaluation> {
        self.evaluations
            .iter()
            .filter(|evaluation| evaluation.limits != Limits::default())
    }
}

impl Evaluation {
    fn new(metric: Metric, measured: Measurement, limits: Limits) -> Self {
        let exceeds =
            |limit: Option<u64>| limit.map_or(Some(false), |limit| measured.is_above(limit));
        let status = match (exceeds(limits.crit), exceeds(limits.warn)) {
            (Some(true), _) => Status::Critical,
            (_, Some(true)) => Status::Warning,
            (None, _) | (_, None) => Status::Unknown,
            (Some(false), Some(false)) => Status::Ok,
        };
        Self {
            metric,
            measured,
            limits,
            status,
        }
    }

    /// Why it is not `Ok`.
    pub fn reason(&self) -> Option<String> {
        let name = self.metric.name();
        let limit = match self.status {
            Status::Ok => return None,
            Status::Critical => self.limits.crit,
            Status::Warning => self.limits.warn,
            Status::Unknown => self.limits.warn.or(self.limits.crit),
        };
        let limit = self.metric.amount(limit?);
        if self.status == Status::Unknown {
            let doubt = self.measured.doubt.as_deref().unwrap_or("not known");
            return Some(format!("{name} may be above {limit}: {doubt}"));
        }
        let amount = self.metric.amount(self.measured.at_least);
        let place = self.measured.place;
        let place = place.map_or_else(String::new, |place| format!(" ({place})"));
        Some(format!("{name} {amount} is above {limit}{place}"))
    }
}

impl Measurement {
    /// Returns whether it is above a limit, where that can be told.
    fn is_above(&self, limit: u64) -> Option<bool> {
        if self.at_least > limit {
            return Some(true);
        }
        let at_most = self.at_most?;
        (at_most <= limit).then_some(false)
    }
}

impl From<Verdict> for Status {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Healthy => Self::Ok,
            Verdict::Unknown => Self::Unknown,
            Verdict::Degraded => Self::Warning,
            Verdict::Critical => Self::Critical,
        }
    }
}

impl Report {
    /// The status when only findings of this severity and above are of interest.
    ///
    /// A blind spot counts as it does in the verdict, also beside a finding that is not of
    /// interest: that one does not make anything else visible.
    pub fn status_from(&self, least: Severity) -> Status {
        match self.findings.iter().map(|finding| finding.severity).max() {
            Some(Severity::Critical) => Status::Critical,
            Some(Severity::Warning) if least <= Severity::Warning => Status::Warning,
            _ if !self.absent.is_empty() => Status::Unknown,
            _ if self.blind_spots.iter().any(|spot| spot.hides_findings) => Status::Unknown,
            _ => Status::Ok,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::fixtures::{blind_spot, finding, look, with_findings, with_report};
    use super::*;
    use crate::correlate::fixtures::waiting_connection;
    use crate::rules::Finding;

    fn measured(at_least: u64, at_most: Option<u64>) -> Measurement {
        Measurement {
            at_least,
            at_most,
            doubt: (at_most != Some(at_least)).then(|| "it is dark".to_owned()),
            place: None,
        }
    }

    fn judge(measured: Measurement, warn: Option<u64>, crit: Option<u64>) -> Evaluation {
        Evaluation::new(Metric::Age, measured, Limits { warn, crit })
    }

    #[test]
    fn exactly_on_the_threshold_is_still_good() {
        let status = |amount| judge(measured(amount, Some(amount)), Some(10), Some(20)).status;
        assert_eq!(status(10), Status::Ok);
        assert_eq!(status(11), Status::Warning);
        assert_eq!(status(20), Status::Warning);
        assert_eq!(status(21), Status::Critical);
    }

    #[test]
    fn what_cannot_be_told_is_unknown_and_never_ok() {
        let status = |at_least, at_most| judge(measured(at_least, at_most), None, Some(20)).status;
        assert_eq!(status(0, None), Status::Unknown);
        assert_eq!(status(0, Some(21)), Status::Unknown);
        assert_eq!(status(0, Some(20)), Status::Ok);
        assert_eq!(status(21, None), Status::Critical);
    }

    #[test]
    fn a_warning_is_certain_even_where_critical_cannot_be_excluded() {
        let evaluation = judge(measured(15, None), Some(10), Some(20));
        assert_eq!(evaluation.status, Status::Warning);
    }

    #[test]
    fn without_limits_there_is_nothing_to_judge() {
        let evaluation = judge(measured(1_000_000, None), None, None);
        assert_eq!(evaluation.status, Status::Ok);
        assert_eq!(evaluation.reason(), None);
    }

    #[test]
    fn a_reason_names_the_metric_its_amount_and_its_limit() {
        let reason = |measured| judge(measured, Some(10_000), Some(60_000)).reason();
        assert_eq!(
            reason(measured(75_200, Some(75_200))).unwrap(),
            "age 75.200s is above 60s"
        );
        assert_eq!(
            reason(measured(0, None)).unwrap(),
            "age may be above 10s: it is dark"
        );
        assert_eq!(reason(measured(0, Some(0))), None);
    }

    fn status(findings: Vec<Finding>, spots: &[bool], limit: Option<u64>) -> Status {
        let mut snapshot = look(1, 128, vec![waiting_connection(10)]);
        snapshot.blind_spots = spots.iter().map(|hides| blind_spot(*hides)).collect();
        let crit: Vec<Threshold> = limit
            .map(|limit| Threshold {
                metric: Metric::CloseWait,
                limit,
            })
            .into_iter()
            .collect();
        let thresholds = Thresholds::new(&[], &crit).unwrap();
        let mut status = None;
        with_findings(&snapshot, findings, |report| {
            status = Some(Check::new(report, &thresholds).status);
        });
        status.unwrap()
    }

    #[test]
    fn findings_count_without_any_threshold() {
        assert_eq!(status(Vec::new(), &[], None), Status::Ok);
        assert_eq!(status(vec![finding(Severity::Info)], &[], None), Status::Ok);
        assert_eq!(
            status(vec![finding(Severity::Warning)], &[], None),
            Status::Warning
        );
        assert_eq!(
            status(vec![finding(Severity::Critical)], &[], None),
            Status::Critical
        );
    }

    #[test]
    fn what_was_seen_prevails_over_what_was_not() {
        assert_eq!(status(Vec::new(), &[false], None), Status::Ok);
        assert_eq!(status(Vec::new(), &[true], None), Status::Unknown);
        assert_eq!(status(Vec::new(), &[true], Some(5)), Status::Unknown);
        assert_eq!(
            status(vec![finding(Severity::Warning)], &[true], None),
            Status::Warning
        );
        assert_eq!(status(Vec::new(), &[true], Some(0)), Status::Critical);
    }

    #[test]
    fn a_finding_that_is_not_of_interest_does_not_hide_a_blind_spot() {
        let mut snapshot = look(0, 128, Vec::new());
        let from = |snapshot: &_, findings, least| {
            let mut status = None;
            with_findings(snapshot, findings, |report| {
                status = Some(report.status_from(least));
            });
            status.unwrap()
        };
        let warning = || vec![finding(Severity::Warning)];
        assert_eq!(
            from(&snapshot, warning(), Severity::Warning),
            Status::Warning
        );
        assert_eq!(from(&snapshot, warning(), Severity::Critical), Status::Ok);
        snapshot.blind_spots = vec![blind_spot(true)];
        assert_eq!(
            from(&snapshot, warning(), Severity::Critical),
            Status::Unknown
        );
        let critical = vec![finding(Severity::Critical)];
        assert_eq!(
            from(&snapshot, critical, Severity::Warning),
            Status::Critical
        );
    }

    #[test]
    fn only_metrics_with_limits_are_judged() {
        with_report(&look(0, 128, Vec::new()), |report| {
            let threshold = Threshold {
                metric: Metric::Age,
                limit: 0,
            };
            let check = Check::new(report, &Thresholds::new(&[threshold], &[]).unwrap());
            let judged: Vec<Metric> = check.judged().map(|evaluation| evaluation.metric).collect();
            assert_eq!(judged, [Metric::Age]);
            assert_eq!(check.evaluations.len(), Metric::ALL.len());
        });
    }
}
