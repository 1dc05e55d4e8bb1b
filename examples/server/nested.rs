//! The edge-triggered stall through an epoll set within an epoll set.

use std::time::Duration;

use anyhow::Result;
use rustix::event::epoll::EventFlags;

use crate::clients::accept_nonblocking;
use crate::event_loop::EventLoop;
use crate::life;
use crate::listening::Place;

/// Accepts one client for each edge and works on it for a while. Those who connect meanwhile share one edge, so all but
/// one of them are left in the queue.
pub(crate) fn run(place: &Place, work_ms: u64) -> Result<()> {
    let listener = place.listen_nonblocking()?;
    let inner = EventLoop::new()?;
    inner.watch(&listener, EventFlags::IN | EventFlags::ET)?;
    let outer = EventLoop::new()?;
    outer.watch(&inner, EventFlags::IN)?;
    life::ready()?;

    let mut clients = Vec::new();
    loop {
        outer.wait()?;
        inner.wait()?; // ready, as the outer set has just said: it takes the edge and does not wait
        clients.extend(accept_nonblocking(&listener)?);
        std::thread::sleep(Duration::from_millis(work_ms));
    }
}
