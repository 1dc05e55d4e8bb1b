//! Text that was copied from a terminal: nothing panics, what speaks of CLOSE_WAIT is not healthy unless it was
//! read, and long texts take no more than their length in time.
#![no_main]

use std::time::{Duration, Instant};

use closewait_doctor::collect::text::{Text, decode, parse_text};
use closewait_doctor::look;
use closewait_doctor::model::Scope;
use closewait_doctor::report::{Report, Verdict};
use libfuzzer_sys::fuzz_target;

const GRACE: Duration = Duration::from_secs(3);

fuzz_target!(|bytes: &[u8]| {
    let text = decode(bytes);
    stays_linear(&text);
    // An error is an answer.
    let Ok(read) = parse_text(&text) else {
        return;
    };
    let unread = read.odd_lines + read.rows_without_state;
    let whole = read
        .parts
        .iter()
        .all(|part| part.coverage.sockets.is_whole());
    // What could not be read may be about any socket: nothing is whole beside it.
    assert!(unread == 0 || !whole);
    let report = report(read);
    if report.verdict == Verdict::Healthy {
        assert_eq!(unread, 0, "rows were not read");
        assert!(
            report.close_wait.total() > 0 || !names_close_wait(&text),
            "CLOSE_WAIT is named, and no row was read"
        );
    }
});

fn report(read: Text) -> Report {
    look::of_text(read, &Scope::default(), GRACE).report("2026-01-05T10:11:12Z")
}

/// Returns whether a word of the text, as it is, names the state. Commands are left out: what they filter is judged
/// by itself.
fn names_close_wait(text: &str) -> bool {
    text.split_whitespace()
        .any(|word| matches!(word, "CLOSE_WAIT" | "CLOSE-WAIT"))
}

/// Now and then, the text many times over, against a limit that only a time out of proportion reaches.
fn stays_linear(text: &str) {
    const ONE_IN: usize = 4096;
    const LONG: usize = 1 << 19;
    const LIMIT: Duration = Duration::from_secs(8);
    let chosen = text.bytes().fold(text.len(), |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(byte.into())
    });
    if text.is_empty() || chosen % ONE_IN != 0 {
        return;
    }
    let long = text.repeat(LONG / text.len());
    let begin = Instant::now();
    let _ = parse_text(&long).map(report);
    assert!(begin.elapsed() < LIMIT, "{:?}", begin.elapsed());
}
