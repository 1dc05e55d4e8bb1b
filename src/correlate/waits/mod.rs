//! Wait chains: what each thread waits for, what the threads of a service have in common, and the
//! chain from there to its root.
//!
//! Pure: a look reads what [`needs()`] and [`next()`] name, until nothing new is named.

mod chain;
mod descriptor;
mod facts;
mod index;
mod needs;
mod polled;
mod standstill;
mod summary;
mod target;
mod thread;

pub use chain::{Chain, Link, Party};
pub use facts::{Facts, threads};
pub(super) use index::Index;
pub use needs::{
    Needs, Next, blocked_descriptors, channels_of_children, is_in_futex, needs, needs_udp_sockets,
    next,
};
pub use summary::{Group, Requests, Summary};
pub use target::{Target, ThreadWait};
