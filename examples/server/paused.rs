//! Idle event loops that do not wait for their listener.

use std::os::fd::AsFd;

use anyhow::Result;
use clap::ValueEnum;
use rustix::event::epoll::EventFlags;

use crate::event_loop::EchoServer;
use crate::life;
use crate::listening::Place;

/// How the listener was taken out of the loop when the first client came.
#[derive(Clone, Copy, PartialEq, ValueEnum)]
pub(crate) enum How {
    /// Removed from the set.
    Removed,
    /// Still in the set, with no event to wait for.
    Masked,
    /// Registered for one event, and not armed again.
    OneShot,
}

pub(crate) fn run(place: &Place, how: How) -> Result<()> {
    let listener = place.listen_nonblocking()?;
    let trigger = match how {
        How::Removed | How::Masked => EventFlags::IN,
        How::OneShot => EventFlags::IN | EventFlags::ONESHOT,
    };
    let mut server = EchoServer::new(listener.as_fd(), trigger)?;
    life::ready()?;
    loop {
        for number in server.events.wait()? {
            if !server.is_listener(number) {
                server.echo(number);
            } else if server.accept_one()? {
                match how {
                    How::Removed => server.events.forget(&listener)?,
                    How::Masked => server.events.change(&listener, EventFlags::empty())?,
                    How::OneShot => {}
                }
            }
        }
    }
}
