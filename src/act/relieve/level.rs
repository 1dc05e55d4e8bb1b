//! Makes a listener level-triggered in the running server, and watches whether it can live with that.

use std::collections::VecDeque;
use std::path::Path;
use std::time::Duration;

use super::carry_out::Bounds;
use super::journal::Journal;
use super::meter::{percent, read_demand};
use super::orders::Fault;
use super::rearm::{length, now};
use super::registration::{Grip, read_registrations, same_mask};
use super::worker::{Worker, note};
use super::{Deed, Entry, Outcome};
use crate::act::queue::Target;
use crate::collect::kernel::Kernel;
use crate::model::Pid;

/// A server that spins asks for a whole processor; this much more than before, over this time, and
/// for hardly anybody who leaves the queue, is spinning.
const SPINNING_PERCENT: u32 = 50;
const SPINNING_TIME: Duration = Duration::from_millis(500);

/// So much processor time for each who leaves the queue is work, and more is none.
const WORK: Duration = Duration::from_millis(150);

/// How long the server is watched before it is touched, and after it was rolled back.
const BASELINE: Duration = Duration::from_millis(500);

const TICK: Duration = Duration::from_millis(50);

/// One look at the server under level-triggering.
#[derive(Debug, Clone, Copy)]
struct Sample {
    at: Duration,
    demand: Duration,
    length: u32,
}

/// Switches, watches, and switches back where it does harm or no good.
pub(super) fn level(
    kernel: &mut dyn Kernel,
    target: &Target,
    grips: &[Grip],
    bounds: Bounds,
    journal: &Journal,
) -> Deed {
    let mut log = Vec::new();
    let done = switch(kernel, target, grips, bounds, journal, &mut log);
    Deed::of(done, log)
}

fn switch(
    kernel: &mut dyn Kernel,
    target: &Target,
    grips: &[Grip],
    bounds: Bounds,
    journal: &Journal,
    log: &mut Vec<Entry>,
) -> Result<(Outcome, String), Fault> {
    let pids: Vec<Pid> = grips.iter().map(|grip| grip.pid).collect();
    let before = measure(kernel, &pids)?;
    let first = length(kernel, target)?;
    let mut workers = Vec::new();
    for grip in grips {
        if !workers.is_empty() && has_mask(grip, grip.level()) {
            let result = "it shares its epoll set with one before it".to_owned();
            note(kernel, log, "level", grip.name(), Ok(result));
            continue;
        }
        let mut worker = Worker::start(grip, journal)?;
        worker.announce(grip.level(), &target.local.to_string())?;
        let set = worker.set(kernel, log, grip.level(), true);
        let result = set
            .as_ref()
            .map(|mask| format!("the mask was {:x} and is {mask:x}", grip.events));
        note(kernel, log, "level", grip.name(), result);
        if let Err(fault) = set {
            worker.forget()?;
            // Those before it are brought back as their hands end.
            roll_back(kernel, &mut workers, log)?;
            return Err(fault);
        }
        workers.push(worker);
    }
    let verdict = watch(kernel, target, &pids, bounds, before, log)?;
    let left = length(kernel, target)?;
    if let Some(spun) = verdict {
        roll_back(kernel, &mut workers, log)?;
        let after = measure(kernel, &pids)?;
        return Ok((
            Outcome::RolledBack,
            format!(
                "the server spins when level-triggered, so it is edge-triggered again: it asked for \
                 {before} % of a processor before, {spun} % meanwhile, {after} % after"
            ),
        ));
    }
    if left > 0 && left >= first {
        roll_back(kernel, &mut workers, log)?;
        return Ok((
            Outcome::RolledBack,
            format!("it did not help, so it is as it was: the queue is {left}, it was {first}"),
        ));
    }
    for worker in &mut workers {
        // A hand that has ended restores nothing either.
        let _ = worker.release();
    }
    let headline = format!(
        "level-triggered until the server restarts or registers its listener anew: the queue is \
         {left}, it was {first}"
    );
    if left == 0 {
        Ok((Outcome::Relieved, headline))
    } else {
        Ok((Outcome::Improved, headline))
    }
}

