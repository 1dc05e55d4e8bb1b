//! What changed between two looks: as lines, and as one JSON object a look, `closewait-doctor.watch/v1`.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::Value;

use super::cells::duration;
use super::escape::{escape, is_dangerous};
use super::json::report_value;
use super::json_types::{SeverityV1, millis};
use crate::follow::{Event, EventKind};
use crate::report::Report;
use crate::rules::Severity;

/// The schema's name and version.
pub const WATCH_SCHEMA: &str = "closewait-doctor.watch/v1";

/// One look.
#[derive(Serialize)]
struct LookV1<'a> {
    /// Always `closewait-doctor.watch/v1`.
    schema: &'static str,
    taken_at: &'a str,
    /// What changed since the look before; at the first one, everything has appeared.
    events: Vec<EventV1<'a>>,
    /// As `scan --format json` prints it.
    report: Value,
}

/// A change of a finding.
#[derive(Serialize)]
struct EventV1<'a> {
    kind: EventKindV1,
    id: &'a str,
    severity: SeverityV1,
    netns: &'a str,
    /// An address, or the names of processes.
    subject: String,
    connections: usize,
    /// The connections at the look before.
    before: usize,
    headline: &'a str,
    /// For how long it has been followed, in milliseconds.
    age_ms: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum EventKindV1 {
    Appeared,
    Changed,
    Gone,
}

/// Writes one look and what changed as one line of JSON.
///
/// # Errors
///
/// When the writer fails.
pub fn write_json_events(report: &Report, events: &[Event], out: &mut dyn Write) -> io::Result<()> {
    let look = LookV1 {
        schema: WATCH_SCHEMA,
        taken_at: &report.taken_at,
        events: events.iter().map(EventV1::from).collect(),
        report: report_value(report)?,
    };
    writeln!(out, "{}", harmless(&serde_json::to_string(&look)?))
}

/// JSON has escapes of its own for what a terminal would obey; outside of strings there is none of it.
fn harmless(json: &str) -> String {
    use std::fmt::Write as _;

    let mut text = String::with_capacity(json.len());
    for character in json.chars() {
        if is_dangerous(character) {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                write!(text, "\\u{unit:04x}").expect("writing to a string cannot fail");
            }
        } else {
            text.push(character);
        }
    }
    text
}

impl<'a> From<&'a Event> for EventV1<'a> {
    fn from(event: &'a Event) -> Self {
        Self {
            kind: match event.kind {
                EventKind::Appeared => EventKindV1::Appeared,
                EventKind::Changed => EventKindV1::Changed,
                EventKind::Gone => EventKindV1::Gone,
            },
            id: event.key.id,
            severity: event.severity.into(),
            netns: &event.key.netns,
            subject: event.key.place(),
            connections: event.connections,
            before: event.before,
            headline: &event.headline,
            age_ms: millis(event.age),
        }
    }
}

/// Writes what changed, one line for each change; nothing where nothing did.
///
/// # Errors
///
/// When the writer fails.
pub fn write_event_lines(report: &Report, events: &[Event], out: &mut dyn Write) -> io::Result<()> {
    for event in events {
        let key = &event.key;
        let place = key.place();
        let (word, number) = match event.kind {
            EventKind::Appeared => ("appeared", event.connections.to_string()),
            EventKind::Changed => (
                "changed",
                format!("{} -> {}", event.before, event.connections),
            ),
            EventKind::Gone => ("gone", format!("after {}", duration(event.age))),
        };
        writeln!(
            out,
            "{} {word} {} {} {} ({number}): {}",
            report.taken_at,
            severity_word(event.severity),
            key.id,
            escape(&place),
            escape(&event.headline)
        )?;
    }
    Ok(())
}

/// A severity as tables name it.
pub fn severity_word(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "CRITICAL",
        Severity::Warning => "WARNING",
        Severity::Info => "INFO",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_escaped_in_json() {
        let json = serde_json::to_string("a\u{9b}b\u{202e}\n").unwrap();
        assert_eq!(harmless(&json), "\"a\\u009bb\\u202e\\n\"");
    }
}
