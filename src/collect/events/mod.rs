//! What tracing sees: events of TCP sockets as they happen, from programs inside the kernel, and the file that
//! keeps them.

#[cfg(feature = "trace")]
mod decode;
mod error;
mod format;
mod lines;
#[cfg(feature = "trace")]
mod live;
#[cfg(not(feature = "trace"))]
mod no_live;

pub use error::TraceError;
pub use format::{TraceFile, TraceFileError, TraceWriter, read_trace, write_trace};
#[cfg(feature = "trace")]
pub use live::Tracer;
#[cfg(not(feature = "trace"))]
pub use no_live::Tracer;
