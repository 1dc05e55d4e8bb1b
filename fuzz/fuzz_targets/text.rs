//! Text that was copied from a terminal.
#![no_main]

use closewait_doctor::collect::text::parse_text;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // An error is an answer.
    let Ok(text) = parse_text(&String::from_utf8_lossy(bytes)) else {
        return;
    };
    // What could not be read may be about any socket: nothing is whole beside it.
    let unread = text.odd_lines + text.rows_without_state > 0;
    assert!(
        !unread
            || text
                .parts
                .iter()
                .all(|part| !part.coverage.sockets.is_whole())
    );
});