/// Tells whether a registration has this mask now: forked processes have their sets in common.
fn has_mask(grip: &Grip, mask: u32) -> bool {
    let found = read_registrations(Path::new("/proc"), grip.pid, grip.tid, grip.epoll_fd);
    found.is_ok_and(|found| {
        let mut same = found.iter().filter(|one| grip.is(one));
        same.any(|one| same_mask(one.events, mask))
    })
}

/// What processes ask for, as a share of one processor in percent.
fn measure(kernel: &mut dyn Kernel, pids: &[Pid]) -> Result<u32, Fault> {
    let (from, before) = (now(kernel)?, demand(pids));
    kernel.pause(BASELINE);
    let (to, after) = (now(kernel)?, demand(pids));
    Ok(percent(
        after.saturating_sub(before),
        to.saturating_sub(from),
    ))
}

fn demand(pids: &[Pid]) -> Duration {
    let procfs = Path::new("/proc");
    pids.iter()
        .filter_map(|pid| read_demand(procfs, *pid))
        .sum()
}

/// Watches for spinning; tells how much the server asked for, where it spins.
fn watch(
    kernel: &mut dyn Kernel,
    target: &Target,
    pids: &[Pid],
    bounds: Bounds,
    before: u32,
    log: &mut Vec<Entry>,
) -> Result<Option<u32>, Fault> {
    let began = now(kernel)?;
    let mut window: VecDeque<Sample> = VecDeque::new();
    let names: Vec<String> = pids.iter().map(|pid| format!("process {pid}")).collect();
    loop {
        let sample = Sample {
            at: now(kernel)?,
            demand: demand(pids),
            length: length(kernel, target)?,
        };
        window.push_back(sample);
        while window.len() > 2 && sample.at.saturating_sub(window[1].at) >= SPINNING_TIME {
            window.pop_front();
        }
        if let Some(asked) = spins(window.make_contiguous(), before) {
            let result = format!("asks for {asked} % of a processor, queue {}", sample.length);
            note(kernel, log, "watch", names.join(", "), Ok(result));
            return Ok(Some(asked));
        }
        if sample.at.saturating_sub(began) >= bounds.watch {
            let asked = share(window.make_contiguous()).unwrap_or(before);
            let result = format!("asks for {asked} % of a processor, queue {}", sample.length);
            note(kernel, log, "watch", names.join(", "), Ok(result));
            return Ok(None);
        }
        kernel.pause(TICK);
    }
}

fn spins(window: &[Sample], before: u32) -> Option<u32> {
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
fn share(window: &[Sample]) -> Option<u32> {
    let (first, last) = (window.first()?, window.last()?);
    let time = last.at.saturating_sub(first.at);
    Some(percent(last.demand.saturating_sub(first.demand), time))
}

fn roll_back(
    kernel: &mut dyn Kernel,
    workers: &mut [Worker],
    log: &mut Vec<Entry>,
) -> Result<(), Fault> {
    let mut failure = None;
    for worker in workers {
        let restored = worker.restore();
        let result = restored
            .as_ref()
            .map(|mask| format!("the mask is {mask:x}, as it was"));
        note(kernel, log, "roll back", worker.grip.name(), result);
        match restored {
            Ok(_) => worker.forget()?,
            Err(fault) => failure = Some(fault),
        }
    }
    failure.map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(at_ms: u64, demand_ms: u64, length: u32) -> Sample {
        Sample {
            at: Duration::from_millis(at_ms),
            demand: Duration::from_millis(demand_ms),
            length,
        }
    }

    #[test]
    fn a_server_that_asks_for_a_processor_and_accepts_nobody_spins() {
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
