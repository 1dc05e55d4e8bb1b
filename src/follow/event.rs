//! What changed between two looks.

use std::time::Duration;

use super::key::FindingKey;
use crate::rules::Severity;

/// A change of one finding between two looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// The finding.
    pub key: FindingKey,
    /// Its severity now; of one that is gone, as it was last seen.
    pub severity: Severity,
    /// How many connections it covers now; 0 when it is gone.
    pub connections: usize,
    /// How many it covered at the look before.
    pub before: usize,
    /// What is wrong, in one sentence.
    pub headline: String,
    /// How long it has been followed.
    pub age: Duration,
}

/// What happened to a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// It was not there at the look before.
    Appeared,
    /// Its severity or its number of connections is another.
    Changed,
    /// It is not there any more, and the look could have seen it.
    Gone,
}
