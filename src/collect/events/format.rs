//! The file of a trace: JSON lines, `closewait-doctor.trace/v1`.
//!
//! The first line says what was followed, each further one is an event, and the last one says how it ended. The types
//! here are the format, apart from the model, and apart from what the programs in the kernel write.

use std::collections::HashMap;
use std::fmt;
use std::io::{self, BufRead, Write};
use std::time::Duration;

use super::lines::{Line, TRACE_SCHEMA, begin, event, event_line, header, micros};
use crate::model::{Event, Trace};

/// A line may be this long. The longest is the first, which names each listener and who has it.
const LONGEST_LINE: u64 = 1 << 20;

/// So many events are read; more do not fit into memory on a small machine.
const MOST_EVENTS: usize = 2_000_000;

/// Why a file is no trace.
#[derive(Debug)]
pub enum TraceFileError {
    /// It cannot be read.
    Io(io::Error),
    /// This line is not of the format.
    Line {
        /// Counted from one.
        number: usize,
        /// What is wrong with it.
        why: String,
    },
    /// It does not begin as a trace does.
    NoTrace,
    /// It has more events than are read.
    TooLong,
}

impl fmt::Display for TraceFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Line { number, why } => write!(f, "line {number}: {why}"),
            Self::NoTrace => write!(f, "the first line is not that of a {TRACE_SCHEMA}"),
            Self::TooLong => write!(f, "more than {MOST_EVENTS} events"),
        }
    }
}

impl std::error::Error for TraceFileError {}

impl From<io::Error> for TraceFileError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// What a file held.
#[derive(Debug, PartialEq)]
pub struct TraceFile {
    /// The trace.
    pub trace: Trace,
    /// Whether the file ends where the trace did. Otherwise it was cut off, and how much was lost is not known.
    pub is_whole: bool,
}

/// Writes a trace as JSON lines, as it happens.
#[derive(Default)]
pub struct TraceWriter {
    /// Addresses of the kernel are nobody's business: sockets are numbered as they appear.
    numbers: HashMap<u64, u64>,
}

impl TraceWriter {
    /// Writes what is followed.
    ///
    /// # Errors
    ///
    /// When the writer fails.
    pub fn begin(trace: &Trace, out: &mut dyn Write) -> io::Result<Self> {
        write_line(&Line::Trace(Box::new(header(trace))), out)?;
        Ok(Self::default())
    }

    /// Writes what has happened.
    ///
    /// # Errors
    ///
    /// When the writer fails.
    pub fn events(&mut self, events: &[Event], out: &mut dyn Write) -> io::Result<()> {
        for event in events {
            let next = self.numbers.len() as u64 + 1;
            let number = *self.numbers.entry(event.socket).or_insert(next);
            write_line(&Line::Event(Box::new(event_line(event, number))), out)?;
        }
        Ok(())
    }

    /// Writes how it ended.
    ///
    /// # Errors
    ///
    /// When the writer fails.
    pub fn end(self, trace: &Trace, out: &mut dyn Write) -> io::Result<()> {
        let end = Line::End {
            elapsed_us: micros(trace.elapsed),
            lost_events: trace.lost,
        };
        write_line(&end, out)
    }
}

/// Writes a whole trace as JSON lines.
///
/// # Errors
///
/// When the writer fails.
pub fn write_trace(trace: &Trace, out: &mut dyn Write) -> io::Result<()> {
    let mut writer = TraceWriter::begin(trace, out)?;
    writer.events(&trace.events, out)?;
    writer.end(trace, out)
}

fn write_line(line: &Line, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    out.write_all(b"\n")
}

