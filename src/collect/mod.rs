//! Kernel bytes to facts: the only place that reads files, sockets and namespaces.
//!
//! Nothing is interpreted here. What relates one fact to another, and what to look at next, is
//! decided in `correlate`.
#![expect(
    clippy::disallowed_methods,
    reason = "reading the machine is what this folder is for"
)]

pub mod events;
pub mod kernel;
pub mod proc;
pub mod rights;
pub mod sock_diag;
mod sockstat;
pub mod text;
mod users;

pub use users::read_user_names;
