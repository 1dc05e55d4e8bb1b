//! A trace, for people: one line an event, then what it proves.

mod clock;
mod conclusion;
mod event;
mod json;
mod words;

pub use clock::TraceClock;
pub use conclusion::write_conclusion;
pub use event::{write_events, write_trace_head};
pub use json::write_conclusion_json;
