//! The limits that a user sets on metrics.

use std::collections::BTreeMap;
use std::fmt;

use super::Metric;

/// A limit on a metric: what is above it is too much.
///
/// Above, not at, as the monitoring-plugin guidelines define a threshold that is one number. So
/// the thresholds in performance data mean to their readers what they mean here, `close-wait=0`
/// means none at all, and `queue=100%` is the kernel's own idea of a full queue: above its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Threshold {
    /// The metric.
    pub metric: Metric,
    /// The greatest amount that is still good, in the metric's unit.
    pub limit: u64,
}

/// The limits on one metric.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Above it is a warning.
    pub warn: Option<u64>,
    /// Above it is critical.
    pub crit: Option<u64>,
}

/// The limits on all metrics.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Thresholds(BTreeMap<Metric, Limits>);

/// Why thresholds make no sense together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ThresholdsError {
    /// A metric has two limits for the same status.
    Twice(Metric),
    /// A warning could never show, because what is above it is critical already.
    WarnAboveCrit(Metric),
}

impl Thresholds {
    /// Gathers limits.
    ///
    /// # Errors
    ///
    /// When a metric is given twice, or its warning lies above its critical limit.
    pub fn new(warn: &[Threshold], crit: &[Threshold]) -> Result<Self, ThresholdsError> {
        let mut thresholds = BTreeMap::new();
        for threshold in warn {
            set(&mut thresholds, *threshold, |limits| &mut limits.warn)?;
        }
        for threshold in crit {
            set(&mut thresholds, *threshold, |limits| &mut limits.crit)?;
        }
        for (metric, limits) in &thresholds {
            if limits
                .warn
                .zip(limits.crit)
                .is_some_and(|(warn, crit)| warn > crit)
            {
                return Err(ThresholdsError::WarnAboveCrit(*metric));
            }
        }
        Ok(Self(thresholds))
    }

    pub(super) fn of(&self, metric: Metric) -> Limits {
        self.0.get(&metric).copied().unwrap_or_default()
    }
}

fn set(
    thresholds: &mut BTreeMap<Metric, Limits>,
    Threshold { metric, limit }: Threshold,
    field: fn(&mut Limits) -> &mut Option<u64>,
) -> Result<(), ThresholdsError> {
    let limits = thresholds.entry(metric).or_default();
    match field(limits).replace(limit) {
        None => Ok(()),
        Some(_) => Err(ThresholdsError::Twice(metric)),
    }
}

impl fmt::Display for ThresholdsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Twice(metric) => write!(f, "{} has two thresholds of one kind", metric.name()),
            Self::WarnAboveCrit(metric) => write!(
                f,
                "{}: the warning threshold is above the critical one",
                metric.name()
            ),
        }
    }
}

impl std::error::Error for ThresholdsError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn threshold(metric: Metric, limit: u64) -> Threshold {
        Threshold { metric, limit }
    }

    #[test]
    fn a_queue_may_be_limited_by_length_and_by_fill() {
        let crit = [
            threshold(Metric::QueueFill, 80),
            threshold(Metric::QueueLength, 500),
        ];
        let thresholds = Thresholds::new(&[], &crit).unwrap();
        assert_eq!(thresholds.of(Metric::QueueFill).crit, Some(80));
        assert_eq!(thresholds.of(Metric::QueueLength).crit, Some(500));
        assert_eq!(thresholds.of(Metric::Age), Limits::default());
    }

    #[test]
    fn a_metric_has_one_threshold_of_a_kind() {
        let warn = [threshold(Metric::Age, 1), threshold(Metric::Age, 2)];
        let error = Thresholds::new(&warn, &[]).unwrap_err();
        assert_eq!(error, ThresholdsError::Twice(Metric::Age));
        assert!(Thresholds::new(&warn[..1], &warn[1..]).is_ok());
    }

    #[test]
    fn a_warning_that_could_never_show_is_refused() {
        let at = |limit| [threshold(Metric::CloseWait, limit)];
        let error = Thresholds::new(&at(100), &at(10)).unwrap_err();
        assert!(error.to_string().starts_with("close-wait:"), "{error}");
        assert!(Thresholds::new(&at(10), &at(10)).is_ok());
    }
}
