//! Records of the journal of `relieve`. What is read as a record may be undone as root.
#![no_main]

use closewait_doctor::act::relieve::JournalRecord;
use libfuzzer_sys::fuzz_target;

/// `EPOLLET`: the only bit that `relieve` ever changes.
const EDGE: u32 = 1 << 31;

fuzz_target!(|bytes: &[u8]| {
    let Some(record) = JournalRecord::parse(bytes) else {
        return;
    };
    assert_eq!(record.registration.events ^ record.in_force, EDGE);
    let written = serde_json::to_vec(&record).expect("records are written as JSON");
    assert_eq!(JournalRecord::parse(&written), Some(record));
});
