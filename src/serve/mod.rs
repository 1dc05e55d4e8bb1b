//! The exporter's server: hands out pages that were made before, and asks nothing of the host.
//!
//! One thread serves everybody, so a client cannot cost more than its own buffers: a request has a greatest length, and
//! it and its answer have a time. What a request means (`request`) and what becomes of a connection (`client`) are told
//! from bytes and times alone; `server` does the I/O.
#![expect(
    clippy::disallowed_methods,
    reason = "its sockets and their clock are what this folder is for"
)]

mod client;
mod pages;
mod request;
mod respond;
mod schedule;
mod server;

pub use pages::{Pages, Published};
pub use schedule::Schedule;
pub use server::{Server, ServerError, Signal};
