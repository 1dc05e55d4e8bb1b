//! What was done, and what came of it.

use std::time::Duration;

use super::fault::Fault;
use crate::collect::kernel::Kernel;

/// What came of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReliefOutcome {
    /// Only a plan was made.
    Planned,
    /// There is nothing to do.
    NothingToDo,
    /// The queue is empty, or what was in the way is gone.
    Relieved,
    /// It helped, and something is left.
    Improved,
    /// It was done, and changed nothing.
    Unchanged,
    /// It did harm or no good, and is as it was before.
    RolledBack,
    /// What an earlier run left in force is as it was before.
    Undone,
    /// It could not be done.
    Failed,
}

impl ReliefOutcome {
    /// Its name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::NothingToDo => "nothing_to_do",
            Self::Relieved => "relieved",
            Self::Improved => "improved",
            Self::Unchanged => "unchanged",
            Self::RolledBack => "rolled_back",
            Self::Undone => "undone",
            Self::Failed => "failed",
        }
    }

    /// Whether something was tried, and the server is as it was before.
    pub fn changed_nothing(self) -> bool {
        match self {
            Self::Unchanged | Self::RolledBack | Self::Failed => true,
            Self::Planned | Self::NothingToDo | Self::Relieved | Self::Improved | Self::Undone => {
                false
            }
        }
    }
}

/// What was done, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relief {
    /// What came of it.
    pub outcome: ReliefOutcome,
    /// In one sentence.
    pub headline: String,
    /// Every step that was taken.
    pub log: Vec<LoggedStep>,
}

impl Relief {
    /// A run that took no step.
    pub fn without_steps(outcome: ReliefOutcome, headline: impl Into<String>) -> Self {
        Self {
            outcome,
            headline: headline.into(),
            log: Vec::new(),
        }
    }

    /// A run that took these steps and ended so.
    pub(super) fn ended(done: Result<(ReliefOutcome, String), Fault>, log: StepLog) -> Self {
        let (outcome, headline) = match done {
            Ok(done) => done,
            Err(fault) => (ReliefOutcome::Failed, fault.describe()),
        };
        Self {
            outcome,
            headline,
            log: log.steps,
        }
    }
}

/// One step that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedStep {
    /// When, since the run began.
    pub at: Duration,
    /// What was done.
    pub step: &'static str,
    /// To what.
    pub target: String,
    /// The result.
    pub result: String,
    /// Whether the result is what it should be.
    pub ok: bool,
}

/// The steps of a run, as they are taken.
#[derive(Debug, Default)]
pub(super) struct StepLog {
    steps: Vec<LoggedStep>,
}

impl StepLog {
    /// Adds a step.
    pub(super) fn note(
        &mut self,
        kernel: &mut dyn Kernel,
        step: &'static str,
        target: String,
        result: Result<String, &Fault>,
    ) {
        let ok = result.is_ok();
        self.steps.push(LoggedStep {
            // The running kernel always knows the time.
            at: kernel.elapsed().unwrap_or_default(),
            step,
            target,
            result: result.unwrap_or_else(Fault::describe),
            ok,
        });
    }
}
