//! Records of the journal of `relieve`. What is read as a record may be undone as root.
#![no_main]

use closewait_doctor::act::relieve::JournalRecord;
use libfuzzer_sys::fuzz_target;

/// `EPOLLET`: the only bit that `relieve` ever changes.
const EDGE: u32 = 1 << 31;

/// `EPOLLERR` and `EPOLLHUP`, which the kernel sets in each registration: masks that differ in them are equal.
const ALWAYS: u32 = 0x18;

fuzz_target!(|bytes: &[u8]| {
    let Some(record) = JournalRecord::parse(bytes) else {
        return;
    };
    let changed = record.registration.events ^ record.in_force;
    assert_eq!(changed & !ALWAYS, EDGE);
    let written = serde_json::to_vec(&record).expect("records are written as JSON");
    assert_eq!(JournalRecord::parse(&written), Some(record));
});
