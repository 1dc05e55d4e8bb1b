//! The experiment: open connections to a listener, and see what its queue and its server do.
//!
//! Nothing is sent unless it is asked for. A connection that was accepted is closed after it was
//! watched, so that it does not occupy a worker. A connection that waits stays open until the last
//! one was watched: so a connection that left the queue is not mistaken for one that hung up.

mod behaviour;
mod connection;
mod effect;
mod options;
mod outcome;
mod payload;
mod result;
mod run;
mod wording;

pub use behaviour::{Behaviour, behaviour};
pub use effect::{AssessedFinding, Effect, assess};
pub use options::ProbeOptions;
pub use outcome::{ProbeOutcome, outcome};
pub use payload::{PAYLOAD_LIMIT, PayloadError, parse_text, read_payload};
pub use result::{Closed, CutShort, Probe, ProbeConnection, Refusal};
pub use run::probe;
pub use wording::{conclusion, evidence, headline, remedies};
