//! First aid: frees a stuck queue without a restart, by the gentlest means that the finding allows.
//!
//! A [`Plan`] is made by reading only. Carrying it out logs every step, with its time, its target and
//! its result, and checks before each that what it touches is what the plan meant.
//! `SOCK_DESTROY` is not among the means: on a connection in an accept queue it frees nothing and hides
//! it from every list.

mod carry_out;
mod drain;
mod ground;
mod hand;
mod handle;
mod journal;
mod leaked;
mod level;
mod meter;
mod orders;
mod place;
mod plan;
mod rearm;
mod registration;
mod undo;
mod wake;
mod worker;

use std::time::Duration;

pub use carry_out::{Bounds, carry_out};
pub use hand::lend_a_hand;
pub use handle::HAND;
pub use journal::{Journal, Record};
pub use orders::Fault;
pub use plan::{Action, Plan, Unplanned, Wishes, plan};
pub use undo::{pending, tidy, undo};

/// A way to relieve a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Register the listener again as it is: the server is woken and accepts by its own code.
    Rearm,
    /// Take `EPOLLET` out of the registration, until the server restarts or registers anew.
    Level,
    /// Accept in the server's place those whose client has gone, and close them.
    Drain,
    /// Shut down accepted connections that the peer closed and the server does not.
    CloseLeaked,
    /// Let a stopped process continue.
    Continue,
    /// Thaw a frozen cgroup.
    Thaw,
}

impl Method {
    /// Its name on the command line and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rearm => "rearm",
            Self::Level => "level",
            Self::Drain => "drain",
            Self::CloseLeaked => "close-leaked",
            Self::Continue => "continue",
            Self::Thaw => "thaw",
        }
    }
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Only a plan was made.
    Planned,
    /// There is nothing to do.
    NothingToDo,
    /// It did what it was to do.
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

impl Outcome {
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
}

/// One step that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When, since the run began.
    pub at: Duration,
    /// What was done.
    pub step: &'static str,
    /// To what.
    pub target: String,
    /// What came of it.
    pub result: String,
    /// Whether that was what it should have been.
    pub ok: bool,
}

/// What was done, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deed {
    /// What came of it.
    pub outcome: Outcome,
    /// In one sentence.
    pub headline: String,
    /// Step by step.
    pub log: Vec<Entry>,
}

impl Deed {
    fn new(outcome: Outcome, headline: impl Into<String>, log: Vec<Entry>) -> Self {
        Self {
            outcome,
            headline: headline.into(),
            log,
        }
    }

    fn of(done: Result<(Outcome, String), Fault>, log: Vec<Entry>) -> Self {
        match done {
            Ok((outcome, headline)) => Self::new(outcome, headline, log),
            Err(fault) => Self::failed(&fault, log),
        }
    }

    fn failed(fault: &Fault, log: Vec<Entry>) -> Self {
        Self::new(Outcome::Failed, fault.describe(), log)
    }
}
