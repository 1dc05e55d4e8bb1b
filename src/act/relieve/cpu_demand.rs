//! How much processor time a process asks for.

use std::time::Duration;

use crate::collect::kernel::Kernel;
use crate::model::Pid;

/// Reads how much processor time a process has asked for so far: the time its threads ran, and the
/// time they waited for a processor. On a busy machine a spinning thread runs little and waits a lot.
/// Nothing where the kernel does not tell.
pub(super) fn read_demand(kernel: &mut dyn Kernel, pid: Pid) -> Option<Duration> {
    let threads = kernel.list_numbers(&format!("{pid}/task")).ok()?;
    let mut sum = Duration::ZERO;
    for tid in threads {
        // A thread that has ended meanwhile asks for nothing.
        let bytes = kernel.read(&format!("{pid}/task/{tid}/schedstat"));
        sum += bytes.map_or(Some(Duration::ZERO), |bytes| parse_schedstat(&bytes))?;
    }
    Some(sum)
}

/// Parses `ran waited turns`; the first two are in nanoseconds.
fn parse_schedstat(bytes: &[u8]) -> Option<Duration> {
    let mut fields = std::str::from_utf8(bytes).ok()?.split_ascii_whitespace();
    let mut next = || fields.next()?.parse::<u64>().ok();
    Some(Duration::from_nanos(next()?.saturating_add(next()?)))
}

/// Returns demand over time, as a share of one processor in percent.
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
    fn waiting_for_a_processor_counts_as_demand() {
        let demand = parse_schedstat(b"250000000 250000000 12\n").unwrap();
        assert_eq!(percent(demand, Duration::from_secs(1)), 50);
        assert_eq!(parse_schedstat(b"x"), None);
    }
}
