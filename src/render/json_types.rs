//! What several JSON documents have in common.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use crate::rules::{Confidence, Severity};

/// Whole milliseconds.
pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum SeverityV1 {
    Critical,
    Warning,
    Info,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum ConfidenceV1 {
    Certain,
    Likely,
    Possible,
}

impl From<Severity> for SeverityV1 {
    fn from(severity: Severity) -> Self {
        match severity {
            Severity::Critical => Self::Critical,
            Severity::Warning => Self::Warning,
            Severity::Info => Self::Info,
        }
    }
}

impl From<Confidence> for ConfidenceV1 {
    fn from(confidence: Confidence) -> Self {
        match confidence {
            Confidence::Certain => Self::Certain,
            Confidence::Likely => Self::Likely,
            Confidence::Possible => Self::Possible,
        }
    }
}
