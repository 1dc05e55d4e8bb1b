//! Accepts a connection in place of the server.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::mpsc::{RecvTimeoutError, Sender};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::SocketFlags;

use super::protocol::HelperResponse;
use crate::act::relieve::fault::Fault;

/// Accepts one connection and closes it. No flag of the listener is touched: the flags belong to the
/// server as well. A call that blocks means that the server has just taken the last connection, and
/// that the next one may be alive: then this process ends.
///
/// # Errors
///
/// When the kernel refuses.
pub(super) fn accept_and_close(listener: &OwnedFd) -> Result<HelperResponse, Fault> {
    let mut polled = [PollFd::new(listener, PollFlags::IN)];
    if rustix::event::poll(&mut polled, Some(&Timespec::default()))? == 0 {
        return Ok(HelperResponse::Empty);
    }
    let _ended = end_after(LONGEST_ACCEPT)?;
    let (connection, client) = match rustix::net::acceptfrom_with(listener, SocketFlags::CLOEXEC) {
        Ok(accepted) => accepted,
        Err(Errno::AGAIN) => return Ok(HelperResponse::Empty),
        Err(error) => return Err(error.into()),
    };
    let client = client.and_then(|address| std::net::SocketAddr::try_from(address).ok());
    Ok(HelperResponse::Accepted {
        client: client.map(|address| address.to_string()),
        gone: has_gone(&connection)?,
    })
}

/// A connection that waits is accepted at once.
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

fn has_gone(connection: &OwnedFd) -> Result<bool, Fault> {
    let mut polled = [PollFd::new(connection, PollFlags::RDHUP)];
    rustix::event::poll(&mut polled, Some(&Timespec::default()))?;
    let gone = PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR;
    Ok(polled[0].revents().intersects(gone))
}
