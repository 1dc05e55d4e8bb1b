//! Makes a listener level-triggered in the running server, and watches whether the server can live
//! with that.

use std::collections::VecDeque;
use std::time::Duration;

use crate::act::relieve::cpu_demand::{percent, read_demand};
use crate::act::relieve::fault::Fault;
use crate::act::relieve::helper::GuardedHelper;
use crate::act::relieve::measure::{read_length, read_time};
use crate::act::relieve::options::{Bounds, Folders};
use crate::act::relieve::outcome::{Relief, ReliefOutcome, StepLog};
use crate::act::relieve::process::read_entries;
use crate::act::relieve::registration::{EpollRegistration, same_mask};
use crate::act::target::Target;
use crate::collect::kernel::Kernel;
use crate::model::Pid;

/// A server that spins asks for a whole processor. This much more than before, over this time, while
/// hardly any connection leaves the queue, is spinning.
const SPINNING_PERCENT: u32 = 50;
const SPINNING_TIME: Duration = Duration::from_millis(500);

/// The most processor time that is work, for each connection that leaves the queue.
const WORK: Duration = Duration::from_millis(150);

/// How long the server is watched before it is touched, and after it was rolled back.
const BASELINE: Duration = Duration::from_millis(500);

const TICK: Duration = Duration::from_millis(50);

/// One look at the server under level-triggering.
#[derive(Debug, Clone, Copy)]
struct DemandSample {
    at: Duration,
    demand: Duration,
    length: u32,
}

/// Switches, watches, and switches back where it does harm or no good.
pub(super) fn level(
    kernel: &mut dyn Kernel,
    target: &Target,
    registrations: &[EpollRegistration],
    bounds: Bounds,
    folders: Folders,
) -> Relief {
    let mut log = StepLog::default();
    let done = switch_and_watch(kernel, target, registrations, bounds, folders, &mut log);
    Relief::ended(done, log)
}

fn switch_and_watch(
    kernel: &mut dyn Kernel,
    target: &Target,
    registrations: &[EpollRegistration],
    bounds: Bounds,
    folders: Folders,
    log: &mut StepLog,
) -> Result<(ReliefOutcome, String), Fault> {
    let pids: Vec<Pid> = registrations.iter().map(|one| one.listener.pid).collect();
    let before = measure(kernel, &pids)?;
    let first = read_length(kernel, target)?;
    let mut helpers = switch_all(kernel, target, registrations, folders, log)?;
    let watched = watch(kernel, target, &pids, bounds, before, log)
        .and_then(|verdict| Ok((verdict, read_length(kernel, target)?)));
    let (verdict, left) = match watched {
        Ok(watched) => watched,
        Err(fault) => {
            roll_back(kernel, &mut helpers, log)?;
            return Err(fault);
        }
    };
    if let Some(spun) = verdict {
        roll_back(kernel, &mut helpers, log)?;
        let after = measure(kernel, &pids)?;
        return Ok((
            ReliefOutcome::RolledBack,
            format!(
                "the server spins when level-triggered, so it is edge-triggered again: it asked for \
                 {before} % of a processor before, {spun} % meanwhile, {after} % after"
            ),
        ));
    }
    if left > 0 && left >= first {
        roll_back(kernel, &mut helpers, log)?;
        return Ok((
            ReliefOutcome::RolledBack,
            format!("it did not help, so it is as it was: the queue is {left}, it was {first}"),
        ));
    }
    for helper in &mut helpers {
        // A helper that has ended restores nothing either.
        let _ = helper.release();
    }
    let headline = format!(
        "level-triggered until the server restarts or registers its listener anew: the queue is \
         {left}, it was {first}"
    );
    if left == 0 {
        Ok((ReliefOutcome::Relieved, headline))
    } else {
        Ok((ReliefOutcome::Improved, headline))
    }
}

/// Switches every registration, or none.
fn switch_all<'a>(
    kernel: &mut dyn Kernel,
    target: &Target,
    registrations: &[EpollRegistration],
    folders: Folders<'a>,
    log: &mut StepLog,
) -> Result<Vec<GuardedHelper<'a>>, Fault> {
    let mut helpers: Vec<GuardedHelper> = Vec::new();
    for registration in registrations {
        if !helpers.is_empty() && has_mask(kernel, registration, registration.level()) {
            let result = "it shares its epoll set with one before it".to_owned();
            log.note(kernel, "level", registration.name(), Ok(result));
            continue;
        }
        match switch(kernel, target, registration, folders, log) {
            Ok(helper) => helpers.push(helper),
            Err(fault) => {
                roll_back(kernel, &mut helpers, log)?;
                return Err(fault);
            }
        }
    }
    Ok(helpers)
}

/// Switches one registration.
fn switch<'a>(
    kernel: &mut dyn Kernel,
    target: &Target,
    registration: &EpollRegistration,
    folders: Folders<'a>,
    log: &mut StepLog,
) -> Result<GuardedHelper<'a>, Fault> {
    let mut helper = GuardedHelper::start(registration, folders)?;
    helper.announce(registration.level(), &target.local.to_string())?;
    let set = helper.set(kernel, log, registration.level(), true);
    let result = set
        .as_ref()
        .map(|mask| format!("the mask was {:x} and is {mask:x}", registration.events));
    log.note(kernel, "level", registration.name(), result);
    set.map(|_| helper)
}

