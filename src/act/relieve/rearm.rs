//! Wakes a server for those who wait: its own registration is made again, as it is.

use std::time::Duration;

use super::carry_out::Bounds;
use super::journal::Journal;
use super::orders::Fault;
use super::registration::Grip;
use super::worker::{Worker, note};
use super::{Deed, Entry, Outcome};
use crate::act::queue::{Target, read_queue};
use crate::collect::kernel::Kernel;

/// After a wake-up the queue is given this long to get shorter.
const REACTION: Duration = Duration::from_millis(400);

/// And when it did, this long to go on.
const PAUSE: Duration = Duration::from_millis(10);

const TICK: Duration = Duration::from_millis(1);

/// So many wake-ups without any effect are enough.
const IN_VAIN: u32 = 3;

/// Re-arms as long as that makes the queue shorter.
pub(super) fn rearm(
    kernel: &mut dyn Kernel,
    target: &Target,
    grips: &[Grip],
    bounds: Bounds,
    journal: &Journal,
) -> Deed {
    let mut log = Vec::new();
    let done = wake(kernel, target, grips, bounds, journal, &mut log);
    Deed::of(done, log)
}

fn wake(
    kernel: &mut dyn Kernel,
    target: &Target,
    grips: &[Grip],
    bounds: Bounds,
    journal: &Journal,
    log: &mut Vec<Entry>,
) -> Result<(Outcome, String), Fault> {
    let mut workers = Vec::new();
    for grip in grips {
        workers.push(Worker::start(grip, journal)?);
    }
    let began = now(kernel)?;
    let first = length(kernel, target)?;
    let (mut left, mut rounds, mut in_vain) = (first, 0, 0);
    while left > 0 && rounds < bounds.max && in_vain < IN_VAIN {
        if now(kernel)?.saturating_sub(began) >= bounds.timeout {
            break;
        }
        let before = left;
        for worker in &mut workers {
            let done = re_register(kernel, worker, target, log);
            let rest = bounds
                .timeout
                .saturating_sub(now(kernel)?.saturating_sub(began));
            let effect = await_effect(kernel, target, before, rest.min(REACTION));
            let result = match (&done, &effect) {
                (Err(fault), _) | (Ok(()), Err(fault)) => Err(fault),
                (Ok(()), Ok(left)) => Ok(format!("queue {before} -> {left}")),
            };
            note(kernel, log, "re-arm", worker.grip.name(), result);
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

fn judge(first: u32, left: u32, rounds: u32, in_vain: u32) -> (Outcome, String) {
    let times = match rounds {
        1 => "1 wake-up".to_owned(),
        number => format!("{number} wake-ups"),
    };
    if left == 0 {
        let headline = format!("the queue is empty after {times}: it was {first}");
        return (Outcome::Relieved, headline);
    }
    let why = if in_vain >= IN_VAIN {
        "the server was woken, and accepts nobody: it is held back by something else than a lost edge"
    } else {
        "the time or the number of wake-ups that is allowed is used up (--timeout, --max)"
    };
    let outcome = if left < first {
        Outcome::Improved
    } else {
        Outcome::Unchanged
    };
    (
        outcome,
        format!("the queue is {left} after {times}, it was {first}: {why}"),
    )
}

/// The registration as it is, once more. One that cannot be modified leaves the set for a moment, so
/// what it was is written down before.
fn re_register(
    kernel: &mut dyn Kernel,
    worker: &mut Worker,
    target: &Target,
    log: &mut Vec<Entry>,
) -> Result<(), Fault> {
    let events = worker.grip.events;
    if !worker.grip.is_exclusive() {
        return worker.set(kernel, log, events, false).map(drop);
    }
    worker.announce(events, &target.local.to_string())?;
    worker.set(kernel, log, events, true)?;
    worker.release()?;
    worker.forget()
}

/// Waits until the queue gets shorter and then stays as it is, or for this long.
fn await_effect(
    kernel: &mut dyn Kernel,
    target: &Target,
    before: u32,
    patience: Duration,
) -> Result<u32, Fault> {
    let began = now(kernel)?;
    let mut last = before;
    let mut changed = began;
    loop {
        let left = length(kernel, target)?;
        let at = now(kernel)?;
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

/// The length of a target's queue.
pub(super) fn length(kernel: &mut dyn Kernel, target: &Target) -> Result<u32, Fault> {
    match read_queue(kernel, target) {
        Ok(Some(queue)) => Ok(queue.length),
        Ok(None) => Err(Fault::Changed("the listener was closed".to_owned())),
        Err(error) => Err(Fault::Failed(error.to_string())),
    }
}

/// The time since the run began.
pub(super) fn now(kernel: &mut dyn Kernel) -> Result<Duration, Fault> {
    kernel
        .elapsed()
        .map_err(|error| Fault::Failed(error.to_string()))
}
