//! Processes that do nothing at all with the listener they hold.

use anyhow::Result;
use rustix::event::EventfdFlags;
use rustix::event::epoll::EventFlags;

use crate::event_loop::EventLoop;
use crate::life;
use crate::listening::Place;

/// What a terminal, a quoted string, a line and a UTF-8 decoder each stumble over, in the 15 bytes that a name may have.
const HOSTILE_NAME: &std::ffi::CStr = c"\x1b[31m\"'\n\xff<b>&";

pub(crate) fn never_accepts(place: &Place) -> Result<()> {
    let _listener = place.listen_blocking()?;
    life::ready()?;
    life::sleep();
    Ok(())
}

pub(crate) fn hostile_name(place: &Place) -> Result<()> {
    rustix::thread::set_name(HOSTILE_NAME)?;
    never_accepts(place)
}

/// Waits in an event loop for something that does not happen.
pub(crate) fn idle_loop() -> Result<()> {
    let never = rustix::event::eventfd(0, EventfdFlags::CLOEXEC)?;
    let events = EventLoop::new()?;
    events.watch(&never, EventFlags::IN)?;
    life::ready()?;
    events.wait().map(drop)
}
