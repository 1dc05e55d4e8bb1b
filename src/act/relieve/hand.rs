//! The hand: a process of its own that reaches into the server's epoll set.
//!
//! The kernel finds a registration by its file **and** the descriptor number under which it was made,
//! so the duplicate of the listener must have that very number in the table of whoever calls
//! `epoll_ctl`. A process that has just begun has hardly any number in use, so there it can be had.
//! The hand holds its duplicates only as long as it takes, and undoes what it did where it is told to
//! and the one who started it is gone.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, Sender};
use std::time::Duration;

use super::orders::{Answer, Command, Fault};
use super::place::place;
use super::registration::{Grip, Registration, parse_registrations, read_start, same_mask};
use crate::model::Pid;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{FileType, OFlags};
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::net::SocketFlags;
use rustix::process::{
    Pid as RawPid, PidfdFlags, PidfdGetfdFlags, Resource, getrlimit, pidfd_getfd, pidfd_open,
    setrlimit,
};

/// Does what it is told on standard input, and answers on standard output, until the input ends.
///
/// # Errors
///
/// When the order makes no sense, or nobody listens.
pub fn lend_a_hand(order: &str) -> io::Result<()> {
    let grip: Grip = serde_json::from_str(order)?;
    raise_descriptor_limit();
    // A listener may be registered under the number of a standard stream.
    let floor = floor(grip.target_fd);
    let input = fcntl_dupfd_cloexec(io::stdin(), floor)?;
    let mut output = File::from(fcntl_dupfd_cloexec(io::stdout(), floor)?);
    let mut hand = Hand {
        current: grip.events,
        guarded: false,
        floor,
        grip,
    };
    for line in BufReader::new(File::from(input)).lines() {
        let command: Command = serde_json::from_str(&line?)?;
        let answer = hand.obey(command).unwrap_or_else(Answer::Fault);
        let mut text = serde_json::to_vec(&answer)?;
        text.push(b'\n');
        if output.write_all(&text).is_err() {
            break;
        }
    }
    if hand.guarded {
        // Nobody is left to be told.
        let _ = hand.obey(Command::Restore);
    }
    Ok(())
}

/// The server may use numbers that are beyond the usual limit.
fn raise_descriptor_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Where this fails, the number that is missing is reported.
    let _ = setrlimit(Resource::Nofile, limit);
}

/// Our own descriptors keep away from the number that is needed: above it where it is low, and below
/// where it is high.
fn floor(target_fd: u32) -> i32 {
    const LOW: u32 = 64;
    if target_fd < LOW { 64 } else { 3 }
}

struct Hand {
    grip: Grip,
    /// The mask that the registration should have now.
    current: u32,
    guarded: bool,
    floor: i32,
}

/// Duplicates of the server's descriptors.
struct Hold {
    epoll: OwnedFd,
    listener: OwnedFd,
}

impl Hand {
    fn obey(&mut self, command: Command) -> Result<Answer, Fault> {
        match command {
            Command::Set { events, guard } => {
                let hold = self.hold()?;
                let found = registrations(&hold.epoll)?;
                self.check(&found)?;
                // From here on it may have to be undone.
                self.guarded |= guard;
                self.replace(&hold, &found, events)?;
                self.confirm(&hold, events)
            }
            Command::Restore => {
                let hold = self.hold()?;
                self.restore(&hold)?;
                self.guarded = false;
                self.confirm(&hold, self.grip.events)
            }
            Command::Accept => self.accept(),
            Command::Release => {
                self.guarded = false;
                Ok(Answer::Done(self.current))
            }
        }
    }

    fn hold(&self) -> Result<Hold, Fault> {
        let process = self.process()?;
        let epoll = self.duplicate(&process, self.grip.epoll_fd)?;
        let listener = self.listener(&process)?;
        Ok(Hold { epoll, listener })
    }

    fn process(&self) -> Result<OwnedFd, Fault> {
        let process = open_process(self.grip.pid, self.grip.tid)?;
        // The descriptor pins the process; whoever it is now, it stays the same.
        if read_start(Path::new("/proc"), self.grip.pid)? != self.grip.started {
            return Err(Fault::Gone);
        }
        self.aside(process)
    }