/// Reads a trace that [`write_trace`] wrote. Lines of a type that is not known are passed over.
///
/// # Errors
///
/// When it cannot be read, or is something else.
pub fn read_trace(mut file: impl BufRead) -> Result<TraceFile, TraceFileError> {
    let mut trace = None;
    let mut number = 0;
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        let mut limited = io::Read::take(&mut file, LONGEST_LINE);
        limited.read_until(b'\n', &mut bytes)?;
        number += 1;
        if bytes.is_empty() {
            return unfinished(trace);
        }
        match (parse_line(&bytes), &mut trace) {
            (Ok(Line::Trace(header)), None) if header.schema == TRACE_SCHEMA => {
                trace = Some(begin(*header));
            }
            (Ok(_) | Err(_), None) => return Err(TraceFileError::NoTrace),
            // The last line of a file that was cut off.
            (Err(_), Some(_)) if !bytes.ends_with(b"\n") => return unfinished(trace),
            (Err(why), Some(_)) => return Err(TraceFileError::Line { number, why }),
            (Ok(Line::Trace(_)), Some(_)) => {
                let why = "a second beginning".to_owned();
                return Err(TraceFileError::Line { number, why });
            }
            (Ok(Line::Event(line)), Some(trace)) => {
                if trace.events.len() == MOST_EVENTS {
                    return Err(TraceFileError::TooLong);
                }
                trace.elapsed = Duration::from_micros(line.at_us);
                trace.events.push(event(*line));
            }
            (
                Ok(Line::End {
                    elapsed_us,
                    lost_events,
                }),
                Some(trace),
            ) => {
                trace.elapsed = Duration::from_micros(elapsed_us);
                trace.lost = lost_events;
                return Ok(TraceFile {
                    trace: trace.clone(),
                    is_whole: true,
                });
            }
        }
    }
}

fn parse_line(bytes: &[u8]) -> Result<Line, String> {
    serde_json::from_slice(bytes).map_err(|error| error.to_string())
}

fn unfinished(trace: Option<Trace>) -> Result<TraceFile, TraceFileError> {
    let trace = trace.ok_or(TraceFileError::NoTrace)?;
    Ok(TraceFile {
        trace,
        is_whole: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Actor, Ends, EventKind, Host, TraceSource};

    fn trace() -> Trace {
        let local = ([127, 0, 0, 1], 8080).into();
        Trace {
            started_at: "2026-11-25T09:14:03.201Z".to_owned(),
            host: Host {
                hostname: "host".to_owned(),
                kernel: "6.18".to_owned(),
                machine: "x86_64".to_owned(),
            },
            source: TraceSource::Events,
            listeners: Vec::new(),
            events: vec![Event {
                at: Duration::from_micros(1500),
                actor: Some(Actor {
                    pid: 7,
                    tid: 8,
                    command: "a \"server\"\n".to_owned(),
                }),
                socket: 1,
                ends: Ends {
                    local,
                    remote: local,
                },
                kind: EventKind::EndRead { fd: 5 },
            }],
            lost: 2,
            elapsed: Duration::from_secs(1),
        }
    }

    fn written() -> Vec<u8> {
        let mut bytes = Vec::new();
        write_trace(&trace(), &mut bytes).expect("memory can be written");
        bytes
    }

    #[test]
    fn what_is_written_is_read() {
        let file = read_trace(&written()[..]).expect("a trace");
        assert_eq!(file.trace, trace());
        assert!(file.is_whole);
    }

    #[test]
    fn a_field_of_another_version_is_passed_over() {
        let text = String::from_utf8(written()).expect("JSON is UTF-8");
        let of_another_version = text.replace("\"socket\"", "\"unknown\":[{\"a\":1}],\"socket\"");
        assert_ne!(of_another_version, text);
        let file = read_trace(of_another_version.as_bytes()).expect("a trace");
        assert_eq!(file.trace, trace());
    }

    #[test]
    fn a_file_that_was_cut_is_read_as_far_as_it_goes() {
        let bytes = written();
        let first = bytes
            .iter()
            .position(|byte| *byte == b'\n')
            .expect("a line");
        for end in first + 1..bytes.len() - 1 {
            let file = read_trace(&bytes[..end]).expect("the beginning of a trace");
            assert!(!file.is_whole);
        }
    }

    #[test]
    fn something_else_is_refused() {
        for text in [
            "",
            "hello",
            "{}",
            "{\"type\":\"end\",\"elapsed_us\":1,\"lost_events\":0}\n",
        ] {
            let refused = read_trace(text.as_bytes());
            assert!(matches!(refused, Err(TraceFileError::NoTrace)), "{text}");
        }
    }
}
