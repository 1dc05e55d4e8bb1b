//! Brings back what earlier runs left in force, or what one of them did not get to finish.

use std::io;
use std::path::Path;

use super::journal::{Journal, Record};
use super::registration::{Registration, living_thread, read_registrations, read_start, same_mask};
use super::worker::{Worker, note};
use super::{Deed, Fault, Outcome};
use crate::collect::kernel::Kernel;
use crate::model::{Inode, Pid};

/// The records about these listeners, or without any about these processes, that are in force: the
/// process lives, and its registration is neither as it was nor as the server made it since.
///
/// # Errors
///
/// When the journal cannot be read.
pub fn pending(journal: &Journal, inodes: &[Inode], pids: &[Pid]) -> io::Result<Vec<Record>> {
    let mut found = journal.read()?;
    found.retain(|record| {
        let is_its = |inode: &Inode| {
            inode
                .number()
                .is_some_and(|n| u64::from(n) == record.grip.inode)
        };
        let is_meant = if inodes.is_empty() {
            pids.contains(&record.grip.pid)
        } else {
            inodes.iter().any(is_its)
        };
        is_meant && is_in_force(record)
    });
    Ok(found)
}

/// What cannot be read is taken to be.
fn is_in_force(record: &Record) -> bool {
    let grip = &record.grip;
    let procfs = Path::new("/proc");
    if read_start(procfs, grip.pid).ok() != Some(grip.started) {
        return false;
    }
    let read = || {
        let tid = living_thread(procfs, grip.pid)?;
        read_registrations(procfs, grip.pid, tid, grip.epoll_fd)
    };
    read().map_or(true, |found| {
        let is_spare = |one: &Registration| {
            one.target_fd == grip.spare && one.inode == grip.inode && one.data == grip.data
        };
        let changed = |one: &Registration| {
            grip.is(one)
                && same_mask(one.events, record.in_force)
                && !same_mask(one.events, grip.events)
        };
        found.iter().any(|one| is_spare(one) || changed(one))
    })
}

/// Forgets what is in force no more.
///
/// # Errors
///
/// When the journal cannot be read or changed.
pub fn tidy(journal: &Journal) -> io::Result<()> {
    journal.tidy(is_in_force)
}

/// Restores each registration as the server made it.
pub fn undo(kernel: &mut dyn Kernel, records: &[Record], journal: &Journal) -> Deed {
    let mut log = Vec::new();
    let mut failure = None;
    for record in records {
        let result = restore(record, journal);
        let text = result
            .as_ref()
            .map(|mask| format!("the mask is {mask:x}, as it was"));
        note(kernel, &mut log, "undo", record.grip.name(), text);
        failure = result.err().or(failure);
    }
    match failure {
        Some(fault) => Deed::failed(&fault, log),
        None => Deed::new(
            Outcome::Undone,
            "the listener is registered as the server did it",
            log,
        ),
    }
}

fn restore(record: &Record, journal: &Journal) -> Result<u32, Fault> {
    let mut grip = record.grip.clone();
    grip.tid = living_thread(Path::new("/proc"), grip.pid)?;
    let mut worker = Worker::start(&grip, journal)?;
    let mask = worker.restore()?;
    worker.forget()?;
    Ok(mask)
}
