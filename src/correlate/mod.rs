//! One fact related to another: which queue a connection waits in, who owns it, who watches it,
//! how old it is. Pure; also decides what to look at next.

mod accept_queue;
pub mod acceptor;
mod activity;
pub mod age;
mod attention;
mod growth;
mod leak;
mod matching;
mod mptcp;
mod owners;
mod picture;
mod reader;
#[cfg(test)]
pub(crate) mod samples;
mod standing;
mod threads;
mod undecided;
mod watch;

pub use accept_queue::{AcceptQueue, Course, Place};
pub use activity::{Activity, PollArgument, interpret, parse_polled, poll_argument};
pub use attention::{
    Attention, attention, blocked_descriptors, foresees_trouble, may_wait, needs_unaccepted,
    threads_to_watch, unknown_waits, unnamed_sockets, why_threads_are_hidden,
};
pub use growth::Growth;
pub use leak::{Endpoint, Leak, Trouble};
pub use matching::Listeners;
pub use mptcp::{join_subflows, unknown_mptcp_ages};
pub use owners::Owners;
pub use picture::{Case, Picture, Waiting};
pub use reader::Reader;
pub use threads::ThreadRecord;
pub use watch::Watch;
