//! Reads a recording as a stream, and never holds more of it than a known amount of memory.
//!
//! A file that compresses well unpacks to a thousand times its size, and what it unpacks to can need many times
//! that in memory. So everything is charged for before it is held: each byte of text, each comma (an element of a
//! list or a field costs more memory than its text), and each entry.

use std::cell::Cell;
use std::io::{self, BufRead, BufReader, Read};
use std::rc::Rc;

use flate2::read::GzDecoder;
use serde::Deserialize;

use super::format::{Answer, Entry, FORMAT, Header, Outcome, Question, RecordingError};
use crate::collect::kernel::KernelError;

/// A recording may take this much memory, so that reading it takes no more than 256 MB in all: lists and texts
/// grow by doubling. A dump of 200,000 sockets with their clocks takes 80 MB.
const MOST_MEMORY: u64 = 192 << 20;

/// The first line may be this long: it names a host and what the look was restricted to.
const LONGEST_HEADER: u64 = 1 << 20;

/// What an element of a list takes at most beside its text: an empty string in a set is the worst.
const ELEMENT_BYTES: u64 = 64;

/// What an entry takes beside its answer, with its place in the index.
const ENTRY_BYTES: u64 = 512;

/// What a datagram takes beside its bytes.
const DATAGRAM_BYTES: u64 = 48;

/// Any line after the first: a question with its answer or error, or the count of them at the end.
#[derive(Deserialize)]
struct Line {
    netns: Option<String>,
    ask: Option<Question>,
    answer: Option<Answer>,
    error: Option<KernelError>,
    end: Option<usize>,
}

/// Reads a recording, whole or not at all; `each` gets the entries in their order.
pub(super) fn read(file: impl Read, each: impl FnMut(Entry)) -> Result<Header, RecordingError> {
    read_within(file, MOST_MEMORY, each)
}

fn read_within(
    file: impl Read,
    most: u64,
    mut each: impl FnMut(Entry),
) -> Result<Header, RecordingError> {
    let meter = Meter {
        most,
        ..Meter::default()
    };
    let mut unpacked = BufReader::new(Metered {
        inner: GzDecoder::new(file),
        meter: meter.clone(),
    });
    let header = read_header(&mut unpacked)?;
    let mut lines = serde_json::Deserializer::from_reader(unpacked).into_iter::<Line>();
    let mut number = 0;
    while let Some(line) = lines.next() {
        let line = line.map_err(|error| damage(&error))?;
        if let Some(counted) = line.end {
            return match lines.next() {
                // Only at its end gzip checks its sum.
                None => finish(header, counted, number),
                Some(Err(error)) if error.is_io() => Err(damage(&error)),
                Some(_) => Err(RecordingError::Corrupt(
                    "something follows its end".to_owned(),
                )),
            };
        }
        let entry = entry(line)?;
        meter.keep(&entry);
        number += 1;
        each(entry);
    }
    Err(RecordingError::Truncated)
}

fn finish(header: Header, counted: usize, found: usize) -> Result<Header, RecordingError> {
    if counted == found {
        return Ok(header);
    }
    Err(RecordingError::Corrupt(format!(
        "{counted} entries were written, {found} found"
    )))
}

fn entry(line: Line) -> Result<Entry, RecordingError> {
    let corrupt = |what: &str| RecordingError::Corrupt(what.to_owned());
    let ask = line
        .ask
        .ok_or_else(|| corrupt("a line without a question"))?;
    let outcome = match (line.answer, line.error) {
        (Some(answer), None) => Outcome::Answer(answer),
        (None, Some(error)) => Outcome::Error(error),
        _ => return Err(corrupt("a question without one answer")),
    };
    Ok(Entry {
        netns: line.netns,
        ask,
        outcome,
    })
}

fn read_header(lines: &mut impl BufRead) -> Result<Header, RecordingError> {
    let mut line = Vec::new();
    let read = lines.take(LONGEST_HEADER).read_until(b'\n', &mut line);
    match read {
        Ok(0) => Err(RecordingError::Truncated),
        Ok(_) => parse_header(&line),
        Err(error) => Err(match unpacking(&error) {
            // What does not unpack from the first byte is no recording.
            RecordingError::Corrupt(_) => RecordingError::Foreign,
            other => other,
        }),
    }
}

fn parse_header(line: &[u8]) -> Result<Header, RecordingError> {
    #[derive(Deserialize)]
    struct Format {
        recording: String,
    }
    let Ok(Format { recording }) = serde_json::from_slice(line) else {
        return Err(RecordingError::Foreign);
    };
    if recording != FORMAT {
        return Err(RecordingError::Version(recording.escape_debug().collect()));
    }
    serde_json::from_slice(line).map_err(|error| RecordingError::Corrupt(error.to_string()))
}

fn damage(error: &serde_json::Error) -> RecordingError {
    match error.io_error_kind() {
        Some(kind) => unpacking(&io::Error::new(kind, error.to_string())),
        None if error.is_eof() => RecordingError::Truncated,
        None => RecordingError::Corrupt(error.to_string()),
    }
}

fn unpacking(error: &io::Error) -> RecordingError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => RecordingError::Truncated,
        io::ErrorKind::FileTooLarge => RecordingError::TooLarge,
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
            RecordingError::Corrupt(error.to_string())
        }
        _ => RecordingError::Io(io::Error::new(error.kind(), error.to_string())),
    }
}

