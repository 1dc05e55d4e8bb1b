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
use crate::correlate::age;
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

/// Tells who comes first. A queue is first in, first out; those who were reset while they waited are
/// in no list, and have gone wherever they stand.
pub(super) fn head(visible: &[Connection], length: u32) -> Head {
    if length == 0 {
        return Head::Nobody;
    }
    let is_gone = |connection: &&Connection| connection.state == TcpState::CloseWait;
    let longest = |connections: &mut dyn Iterator<Item = &Connection>| -> Option<Duration> {
        connections
            .map(age::waiting)
            .collect::<Option<Vec<Duration>>>()?
            .into_iter()
            .max()
    };
    let any_live = visible.iter().any(|connection| !is_gone(&connection));
    if !any_live {
        return Head::Gone;
    }
    let live = longest(&mut visible.iter().filter(|connection| !is_gone(connection)));
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
        match answer? {
            Answer::Accepted { gone, .. } => {
                closed += 1;
                live += u32::from(!gone);
            }
            _ => break,
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

/// Those who are seen to wait at a listener.
fn waiting(kernel: &mut dyn Kernel, target: &Target) -> Result<Vec<Connection>, Fault> {
    let listeners: InodeSet = target.inodes.iter().copied().collect();
    let port = target.local.port();
    let (mut connections, _) =
        sock_diag::read_connections(kernel, Wanted::Unaccepted, &[port.into()], &listeners)
            .map_err(|error| Fault::Failed(error.to_string()))?;
    connections.retain(|connection| {
        connection.local.port() == port
            && connection
                .inode
                .is_none_or(|inode| listeners.contains(&inode))
    });
    Ok(connections)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::correlate::samples::waiting_connection;

    fn live(waited_ms: u32) -> Connection {
        Connection {
            state: TcpState::Established,
            ..waiting_connection(waited_ms)
        }
    }

    #[test]
    fn only_who_certainly_came_before_every_live_one_is_taken() {
        let gone = waiting_connection;
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
        let ageless = Connection {
            ages: None,
            ..live(0)
        };
        let gone = waiting_connection(900);
        assert_eq!(head(&[gone, ageless], 2), Head::PerhapsLive);
    }
}
