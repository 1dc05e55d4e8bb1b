//! Processes whose threads all wait for one another.

use super::super::activity::Activity;
use super::super::threads::{self, ThreadRecord};
use super::facts::Facts;
use crate::model::{Process, Reading, RunState, Syscall, Thread};

/// Whether every thread of a process waits in `futex` without a time limit, for memory that no other process
/// shares: then only a signal wakes one of them.
pub(super) fn is_at_standstill(facts: &Facts, process: &Process) -> bool {
    let records = threads::records(process, facts.snapshot);
    let living: Vec<&ThreadRecord> = records.iter().filter(|one| !has_ended(one)).collect();
    let rests = |record: &&ThreadRecord| {
        record.usual() == Some((Activity::Futex, true))
            && super::facts::threads(facts.snapshot, process.pid)
                .iter()
                .any(|thread| thread.tid == record.tid && waits_without_limit(thread))
    };
    !living.is_empty() && living.iter().all(rests)
}

fn has_ended(record: &ThreadRecord) -> bool {
    let state = record.looks.last().map(|look| look.state);
    state == Some(Reading::Known(RunState::Zombie))
}

/// `futex(word, operation, value, timeout)` with a null timeout, on private memory or to join a thread.
fn waits_without_limit(thread: &Thread) -> bool {
    const WAIT: u64 = 0;
    const LOCK_PI: u64 = 6;
    const WAIT_BITSET: u64 = 9;
    const LOCK_PI2: u64 = 13;
    const COMMAND: u64 = 0x7f;
    const PRIVATE: u64 = 0x80;
    /// `pthread_join` is the one wait of glibc on shared memory whose value is a thread id: above all states of locks.
    const STATES_OF_LOCKS: u64 = 3;
    let Reading::Known(Syscall::Call { args, .. }) = thread.syscall else {
        return false;
    };
    let [_, operation, value, timeout] = args;
    let operation = operation & 0xffff_ffff;
    let waits = matches!(operation & COMMAND, WAIT | LOCK_PI | WAIT_BITSET | LOCK_PI2);
    let joins = operation & COMMAND == WAIT_BITSET && value > STATES_OF_LOCKS;
    waits && timeout == 0 && (operation & PRIVATE != 0 || joins)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::correlate::fixtures;
    use crate::model::{Pid, Snapshot, SocketTable};

    const FUTEX: u32 = 202;
    const ACCEPT: u32 = 43;

    fn is_still(calls: &[(u32, [u64; 4])]) -> bool {
        let mut process = fixtures::process(7);
        let threads = (7 as Pid..).zip(calls).map(|(tid, (number, args))| {
            let call = Syscall::Call {
                number: *number,
                args: *args,
            };
            fixtures::thread(tid, RunState::Sleeping, call)
        });
        process.examination.as_mut().unwrap().threads = Reading::Known(threads.collect());
        let mut snapshot: Snapshot = fixtures::snapshot(SocketTable::default());
        snapshot.processes.insert(7, process);
        let facts = Facts::of(&snapshot);
        is_at_standstill(&facts, facts.process(7).unwrap())
    }

    #[test]
    fn threads_that_all_wait_for_another_stand_still() {
        let lock = [0x1000, 0x80, 2, 0];
        let condition = [0x2000, 0x189, 0, 0];
        let join = [0x3000, 0x109, 8, 0];
        assert!(is_still(&[
            (FUTEX, lock),
            (FUTEX, condition),
            (FUTEX, join)
        ]));
    }

    #[test]
    fn one_that_something_may_wake_is_enough_to_go_on() {
        let lock = [0x1000, 0x80, 2, 0];
        let with_limit = [0x2000, 0x189, 0, 0x7fff_0000];
        let shared = [0x3000, 0x0, 2, 0];
        assert!(!is_still(&[(FUTEX, lock), (FUTEX, with_limit)]));
        assert!(!is_still(&[(FUTEX, lock), (FUTEX, shared)]));
        assert!(!is_still(&[(FUTEX, lock), (ACCEPT, [3, 0, 0, 0])]));
    }
}
