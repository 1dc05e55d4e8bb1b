//! What a trace proves: how each thread serves its listener, and what became of each connection.
//!
//! Pure: a trace from a file gives the same conclusions as a running one.

mod conclusion;
mod filter;
mod polled;
mod rounds;
mod stories;
mod verdict;

pub use conclusion::{Conclusion, Queue, conclude};
pub use filter::{trace_filter, traced_listeners};
pub use polled::changes;
pub use rounds::{AcceptRecord, LastStep};
pub use stories::{Fates, LeftOpen};
pub use verdict::AcceptVerdict;
