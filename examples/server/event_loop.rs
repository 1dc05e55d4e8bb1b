//! A small event loop, and the correct echo server on it that most conditions are a deviation from.

use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use anyhow::{Result, ensure};
use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;

use crate::clients::accept_nonblocking;
use crate::life::LIFETIME;

/// An epoll set whose members are told apart by descriptor number.
pub(crate) struct EventLoop {
    set: OwnedFd,
}

impl EventLoop {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            set: epoll::create(epoll::CreateFlags::CLOEXEC)?,
        })
    }

    pub(crate) fn watch(&self, source: impl AsFd, events: EventFlags) -> Result<()> {
        Ok(epoll::add(
            &self.set,
            &source,
            named_by_number(&source)?,
            events,
        )?)
    }

    pub(crate) fn change(&self, source: impl AsFd, events: EventFlags) -> Result<()> {
        Ok(epoll::modify(
            &self.set,
            &source,
            named_by_number(&source)?,
            events,
        )?)
    }

    pub(crate) fn forget(&self, source: impl AsFd) -> Result<()> {
        Ok(epoll::delete(&self.set, source)?)
    }

    /// Waits until some members are ready, and names them.
    pub(crate) fn wait(&self) -> Result<Vec<RawFd>> {
        let mut events = Vec::with_capacity(64);
        let limit = Timespec::try_from(LIFETIME)?;
        rustix::io::retry_on_intr(|| {
            epoll::wait(&self.set, spare_capacity(&mut events), Some(&limit))
        })?;
        ensure!(
            !events.is_empty(),
            "no client came for {} s",
            LIFETIME.as_secs()
        );
        events
            .iter()
            .map(|event| Ok(RawFd::try_from(event.data.u64())?))
            .collect()
    }
}

impl AsFd for EventLoop {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.set.as_fd()
    }
}

fn named_by_number(source: &impl AsFd) -> Result<EventData> {
    Ok(EventData::new_u64(u64::try_from(
        source.as_fd().as_raw_fd(),
    )?))
}

/// An echo server that does everything right. Its listener is lent, so that a condition can mistreat it.
pub(crate) struct EchoServer<'listener> {
    pub(crate) events: EventLoop,
    listener: BorrowedFd<'listener>,
    clients: HashMap<RawFd, OwnedFd>,
}

impl<'listener> EchoServer<'listener> {
    pub(crate) fn new(listener: BorrowedFd<'listener>, trigger: EventFlags) -> Result<Self> {
        let server = Self::unregistered(listener)?;
        server.events.watch(listener, trigger)?;
        Ok(server)
    }

    /// One whose listener is yet to be registered.
    pub(crate) fn unregistered(listener: BorrowedFd<'listener>) -> Result<Self> {
        Ok(Self {
            events: EventLoop::new()?,
            listener,
            clients: HashMap::new(),
        })
    }

    /// Serves until no more clients come.
    pub(crate) fn run(mut self) -> Result<()> {
        loop {
            for number in self.events.wait()? {
                if self.is_listener(number) {
                    while self.accept_one()? {}
                } else {
                    self.echo(number);
                }
            }
        }
    }

    pub(crate) fn is_listener(&self, number: RawFd) -> bool {
        number == self.listener.as_raw_fd()
    }

    /// Admits one client; returns whether there was one.
    pub(crate) fn accept_one(&mut self) -> Result<bool> {
        let Some(client) = accept_nonblocking(self.listener)? else {
            return Ok(false);
        };
        self.events.watch(&client, EventFlags::IN)?;
        self.clients.insert(client.as_raw_fd(), client);
        Ok(true)
    }

    /// How many clients it serves.
    pub(crate) fn serves(&self) -> usize {
        self.clients.len()
    }

    /// Accepts one client and closes it; returns whether there was one.
    pub(crate) fn turn_one_away(&mut self) -> Result<bool> {
        Ok(accept_nonblocking(self.listener)?.is_some())
    }

    /// Sends back what a client sent, or closes it at its end.
    pub(crate) fn echo(&mut self, number: RawFd) {
        let Some(client) = self.clients.get(&number) else {
            return;
        };
        let mut bytes = [0; 4096];
        let answered = match rustix::io::read(client, &mut bytes) {
            Ok(length) if length > 0 => rustix::io::write(client, &bytes[..length]).is_ok(),
            Err(Errno::AGAIN | Errno::INTR) => true,
            Ok(_) | Err(_) => false,
        };
        if !answered {
            self.clients.remove(&number); // close(fd)
        }
    }
}