/// Counts the memory that a recording takes.
#[derive(Clone, Default)]
struct Meter {
    /// What a recording may take.
    most: u64,
    /// What the entries take that were read.
    kept: Rc<Cell<u64>>,
    /// What was read since, and what it may take at most.
    underway: Rc<Cell<u64>>,
}

impl Meter {
    /// Charges for bytes before they are parsed.
    ///
    /// # Errors
    ///
    /// When all that is read may take more memory than a recording is allowed.
    fn charge(&self, bytes: &[u8]) -> io::Result<()> {
        let pieces = bytes.split(|byte| *byte == b',').count() as u64;
        let charge = bytes.len() as u64 + pieces.saturating_sub(1) * ELEMENT_BYTES;
        let underway = self.underway.get().saturating_add(charge);
        self.underway.set(underway);
        if underway > self.most.saturating_sub(self.kept.get()) {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(())
    }

    /// Notes that an entry was read: what it takes is known now.
    fn keep(&self, entry: &Entry) {
        let charged = self.underway.replace(0);
        let takes = match &entry.outcome {
            Outcome::Answer(Answer::Datagrams(datagrams)) => {
                let sizes = datagrams.iter().map(|one| one.0.len() as u64);
                sizes.map(|size| size + DATAGRAM_BYTES).sum()
            }
            _ => charged,
        };
        self.kept
            .set(self.kept.get().saturating_add(takes + ENTRY_BYTES));
    }
}

/// Charges for whatever is read.
struct Metered<R> {
    inner: R,
    meter: Meter,
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.meter.charge(&buffer[..read])?;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    const HEADER: &str = r#"{"recording":"closewait-doctor.recording/v1","tool_version":"0","taken_at":"2026-01-01T00:00:00Z","host":{"hostname":"h","kernel":"6","machine":"x86_64"},"scope":{"ports":[],"pids":[],"netns":null},"min_age_ms":3000,"observe_ms":150,"observe_asked":false,"procfs_source":false,"redacted":false}
"#;

    /// A recording whose one entry is `before`, `piece` so many times, and `after`.
    fn bomb(before: &str, piece: &str, times: usize, after: &str) -> Vec<u8> {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(HEADER.as_bytes()).unwrap();
        gzip.write_all(before.as_bytes()).unwrap();
        let at_once = 100;
        let many = piece.repeat(at_once);
        for _ in 0..times.div_ceil(at_once) {
            gzip.write_all(many.as_bytes()).unwrap();
        }
        gzip.write_all(after.as_bytes()).unwrap();
        gzip.finish().unwrap()
    }

    fn entries(file: &[u8]) -> Result<usize, RecordingError> {
        let mut number = 0;
        read(file, |_| number += 1).map(|_| number)
    }

    #[test]
    fn a_bomb_of_any_content_is_refused() {
        let most = 4 << 20;
        for (before, piece) in [
            (
                r#"{"ask":{"read":"x"},"answer":{"datagrams":["#,
                r#"{"utf8":""},"#,
            ),
            (r#"{"ask":{"read":"x"},"answer":{"numbers":["#, "1,"),
            (r#"{"ask":{"read":"x"},"answer":{"text":""#, "aaaaaaaaaa"),
            (
                r#"{"ask":{"read":"x"},"answer":{"hidden":{"rings":["#,
                "[1,1,[]],",
            ),
            ("", "{\"ask\":\"elapsed\",\"answer\":\"entered\"}\n"),
            ("", "          \n"),
        ] {
            let file = bomb(before, piece, 1_000_000, "");
            let refused = read_within(&file[..], most, |_| ());
            assert!(
                matches!(refused, Err(RecordingError::TooLarge)),
                "{before}{piece}: {:?}",
                refused.err()
            );
        }
    }

    #[test]
    fn a_header_without_end_is_no_recording() {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(&vec![b'{'; 4 << 20]).unwrap();
        let refused = entries(&gzip.finish().unwrap());
        assert!(
            matches!(refused, Err(RecordingError::Foreign)),
            "{refused:?}"
        );
    }

    #[test]
    fn a_dump_of_200_000_sockets_is_read() {
        // A message of `inet_diag` with `tcp_info` takes some 400 bytes; 80 come at once.
        let piece = format!(r#"{{"base64":"{}"}},"#, "A".repeat(80 * 536));
        let before = r#"{"ask":{"read":"x"},"answer":{"datagrams":["#;
        let file = bomb(before, &piece, 2_500, "{\"utf8\":\"\"}]}}\n{\"end\":1}\n");
        assert_eq!(entries(&file).unwrap(), 1);
    }

    #[test]
    fn a_recording_ends_with_the_number_of_its_entries_and_nothing_after() {
        let entry = "{\"ask\":\"elapsed\",\"answer\":\"entered\"}\n";
        let told = |after: &str| match entries(&bomb(entry, "", 0, after)) {
            Ok(_) => "whole",
            Err(RecordingError::Truncated) => "truncated",
            Err(RecordingError::Corrupt(_)) => "corrupt",
            Err(_) => "else",
        };
        assert_eq!(told("{\"end\":1}\n"), "whole");
        assert_eq!(told("{\"end\":2}\n"), "corrupt");
        assert_eq!(told("{\"end\":1}\n{}"), "corrupt");
        assert_eq!(told(""), "truncated");
        assert_eq!(told("{\"ask\":"), "truncated");
        assert_eq!(told("{\"ask\":\"elapsed\"}"), "corrupt");
    }
}
