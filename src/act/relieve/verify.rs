//! Verify, then forget: the only place that removes a record of a change from the journal.

use super::fault::Fault;
use super::journal::{Journal, JournalRecord};
use super::process::{living_thread, read_entries, read_start};
use super::registration::{EpollEntry, EpollRegistration, same_mask};
use crate::collect::kernel::{Kernel, Kind};

/// What became of a change that was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// The registration is as the server made it.
    AsBefore,
    /// The change, or the temporary second registration, is in force.
    InForce,
    /// The server has made the registration anew, or removed it.
    MadeAnew,
    /// The process, or its epoll set, is gone.
    Gone,
}

/// Reads what became of a recorded change.
///
/// # Errors
///
/// When it cannot be read: then it is not known.
pub(super) fn read_standing(
    kernel: &mut dyn Kernel,
    record: &JournalRecord,
) -> Result<Standing, Fault> {
    let registration = &record.registration;
    let listener = &registration.listener;
    match read_start(kernel, listener.pid) {
        Ok(started) if started == listener.started => {}
        Ok(_) => return Ok(Standing::Gone),
        Err(error) if error.kind == Kind::NotFound => return Ok(Standing::Gone),
        Err(error) => return Err(error.into()),
    }
    let tid = match living_thread(kernel, listener.pid) {
        Err(Fault::Gone) => return Ok(Standing::Gone),
        found => found?,
    };
    let mut reached = registration.clone();
    reached.listener.tid = tid;
    match read_entries(kernel, &reached) {
        Ok(found) => Ok(judge(registration, record.in_force, &found)),
        // The descriptor is closed.
        Err(error) if error.kind == Kind::NotFound => Ok(Standing::Gone),
        Err(error) => Err(error.into()),
    }
}

fn judge(registration: &EpollRegistration, in_force: u32, found: &[EpollEntry]) -> Standing {
    if found.iter().any(|one| registration.is_spare(one)) {
        return Standing::InForce;
    }
    match found.iter().find(|one| registration.is(one)) {
        Some(one) if same_mask(one.events, registration.events) => Standing::AsBefore,
        Some(one) if same_mask(one.events, in_force) => Standing::InForce,
        Some(_) | None => Standing::MadeAnew,
    }
}

/// Reads the registration back, and removes its record only if nothing of the change is in force.
///
/// # Errors
///
/// When the change is in force, or it cannot be told: then the record stays.
pub(super) fn verify_then_forget(
    kernel: &mut dyn Kernel,
    journal: &Journal,
    record: &JournalRecord,
) -> Result<(), Fault> {
    match read_standing(kernel, record)? {
        Standing::InForce => Err(Fault::Failed(format!(
            "the change is still in force, and its record stays in {}: `relieve --undo` brings it \
             back",
            journal.path().display()
        ))),
        Standing::AsBefore | Standing::MadeAnew | Standing::Gone => journal
            .remove(&record.registration)
            .map_err(|error| Fault::Failed(format!("the journal: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::registration::ListenerReference;
    use super::*;

    const EDGE: u32 = 0x8000_0019;
    const LEVEL: u32 = 0x19;

    fn registration() -> EpollRegistration {
        EpollRegistration {
            listener: ListenerReference {
                pid: 1,
                tid: 1,
                started: 1,
                fd: 3,
                inode: 77,
            },
            epoll_fd: 4,
            target_fd: 3,
            events: EDGE,
            data: 5,
            device: 9,
            spare: 100,
        }
    }

    fn entry(target_fd: u32, events: u32) -> EpollEntry {
        EpollEntry {
            target_fd,
            events,
            data: 5,
            inode: 77,
            device: 9,
        }
    }

    fn standing(found: &[EpollEntry]) -> Standing {
        judge(&registration(), LEVEL, found)
    }

    #[test]
    fn only_what_is_read_back_as_it_was_is_as_before() {
        assert_eq!(standing(&[entry(3, EDGE)]), Standing::AsBefore);
        assert_eq!(standing(&[entry(3, LEVEL)]), Standing::InForce);
        assert_eq!(standing(&[entry(3, 0x8000_0018)]), Standing::MadeAnew);
        assert_eq!(standing(&[]), Standing::MadeAnew);
    }

    #[test]
    fn a_spare_registration_that_is_left_is_in_force() {
        let both = [entry(3, EDGE), entry(100, EDGE)];
        assert_eq!(standing(&both), Standing::InForce);
        assert_eq!(standing(&both[1..]), Standing::InForce);
    }

    #[test]
    fn a_registration_with_other_data_is_another() {
        let mut other = entry(3, LEVEL);
        other.data = 6;
        assert_eq!(standing(&[other]), Standing::MadeAnew);
    }
}
