//! Recordings: what was asked of a kernel and what it answered, written to a file and read back.

mod format;
mod names;
mod recorded;
mod recorder;
mod redact;
mod scrub;
mod stream;

pub use format::{Header, RecordedOptions, RecordedScope, RecordingError};
pub use recorded::RecordedKernel;
pub use recorder::Recorder;
