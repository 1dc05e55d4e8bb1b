//! First aid: frees a stuck queue without a restart, by the gentlest method that the finding allows.
//!
//! A plan is made by reading only. Carrying it out logs every step with its time, its target and its
//! result, and checks right before each step that what is touched is what was planned.
//! `SOCK_DESTROY` is not used: on a connection in an accept queue it frees nothing, and hides the
//! connection from every list.

mod cgroup;
mod cpu_demand;
mod fault;
mod helper;
mod instead;
mod journal;
mod measure;
mod method;
mod methods;
mod options;
mod outcome;
mod plan;
mod planner;
mod process;
mod registration;
mod undo;
mod verify;

pub use fault::Fault;
pub use helper::{HELPER_COMMAND, run_helper};
pub use instead::instead;
pub use journal::{Journal, JournalRecord};
pub use method::Method;
pub use methods::carry_out;
pub use options::{Bounds, Folders, RelieveOptions};
pub use outcome::{LoggedStep, Relief, ReliefOutcome};
pub use plan::{Action, ReliefPlan, Unplanned};
pub use planner::plan;
pub use undo::{pending, tidy, undo};
