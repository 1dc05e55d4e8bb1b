//! Starts the helper process, asks it, and waits for its answers, never without a limit.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;

use super::inherited::keep_from_helper;
use super::protocol::{HelperRequest, HelperResponse, HelperTask};
use crate::act::relieve::fault::Fault;
use crate::act::relieve::registration::{EpollRegistration, ListenerReference};

/// The name of the hidden command.
pub const HELPER_COMMAND: &str = "helper";

/// Nothing that a helper does waits for another process, but an `accept` of a connection that the
/// server has just taken.
const PATIENCE: Duration = Duration::from_secs(2);

/// The longest answer, in bytes.
const LONGEST_ANSWER: usize = 4096;

/// A helper process at work. It ends when its input does.
pub(in crate::act::relieve) struct HelperClient {
    child: Child,
    input: Option<File>,
    output: File,
}

impl HelperClient {
    /// Starts a helper process for a registration.
    ///
    /// # Errors
    ///
    /// When no process can be started.
    pub(in crate::act::relieve) fn for_registration(
        registration: &EpollRegistration,
        procfs: &Path,
    ) -> Result<Self, Fault> {
        // The helper needs this number for itself.
        keep_from_helper(registration.target_fd);
        let task = HelperTask::Registration(registration.clone());
        Self::start(&task, procfs).map_err(|error| not_started(&error))
    }

    /// Starts a helper process for a listener.
    ///
    /// # Errors
    ///
    /// When no process can be started.
    pub(in crate::act::relieve) fn for_listener(
        listener: &ListenerReference,
        procfs: &Path,
    ) -> Result<Self, Fault> {
        let task = HelperTask::Listener(listener.clone());
        Self::start(&task, procfs).map_err(|error| not_started(&error))
    }

    fn start(task: &HelperTask, procfs: &Path) -> io::Result<Self> {
        // This program itself, wherever it lies and whatever lies there now.
        let this_program = procfs.join(format!("{}/exe", std::process::id()));
        let mut child = std::process::Command::new(this_program)
            .arg(HELPER_COMMAND)
            .arg(procfs)
            .arg(serde_json::to_string(task)?)
            .env_clear()
            // Ctrl-C ends `relieve`; the helper then restores what is to be restored.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = child.stdin.take().map(OwnedFd::from).map(File::from);
        let output = child.stdout.take().map(OwnedFd::from).map(File::from);
        let missing = || io::Error::from(io::ErrorKind::BrokenPipe);
        Ok(Self {
            input: Some(input.ok_or_else(missing)?),
            output: output.ok_or_else(missing)?,
            child,
        })
    }

    /// Asks the helper process, and waits for its answer. A helper that does not answer in time is
    /// ended.
    ///
    /// # Errors
    ///
    /// What the helper says; [`Fault::Failed`] where it says nothing, and it is not known what it did.
    pub(in crate::act::relieve) fn ask(
        &mut self,
        request: HelperRequest,
    ) -> Result<HelperResponse, Fault> {
        match self.try_ask(request) {
            Ok(HelperResponse::Fault(fault)) => Err(fault),
            Ok(response) => Ok(response),
            Err(error) => {
                // It must not go on while another one repairs. What has ended cannot be ended.
                let _ = self.child.kill();
                let _ = self.await_end();
                Err(Fault::Failed(format!("the helper process: {error}")))
            }
        }
    }

    fn try_ask(&mut self, request: HelperRequest) -> io::Result<HelperResponse> {
        let mut text = serde_json::to_vec(&request)?;
        text.push(b'\n');
        let input = self.input.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        input.write_all(&text)?;
        let line = self.read_line(Instant::now() + PATIENCE)?;
        Ok(serde_json::from_slice(&line)?)
    }

    fn read_line(&mut self, deadline: Instant) -> io::Result<Vec<u8>> {
        let mut line = Vec::new();
        while line.last() != Some(&b'\n') {
            if line.len() >= LONGEST_ANSWER {
                return Err(io::Error::other("its answer is too long"));
            }
            if !wait_readable(&self.output, deadline)? {
                return Err(io::ErrorKind::TimedOut.into());
            }
            let mut bytes = [0; LONGEST_ANSWER];
            match rustix::io::read(&self.output, &mut bytes) {
                Ok(0) => return Err(io::Error::other("it has ended before it answered")),
                Ok(length) => line.extend(&bytes[..length]),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(line)
    }

    /// Waits until the helper has ended, for as long as it may take to restore: its output ends with
    /// it. No descriptor is needed for that, of which there may be none left.
    fn await_end(&mut self) -> io::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if !wait_readable(&self.output, deadline)? {
                return Err(io::ErrorKind::TimedOut.into());
            }
            match rustix::io::read(&self.output, &mut [0; LONGEST_ANSWER]) {
                Ok(0) => return Ok(()),
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Waits until a descriptor is readable. Returns false when the time is over.
fn wait_readable(descriptor: impl AsFd, deadline: Instant) -> io::Result<bool> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let time = Timespec::try_from(left).map_err(|_| io::ErrorKind::InvalidInput)?;
        let mut polled = [PollFd::new(&descriptor, PollFlags::IN)];
        match rustix::event::poll(&mut polled, Some(&time)) {
            Ok(ready) => return Ok(ready > 0),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn not_started(error: &io::Error) -> Fault {
    Fault::Failed(format!("starting the helper process: {error}"))
}

impl Drop for HelperClient {
    fn drop(&mut self) {
        // Its input ends, and it restores what it guards and ends as well.
        self.input = None;
        if self.await_end().is_err() {
            // It was stopped, or hangs. What it did not restore is in the journal.
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}