    /// Duplicates the listener, and makes sure that it is the one.
    fn listener(&self, process: &OwnedFd) -> Result<OwnedFd, Fault> {
        let listener = self.duplicate(process, self.grip.through_fd)?;
        let stat = rustix::fs::fstat(&listener)?;
        let kept = self.grip.device;
        let (major, minor) = (kept >> 20, kept & 0xf_ffff);
        let same = stat.st_ino == self.grip.inode
            && stat.st_dev == rustix::fs::makedev(major, minor)
            && FileType::from_raw_mode(stat.st_mode) == FileType::Socket;
        if !same {
            return Err(Fault::Changed(format!(
                "descriptor {} of process {} is not the listener any more",
                self.grip.through_fd, self.grip.pid
            )));
        }
        Ok(listener)
    }

    fn duplicate(&self, process: &OwnedFd, fd: u32) -> Result<OwnedFd, Fault> {
        let number = i32::try_from(fd).map_err(|_| Fault::Failed("no descriptor".to_owned()))?;
        match pidfd_getfd(process, number, PidfdGetfdFlags::empty()) {
            Ok(duplicate) => self.aside(duplicate),
            Err(Errno::BADF) => Err(Fault::Changed(format!(
                "descriptor {fd} of process {} is closed",
                self.grip.pid
            ))),
            Err(error) => Err(error.into()),
        }
    }

    /// Moves a descriptor of ours out of the way.
    fn aside(&self, fd: OwnedFd) -> Result<OwnedFd, Fault> {
        Ok(fcntl_dupfd_cloexec(fd, self.floor)?)
    }

