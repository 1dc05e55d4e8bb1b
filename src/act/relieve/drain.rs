//! Accepts in the server's place, and closes: those whose client has gone, or all.

use std::time::Duration;

use super::carry_out::Bounds;
use super::handle::Handle;
use super::orders::{Answer, Command, Fault};
use super::rearm::{length, now};
use super::registration::Grip;
use super::worker::note;
use super::{Deed, Entry, Outcome};
use crate::act::queue::Target;
use crate::collect::kernel::Kernel;
use crate::collect::sock_diag::{self, Wanted};
use crate::correlate::{Listeners, age};
use crate::model::{Connection, InodeSet, TcpState};

/// Two that came within this time may stand in either order: the kernel's clocks tick every 1 to 10
/// ms.
const CLOCK: Duration = Duration::from_millis(20);

/// Who is the next that `accept` hands out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Head {
    /// Nobody waits.
    Nobody,
    /// One whose client has gone.
    Gone,
    /// A live one, or it cannot be told.
    PerhapsLive,
}

/// One that is seen to wait.
#[derive(Debug, Clone)]
pub(super) struct Waiter {
    connection: Connection,
    /// Whether it certainly waits in this very queue.
    certain: bool,
}

impl Waiter {
    /// One that may wait elsewhere proves nothing about this queue.
    fn has_gone(&self) -> bool {
        self.certain && self.connection.state == TcpState::CloseWait
    }
}

/// Tells who comes first. A queue is first in, first out; those who were reset while they waited are
/// in no list, and have gone wherever they stand.
pub(super) fn head(visible: &[Waiter], length: u32) -> Head {
    if length == 0 {
        return Head::Nobody;
    }
    let is_gone = |waiter: &&Waiter| waiter.has_gone();
    let longest = |waiters: &mut dyn Iterator<Item = &Waiter>| -> Option<Duration> {
        waiters
            .map(|waiter| age::waiting(&waiter.connection))
            .collect::<Option<Vec<Duration>>>()?
            .into_iter()
            .max()
    };
    let any_live = visible.iter().any(|waiter| !waiter.has_gone());
    if !any_live {
        return Head::Gone;
    }
    let live = longest(&mut visible.iter().filter(|waiter| !is_gone(waiter)));
    let gone = longest(&mut visible.iter().filter(is_gone));
    match (live, gone) {
        (Some(live), Some(gone)) if gone > live + CLOCK => Head::Gone,
        _ => Head::PerhapsLive,
    }
}

/// Accepts and closes as long as the next one has gone; with `all`, whoever it is.
pub(super) fn drain(
    kernel: &mut dyn Kernel,
    target: &Target,
    grip: &Grip,
    bounds: Bounds,
    all: bool,
) -> Deed {
    let mut log = Vec::new();
    let done = accept_and_close(kernel, target, grip, bounds, all, &mut log);
    Deed::of(done, log)
}

fn accept_and_close(
    kernel: &mut dyn Kernel,
    target: &Target,
    grip: &Grip,
    bounds: Bounds,
    all: bool,
    log: &mut Vec<Entry>,
) -> Result<(Outcome, String), Fault> {
    let mut hand = Handle::start(grip)
        .map_err(|error| Fault::Failed(format!("starting the helper process: {error}")))?;
    let began = now(kernel)?;
    let first = length(kernel, target)?;
    let (mut closed, mut live) = (0, 0);
    let mut why = "";
    while closed < bounds.max {
        if now(kernel)?.saturating_sub(began) >= bounds.timeout {
            why = ": the time that is allowed is used up (--timeout)";
            break;
        }
        let visible = waiting(kernel, target)?;
        match head(&visible, length(kernel, target)?) {
            Head::Nobody => break,
            Head::Gone => {}
            Head::PerhapsLive if all => {}
            Head::PerhapsLive => {
                why = ": the next one may be a live client (--all takes those as well)";
                break;
            }
        }
        let answer = hand.tell(Command::Accept);
        let target = format!("process {}: listener fd {}", grip.pid, grip.through_fd);
        let text = answer.as_ref().map(describe);
        note(kernel, log, "accept and close", target, text);
        match answer {
            Ok(Answer::Accepted { gone, .. }) => {
                closed += 1;
                live += u32::from(!gone);
                if !gone && !all {
                    why = ": the last one was alive after all, so it stopped";
                    break;
                }
            }
            Err(Fault::Failed(_)) if closed > 0 => {
                why = ": the server took the next one itself";
                break;
            }
            Err(fault) => return Err(fault),
            Ok(_) => break,
        }
    }
    let left = length(kernel, target)?;
    let lost = match live {
        0 => String::new(),
        number => format!("; {number} of them had a live client"),
    };
    let headline =
        format!("{closed} accepted and closed: the queue is {left}, it was {first}{why}{lost}");
    let outcome = match (left, closed) {
        (0, _) => Outcome::Relieved,
        (_, 0) => Outcome::Unchanged,
        _ => Outcome::Improved,
    };
    Ok((outcome, headline))
}

