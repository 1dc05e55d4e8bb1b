//! How much processor time a process asks for.

use std::path::Path;
use std::time::Duration;

use crate::model::Pid;

/// What a process asked of the processors so far: the time its threads ran, and the time they waited
/// for their turn. Where others keep the machine busy, a spinning thread runs little and waits a lot.
pub(super) fn read_demand(procfs: &Path, pid: Pid) -> Option<Duration> {
    let tasks = std::fs::read_dir(procfs.join(format!("{pid}/task"))).ok()?;
    let mut sum = Duration::ZERO;
    for task in tasks {
        // A thread that has ended meanwhile asks for nothing.
        let text = std::fs::read_to_string(task.ok()?.path().join("schedstat"));
        sum += text.map_or(Some(Duration::ZERO), |text| parse_schedstat(&text))?;
    }
    Some(sum)
}

/// `ran waited turns`, in nanoseconds.
fn parse_schedstat(text: &str) -> Option<Duration> {
    let mut fields = text.split_ascii_whitespace();
    let mut next = || fields.next()?.parse::<u64>().ok();
    Some(Duration::from_nanos(next()?.saturating_add(next()?)))
}

/// Demand over time, as a share of one processor in percent.
pub(super) fn percent(demand: Duration, time: Duration) -> u32 {
    if time.is_zero() {
        return 0;
    }
    let share = demand.as_nanos() * 100 / time.as_nanos();
    u32::try_from(share).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_for_a_processor_counts_as_asking_for_it() {
        let demand = parse_schedstat("250000000 250000000 12\n").unwrap();
        assert_eq!(percent(demand, Duration::from_secs(1)), 50);
        assert_eq!(parse_schedstat("x"), None);
    }
}
