//! What identifies a listener and its registration, so that each can be found again and checked.

use crate::act::relieve::fault::Fault;
use crate::act::relieve::plan::{Unplanned, impossible, name, unreadable};
use crate::act::relieve::process::{living_thread, read_entries, read_start};
use crate::act::relieve::registration::{EpollEntry, EpollRegistration, ListenerReference, WAKEUP};
use crate::act::target::Target;
use crate::collect::kernel::Kernel;
use crate::correlate::acceptor::Acceptor;
use crate::model::{Descriptor, Inode};

/// Reads what identifies a registration.
///
/// # Errors
///
/// When it cannot be read, is not there any more, or cannot be kept as it is.
pub(super) fn identify(
    kernel: &mut dyn Kernel,
    acceptor: &Acceptor,
    listener: ListenerReference,
    epoll_fd: u32,
    target_fd: u32,
) -> Result<EpollRegistration, Unplanned> {
    let mut registration = EpollRegistration {
        listener,
        epoll_fd,
        target_fd,
        events: 0,
        data: 0,
        device: 0,
        spare: 0,
    };
    let pid = registration.listener.pid;
    let found =
        read_entries(kernel, &registration).map_err(|error| unreadable(pid, &error.into()))?;
    let inode = registration.listener.inode;
    let same = |one: &&EpollEntry| one.target_fd == target_fd && one.inode == inode;
    let entry = found.iter().find(same).ok_or_else(|| {
        impossible(format!(
            "{} changed its epoll set meanwhile: look again",
            name(acceptor.process)
        ))
    })?;
    if entry.events & WAKEUP != 0 {
        return Err(impossible(
            "the registration has EPOLLWAKEUP, which cannot be kept: it is left alone",
        ));
    }
    registration.events = entry.events;
    registration.data = entry.data;
    registration.device = entry.device;
    registration.spare = spare_number(target_fd, &found);
    Ok(registration)
}

/// Reads what identifies the listener in a process.
///
/// # Errors
///
/// When it cannot be read, or the descriptor is another one by now.
pub(super) fn hold(
    kernel: &mut dyn Kernel,
    target: &Target,
    acceptor: &Acceptor,
) -> Result<ListenerReference, Unplanned> {
    let fd = *acceptor
        .fds
        .first()
        .ok_or_else(|| impossible("no descriptor of the listener is seen"))?;
    let pid = acceptor.process.pid;
    let mut read = || -> Result<(ListenerReference, Option<Inode>), Fault> {
        let tid = living_thread(kernel, pid)?;
        let link = kernel.read_link(&format!("{pid}/task/{tid}/fd/{fd}"))?;
        let inode = Descriptor { fd, target: link }.socket();
        let reference = ListenerReference {
            pid,
            tid,
            started: read_start(kernel, pid)?,
            fd,
            inode: inode.and_then(Inode::number).map_or(0, u64::from),
        };
        Ok((reference, inode))
    };
    let (reference, inode) = read().map_err(|fault| unreadable(pid, &fault))?;
    if inode.is_none_or(|inode| !target.inodes.contains(&inode)) {
        return Err(impossible(format!(
            "descriptor {fd} of {} is not the listener any more: look again",
            name(acceptor.process)
        )));
    }
    Ok(reference)
}

/// Returns a number away from the one that is needed, under which nothing is registered.
fn spare_number(target_fd: u32, found: &[EpollEntry]) -> u32 {
    const HIGH: u32 = 100;
    const LOW: u32 = 40;
    let first = if target_fd < 64 { HIGH } else { LOW };
    let numbers = first..first + 1000;
    let mut free = numbers
        .filter(|number| *number != target_fd && !found.iter().any(|one| one.target_fd == *number));
    free.next().unwrap_or(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spare_number_is_in_no_registration_and_out_of_the_way() {
        let at = |target_fd| EpollEntry {
            target_fd,
            events: 1,
            data: 0,
            inode: 1,
            device: 9,
        };
        assert_eq!(spare_number(3, &[at(3)]), 100);
        assert_eq!(spare_number(3, &[at(3), at(100)]), 101);
        assert_eq!(spare_number(1000, &[at(1000), at(40)]), 41);
    }
}
