//! Servers that keep every client until they have no descriptor left to accept the next one with.

use std::os::fd::OwnedFd;
use std::time::Duration;

use anyhow::Result;
use clap::ValueEnum;
use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::SocketFlags;
use rustix::process::{Resource, Rlimit};

use crate::event_loop::EventLoop;
use crate::life;
use crate::listening::Place;

/// What the server does when `accept` fails.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Then {
    /// It goes back to its loop, which wakes it at once: level-triggered, and the queue is not empty.
    Spin,
    /// It sleeps a little before it goes back.
    BackOff,
    /// It goes back to its loop, where the edge has been used up.
    Stall,
}

const PAUSE: Duration = Duration::from_millis(200);

pub(crate) fn run(place: &Place, descriptors: u64, then: Then) -> Result<()> {
    let limit = Rlimit {
        current: Some(descriptors),
        ..rustix::process::getrlimit(Resource::Nofile)
    };
    rustix::process::setrlimit(Resource::Nofile, limit)?;
    let listener = place.listen_nonblocking()?;
    let events = EventLoop::new()?;
    let trigger = match then {
        Then::Spin | Then::BackOff => EventFlags::IN,
        Then::Stall => EventFlags::IN | EventFlags::ET,
    };
    events.watch(&listener, trigger)?;
    life::ready()?;

    let mut clients = Vec::new();
    loop {
        events.wait()?;
        let refusal = accept_until_refused(&listener, &mut clients);
        if refusal == Errno::MFILE && matches!(then, Then::BackOff) {
            std::thread::sleep(PAUSE);
        }
    }
}

fn accept_until_refused(listener: &OwnedFd, clients: &mut Vec<OwnedFd>) -> Errno {
    loop {
        match rustix::net::accept_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
            Ok(client) => clients.push(client),
            Err(refusal) => return refusal,
        }
    }
}
