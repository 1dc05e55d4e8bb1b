//! What touches the server: `probe` asks it, `relieve` frees it. Both return what was done and what
//! came of it; they print nothing and decide nothing that the user has to decide.
#![expect(
    clippy::disallowed_methods,
    reason = "sockets, descriptors of other processes and the journal are what this folder is for"
)]

pub mod probe;
mod queue;
pub mod relieve;

pub use queue::{Queue, Target, TargetError, Wanted, target};
