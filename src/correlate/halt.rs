//! Processes that do not run.

use crate::model::{Examination, Process, Reading, RunState};

/// Why a process does not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Halt {
    /// Stopped by a signal.
    Stopped,
    /// Stopped by a debugger.
    Traced,
    /// Its cgroup is frozen.
    Frozen,
}

/// Returns whether a process does not run, and why.
pub fn halt(process: &Process) -> Option<Halt> {
    let examination = process.examination.as_ref()?;
    if examination.frozen == Reading::Known(true) || sleeps_in_freezer(examination) {
        return Some(Halt::Frozen);
    }
    let halted = |state: &Reading<RunState>| match state {
        Reading::Known(RunState::Stopped) => Some(Halt::Stopped),
        Reading::Known(RunState::Traced) => Some(Halt::Traced),
        _ => None,
    };
    match examination.threads.known() {
        // A thread that has exited and is not reaped yet blocks nothing.
        Some(threads) if !threads.is_empty() => {
            let mut living = threads
                .iter()
                .filter(|thread| thread.state != Reading::Known(RunState::Zombie))
                .map(|thread| halted(&thread.state));
            let first = living.next()??;
            living.all(|halt| halt.is_some()).then_some(first)
        }
        _ => halted(&process.state),
    }
}

/// Where no cgroup file tells, a frozen thread may sleep in a function of the freezer.
fn sleeps_in_freezer(examination: &Examination) -> bool {
    let threads = examination.threads.known().into_iter().flatten();
    threads
        .filter_map(|thread| thread.wchan.known())
        .any(|wchan| matches!(wchan.as_str(), "__refrigerator" | "do_freezer_trap"))
}
