//! The whole way from a recording to the answer. Recordings of real conditions are edited where it hurts: entries left
//! out, answered twice or with the answer of another question, errors in the place of answers, text and numbers changed.
#![no_main]

use arbitrary::Arbitrary;
use closewait_doctor::collect::kernel::RecordedKernel;
use closewait_doctor::look::{self, LookOptions};
use closewait_doctor::render::{
    TableOptions, write_github, write_json, write_junit, write_line, write_table,
};
use closewait_doctor::report::{Check, Report, Thresholds};
use closewait_doctor_fuzz::{Recording, pack, recordings};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

#[derive(Debug, Arbitrary)]
struct Edits<'a> {
    recording: u8,
    edits: Vec<Edit<'a>>,
}

#[derive(Debug, Arbitrary)]
struct Edit<'a> {
    entry: u16,
    change: Change<'a>,
}

#[derive(Debug, Arbitrary)]
enum Change<'a> {
    LeaveOut,
    Repeat,
    AnswerOf(u16),
    Fail(u8),
    /// Of the texts of the answer, the one with this number, at this place, so many bytes.
    Text {
        number: u16,
        at: u16,
        cut: u16,
        insert: &'a str,
    },
    Number {
        number: u16,
        value: u64,
    },
}

fuzz_target!(|edits: Edits<'_>| {
    let recordings = recordings();
    let chosen = usize::from(edits.recording) % recordings.len();
    let Recording { header, entries } = &recordings[chosen];
    let mut entries = entries.clone();
    for edit in edits.edits.iter().take(8) {
        apply(&mut entries, edit);
    }
    let file = write(header, &entries);
    let Ok(mut kernel) = RecordedKernel::read_from(&pack(&file)[..]) else {
        return;
    };
    let options = LookOptions::of_recording(kernel.header());
    if let Ok(look) = look::take(&mut kernel, &options) {
        render(&look.report("2026-01-01T00:00:00Z"));
    }
});

fn apply(entries: &mut Vec<Value>, edit: &Edit<'_>) {
    if entries.is_empty() {
        return;
    }
    let index = usize::from(edit.entry) % entries.len();
    match edit.change {
        Change::LeaveOut => {
            entries.remove(index);
        }
        Change::Repeat => entries.insert(index, entries[index].clone()),
        Change::AnswerOf(other) => {
            let other = entries[usize::from(other) % entries.len()].clone();
            for part in ["answer", "error"] {
                entries[index][part] = other[part].clone();
            }
        }
        Change::Fail(kind) => {
            const KINDS: [&str; 7] = [
                "not-permitted",
                "not-found",
                "not-supported",
                "malformed",
                "not-recorded",
                "timed-out",
                "failed",
            ];
            let kind = KINDS[usize::from(kind) % KINDS.len()];
            entries[index]["answer"] = Value::Null;
            entries[index]["error"] = json!({"kind": kind, "what": "x", "detail": "y"});
        }
        Change::Text {
            number,
            at,
            cut,
            insert,
        } => {
            let mut texts = Vec::new();
            leaves(&mut entries[index]["answer"], &mut texts, Value::is_string);
            if let Some(Value::String(text)) = pick(&mut texts, number) {
                let start = boundary(text, usize::from(at) % (text.len() + 1));
                let end = boundary(text, (start + usize::from(cut)).min(text.len())).max(start);
                text.replace_range(start..end, insert);
            }
        }
        Change::Number { number, value } => {
            let mut numbers = Vec::new();
            leaves(
                &mut entries[index]["answer"],
                &mut numbers,
                Value::is_number,
            );
            if let Some(place) = pick(&mut numbers, number) {
                *place = value.into();
            }
        }
    }
}

/// The values in a value that are of a kind and hold no others.
fn leaves<'v>(value: &'v mut Value, found: &mut Vec<&'v mut Value>, of_kind: fn(&Value) -> bool) {
    match value {
        Value::Array(all) => all.iter_mut().for_each(|one| leaves(one, found, of_kind)),
        Value::Object(all) => all.values_mut().for_each(|one| leaves(one, found, of_kind)),
        leaf if of_kind(leaf) => found.push(leaf),
        _ => {}
    }
}

fn pick<'p, 'v>(all: &'p mut [&'v mut Value], number: u16) -> Option<&'p mut Value> {
    let index = usize::from(number).checked_rem(all.len())?;
    Some(all[index])
}

fn boundary(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

fn write(header: &Value, entries: &[Value]) -> Vec<u8> {
    let end = json!({"end": entries.len()});
    let mut file = Vec::new();
    for line in std::iter::once(header).chain(entries).chain([&end]) {
        serde_json::to_writer(&mut file, line).expect("writing to memory cannot fail");
        file.push(b'\n');
    }
    file
}

/// The styles of the table: bold and the colours of severities and verdicts.
const STYLES: [&str; 6] = [
    "\x1b[0m", "\x1b[1m", "\x1b[32m", "\x1b[31m", "\x1b[33m", "\x1b[36m",
];

/// Writes every format; each is one document, whatever processes are called.
fn render(report: &Report) {
    let check = Check::new(
        report,
        &Thresholds::new(&[], &[]).expect("no thresholds are valid"),
    );
    let mut outputs: [Vec<u8>; 5] = Default::default();
    let [table, json, line, junit, github] = &mut outputs;
    write_table(report, TableOptions::default(), table)
        .and_then(|()| write_json(report, None, json))
        .and_then(|()| write_line(report, &check, line))
        .and_then(|()| write_junit(report, &check, junit))
        .and_then(|()| write_github(report, &check, github))
        .expect("writing to memory cannot fail");
    serde_json::from_slice::<Value>(json).expect("it is JSON");
    // The colours of the table are taken off where it is printed.
    for output in &outputs {
        let text = std::str::from_utf8(output).expect("it is text");
        let text = STYLES
            .iter()
            .fold(text.to_owned(), |text, style| text.replace(style, ""));
        let dangerous = |letter: char| letter.is_control() && letter != '\n';
        assert!(!text.contains(dangerous), "{text:?}");
    }
}
