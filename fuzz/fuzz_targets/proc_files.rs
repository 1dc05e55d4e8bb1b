//! Files of `/proc`: every parser sees every input.
#![no_main]

use closewait_doctor::collect::proc::{
    parse_dropped_counters, parse_epoll_watches, parse_locks, parse_net_tcp,
    parse_open_files_limit, parse_sockstat, parse_stat, parse_syscall,
};
use closewait_doctor::collect::sock_diag::Wanted;
use closewait_doctor::model::InodeSet;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|file: &[u8]| {
    let (watches, _) = parse_epoll_watches(file);
    for watch in watches {
        watch.events_text();
    }
    parse_stat(file);
    parse_syscall(file);
    parse_open_files_limit(file);
    parse_dropped_counters(file);
    parse_sockstat(file, b"TCP:", b"alloc");
    // No lock takes less than a line.
    let lines = file.split(|byte| *byte == b'\n').count();
    assert!(parse_locks(file).len() <= lines);
    let empty = InodeSet::default();
    for wanted in [Wanted::CloseWait, Wanted::Unaccepted, Wanted::Open] {
        parse_net_tcp(file, wanted, &empty);
    }
});
