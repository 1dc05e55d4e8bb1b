//! Changes the mask of a registration, through duplicates of the server's descriptors.

use std::os::fd::{AsFd, OwnedFd};

use rustix::event::epoll::{self, EventData, EventFlags};

use super::descriptor_at::duplicate_at;
use crate::act::relieve::fault::Fault;
use crate::act::relieve::registration::{EpollEntry, EpollRegistration, same_mask};

/// A registration, and what was done to it.
#[derive(Clone)]
pub(super) struct Change {
    pub(super) registration: EpollRegistration,
    /// The mask that the registration should have now.
    pub(super) current: u32,
    /// Whether it is restored when the input ends.
    pub(super) guarded: bool,
}

/// Duplicates of the server's descriptors.
pub(super) struct Duplicates {
    pub(super) epoll: OwnedFd,
    pub(super) listener: OwnedFd,
}

impl Change {
    pub(super) fn data(&self) -> EventData {
        EventData::new_u64(self.registration.data)
    }

    /// Checks that the set has the registration that was planned with, with the mask that is known.
    pub(super) fn expect_as_known(&self, found: &[EpollEntry]) -> Result<(), Fault> {
        let registration = &self.registration;
        let Some(one) = found.iter().find(|one| registration.is(one)) else {
            return Err(Fault::Changed(format!(
                "epoll fd {} of process {} does not hold the listener any more",
                registration.epoll_fd, registration.listener.pid
            )));
        };
        if !same_mask(one.events, self.current) {
            return Err(Fault::Changed(format!(
                "the server has changed the mask of its listener from {:x} to {:x}",
                self.current, one.events
            )));
        }
        Ok(())
    }

    /// Changes the mask. A registration that cannot be modified is removed and added; meanwhile a
    /// second registration, under a spare number, keeps the listener in the set.
    pub(super) fn replace(
        &self,
        duplicates: &Duplicates,
        found: &[EpollEntry],
        before: u32,
        events: u32,
    ) -> Result<(), Fault> {
        let (epoll, listener) = (&duplicates.epoll, &duplicates.listener);
        let registration = &self.registration;
        let data = self.data();
        let own = duplicate_at(listener, registration.target_fd)?;
        if !registration.is_exclusive() {
            epoll::modify(epoll, own.as_fd(), data, mask(events))?;
            return Ok(());
        }
        if found.iter().any(|one| registration.is_spare(one)) {
            return Err(Fault::Changed(format!(
                "the number {} is in use in the epoll set",
                registration.spare
            )));
        }
        let spare = duplicate_at(listener, registration.spare)?;
        epoll::add(epoll, spare.as_fd(), data, mask(before))?;
        epoll::delete(epoll, own.as_fd())?;
        if let Err(error) = epoll::add(epoll, own.as_fd(), data, mask(events)) {
            // As it was; or else the spare one stays, which serves as well.
            epoll::add(epoll, own.as_fd(), data, mask(before))?;
            epoll::delete(epoll, spare.as_fd())?;
            return Err(error.into());
        }
        epoll::delete(epoll, spare.as_fd())?;
        Ok(())
    }

    pub(super) fn remove_spare(
        &self,
        duplicates: &Duplicates,
        found: &[EpollEntry],
    ) -> Result<(), Fault> {
        if found.iter().any(|one| self.registration.is_spare(one)) {
            let spare = duplicate_at(&duplicates.listener, self.registration.spare)?;
            epoll::delete(&duplicates.epoll, spare.as_fd())?;
        }
        Ok(())
    }
}

/// Returns a mask as the kernel's type.
pub(super) fn mask(events: u32) -> EventFlags {
    EventFlags::from_bits_retain(events)
}