/// Whether a registration has this mask now: forked processes share their epoll sets.
fn has_mask(kernel: &mut dyn Kernel, registration: &EpollRegistration, mask: u32) -> bool {
    // What cannot be read is switched, which checks it again.
    let found = read_entries(kernel, registration).unwrap_or_default();
    let mut same = found.iter().filter(|one| registration.is(one));
    same.any(|one| same_mask(one.events, mask))
}

/// Measures what processes ask for, as a share of one processor in percent.
fn measure(kernel: &mut dyn Kernel, pids: &[Pid]) -> Result<u32, Fault> {
    let (from, before) = (read_time(kernel)?, demand(kernel, pids));
    kernel.pause(BASELINE);
    let (to, after) = (read_time(kernel)?, demand(kernel, pids));
    Ok(percent(
        after.saturating_sub(before),
        to.saturating_sub(from),
    ))
}

fn demand(kernel: &mut dyn Kernel, pids: &[Pid]) -> Duration {
    pids.iter()
        .filter_map(|pid| read_demand(kernel, *pid))
        .sum()
}

/// Watches for spinning. Returns how much the server asked for, if it spins.
fn watch(
    kernel: &mut dyn Kernel,
    target: &Target,
    pids: &[Pid],
    bounds: Bounds,
    before: u32,
    log: &mut StepLog,
) -> Result<Option<u32>, Fault> {
    let began = read_time(kernel)?;
    let mut window: VecDeque<DemandSample> = VecDeque::new();
    let names: Vec<String> = pids.iter().map(|pid| format!("process {pid}")).collect();
    loop {
        let sample = DemandSample {
            at: read_time(kernel)?,
            demand: demand(kernel, pids),
            length: read_length(kernel, target)?,
        };
        window.push_back(sample);
        while window.len() > 2 && sample.at.saturating_sub(window[1].at) >= SPINNING_TIME {
            window.pop_front();
        }
        if let Some(asked) = spins(window.make_contiguous(), before) {
            let result = format!("asks for {asked} % of a processor, queue {}", sample.length);
            log.note(kernel, "watch", names.join(", "), Ok(result));
            return Ok(Some(asked));
        }
        if sample.at.saturating_sub(began) >= bounds.watch {
            let asked = share(window.make_contiguous()).unwrap_or(before);
            let result = format!("asks for {asked} % of a processor, queue {}", sample.length);
            log.note(kernel, "watch", names.join(", "), Ok(result));
            return Ok(None);
        }
        kernel.pause(TICK);
    }
}

fn spins(window: &[DemandSample], before: u32) -> Option<u32> {
    let (first, last) = (window.first()?, window.last()?);
    let time = last.at.saturating_sub(first.at);
    let left = first.length.saturating_sub(last.length);
    let works = left > 0 && last.demand.saturating_sub(first.demand) <= WORK * left;
    let waits = window.iter().all(|sample| sample.length > 0);
    if time < SPINNING_TIME || !waits || works {
        return None;
    }
    share(window).filter(|asked| *asked >= before.saturating_add(SPINNING_PERCENT))
}

/// What was asked for from the first sample to the last.
fn share(window: &[DemandSample]) -> Option<u32> {
    let (first, last) = (window.first()?, window.last()?);
    let time = last.at.saturating_sub(first.at);
    Some(percent(last.demand.saturating_sub(first.demand), time))
}

/// Restores every registration, and forgets each that is read back as it was.
fn roll_back(
    kernel: &mut dyn Kernel,
    helpers: &mut [GuardedHelper],
    log: &mut StepLog,
) -> Result<(), Fault> {
    let mut failure = None;
    for helper in helpers {
        let restored = helper.restore();
        let result = restored
            .as_ref()
            .map(|mask| format!("the mask is {mask:x}, as it was"));
        log.note(kernel, "roll back", helper.registration().name(), result);
        let forgotten = helper.forget(kernel);
        failure = restored.err().or(forgotten.err()).or(failure);
    }
    failure.map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(at_ms: u64, demand_ms: u64, length: u32) -> DemandSample {
        DemandSample {
            at: Duration::from_millis(at_ms),
            demand: Duration::from_millis(demand_ms),
            length,
        }
    }

    #[test]
    fn a_server_that_asks_for_a_processor_and_accepts_nothing_spins() {
        let window = [sample(0, 0, 4), sample(250, 240, 4), sample(500, 490, 4)];
        assert_eq!(spins(&window, 0), Some(98));
        assert_eq!(spins(&window, 60), None, "it asked for as much before");
    }

    #[test]
    fn a_server_that_works_its_queue_off_does_not_spin() {
        let shrinking = [sample(0, 0, 9), sample(500, 490, 4)];
        assert_eq!(spins(&shrinking, 0), None);
        let trickling = [sample(0, 0, 9), sample(500, 490, 7)];
        assert_eq!(spins(&trickling, 0), Some(98));
        let emptied = [sample(0, 0, 0), sample(500, 490, 0)];
        assert_eq!(spins(&emptied, 0), None);
        let too_short = [sample(0, 0, 4), sample(400, 400, 4)];
        assert_eq!(spins(&too_short, 0), None);
    }
}
