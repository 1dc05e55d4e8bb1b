//! Explains CLOSE_WAIT: which connections are stuck, who should have accepted or closed them, why
//! it does not, and what to do.
//!
//! The program reads the kernel, decides, and reports; those are three things:
//!
//! - [`model`]: the vocabulary below everything else;
//! - [`collect`]: kernel bytes to facts, live or from a recording;
//! - [`correlate`]: one fact related to another;
//! - [`rules`]: the correlated analysis to findings;
//! - [`report`]: what renderers see;
//! - [`render`]: reports to bytes;
//! - [`act`]: what touches the server, and returns what came of it;
//! - [`cli`]: the only place that knows the user.
//!
//! The library serves the program and its tests; its interface is not promised to be stable.

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
pub mod look;
#[cfg(target_os = "linux")]
pub mod model;
#[cfg(target_os = "linux")]
pub mod render;
#[cfg(target_os = "linux")]
pub mod report;
#[cfg(target_os = "linux")]
pub mod rules;
