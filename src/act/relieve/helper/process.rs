//! The helper process, which reaches into the server's epoll set.
//!
//! The kernel finds a registration by its file **and** the descriptor number under which it was made.
//! So the duplicate of the listener must have that very number in the table of the process that calls
//! `epoll_ctl`. A process that has just begun has hardly any number in use. The helper holds its
//! duplicates only as long as it takes. It restores what it changed when it is told to, and when the
//! process that started it has ended.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use rustix::event::epoll;
use rustix::fs::FileType;
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::process::{PidfdGetfdFlags, Resource, getrlimit, pidfd_getfd, setrlimit};

use super::accept::accept_and_close;
use super::change::{Change, Duplicates, mask};
use super::descriptor_at::duplicate_at;
use super::protocol::{HelperRequest, HelperResponse, HelperTask};
use crate::act::relieve::fault::Fault;
use crate::act::relieve::process::open_process;
use crate::act::relieve::registration::{
    EpollEntry, EpollRegistration, ListenerReference, parse_entries, same_mask,
};
use crate::collect::kernel::{Kernel, LiveKernel};

/// Serves requests from standard input, and answers on standard output, until the input ends.
///
/// # Errors
///
/// When the task or a request makes no sense.
pub fn run_helper(procfs: &Path, task: &str) -> io::Result<()> {
    let task: HelperTask = serde_json::from_str(task)?;
    raise_descriptor_limit();
    let floor = match &task {
        HelperTask::Registration(registration) => floor(registration.target_fd),
        HelperTask::Listener(_) => LOWEST,
    };
    // The listener may be registered under the number of a standard stream.
    let input = fcntl_dupfd_cloexec(io::stdin(), floor)?;
    let mut output = File::from(fcntl_dupfd_cloexec(io::stdout(), floor)?);
    let mut helper = Helper {
        kernel: LiveKernel::new(procfs),
        floor,
        work: match task {
            HelperTask::Registration(registration) => Work::Registration(Change {
                current: registration.events,
                guarded: false,
                registration,
            }),
            HelperTask::Listener(listener) => Work::Listener(listener),
        },
    };
    for line in BufReader::new(File::from(input)).lines() {
        let request: HelperRequest = serde_json::from_str(&line?)?;
        let response = helper.serve(request).unwrap_or_else(HelperResponse::Fault);
        let mut text = serde_json::to_vec(&response)?;
        text.push(b'\n');
        if output.write_all(&text).is_err() {
            break;
        }
    }
    helper.restore_guarded();
    Ok(())
}

/// The server may use numbers that are beyond the usual limit.
fn raise_descriptor_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Where this fails, the number that is missing is reported.
    let _ = setrlimit(Resource::Nofile, limit);
}

/// The first number after the standard streams.
const LOWEST: i32 = 3;

/// Returns from which number on our own descriptors lie: above the number that is needed where it is
/// low, and below where it is high.
fn floor(target_fd: u32) -> i32 {
    const HIGH: i32 = 64;
    if i32::try_from(target_fd).is_ok_and(|number| number < HIGH) {
        HIGH
    } else {
        LOWEST
    }
}

struct Helper {
    kernel: LiveKernel,
    floor: i32,
    work: Work,
}

enum Work {
    Registration(Change),
    Listener(ListenerReference),
}

impl Helper {
    fn serve(&mut self, request: HelperRequest) -> Result<HelperResponse, Fault> {
        let (change, listener) = match &self.work {
            Work::Registration(change) => {
                (Some(change.clone()), change.registration.listener.clone())
            }
            Work::Listener(listener) => (None, listener.clone()),
        };
        let change = change.ok_or_else(|| Fault::Failed("no registration is given".to_owned()));
        match request {
            HelperRequest::Set { events, guard } => self.set(change?, events, guard),
            HelperRequest::Restore { in_force } => self.restore(change?, in_force),
            HelperRequest::Accept => self.accept(&listener),
            HelperRequest::Release => {
                let released = Change {
                    guarded: false,
                    ..change?
                };
                let current = released.current;
                self.work = Work::Registration(released);
                Ok(HelperResponse::Done(current))
            }
        }
    }

    fn restore_guarded(&mut self) {
        if let Work::Registration(change) = &self.work
            && change.guarded
        {
            let change = change.clone();
            let in_force = change.current;
            // No process is left to be told.
            let _ = self.restore(change, in_force);
        }
    }

    fn set(
        &mut self,
        mut change: Change,
        events: u32,
        guard: bool,
    ) -> Result<HelperResponse, Fault> {
        if !change.registration.differs_in_edge_alone(events) {
            return Err(Fault::Failed(format!(
                "the mask {events:x} differs in more than EPOLLET"
            )));
        }
        let duplicates = self.duplicates(&change.registration)?;
        let found = self.entries(&duplicates.epoll)?;
        change.expect_as_known(&found)?;
        let before = change.current;
        // From here on it may have to be restored: to that end the mask that is about to be is noted.
        change.guarded |= guard;
        change.current = events;
        self.work = Work::Registration(change.clone());
        change.replace(&duplicates, &found, before, events)?;
        self.confirm(&mut change, &duplicates, events)
    }

