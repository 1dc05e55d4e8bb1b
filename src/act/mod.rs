//! What touches the server: `probe` opens connections to it, `relieve` frees its queue. Both return
//! what was done and what came of it. They print nothing and make no decision that is the user's.
#![expect(
    clippy::disallowed_methods,
    reason = "sockets, descriptors of other processes and the journal are what this folder is for"
)]

mod own_files;
pub mod probe;
mod queue;
pub mod relieve;
mod target;

pub use own_files::{publish_file, write_file};
pub use queue::Queue;
pub use target::{ListenerChoice, Target, TargetError, target};
