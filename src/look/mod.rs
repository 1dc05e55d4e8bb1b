//! A look at the host: [`take()`] reads, [`Look::report`] judges.
//!
//! [`take()`] asks a kernel, live or recorded, and returns a [`Look`]. It works in phases: sockets; then only
//! the processes that they point at; then, if a listener is suspicious, a few samples; then the wait chains of
//! the processes that will be accused. `correlate` decides what to read next. [`of_text`] makes a look of
//! pasted text.
//!
//! A look owns what it saw. It leaves the process as it found it: the next one may be taken a second
//! later, on the same kernel.

mod absence;
mod blind_spots;
mod dead;
mod error;
mod everywhere;
mod ledger;
mod looker;
mod options;
mod origin;
mod owners;
mod sampling;
mod scope;
mod search;
mod seen;
mod session;
mod sockets;
mod take;
mod text;
mod text_blind_spots;
mod tracing;
mod unread_sets;
mod waits;

pub use error::LookError;
pub use options::LookOptions;
pub use origin::{origin_of_recording, origin_of_text};
pub use seen::Look;
pub use take::take;
pub use text::of_text;
pub use tracing::{Onlooker, TraceOptions, Traced, follow};
