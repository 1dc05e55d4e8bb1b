//! One line an event.

use std::io::{self, Write};

use super::clock::TraceClock;
use super::words;
use crate::model::{Event, EventKind, TcpState, Trace, TraceSource, Wait};
use crate::render::escape::escape;

/// Writes what is followed, and how.
///
/// # Errors
///
/// When the writer fails.
pub fn write_trace_head(trace: &Trace, out: &mut dyn Write) -> io::Result<()> {
    let listeners: Vec<String> = trace
        .listeners
        .iter()
        .map(|listener| listener.local.to_string())
        .collect();
    let listeners = match listeners.len() {
        0 => "no listener is there now".to_owned(),
        1..=4 => listeners.join(" "),
        many => format!("{many} listeners"),
    };
    writeln!(out, "follows {listeners}")?;
    if let TraceSource::Polling { why } = &trace.source {
        writeln!(
            out,
            "nothing can be traced: {}\nSockets are looked at ten times a second instead: what begins and ends in \
             between is missed, and no thread is seen.",
            escape(why)
        )?;
    }
    Ok(())
}

/// Writes events; those that seldom matter only with `all`.
///
/// # Errors
///
/// When the writer fails.
pub fn write_events(
    clock: &TraceClock,
    machine: &str,
    events: &[Event],
    all: bool,
    out: &mut dyn Write,
) -> io::Result<()> {
    for event in events {
        let Some(line) = line(event, machine, all) else {
            continue;
        };
        writeln!(out, "{}  {line}", clock.tell(event.at))?;
    }
    Ok(())
}

fn line(event: &Event, machine: &str, all: bool) -> Option<String> {
    let who = event.actor.as_ref().map(words::process);
    let who = who.as_deref().unwrap_or("the kernel");
    let (what, detail) = match event.kind {
        EventKind::Accepted { fd, .. } => ("accepted", format!("{who} fd {fd}")),
        EventKind::AcceptFailed { errno: 11, .. } if !all => return None,
        EventKind::AcceptFailed { errno, queue, .. } => {
            let errno = words::errno(errno);
            return Some(format!(
                "{who} accept fails with {errno}, {queue} in the queue"
            ));
        }
        EventKind::Waits(wait) => return waits(event, wait, machine, all),
        EventKind::State { from, to, ending } => state(from, to, ending, who, event, all)?,
        EventKind::FirstRead { fd, bytes } => {
            ("read", format!("first {bytes} bytes, {who} fd {fd}"))
        }
        EventKind::EndRead { fd } => ("read", format!("end of stream, {who} fd {fd}")),
        EventKind::FirstWrite { fd, bytes } => {
            ("written", format!("first {bytes} bytes, {who} fd {fd}"))
        }
        EventKind::QueueSeen { queue } => {
            let waiting = words::connections_wait(queue);
            return Some(format!("{}  {waiting} to be accepted", event.ends.local));
        }
        EventKind::Seen { state } => ("seen", state.name().to_owned()),
        EventKind::Gone => ("gone", String::new()),
    };
    let remote = event.ends.remote.to_string();
    Some(format!("{remote:<22}  {what:<11} {detail}"))
}

/// What a change of state means, and who made it.
fn state(
    from: TcpState,
    to: TcpState,
    ending: bool,
    who: &str,
    event: &Event,
    all: bool,
) -> Option<(&'static str, String)> {
    use TcpState::{Close, CloseWait, Established, FinWait1, LastAck, SynRecv};
    let by = if ending {
        format!("as {who} ended")
    } else {
        format!("by {who}")
    };
    let acted = event.actor.is_some();
    Some(match (from, to) {
        (SynRecv, Established) => ("established", "waits in the accept queue".to_owned()),
        (Established, CloseWait) => ("FIN", "the other end has closed".to_owned()),
        (_, FinWait1 | LastAck) if acted => ("closed", by),
        (_, Close) if acted => ("closed", format!("{by}, with a reset")),
        (Established | CloseWait | FinWait1, Close) => ("reset", "by the other end".to_owned()),
        _ if all => ("state", format!("{} to {}", from.name(), to.name())),
        _ => return None,
    })
}

fn waits(event: &Event, wait: Wait, machine: &str, all: bool) -> Option<String> {
    if wait.queue == 0 && !all {
        return None;
    }
    let thread = event.actor.as_ref().map(words::thread)?;
    let call = words::call(machine, wait.call);
    let on = wait
        .epoll
        .map(|epoll| format!(" on fd {epoll}"))
        .unwrap_or_default();
    let waiting = words::connections_wait(wait.queue);
    Some(format!(
        "{thread} waits in {call}{on} while {waiting} in the accept queue"
    ))
}
