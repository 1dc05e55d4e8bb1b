//! One fact related to another: which queue a connection waits in, which process owns or watches it,
//! how old it is. Pure; also decides what to look at next.

mod absence;
mod accept_queue;
pub mod acceptor;
mod acceptor_state;
mod acceptor_types;
mod activity;
pub mod age;
mod analysis;
#[cfg(test)]
pub(crate) mod fixtures;
mod growth;
mod halt;
mod leak;
mod leak_types;
mod ledger;
mod loops;
mod matching;
mod mptcp;
mod outage;
mod overdue;
mod owners;
mod pending;
mod place;
mod reader;
mod relay;
mod roles;
mod second_look;
mod siblings;
mod threads;
pub mod tracing;
mod triage;
mod undecided;
mod unknown_ages;
mod waiting_at;
pub mod waits;
mod watch;

pub use absence::{
    absent_address, absent_addresses, absent_names, absent_port, absent_ports, saw_nothing,
};
pub use accept_queue::{AcceptQueue, QueueTrend};
pub use activity::{Activity, PollArgument, interpret, parse_polled, poll_argument};
pub use analysis::{Analysis, StuckListener, Waiting, unknown_waits};
pub use growth::Growth;
pub use leak_types::{Endpoint, Leak, LeakKind, OtherSide, Pairing};
pub use ledger::{Ledger, ledgers, ports_of_interest};
pub use matching::{Listeners, same_address};
pub use mptcp::join_subflows;
pub use outage::{Lack, Outage};
pub use owners::Owners;
pub use place::Place;
pub use reader::Reader;
pub use threads::ThreadRecord;
pub use triage::{
    Triage, foresees_exhaustion, may_wait, needs_unaccepted, threads_to_watch, triage,
    why_threads_are_hidden,
};
pub use unknown_ages::{UnknownAges, unknown_ages};
pub use waiting_at::{WaitsAt, is_accepted, waiting_at};
pub use watch::Watch;
