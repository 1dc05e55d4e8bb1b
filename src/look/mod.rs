//! A look: it is taken, and then it is reported.
//!
//! [`take()`] asks a kernel, live or recorded, and returns a [`Look`]: sockets first; then only the
//! processes they point at; then, when a listener is suspicious, a few samples. What to look at next is
//! decided in `correlate`; this folder alternates the two. [`of_text`] makes a look of pasted text.
//!
//! A look owns what it saw. It leaves the process as it found it: the next one may be taken a second
//! later, on the same kernel.

mod blind_spots;
mod dead;
mod error;
mod everywhere;
mod ledger;
mod looker;
mod options;
mod owners;
mod sampling;
mod scope;
mod seen;
mod session;
mod sockets;
mod take;
mod text;
mod text_blind_spots;
mod waits;

pub use error::LookError;
pub use options::LookOptions;
pub use seen::Look;
pub use take::take;
pub use text::of_text;
