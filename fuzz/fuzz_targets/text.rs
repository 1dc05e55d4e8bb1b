//! Text that somebody copied from a terminal.
#![no_main]

use closewait_doctor::collect::text::parse_text;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // An error is an answer.
    let _ = parse_text(&String::from_utf8_lossy(bytes));
});
