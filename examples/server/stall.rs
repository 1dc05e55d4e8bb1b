//! Edge-triggered accept loops that leave connections in the queue, in each of the ways that matter to first aid.

use std::os::fd::{AsFd, AsRawFd};
use std::sync::{Arc, mpsc};
use std::thread;

use anyhow::Result;
use clap::{Args, ValueEnum};
use rustix::event::epoll::{self, EventData, EventFlags};

use crate::clients::{accept_nonblocking, read_to_end};
use crate::event_loop::{EchoServer, EventLoop};
use crate::life::{self, LIFETIME};
use crate::listening::Place;

#[derive(Args)]
pub(crate) struct StallArgs {
    /// Where the loop stops.
    #[arg(long, value_enum, default_value = "after-one")]
    stops: Stops,

    /// How many clients are served at a time.
    #[arg(long, default_value_t = 1)]
    limit: usize,

    /// Register the listener with EPOLLEXCLUSIVE.
    #[arg(long)]
    exclusive: bool,

    /// Register the listener under the number of a duplicate, which is then closed.
    #[arg(long)]
    duplicate: bool,

    /// Register the listener level-triggered after all: the loop is then sound, or spins.
    #[arg(long)]
    level: bool,
}

/// Where an accept loop stops before EAGAIN.
#[derive(Clone, Copy, PartialEq, ValueEnum)]
pub(crate) enum Stops {
    /// After each connection.
    AfterOne,
    /// After the first that it closed for being above the limit.
    AfterClose,
    /// At the limit, without accepting anybody: under level-triggering such a server spins.
    AtLimit,
}

pub(crate) fn run(place: &Place, args: &StallArgs) -> Result<()> {
    let listener = place.listen_nonblocking()?;
    let mut trigger = EventFlags::IN;
    trigger.set(EventFlags::ET, !args.level);
    trigger.set(EventFlags::EXCLUSIVE, args.exclusive);
    let mut server = if args.duplicate {
        let server = EchoServer::unregistered(listener.as_fd())?;
        let duplicate = rustix::io::fcntl_dupfd_cloexec(&listener, 20)?;
        let number = EventData::new_u64(u64::try_from(listener.as_raw_fd())?);
        epoll::add(&server.events, &duplicate, number, trigger)?;
        server
    } else {
        EchoServer::new(listener.as_fd(), trigger)?
    };
    life::ready()?;
    loop {
        for number in server.events.wait()? {
            if server.is_listener(number) {
                accept_some(&mut server, args)?;
            } else {
                server.echo(number);
            }
        }
    }
}

fn accept_some(server: &mut EchoServer, args: &StallArgs) -> Result<()> {
    loop {
        let full = server.serves() >= args.limit;
        let more = match args.stops {
            Stops::AfterOne => {
                server.accept_one()?;
                false
            }
            Stops::AfterClose if full => {
                server.turn_one_away()?;
                false
            }
            Stops::AtLimit if full => false,
            Stops::AfterClose | Stops::AtLimit => server.accept_one()?,
        };
        if !more {
            return Ok(());
        }
    }
}

/// As runtimes do it: one thread waits for edges and passes them on, and the accept loop asks for a slot before each
/// accept. With all slots taken an edge wakes the first thread, and none accepts.
pub(crate) fn gated(place: &Place, slots: usize, name: String) -> Result<()> {
    let listener = Arc::new(place.listen_nonblocking()?);
    let events = EventLoop::new()?;
    events.watch(&*listener, EventFlags::IN | EventFlags::ET)?;
    let (leave, enter) = mpsc::channel();
    for _ in 0..slots {
        leave.send(())?;
    }
    let (edge, edges) = mpsc::channel();
    thread::Builder::new()
        .name(name)
        .spawn(move || -> Result<()> {
            loop {
                enter.recv_timeout(LIFETIME)?;
                let client = loop {
                    match accept_nonblocking(&*listener)? {
                        Some(client) => break client,
                        None => edges.recv_timeout(LIFETIME)?,
                    }
                };
                rustix::io::ioctl_fionbio(&client, false)?;
                let leave = leave.clone();
                thread::spawn(move || -> Result<()> {
                    read_to_end(&client)?;
                    Ok(leave.send(())?)
                });
            }
        })?;
    life::ready()?;
    loop {
        events.wait()?;
        edge.send(())?;
    }
}
