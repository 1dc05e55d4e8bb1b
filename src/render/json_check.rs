//! What `check` adds to the JSON report.

use schemars::JsonSchema;
use serde::Serialize;

use crate::report::{Check, Evaluation, Status, Unit};

/// What `check` came to.
#[derive(Serialize, JsonSchema)]
pub(super) struct CheckV1 {
    /// The worst of the verdict and of all thresholds; the exit code says the same.
    status: StatusV1,
    /// Every metric that has a threshold.
    thresholds: Vec<ThresholdV1>,
}

/// `ok` (exit code 0), `warning` (1), `critical` (2) or `unknown` (3).
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum StatusV1 {
    Ok,
    Warning,
    Critical,
    Unknown,
}

/// A metric and its thresholds, all in `unit`.
#[derive(Serialize, JsonSchema)]
struct ThresholdV1 {
    /// `close-wait`, `queue` or `age`.
    metric: &'static str,
    unit: UnitV1,
    /// At least this.
    value: u64,
    /// And at most this; the same where it is exact, null where nothing bounds it.
    value_at_most: Option<u64>,
    /// Above this it is a warning.
    warn: Option<u64>,
    /// Above this it is critical.
    crit: Option<u64>,
    status: StatusV1,
    /// Why it is not ok.
    reason: Option<String>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum UnitV1 {
    Connections,
    /// Rounded up.
    Percent,
    Ms,
}

impl From<&Check> for CheckV1 {
    fn from(check: &Check) -> Self {
        Self {
            status: check.status.into(),
            thresholds: check.judged().map(ThresholdV1::from).collect(),
        }
    }
}

impl From<&Evaluation> for ThresholdV1 {
    fn from(evaluation: &Evaluation) -> Self {
        Self {
            metric: evaluation.metric.name(),
            unit: match evaluation.metric.unit() {
                Unit::Connections => UnitV1::Connections,
                Unit::Percent => UnitV1::Percent,
                Unit::Milliseconds => UnitV1::Ms,
            },
            value: evaluation.measured.at_least,
            value_at_most: evaluation.measured.at_most,
            warn: evaluation.limits.warn,
            crit: evaluation.limits.crit,
            status: evaluation.status.into(),
            reason: evaluation.reason(),
        }
    }
}

impl From<Status> for StatusV1 {
    fn from(status: Status) -> Self {
        match status {
            Status::Ok => Self::Ok,
            Status::Unknown => Self::Unknown,
            Status::Warning => Self::Warning,
            Status::Critical => Self::Critical,
        }
    }
}
