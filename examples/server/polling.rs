//! Servers on poll(2). What they wait for is known to their own memory only: the kernel keeps no set for them.

use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, Timespec};

use crate::clients::{accept_blocking, read_some};
use crate::life::{self, LIFETIME};
use crate::listening::Place;

/// Leaves its listener out of the set while it is at its limit, and is otherwise idle.
pub(crate) fn paused(place: &Place, limit: usize) -> Result<()> {
    let listener = place.listen_blocking()?;
    let mut clients = Vec::new();
    life::ready()?;
    loop {
        let ready = wait_for_one(
            clients
                .iter()
                .chain((clients.len() < limit).then_some(&listener)),
        )?;
        if ready == clients.len() {
            clients.push(accept_blocking(&listener)?);
        } else if read_some(&clients[ready])? == 0 {
            clients.remove(ready);
        }
    }
}

/// Polls each client alone, right after it was accepted.
pub(crate) fn one_client(place: &Place) -> Result<()> {
    let listener = place.listen_blocking()?;
    life::ready()?;
    loop {
        wait_for_one([&listener])?;
        let client = accept_blocking(&listener)?;
        wait_for_one([&client])?;
    }
}

/// Waits until one of these can be read, and tells which.
fn wait_for_one<'socket>(sockets: impl IntoIterator<Item = &'socket OwnedFd>) -> Result<usize> {
    let mut set: Vec<_> = sockets
        .into_iter()
        .map(|socket| PollFd::from_borrowed_fd(socket.as_fd(), PollFlags::IN))
        .collect();
    let limit = Timespec::try_from(LIFETIME)?;
    rustix::io::retry_on_intr(|| rustix::event::poll(&mut set, Some(&limit)))?;
    let ready = set.iter().position(|polled| !polled.revents().is_empty());
    ready.with_context(|| format!("no client came for {} s", LIFETIME.as_secs()))
}
