//! How many series a page may have, and what that leaves for each kind of them.

/// The most series that a page may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaxSeries(usize);

impl MaxSeries {
    /// Enough for 170 listeners.
    pub const DEFAULT: Self = Self(2000);

    /// Below this, nothing but `other` would be left.
    pub const LEAST: usize = 300;

    /// Returns the bound, if it is one that can be kept.
    pub fn new(series: usize) -> Option<Self> {
        (series >= Self::LEAST).then_some(Self(series))
    }
}

/// Series that are there on every host: of the exporter itself, of totals, and one for each rule and severity.
pub(super) const FIXED_SERIES: usize = 150;

/// How many of each kind have series of their own; the rest is summed in one more, called `other`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) listeners: usize,
    pub(super) findings: usize,
    pub(super) commands: usize,
    pub(super) remotes: usize,
    pub(super) namespaces: usize,
}

/// Series of one listener, finding, command, remote service, and namespace.
const OF_LISTENER: usize = 10;
const OF_FINDING: usize = 2;
const OF_COMMAND: usize = 1;
const OF_REMOTE: usize = 1;
const OF_NAMESPACE: usize = 3;

impl Bounds {
    pub(super) fn new(max: MaxSeries) -> Self {
        let left = max.0 - FIXED_SERIES;
        // One of each kind is `other`.
        let share = |percent: usize, of_one: usize| (left * percent / 100 / of_one).max(1) - 1;
        Self {
            listeners: share(60, OF_LISTENER),
            findings: share(10, OF_FINDING),
            commands: share(10, OF_COMMAND),
            remotes: share(10, OF_REMOTE),
            namespaces: share(10, OF_NAMESPACE),
        }
    }
}
