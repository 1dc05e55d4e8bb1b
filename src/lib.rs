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

pub mod act;
pub mod cli;
pub mod collect;
pub mod correlate;
pub mod look;
pub mod model;
pub mod render;
pub mod report;
pub mod rules;
