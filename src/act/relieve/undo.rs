//! Brings back what earlier runs left in force, or did not get to finish.

use super::fault::Fault;
use super::helper::GuardedHelper;
use super::journal::{Journal, JournalRecord};
use super::options::Folders;
use super::outcome::{Relief, ReliefOutcome, StepLog};
use super::process::living_thread;
use super::verify::{Standing, read_standing, verify_then_forget};
use crate::collect::kernel::Kernel;
use crate::model::{Inode, Pid};

/// Returns the records about these listeners, or without any about these processes, that are in force
/// or of which that cannot be told.
///
/// # Errors
///
/// When the journal cannot be read.
pub fn pending(
    kernel: &mut dyn Kernel,
    journal: &Journal,
    inodes: &[Inode],
    pids: &[Pid],
) -> Result<Vec<JournalRecord>, Fault> {
    let mut found = read_journal(journal)?;
    found.retain(|record| {
        let listener = &record.registration.listener;
        let is_its = |inode: &Inode| {
            inode
                .number()
                .is_some_and(|number| u64::from(number) == listener.inode)
        };
        let is_meant = if inodes.is_empty() {
            pids.contains(&listener.pid)
        } else {
            inodes.iter().any(is_its)
        };
        is_meant && read_standing(kernel, record).map_or(true, is_in_force)
    });
    Ok(found)
}

fn is_in_force(standing: Standing) -> bool {
    match standing {
        Standing::InForce => true,
        Standing::AsBefore | Standing::MadeAnew | Standing::Gone => false,
    }
}

/// Forgets what is verified not to be in force any more.
///
/// # Errors
///
/// When the journal cannot be read or changed.
pub fn tidy(kernel: &mut dyn Kernel, journal: &Journal) -> Result<(), Fault> {
    for record in read_journal(journal)? {
        if read_standing(kernel, &record).is_ok_and(|standing| !is_in_force(standing)) {
            verify_then_forget(kernel, journal, &record)?;
        }
    }
    journal
        .remove_unfinished()
        .map_err(|error| unusable(&error))
}

fn read_journal(journal: &Journal) -> Result<Vec<JournalRecord>, Fault> {
    journal.read().map_err(|error| unusable(&error))
}

fn unusable(error: &std::io::Error) -> Fault {
    Fault::Failed(error.to_string())
}

/// Restores each registration as the server made it.
pub fn undo(kernel: &mut dyn Kernel, records: &[JournalRecord], folders: Folders) -> Relief {
    let mut log = StepLog::default();
    let mut failure = None;
    for record in records {
        let result = restore(kernel, record, folders);
        let text = result
            .as_ref()
            .map(|mask| format!("the mask is {mask:x}, as it was"));
        log.note(kernel, "undo", record.registration.name(), text);
        failure = result.err().or(failure);
    }
    let ended = match failure {
        Some(fault) => Err(fault),
        None => Ok((
            ReliefOutcome::Undone,
            "the listener is registered as the server did it".to_owned(),
        )),
    };
    Relief::ended(ended, log)
}

fn restore(
    kernel: &mut dyn Kernel,
    record: &JournalRecord,
    folders: Folders,
) -> Result<u32, Fault> {
    let mut record = record.clone();
    record.registration.listener.tid = living_thread(kernel, record.registration.listener.pid)?;
    let mut helper = GuardedHelper::resume(&record, folders)?;
    let mask = helper.restore()?;
    helper.forget(kernel)?;
    Ok(mask)
}
