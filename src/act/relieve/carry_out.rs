//! Carries out a plan.

use std::time::Duration;

use super::journal::Journal;
use super::plan::{Action, Plan};
use super::{Deed, drain, leaked, level, rearm, wake};
use crate::act::queue::Target;
use crate::collect::kernel::Kernel;

/// How far to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Most wake-ups, or most connections to accept.
    pub max: u32,
    /// Longest time for them.
    pub timeout: Duration,
    /// How long a level-triggered server is watched.
    pub watch: Duration,
}

/// Does what the plan says; every step is in the deed's log.
pub fn carry_out(
    kernel: &mut dyn Kernel,
    plan: &Plan,
    target: Option<&Target>,
    bounds: Bounds,
    journal: &Journal,
) -> Deed {
    match (&plan.action, target) {
        (Action::Rearm(grips), Some(target)) => {
            rearm::rearm(kernel, target, grips, bounds, journal)
        }
        (Action::Level(grips), Some(target)) => {
            level::level(kernel, target, grips, bounds, journal)
        }
        (Action::Drain { grip, all }, Some(target)) => {
            drain::drain(kernel, target, grip, bounds, *all)
        }
        (Action::CloseLeaked(leaked), _) => leaked::close_leaked(kernel, leaked),
        (Action::Continue(stopped), _) => wake::continue_stopped(kernel, stopped),
        (Action::Thaw(freezers), _) => wake::thaw(kernel, freezers),
        (Action::Rearm(_) | Action::Level(_) | Action::Drain { .. }, None) => Deed::new(
            super::Outcome::Failed,
            "the plan is about a listener, and none is named",
            Vec::new(),
        ),
    }
}
