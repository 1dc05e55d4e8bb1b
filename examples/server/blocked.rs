//! Event loops whose only thread does something else: the listener is armed, and no thread waits for it.

use std::os::fd::OwnedFd;
use std::time::Instant;

use anyhow::Result;
use clap::ValueEnum;
use rustix::event::epoll::EventFlags;

use crate::clients::{accept_blocking, ask_upstream, read_some};
use crate::event_loop::EventLoop;
use crate::life::{self, LIFETIME};
use crate::listening::Place;

/// What the handler of the first client does.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum By {
    /// It sleeps.
    Sleep,
    /// It reads the client, which sends nothing, with a blocking read.
    Read,
    /// It computes.
    Spin,
    /// It asks another server, which does not answer (or, if that one's accept queue is full, does not even connect).
    Upstream,
    /// It waits for that client in an event loop of its own.
    OtherSet,
}

pub(crate) fn run(place: &Place, by: By, upstream: u16) -> Result<()> {
    let listener = place.listen_nonblocking()?;
    let events = EventLoop::new()?;
    events.watch(&listener, EventFlags::IN)?;
    life::ready()?;
    loop {
        events.wait()?;
        handle(&accept_blocking(&listener)?, by, upstream)?;
    }
}

fn handle(client: &OwnedFd, by: By, upstream: u16) -> Result<()> {
    match by {
        By::Sleep => life::sleep(),
        By::Read => drop(read_some(client)?),
        By::Spin => spin(),
        By::Upstream => drop(ask_upstream(upstream)?),
        By::OtherSet => {
            let other = EventLoop::new()?;
            other.watch(client, EventFlags::IN)?;
            other.wait()?;
        }
    }
    Ok(())
}

fn spin() {
    let start = Instant::now();
    while start.elapsed() < LIFETIME {
        std::hint::spin_loop();
    }
}
