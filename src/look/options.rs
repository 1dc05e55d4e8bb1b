//! How to look.

use std::time::Duration;

use crate::collect::kernel::{Header, RecordedOptions};
use crate::model::Scope;
use crate::rules::thresholds;

/// What to look at, and how.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a question of its own that a command asks or does not"
)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LookOptions {
    /// What the look is restricted to.
    pub scope: Scope,
    /// The age from which on an unserved connection is stuck.
    pub grace: Duration,
    /// How long to watch suspicious listeners.
    pub observe: Duration,
    /// Whether the user asked to observe, and not just to look.
    pub observe_asked: bool,
    /// How long a look may take, in addition to the time of observation; then it reports what it has.
    pub timeout: Duration,
    /// Whether owners are wanted even where nothing is suspicious.
    pub inventory: bool,
    /// Whether to read sockets from procfs although `sock_diag` may do.
    pub procfs: bool,
    /// Whether the counters of refused connections are wanted of every namespace.
    pub counters: bool,
}

impl Default for LookOptions {
    /// The whole network namespace of the caller, with the program's own thresholds.
    fn default() -> Self {
        Self {
            scope: Scope::default(),
            grace: thresholds::GRACE,
            observe: thresholds::OBSERVE,
            observe_asked: false,
            timeout: thresholds::LOOK_TIMEOUT,
            inventory: false,
            procfs: false,
            counters: false,
        }
    }
}

impl LookOptions {
    /// The options that a recording was made with.
    pub fn of_recording(header: &Header) -> Self {
        let recorded = header.options;
        Self {
            scope: header.scope.clone().into(),
            grace: Duration::from_millis(recorded.min_age_ms),
            observe: Duration::from_millis(recorded.observe_ms),
            observe_asked: recorded.observe_asked,
            timeout: thresholds::LOOK_TIMEOUT,
            // A recording is made with owners.
            inventory: true,
            procfs: recorded.procfs_source,
            counters: false,
        }
    }

    /// How a recording describes a look with these options.
    pub fn recorded_options(&self) -> RecordedOptions {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        RecordedOptions {
            min_age_ms: millis(self.grace),
            observe_ms: millis(self.observe),
            observe_asked: self.observe_asked,
            procfs_source: self.procfs,
        }
    }
}
