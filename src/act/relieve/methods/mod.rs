//! Carries out a plan, by the method it names.

mod close_leaked;
mod drain;
mod level;
mod rearm;
mod resume;

use super::options::{Bounds, Folders};
use super::outcome::{Relief, ReliefOutcome};
use super::plan::{Action, ReliefPlan};
use crate::act::target::Target;
use crate::collect::kernel::Kernel;

/// Does what the plan says, and returns every step that was taken.
pub fn carry_out(
    kernel: &mut dyn Kernel,
    plan: &ReliefPlan,
    target: Option<&Target>,
    bounds: Bounds,
    folders: Folders,
) -> Relief {
    match (&plan.action, target) {
        (Action::Rearm(registrations), Some(target)) => {
            rearm::rearm(kernel, target, registrations, bounds, folders)
        }
        (Action::Level(registrations), Some(target)) => {
            level::level(kernel, target, registrations, bounds, folders)
        }
        (Action::Drain { listener, all }, Some(target)) => {
            drain::drain(kernel, target, listener, bounds, folders, *all)
        }
        (Action::CloseLeaked(leaked), _) => close_leaked::close_leaked(kernel, leaked),
        (Action::Continue(stopped), _) => resume::resume(kernel, stopped),
        (Action::Thaw(frozen), _) => resume::thaw(kernel, frozen),
        (Action::Rearm(_) | Action::Level(_) | Action::Drain { .. }, None) => {
            Relief::without_steps(
                ReliefOutcome::Failed,
                "the plan is about a listener, and none is named",
            )
        }
    }
}