    /// The set that we hold, and cannot be another any more, has the registration that was meant.
    fn check(&self, found: &[Registration]) -> Result<(), Fault> {
        let Some(one) = found.iter().find(|one| self.grip.is(one)) else {
            return Err(Fault::Changed(format!(
                "epoll fd {} of process {} does not hold the listener any more",
                self.grip.epoll_fd, self.grip.pid
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

    /// Changes the mask. One that cannot be modified is removed and added; meanwhile a second
    /// registration, under a spare number, keeps the listener in the set.
    fn replace(&self, hold: &Hold, found: &[Registration], events: u32) -> Result<(), Fault> {
        let data = EventData::new_u64(self.grip.data);
        let own = place(&hold.listener, self.grip.target_fd)?;
        if !self.grip.is_exclusive() {
            epoll::modify(&hold.epoll, own.as_fd(), data, mask(events))?;
            return Ok(());
        }
        if found.iter().any(|one| self.is_spare(one)) {
            return Err(Fault::Changed(format!(
                "the number {} is in use in the epoll set",
                self.grip.spare
            )));
        }
        let spare = place(&hold.listener, self.grip.spare)?;
        epoll::add(&hold.epoll, spare.as_fd(), data, mask(self.current))?;
        epoll::delete(&hold.epoll, own.as_fd())?;
        if let Err(error) = epoll::add(&hold.epoll, own.as_fd(), data, mask(events)) {
            // As it was, or else the spare one stays, which serves as well.
            epoll::add(&hold.epoll, own.as_fd(), data, mask(self.current))?;
            epoll::delete(&hold.epoll, spare.as_fd())?;
            return Err(error.into());
        }
        epoll::delete(&hold.epoll, spare.as_fd())?;
        Ok(())
    }

    /// Brings back what there was, from wherever a hand before this one was stopped.
    fn restore(&mut self, hold: &Hold) -> Result<(), Fault> {
        let found = registrations(&hold.epoll)?;
        let data = EventData::new_u64(self.grip.data);
        match found.iter().find(|one| self.grip.is(one)) {
            Some(one) if same_mask(one.events, self.grip.events) => {}
            Some(one) => {
                self.current = one.events;
                let others: Vec<Registration> = found
                    .iter()
                    .copied()
                    .filter(|one| !self.is_spare(one))
                    .collect();
                self.remove_spare(hold, &found)?;
                return self.replace(hold, &others, self.grip.events);
            }
            None if found.iter().any(|one| self.is_spare(one)) => {
                let own = place(&hold.listener, self.grip.target_fd)?;
                epoll::add(&hold.epoll, own.as_fd(), data, mask(self.grip.events))?;
            }
            None => {
                return Err(Fault::Changed(
                    "the server has taken its listener out of the set".to_owned(),
                ));
            }
        }
        self.remove_spare(hold, &found)
    }

    fn remove_spare(&self, hold: &Hold, found: &[Registration]) -> Result<(), Fault> {
        if found.iter().any(|one| self.is_spare(one)) {
            let spare = place(&hold.listener, self.grip.spare)?;
            epoll::delete(&hold.epoll, spare.as_fd())?;
        }
        Ok(())
    }

    fn is_spare(&self, one: &Registration) -> bool {
        one.target_fd == self.grip.spare && one.inode == self.grip.inode
    }

    fn confirm(&mut self, hold: &Hold, events: u32) -> Result<Answer, Fault> {
        let found = registrations(&hold.epoll)?;
        match found.iter().find(|one| self.grip.is(one)) {
            Some(one) if same_mask(one.events, events) => {
                self.current = one.events;
                Ok(Answer::Done(one.events))
            }
            Some(one) => Err(Fault::Changed(format!(
                "the mask is {:x} and not {events:x}: the server changed it at the same moment",
                one.events
            ))),
            None => Err(Fault::Changed(
                "the server took its listener out of the set at the same moment".to_owned(),
            )),
        }
    }

    /// Accepts one connection and closes it. No flag of the listener is touched: they belong to the
    /// server as well. If it blocks, the server has just taken the last one, and the next may be alive:
    /// then this process ends rather than wait for it.
    fn accept(&self) -> Result<Answer, Fault> {
        let listener = self.listener(&self.process()?)?;
        let mut polled = [PollFd::new(&listener, PollFlags::IN)];
        if rustix::event::poll(&mut polled, Some(&Timespec::default()))? == 0 {
            return Ok(Answer::Empty);
        }
        let _ended = end_after(LONGEST_ACCEPT)?;
        let (connection, client) =
            match rustix::net::acceptfrom_with(&listener, SocketFlags::CLOEXEC) {
                Ok(accepted) => accepted,
                Err(Errno::AGAIN) => return Ok(Answer::Empty),
                Err(error) => return Err(error.into()),
            };
        let client = client.and_then(|address| std::net::SocketAddr::try_from(address).ok());
        Ok(Answer::Accepted {
            client: client.map(|address| address.to_string()),
            gone: has_gone(&connection)?,
        })
    }
}

fn mask(events: u32) -> EventFlags {
    EventFlags::from_bits_retain(events)
}

fn registrations(epoll: &OwnedFd) -> Result<Vec<Registration>, Fault> {
    let bytes = std::fs::read(format!("/proc/self/fdinfo/{}", epoll.as_raw_fd()))?;
    Ok(parse_registrations(&bytes))
}

/// Whoever is there is accepted at once.
const LONGEST_ACCEPT: Duration = Duration::from_millis(50);

/// Ends this process after a time, unless what is returned is dropped before.
fn end_after(time: Duration) -> io::Result<Sender<()>> {
    let (sender, receiver) = std::sync::mpsc::channel::<()>();
    std::thread::Builder::new().spawn(move || {
        if receiver.recv_timeout(time) == Err(RecvTimeoutError::Timeout) {
            #[expect(clippy::exit, reason = "nothing else ends a call that blocks")]
            std::process::exit(1);
        }
    })?;
    Ok(sender)
}

/// Opens a process, through a living thread where its main one has exited.
pub(super) fn open_process(pid: Pid, tid: Pid) -> Result<OwnedFd, Fault> {
    // `PIDFD_THREAD` is `O_EXCL`, since Linux 6.9.
    const THREAD: u32 = OFlags::EXCL.bits();
    let raw = i32::try_from(tid).ok().and_then(RawPid::from_raw);
    let raw = raw.ok_or(Fault::Gone)?;
    let flags = if tid == pid {
        PidfdFlags::empty()
    } else {
        PidfdFlags::from_bits_retain(THREAD)
    };
    Ok(pidfd_open(raw, flags)?)
}

fn has_gone(connection: &OwnedFd) -> Result<bool, Fault> {
    let mut polled = [PollFd::new(connection, PollFlags::RDHUP)];
    rustix::event::poll(&mut polled, Some(&Timespec::default()))?;
    let gone = PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR;
    Ok(polled[0].revents().intersects(gone))
}
