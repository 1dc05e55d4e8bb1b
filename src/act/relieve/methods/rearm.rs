//! Wakes a server for the waiting connections: makes its registration again, unchanged.

use std::time::Duration;

use crate::act::relieve::fault::Fault;
use crate::act::relieve::helper::GuardedHelper;
use crate::act::relieve::measure::{read_length, read_time};
use crate::act::relieve::options::{Bounds, Folders};
use crate::act::relieve::outcome::{Relief, ReliefOutcome, StepLog};
use crate::act::relieve::registration::EpollRegistration;
use crate::act::target::Target;
use crate::collect::kernel::Kernel;

/// How long the queue may take to get shorter after a wake-up.
const REACTION: Duration = Duration::from_millis(400);

/// How long it may then stay the same before the next wake-up.
const PAUSE: Duration = Duration::from_millis(10);

const TICK: Duration = Duration::from_millis(1);

/// How many wake-ups without any effect are enough.
const IN_VAIN: u32 = 3;

/// Re-arms as long as that makes the queue shorter.
pub(super) fn rearm(
    kernel: &mut dyn Kernel,
    target: &Target,
    registrations: &[EpollRegistration],
    bounds: Bounds,
    folders: Folders,
) -> Relief {
    let mut log = StepLog::default();
    let done = wake(kernel, target, registrations, bounds, folders, &mut log);
    Relief::ended(done, log)
}

fn wake(
    kernel: &mut dyn Kernel,
    target: &Target,
    registrations: &[EpollRegistration],
    bounds: Bounds,
    folders: Folders,
    log: &mut StepLog,
) -> Result<(ReliefOutcome, String), Fault> {
    let mut helpers = Vec::new();
    for registration in registrations {
        helpers.push(GuardedHelper::start(registration, folders)?);
    }
    let began = read_time(kernel)?;
    let first = read_length(kernel, target)?;
    let (mut left, mut rounds, mut in_vain) = (first, 0, 0);
    while left > 0 && rounds < bounds.max && in_vain < IN_VAIN {
        if read_time(kernel)?.saturating_sub(began) >= bounds.timeout {
            break;
        }
        let before = left;
        for helper in &mut helpers {
            let done = re_register(kernel, helper, target, log);
            let rest = bounds
                .timeout
                .saturating_sub(read_time(kernel)?.saturating_sub(began));
            let effect = await_effect(kernel, target, before, rest.min(REACTION));
            let result = match (&done, &effect) {
                (Err(fault), _) | (Ok(()), Err(fault)) => Err(fault),
                (Ok(()), Ok(left)) => Ok(format!("queue {before} -> {left}")),
            };
            log.note(kernel, "re-arm", helper.registration().name(), result);
            done?;
            left = effect?;
            if left < before || rest.is_zero() {
                break;
            }
        }
        rounds += 1;
        in_vain = if left < before { 0 } else { in_vain + 1 };
    }
    Ok(judge(first, left, rounds, in_vain))
}

fn judge(first: u32, left: u32, rounds: u32, in_vain: u32) -> (ReliefOutcome, String) {
    let times = match rounds {
        1 => "1 wake-up".to_owned(),
        number => format!("{number} wake-ups"),
    };
    if left == 0 {
        let headline = format!("the queue is empty after {times}: it was {first}");
        return (ReliefOutcome::Relieved, headline);
    }
    let why = if in_vain >= IN_VAIN {
        "the server was woken, and accepts nothing: it is held back by something else than a lost edge"
    } else {
        "the time or the number of wake-ups that is allowed is used up (--timeout, --max)"
    };
    let outcome = if left < first {
        ReliefOutcome::Improved
    } else {
        ReliefOutcome::Unchanged
    };
    (
        outcome,
        format!("the queue is {left} after {times}, it was {first}: {why}"),
    )
}

/// Makes the registration once more, as it is. One that cannot be modified leaves the set for a moment,
/// so it is recorded before.
fn re_register(
    kernel: &mut dyn Kernel,
    helper: &mut GuardedHelper,
    target: &Target,
    log: &mut StepLog,
) -> Result<(), Fault> {
    let events = helper.registration().events;
    if !helper.registration().is_exclusive() {
        return helper.set(kernel, log, events, false).map(drop);
    }
    helper.announce(events, &target.local.to_string())?;
    helper.set(kernel, log, events, true)?;
    helper.release()?;
    helper.forget(kernel)
}

/// Waits until the queue gets shorter and then stays as it is, or for this long.
fn await_effect(
    kernel: &mut dyn Kernel,
    target: &Target,
    before: u32,
    patience: Duration,
) -> Result<u32, Fault> {
    let began = read_time(kernel)?;
    let mut last = before;
    let mut changed = began;
    loop {
        let left = read_length(kernel, target)?;
        let at = read_time(kernel)?;
        if left != last {
            last = left;
            changed = at;
        }
        let settled = last < before && at.saturating_sub(changed) >= PAUSE;
        if last == 0 || settled || at.saturating_sub(began) >= patience {
            return Ok(last);
        }
        kernel.pause(TICK);
    }
}
