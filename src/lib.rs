//! Explains CLOSE_WAIT: which connections are stuck, which process should have accepted or closed
//! them, why it does not, and what to do.
//!
//! # A look
//!
//! [`look::take()`] asks a kernel, and [`look::Look::report`] judges what it saw:
//!
//! ```
//! use std::path::Path;
//!
//! use closewait_doctor::collect::kernel::LiveKernel;
//! use closewait_doctor::look::{self, LookError, LookOptions};
//!
//! # fn main() -> Result<(), LookError> {
//! let mut kernel = LiveKernel::new(Path::new("/proc"));
//! let look = look::take(&mut kernel, &LookOptions::default())?;
//! let report = look.report("2026-01-31T12:00:00Z");
//!
//! println!("{:?}", report.verdict);
//! for finding in &report.findings {
//!     println!("{}: {}", finding.id, finding.headline);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! [`LookOptions`](look::LookOptions) restricts a look to ports, processes or network namespaces. A look owns what it
//! saw and leaves the process as it was, so the next one may follow on the same kernel; `examples/follow.rs` looks
//! once a second. A [`RecordedKernel`](collect::kernel::RecordedKernel) in the place of the live one answers from a
//! recording, without privileges.
//!
//! # The modules
//!
//! From the lowest to the highest; each uses only those above it in this list:
//!
//! - [`model`]: the vocabulary: sockets, processes, readings that may be unknown, coverage. No I/O, no policy;
//! - [`collect`]: kernel bytes to the model, from the live kernel, a recording or pasted text;
//! - [`correlate`]: relates one fact to another: queues, holders, roles, ages, wait chains. Pure; also decides what to
//!   read next;
//! - [`rules`]: the correlated analysis to findings, with remedies. Pure;
//! - [`report`]: what renderers see, and the thresholds of `check`;
//! - [`look`]: takes a look, phase by phase, and reports it;
//! - [`follow`]: looks taken again and again: which findings are the same, how they go. Pure;
//! - [`act`]: what touches the server (`probe`, `relieve`), and returns what came of it;
//! - [`render`]: reports to bytes, one file a format;
//! - [`serve`]: the exporter's server;
//! - `watch`: the full screen of `watch`, without a terminal (feature `watch`);
//! - [`cli`]: arguments, the clock, standard output, exit codes.
//!
//! `docs/architecture.md` has the reasons. The library serves the program and its tests; its interface is not promised
//! to be stable.

#[cfg(not(target_os = "linux"))]
compile_error!(
    "closewait-doctor reads the Linux kernel (sock_diag, /proc, epoll): build it for a Linux target, such as \
     x86_64-unknown-linux-gnu"
);

#[cfg(target_os = "linux")]
pub mod act;
#[cfg(target_os = "linux")]
pub mod cli;
#[cfg(target_os = "linux")]
pub mod collect;
#[cfg(target_os = "linux")]
pub mod correlate;
#[cfg(target_os = "linux")]
pub mod follow;
#[cfg(target_os = "linux")]
pub mod look;
#[cfg(target_os = "linux")]
pub mod model;
#[cfg(target_os = "linux")]
pub mod render;
#[cfg(target_os = "linux")]
pub mod report;
#[cfg(target_os = "linux")]
pub mod rules;
#[cfg(target_os = "linux")]
pub mod serve;
#[cfg(all(target_os = "linux", feature = "watch"))]
pub mod watch;