fn describe(answer: &Answer) -> String {
    match answer {
        Answer::Accepted { client, gone } => format!(
            "{}: {}",
            client.as_deref().unwrap_or("a client"),
            if *gone { "had gone" } else { "was alive" }
        ),
        _ => "nobody waits any more".to_owned(),
    }
}

/// Those who are seen to wait at a listener, or may: others listen on the same port, perhaps, on other
/// addresses.
fn waiting(kernel: &mut dyn Kernel, target: &Target) -> Result<Vec<Waiter>, Fault> {
    let failed = |error: crate::collect::kernel::KernelError| Fault::Failed(error.to_string());
    let port = target.local.port();
    let (listeners, _) = sock_diag::read_listeners(kernel, &[port.into()]).map_err(failed)?;
    let inodes: InodeSet = listeners.iter().filter_map(|one| one.inode).collect();
    let (connections, _) =
        sock_diag::read_connections(kernel, Wanted::Unaccepted, &[port.into()], &inodes)
            .map_err(failed)?;
    let matching = Listeners::new(&listeners);
    let is_meant = |index: &usize| {
        let inode = listeners[*index].inode;
        inode.is_some_and(|inode| target.inodes.contains(&inode))
    };
    let waits = |connection: &Connection| {
        connection.local.port() == port
            && connection.inode.is_none_or(|inode| inodes.contains(&inode))
    };
    Ok(connections
        .into_iter()
        .filter(waits)
        .filter_map(|connection| {
            let fitting = matching.of(&connection);
            let certain = fitting.len() == 1 && fitting.iter().all(is_meant);
            let possible = fitting.is_empty() || fitting.iter().any(is_meant);
            possible.then_some(Waiter {
                connection,
                certain,
            })
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::correlate::fixtures::waiting_connection;

    fn gone(waited_ms: u32) -> Waiter {
        Waiter {
            connection: waiting_connection(waited_ms),
            certain: true,
        }
    }

    fn live(waited_ms: u32) -> Waiter {
        let mut waiter = gone(waited_ms);
        waiter.connection.state = TcpState::Established;
        waiter
    }

    #[test]
    fn only_who_certainly_came_before_every_live_one_is_taken() {
        assert_eq!(head(&[], 0), Head::Nobody);
        assert_eq!(head(&[], 3), Head::Gone, "they were reset");
        assert_eq!(head(&[gone(10), gone(500)], 2), Head::Gone);
        assert_eq!(head(&[gone(900), live(500)], 2), Head::Gone);
        assert_eq!(head(&[gone(500), live(900)], 2), Head::PerhapsLive);
        assert_eq!(head(&[gone(510), live(500)], 2), Head::PerhapsLive);
        assert_eq!(head(&[live(500)], 3), Head::PerhapsLive);
    }

    #[test]
    fn one_without_a_clock_may_be_anywhere() {
        let mut ageless = live(0);
        ageless.connection.ages = None;
        assert_eq!(head(&[gone(900), ageless], 2), Head::PerhapsLive);
    }

    #[test]
    fn one_that_may_wait_at_another_listener_proves_nothing() {
        let elsewhere = Waiter {
            certain: false,
            ..gone(900)
        };
        assert_eq!(head(&[elsewhere, live(500)], 1), Head::PerhapsLive);
    }
}
