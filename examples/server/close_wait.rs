//! Servers that accept as they should, and then do not close: `CLOSE_WAIT` with an owner.

use std::collections::HashMap;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::{Arc, mpsc};
use std::thread;

use anyhow::Result;
use clap::ValueEnum;
use rustix::event::epoll::EventFlags;

use crate::clients::{accept_blocking, accept_nonblocking, ask_upstream, read_some, read_to_end};
use crate::event_loop::EventLoop;
use crate::life::{self, LIFETIME};
use crate::listening::Place;

/// Reads the end of the stream, takes the client out of its loop, and keeps the descriptor.
pub(crate) fn unclosed_after_eof(place: &Place) -> Result<()> {
    serve(place, EventFlags::IN, |events, client| {
        if read_some(client)? == 0 {
            events.forget(client)?;
        }
        Ok(())
    })
}

/// Why the end of the stream is not read.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Because {
    /// The clients are in no epoll set.
    Unwatched,
    /// The clients are watched for room to write only.
    WatchedForWriting,
    /// The clients are in the set with no event to wait for.
    Masked,
    /// The clients are watched edge-triggered, and each edge is answered with one small read.
    EdgeLeftData,
    /// The thread that reads all clients sleeps.
    Sleep,
    /// The thread that reads all clients reads the first one, which sends no more, with a blocking read.
    Read,
    /// The thread that reads all clients waits for another thread.
    OtherThread,
}

pub(crate) fn unread_eof(place: &Place, because: Because) -> Result<()> {
    match because {
        Because::Unwatched => keep_unwatched(place),
        Because::WatchedForWriting => serve(place, EventFlags::OUT | EventFlags::ET, |_, _| Ok(())),
        Because::Masked => serve(place, EventFlags::empty(), |_, _| Ok(())),
        Because::EdgeLeftData => serve(place, EventFlags::IN | EventFlags::ET, |_, client| {
            rustix::io::read(client, &mut [0; 10])?;
            Ok(())
        }),
        Because::Sleep => read_in_one_thread(place, |_| {
            life::sleep();
            Ok(())
        }),
        Because::Read => read_in_one_thread(place, read_to_end),
        Because::OtherThread => {
            let (_never_sends, answer) = mpsc::channel();
            read_in_one_thread(place, move |_| Ok(answer.recv_timeout(LIFETIME)?))
        }
    }
}

/// One event loop, for the listener (level-triggered) and for the clients, as `interest` and `on_event` have it.
fn serve(
    place: &Place,
    interest: EventFlags,
    on_event: impl Fn(&EventLoop, &OwnedFd) -> Result<()>,
) -> Result<()> {
    let listener = place.listen_nonblocking()?;
    let events = EventLoop::new()?;
    events.watch(&listener, EventFlags::IN)?;
    life::ready()?;

    let mut clients = HashMap::new();
    loop {
        for number in events.wait()? {
            if let Some(client) = clients.get(&number) {
                on_event(&events, client)?;
            } else if let Some(client) = accept_nonblocking(&listener)? {
                events.watch(&client, interest)?;
                clients.insert(client.as_raw_fd(), client);
            }
        }
    }
}

/// Accepts, and never looks at a client again.
fn keep_unwatched(place: &Place) -> Result<()> {
    let listener = place.listen_nonblocking()?;
    let events = EventLoop::new()?;
    events.watch(&listener, EventFlags::IN)?;
    life::ready()?;

    let mut clients = Vec::new();
    loop {
        events.wait()?;
        clients.extend(accept_nonblocking(&listener)?);
    }
}

/// One thread accepts, another reads all clients; `get_stuck` is what the latter does with the first request.
fn read_in_one_thread(
    place: &Place,
    get_stuck: impl FnOnce(&OwnedFd) -> Result<()> + Send + 'static,
) -> Result<()> {
    let listener = place.listen_blocking()?;
    life::ready()?;
    let first = accept_blocking(&listener)?;
    let events = Arc::new(EventLoop::new()?);
    events.watch(&first, EventFlags::IN)?;
    thread::spawn({
        let events = Arc::clone(&events);
        move || events.wait().and_then(|_| get_stuck(&first))
    });

    let mut others = Vec::new();
    loop {
        let client = accept_blocking(&listener)?;
        events.watch(&client, EventFlags::IN)?;
        others.push(client);
    }
}

/// Serves each client in a thread of its own, which waits for another server in the middle of it.
pub(crate) fn waits_for_upstream(place: &Place, upstream: u16) -> Result<()> {
    let listener = place.listen_blocking()?;
    life::ready()?;
    loop {
        let client = accept_blocking(&listener)?;
        thread::spawn(move || -> Result<()> {
            while read_some(&client)? > 0 {
                ask_upstream(upstream)?;
            }
            Ok(())
        });
    }
}