    /// Restores what there was, from wherever a helper before this one was interrupted.
    fn restore(&mut self, mut change: Change, in_force: u32) -> Result<HelperResponse, Fault> {
        let duplicates = self.duplicates(&change.registration)?;
        let found = self.entries(&duplicates.epoll)?;
        let wanted = change.registration.events;
        let own = found.iter().find(|one| change.registration.is(one));
        let spare = found.iter().find(|one| change.registration.is_spare(one));
        let is_ours = |entry: &EpollEntry| {
            same_mask(entry.events, in_force) || same_mask(entry.events, wanted)
        };
        match (own, spare) {
            (Some(entry), _) | (None, Some(entry)) if !is_ours(entry) => {
                return Err(Fault::Changed(format!(
                    "the server has changed the mask of its listener to {:x}",
                    entry.events
                )));
            }
            (Some(entry), _) if same_mask(entry.events, wanted) => {
                change.remove_spare(&duplicates, &found)?;
            }
            (Some(entry), _) => {
                let before = entry.events;
                change.remove_spare(&duplicates, &found)?;
                let others: Vec<EpollEntry> = found
                    .iter()
                    .copied()
                    .filter(|one| !change.registration.is_spare(one))
                    .collect();
                change.replace(&duplicates, &others, before, wanted)?;
            }
            (None, Some(_)) => {
                let number = change.registration.target_fd;
                let own = duplicate_at(&duplicates.listener, number)?;
                epoll::add(&duplicates.epoll, own.as_fd(), change.data(), mask(wanted))?;
                change.remove_spare(&duplicates, &found)?;
            }
            (None, None) => {
                return Err(Fault::Changed(
                    "the server has taken its listener out of the set".to_owned(),
                ));
            }
        }
        change.guarded = false;
        self.confirm(&mut change, &duplicates, wanted)
    }

    /// Reads the registration back.
    fn confirm(
        &mut self,
        change: &mut Change,
        duplicates: &Duplicates,
        events: u32,
    ) -> Result<HelperResponse, Fault> {
        let found = self.entries(&duplicates.epoll)?;
        match found.iter().find(|one| change.registration.is(one)) {
            Some(one) if same_mask(one.events, events) => {
                change.current = one.events;
                self.work = Work::Registration(change.clone());
                Ok(HelperResponse::Done(one.events))
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

    fn duplicates(&mut self, registration: &EpollRegistration) -> Result<Duplicates, Fault> {
        let process = self.process(&registration.listener)?;
        let epoll = self.duplicate(&process, registration.listener.pid, registration.epoll_fd)?;
        let listener = self.listener(&process, &registration.listener)?;
        Ok(Duplicates { epoll, listener })
    }

    fn process(&mut self, listener: &ListenerReference) -> Result<OwnedFd, Fault> {
        let process = open_process(
            &mut self.kernel,
            listener.pid,
            listener.tid,
            listener.started,
        )?;
        self.move_aside(process)
    }

    /// Duplicates the listener, and checks that it is the one that was planned with.
    fn listener(&self, process: &OwnedFd, reference: &ListenerReference) -> Result<OwnedFd, Fault> {
        let listener = self.duplicate(process, reference.pid, reference.fd)?;
        let stat = rustix::fs::fstat(&listener)?;
        let is_socket = FileType::from_raw_mode(stat.st_mode) == FileType::Socket;
        let listens = is_socket && rustix::net::sockopt::socket_acceptconn(&listener)?;
        if stat.st_ino != reference.inode || !listens {
            return Err(Fault::Changed(format!(
                "descriptor {} of process {} is not the listener any more",
                reference.fd, reference.pid
            )));
        }
        Ok(listener)
    }

    fn duplicate(&self, process: &OwnedFd, pid: u32, fd: u32) -> Result<OwnedFd, Fault> {
        let number = i32::try_from(fd).map_err(|_| Fault::Failed("no descriptor".to_owned()))?;
        match pidfd_getfd(process, number, PidfdGetfdFlags::empty()) {
            Ok(duplicate) => self.move_aside(duplicate),
            Err(Errno::BADF) => Err(Fault::Changed(format!(
                "descriptor {fd} of process {pid} is closed"
            ))),
            Err(error) => Err(error.into()),
        }
    }

    /// Moves a descriptor of ours away from the number that is needed.
    fn move_aside(&self, fd: OwnedFd) -> Result<OwnedFd, Fault> {
        Ok(fcntl_dupfd_cloexec(fd, self.floor)?)
    }

    /// Reads the entries of a set that we hold: it cannot be exchanged any more.
    fn entries(&mut self, epoll: &OwnedFd) -> Result<Vec<EpollEntry>, Fault> {
        let bytes = self
            .kernel
            .read(&format!("self/fdinfo/{}", epoll.as_raw_fd()))?;
        Ok(parse_entries(&bytes))
    }

    fn accept(&mut self, reference: &ListenerReference) -> Result<HelperResponse, Fault> {
        let process = self.process(reference)?;
        let listener = self.listener(&process, reference)?;
        accept_and_close(&listener)
    }
}
