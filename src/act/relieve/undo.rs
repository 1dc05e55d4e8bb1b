//! Brings back what earlier runs left in force, or what one of them did not get to finish.

use std::io;
use std::path::Path;

use super::journal::{Journal, Record};
use super::registration::{living_thread, read_registrations, read_start, same_mask};
use super::worker::{Worker, note};
use super::{Deed, Fault, Outcome};
use crate::collect::kernel::Kernel;
use crate::model::Inode;

/// The records about these listeners, of processes that still live.
///
/// # Errors
///
/// When the journal cannot be read.
pub fn pending(journal: &Journal, inodes: &[Inode]) -> io::Result<Vec<Record>> {
    let mut found = journal.read()?;
    found.retain(|record| {
        let is_meant =
            |inode: &Inode| inode.number().is_some_and(|n| u64::from(n) == record.grip.inode);
        lives(record) && inodes.iter().any(is_meant)
    });
    Ok(found)
}

fn lives(record: &Record) -> bool {
    let started = read_start(Path::new("/proc"), record.grip.pid);
    started.is_ok_and(|started| started == record.grip.started)
}

/// Forgets what is about processes that have ended.
///
/// # Errors
///
/// When the journal cannot be read or changed.
pub fn tidy(journal: &Journal) -> io::Result<()> {
    journal.tidy(lives)
}

/// Restores each registration as the server made it.
pub fn undo(kernel: &mut dyn Kernel, records: &[Record], journal: &Journal) -> Deed {
    let mut log = Vec::new();
    let mut failure = None;
    let mut changed = 0;
    for record in records {
        let grip = &record.grip;
        let result = restore(record, journal);
        let text = match &result {
            Ok(Some(mask)) => Ok(format!("the mask is {mask:x}, as it was")),
            Ok(None) => Ok("left alone: the server has registered it anew since".to_owned()),
            Err(fault) => Err(fault),
        };
        note(kernel, &mut log, "undo", grip.name(), text);
        match result {
            Ok(Some(_)) => changed += 1,
            Ok(None) => {}
            Err(fault) => failure = Some(fault),
        }
    }
    match failure {
        Some(fault) => Deed::failed(&fault, log),
        None if changed == 0 => Deed::new(
            Outcome::NothingToDo,
            "there is nothing to undo: the server registered its listener anew since",
            log,
        ),
        None => Deed::new(
            Outcome::Undone,
            "the listener is registered as the server did it",
            log,
        ),
    }
}

/// Nothing where the server has changed the registration itself.
fn restore(record: &Record, journal: &Journal) -> Result<Option<u32>, Fault> {
    let mut grip = record.grip.clone();
    let procfs = Path::new("/proc");
    grip.tid = living_thread(procfs, grip.pid)?;
    let found = read_registrations(procfs, grip.pid, grip.tid, grip.epoll_fd)?;
    let own = found.iter().find(|one| grip.is(one));
    let spare = found
        .iter()
        .any(|one| one.target_fd == grip.spare && one.inode == grip.inode);
    let ours = match own {
        Some(one) => {
            same_mask(one.events, record.in_force) || same_mask(one.events, grip.events)
        }
        None => spare,
    };
    if !ours {
        journal.remove(&record.grip)?;
        return Ok(None);
    }
    let mut worker = Worker::start(&grip, journal)?;
    let mask = worker.restore()?;
    worker.forget()?;
    Ok(Some(mask))
}
