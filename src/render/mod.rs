//! Reports to bytes: one file a format; a renderer gets a writer and opens nothing.

mod blocks;
mod cells;
mod connections;
mod disease;
pub mod escape;
mod events;
mod github;
mod grid;
mod groups;
mod json;
mod json_check;
mod json_probe;
mod json_relieve;
mod json_types;
mod json_waits;
mod junit;
mod layout;
mod line;
mod listeners;
pub mod metrics;
pub mod page;
mod paragraphs;
mod place;
mod probe;
mod problem;
mod relieve;
mod table;
mod trace;
mod verdict;
mod who;

pub use cells::{Detail, TableOptions};
pub use events::{WATCH_SCHEMA, severity_word, write_event_lines, write_json_events};
pub use github::{write_failed_github, write_github};
pub use json::{SCHEMA, schema, write_json, write_json_with_check};
pub use json_probe::{PROBE_SCHEMA, probe_schema, write_probe_json};
pub use json_relieve::{RELIEVE_SCHEMA, relieve_schema, write_relieve_json};
pub use junit::{write_failed_junit, write_junit};
pub use line::{write_failed_line, write_line};
pub use probe::{ProbeReport, write_probe_table};
pub use relieve::{ReliefReport, ServerState, write_relief_table};
pub use table::{write_brief, write_table};
pub use trace::{
    TraceClock, write_conclusion, write_conclusion_json, write_events, write_trace_head,
};
