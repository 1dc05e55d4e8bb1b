//! Looks taken again and again: which findings are the same ones, how old they are, whether they grow, and what
//! changed between two looks. Pure: the time is an argument.

mod event;
mod history;
mod key;
mod tally;
mod trend;

pub use event::{Event, EventKind};
pub use history::{History, Numbers, Tracked};
pub use key::FindingKey;
pub use tally::{LookOutcome, LookTally};
pub use trend::Trend;
