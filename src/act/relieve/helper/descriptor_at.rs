//! A descriptor of ours at a chosen number.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::io::fcntl_dupfd_cloexec;

use crate::act::relieve::fault::Fault;

/// Duplicates the listener to a number in our descriptor table.
///
/// # Errors
///
/// When the number is in use.
pub(super) fn duplicate_at(listener: &OwnedFd, number: u32) -> Result<DescriptorAt, Fault> {
    let stream = match number {
        0 => Some(Stream::Input),
        1 => Some(Stream::Output),
        2 => Some(Stream::Error),
        _ => None,
    };
    if let Some(stream) = stream {
        stream.refer_to(listener)?;
        return Ok(DescriptorAt::Stream(stream));
    }
    let wanted = i32::try_from(number).map_err(|_| Fault::NumberTaken(number))?;
    let placed = fcntl_dupfd_cloexec(listener, wanted)?;
    if placed.as_raw_fd() != wanted {
        return Err(Fault::NumberTaken(number));
    }
    Ok(DescriptorAt::Own(placed))
}

/// The listener under the chosen number.
pub(super) enum DescriptorAt {
    Own(OwnedFd),
    Stream(Stream),
}

#[derive(Clone, Copy)]
pub(super) enum Stream {
    Input,
    Output,
    Error,
}

impl Stream {
    fn refer_to(self, file: impl AsFd) -> rustix::io::Result<()> {
        match self {
            Self::Input => rustix::stdio::dup2_stdin(file),
            Self::Output => rustix::stdio::dup2_stdout(file),
            Self::Error => rustix::stdio::dup2_stderr(file),
        }
    }
}

impl AsFd for DescriptorAt {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Own(fd) => fd.as_fd(),
            Self::Stream(Stream::Input) => rustix::stdio::stdin(),
            Self::Stream(Stream::Output) => rustix::stdio::stdout(),
            Self::Stream(Stream::Error) => rustix::stdio::stderr(),
        }
    }
}

impl Drop for DescriptorAt {
    fn drop(&mut self) {
        // While we hold the listener, its server cannot close it.
        if let Self::Stream(stream) = self
            && let Ok(nothing) = File::open("/dev/null")
        {
            let _ = stream.refer_to(nothing);
        }
    }
}
