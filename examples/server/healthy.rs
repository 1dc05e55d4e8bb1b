//! Servers without a condition: nothing may be found wrong with them.

use std::os::fd::AsFd;

use anyhow::Result;
use clap::ValueEnum;
use rustix::event::epoll::EventFlags;

use crate::event_loop::EchoServer;
use crate::life;
use crate::listening::Place;

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Trigger {
    Level,
    Edge,
}

pub(crate) fn run(place: &Place, trigger: Trigger) -> Result<()> {
    let trigger = match trigger {
        Trigger::Level => EventFlags::IN,
        Trigger::Edge => EventFlags::IN | EventFlags::ET,
    };
    let listener = place.listen_nonblocking()?;
    let server = EchoServer::new(listener.as_fd(), trigger)?;
    life::ready()?;
    server.run()
}
