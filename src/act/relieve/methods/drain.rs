//! Accepts in place of the server, and closes: connections whose client has gone, or all.

use std::time::Duration;

use crate::act::queue::{WaitingConnection, read_waiting};
use crate::act::relieve::fault::Fault;
use crate::act::relieve::helper::{HelperClient, HelperRequest, HelperResponse};
use crate::act::relieve::measure::{read_length, read_time};
use crate::act::relieve::options::{Bounds, Folders};
use crate::act::relieve::outcome::{Relief, ReliefOutcome, StepLog};
use crate::act::relieve::registration::ListenerReference;
use crate::act::target::Target;
use crate::collect::kernel::Kernel;
use crate::correlate::age;
use crate::model::TcpState;

/// Two connections that came within this time may stand in either order: the kernel's clocks tick
/// every 1 to 10 ms.
const CLOCK: Duration = Duration::from_millis(20);

/// What `accept` hands out next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Head {
    /// No connection waits.
    Empty,
    /// A connection whose client has gone.
    Gone,
    /// A live connection, or it cannot be told.
    PerhapsLive,
}

/// Whether the client has gone. A connection that may wait elsewhere proves nothing about this queue.
fn has_gone(waiting: &WaitingConnection) -> bool {
    waiting.certain && waiting.connection.state == TcpState::CloseWait
}

/// Returns what comes first. A queue is first in, first out. Connections that were reset while they
/// waited are in no list; wherever they stand, their clients have gone.
fn head(visible: &[WaitingConnection], length: u32) -> Head {
    if length == 0 {
        return Head::Empty;
    }
    let is_gone = |waiting: &&WaitingConnection| has_gone(waiting);
    let longest = |waitings: &mut dyn Iterator<Item = &WaitingConnection>| -> Option<Duration> {
        waitings
            .map(|waiting| age::waiting(&waiting.connection))
            .collect::<Option<Vec<Duration>>>()?
            .into_iter()
            .max()
    };
    let any_live = visible.iter().any(|waiting| !has_gone(waiting));
    if !any_live {
        return Head::Gone;
    }
    let live = longest(&mut visible.iter().filter(|waiting| !is_gone(waiting)));
    let gone = longest(&mut visible.iter().filter(is_gone));
    match (live, gone) {
        (Some(live), Some(gone)) if gone > live + CLOCK => Head::Gone,
        _ => Head::PerhapsLive,
    }
}

/// Accepts and closes as long as the client of the next connection has gone; with `all`, in any case.
pub(super) fn drain(
    kernel: &mut dyn Kernel,
    target: &Target,
    listener: &ListenerReference,
    bounds: Bounds,
    folders: Folders,
    all: bool,
) -> Relief {
    let mut log = StepLog::default();
    let done = accept_and_close(kernel, target, listener, bounds, folders, all, &mut log);
    Relief::ended(done, log)
}

fn accept_and_close(
    kernel: &mut dyn Kernel,
    target: &Target,
    listener: &ListenerReference,
    bounds: Bounds,
    folders: Folders,
    all: bool,
    log: &mut StepLog,
) -> Result<(ReliefOutcome, String), Fault> {
    let mut helper = HelperClient::for_listener(listener, folders.procfs)?;
    let began = read_time(kernel)?;
    let first = read_length(kernel, target)?;
    let (mut closed, mut live) = (0, 0);
    let mut why = "";
    while closed < bounds.max {
        if read_time(kernel)?.saturating_sub(began) >= bounds.timeout {
            why = ": the time that is allowed is used up (--timeout)";
            break;
        }
        let visible = read_waiting(kernel, target)?;
        match head(&visible, read_length(kernel, target)?) {
            Head::Empty => break,
            Head::Gone => {}
            Head::PerhapsLive if all => {}
            Head::PerhapsLive => {
                why = ": the next one may be a live client (--all takes those as well)";
                break;
            }
        }
        let answer = helper.ask(HelperRequest::Accept);
        let text = answer.as_ref().map(describe);
        log.note(kernel, "accept and close", listener.name(), text);
        match answer {
            Ok(HelperResponse::Accepted { gone, .. }) => {
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
    let left = read_length(kernel, target)?;
    let lost = match live {
        0 => String::new(),
        number => format!("; {number} of them had a live client"),
    };
    let headline =
        format!("{closed} accepted and closed: the queue is {left}, it was {first}{why}{lost}");
    let outcome = match (left, closed) {
        (0, _) => ReliefOutcome::Relieved,
        (_, 0) => ReliefOutcome::Unchanged,
        _ => ReliefOutcome::Improved,
    };
    Ok((outcome, headline))
}

fn describe(answer: &HelperResponse) -> String {
    match answer {
        HelperResponse::Accepted { client, gone } => format!(
            "{}: {}",
            client.as_deref().unwrap_or("a client"),
            if *gone { "had gone" } else { "was alive" }
        ),
        _ => "no connection waits any more".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::correlate::fixtures::waiting_connection;

    fn gone(waited_ms: u32) -> WaitingConnection {
        WaitingConnection {
            connection: waiting_connection(waited_ms),
            certain: true,
        }
    }

    fn live(waited_ms: u32) -> WaitingConnection {
        let mut waiting = gone(waited_ms);
        waiting.connection.state = TcpState::Established;
        waiting
    }

    #[test]
    fn only_what_certainly_came_before_every_live_one_is_taken() {
        assert_eq!(head(&[], 0), Head::Empty);
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
        let elsewhere = WaitingConnection {
            certain: false,
            ..gone(900)
        };
        assert_eq!(head(&[elsewhere, live(500)], 1), Head::PerhapsLive);
    }
}
