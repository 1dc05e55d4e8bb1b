//! A probe in words: what was seen, what follows from it, what to do. Pure.

use std::time::Duration;

use super::behaviour::Behaviour;
use super::result::{Closed, CutShort, Probe, ProbeConnection, Refusal};

/// Returns the answer in one sentence.
pub fn headline(probe: &Probe, behaviour: Behaviour) -> String {
    match behaviour {
        Behaviour::Answers => answers(probe),
        Behaviour::Accepts => accepts(probe),
        Behaviour::OnePerConnection => {
            "one accepted for each new connection: an old one leaves the queue, and the new one takes \
             its place"
                .to_owned()
        }
        Behaviour::SomePerConnection => {
            "a new connection makes the server accept some of those that wait, and not all".to_owned()
        }
        Behaviour::DrainsFully => format!(
            "a new connection was enough: the server accepted all {} that waited, and the new one{}",
            probe.before.length,
            if probe.connections.iter().all(|one| one.closed.is_some()) {
                ", which it closed"
            } else {
                ""
            }
        ),
        Behaviour::AcceptsNothing => accepts_nothing(probe),
        Behaviour::ClosedAtOnce => {
            "new connections are accepted and closed at once, without an answer".to_owned()
        }
        Behaviour::TakenElsewhere => format!(
            "new connections go to another listener of the group and are accepted there; the queue \
             keeps the {} that wait",
            probe.after.length
        ),
        Behaviour::AwaitsData => {
            "new connections do not get into the queue: the kernel waits for their data \
             (TCP_DEFER_ACCEPT), or leads them elsewhere"
                .to_owned()
        }
        Behaviour::Refuses => refuses(probe),
        Behaviour::ListenerGone => "the listener was closed while it was probed".to_owned(),
    }
}

fn answers(probe: &Probe) -> String {
    let first = probe.connections.iter().filter_map(|one| one.answered);
    match first.max() {
        Some(slowest) => format!("the server answers, within {}", span(slowest)),
        None => "the server answers".to_owned(),
    }
}

/// Accepted is not served: what was not seen is said.
fn accepts(probe: &Probe) -> String {
    let accepted = probe.connections.iter().filter_map(|one| one.accepted);
    let within = accepted.max().map_or(String::new(), |slowest| {
        format!(" within {}", span(slowest))
    });
    let answered = probe
        .connections
        .iter()
        .filter(|one| one.answered_bytes > 0);
    match (answered.count(), probe.payload_bytes, probe.wait.is_zero()) {
        (0, 0, true) => format!(
            "new connections are accepted{within}; nothing was sent, so it does not show whether \
             they are served"
        ),
        (0, 0, false) => format!(
            "new connections are accepted{within}, and no bytes came in {}; nothing was sent",
            span(probe.wait)
        ),
        (0, sent, _) => format!(
            "new connections are accepted{within}, and no bytes came back in {}, though {sent} bytes \
             were sent",
            span(probe.wait)
        ),
        (answered, _, _) => format!(
            "new connections are accepted{within}; {answered} of {} got an answer",
            probe.connections.len()
        ),
    }
}

fn refuses(probe: &Probe) -> String {
    let full = probe.before.is_full();
    let mut refusals = probe
        .connections
        .iter()
        .filter_map(|one| one.refusal.as_ref());
    match refusals.next() {
        Some(Refusal::NoAnswer) if full => {
            "the accept queue is full, and the kernel drops new connections".to_owned()
        }
        Some(Refusal::NoAnswer) => {
            "the kernel drops new connections, as it does when the accept queue is full".to_owned()
        }
        Some(Refusal::Reset) => "new connections get a reset".to_owned(),
        Some(Refusal::Other(error)) => format!("this host could not connect: {error}"),
        None => {
            "the accept queue is full, and the kernel keeps new connections out of it".to_owned()
        }
    }
}

fn accepts_nothing(probe: &Probe) -> String {
    let time = span(probe.timeout);
    let accepted = probe.connections.iter().filter(|one| one.was_accepted());
    match accepted.count() {
        0 if probe.others_left() > 0 => {
            format!("accepts too slowly: no new connection was accepted in {time}")
        }
        0 => format!("accepts nothing: no connection left the queue in {time}"),
        _ if probe.target.inodes.len() > 1 => format!(
            "one listener of the group accepts nothing: no connection left its queue in {time}; new \
             connections that go to another are accepted"
        ),
        accepted => format!(
            "accepts no more: of {} new connections {accepted} were accepted, the others not in {time}",
            probe.connections.len()
        ),
    }
}

/// Returns what was seen, with numbers.
pub fn evidence(probe: &Probe) -> Vec<String> {
    let mut seen: Vec<String> = probe
        .connections
        .iter()
        .map(|connection| describe(connection, probe))
        .collect();
    let tried = probe.connections.len();
    match probe.cut_short {
        Some(CutShort::Refused) => {
            seen.push(format!(
                "stopped after {tried}, at the first that did not come about"
            ));
        }
        Some(CutShort::NoPlaceLeft) => seen.push(format!(
            "stopped after {tried}: one more would have taken the last place in the queue"
        )),
        None => {}
    }
    let limit = probe.after.limit.or(probe.before.limit);
    seen.push(format!(
        "accept queue {} before, {} after{}",
        probe.before.length,
        probe.after.length,
        limit.map_or(String::new(), |limit| format!(", limit {limit}"))
    ));
    let left: Vec<String> = probe
        .left_waiting()
        .map(|connection| connection.client.to_string())
        .collect();
    if !left.is_empty() {
        seen.push(format!(
            "left in the queue, closed by us, until the server accepts: {}",
            left.join(", ")
        ));
    }
    seen
}

fn describe(connection: &ProbeConnection, probe: &Probe) -> String {
    let Some(connected) = connection.connected else {
        return match &connection.refusal {
            Some(Refusal::Reset) => "a new connection was refused with a reset".to_owned(),
            Some(Refusal::Other(error)) => format!("this host could not connect: {error}"),
            Some(Refusal::NoAnswer) | None => {
                format!(
                    "a new connection got no answer to its SYN in {}",
                    span(probe.timeout)
                )
            }
        };
    };
    let mut parts = vec![format!("connected in {}", span(connected))];
    parts.push(match connection.accepted {
        Some(accepted) => format!("accepted within {}", span(accepted)),
        None if connection.was_accepted() => "accepted".to_owned(),
        None if connection.was_turned_away_by_kernel() => "turned away by the kernel".to_owned(),
        None if connection.kept_out => "not in the queue".to_owned(),
        None => format!("not accepted in {}", span(probe.timeout)),
    });
    if connection.sent_bytes < probe.payload_bytes {
        parts.push(format!(
            "{} of {} bytes were sent",
            connection.sent_bytes, probe.payload_bytes
        ));
    }
    match connection.answered {
        Some(at) => parts.push(format!(
            "answered with {} bytes after {}",
            connection.answered_bytes,
            span(at)
        )),
        None if connection.was_accepted() && !probe.wait.is_zero() => {
            parts.push("no bytes came back".to_owned());
        }
        None => {}
    }
    match connection.closed {
        Some(Closed::Ended(at)) => parts.push(format!("closed by the server after {}", span(at))),
        Some(Closed::Reset(at)) => parts.push(format!("reset after {}", span(at))),
        None => {}
    }
    parts.push(format!(
        "queue {} -> {}, {} left it",
        connection.queue_before, connection.queue_after, connection.taken
    ));
    format!("connection {}: {}", connection.client, parts.join(", "))
}

/// Returns what follows from it, where the headline does not say all.
pub fn conclusion(probe: &Probe, behaviour: Behaviour) -> Option<&'static str> {
    match behaviour {
        Behaviour::Answers | Behaviour::ListenerGone => None,
        Behaviour::Accepts if probe.payload_bytes > 0 => Some(
            "accepted is not served: a server that parks its connections, waits for something else, \
             or is out of workers looks like this; so does one that wants another request",
        ),
        Behaviour::Accepts => Some(
            "accepted is not served: send a request and wait for the answer with --send and --wait",
        ),
        Behaviour::OnePerConnection => Some(
            "each arrival wakes the server for one accept: its loop returns early, and those behind \
             get no edge of their own",
        ),
        Behaviour::SomePerConnection => Some(
            "each arrival wakes the server, and its loop stops before EAGAIN: at a connection limit, \
             or after a fixed number",
        ),
        Behaviour::DrainsFully => Some(
            "the loop accepts until EAGAIN; it had missed one edge, or was busy until now. It can \
             happen again",
        ),
        Behaviour::AcceptsNothing => Some(
            "a new wake-up does not help: the thread that would accept is stopped, busy, held back \
             by a limit, or does not watch the listener",
        ),
        Behaviour::ClosedAtOnce => {
            Some("the server is at its connection limit, or turns this client away")
        }
        Behaviour::TakenElsewhere => Some(
            "this says nothing about those that wait: the kernel chooses a listener of the group for \
             each new connection; try more with --count",
        ),
        Behaviour::AwaitsData => Some(
            "this says nothing about the server: send the kernel what it waits for, with --send or \
             --payload",
        ),
        Behaviour::Refuses => Some("no client can connect now"),
    }
}

/// Returns what to do.
pub fn remedies(probe: &Probe, behaviour: Behaviour) -> Vec<String> {
    let local = probe.target.local;
    let which = if probe.port_is_shared {
        // The brackets of an IPv6 address mean something to a shell.
        if local.is_ipv6() {
            format!("'{local}'")
        } else {
            local.to_string()
        }
    } else {
        format!("--port {}", local.port())
    };
    let relieve =
        format!("right now: closewait-doctor relieve {which}     (shows a plan, changes nothing)");
    let in_the_code =
        "in the code: accept until EAGAIN, at the connection limit too; or register the listener \
         without EPOLLET"
            .to_owned();
    match behaviour {
        Behaviour::Answers
        | Behaviour::Accepts
        | Behaviour::ListenerGone
        | Behaviour::ClosedAtOnce
        | Behaviour::TakenElsewhere
        | Behaviour::AwaitsData => Vec::new(),
        Behaviour::OnePerConnection | Behaviour::SomePerConnection => vec![in_the_code, relieve],
        Behaviour::DrainsFully => vec![in_the_code],
        Behaviour::AcceptsNothing | Behaviour::Refuses => vec![relieve],
    }
}

fn span(time: Duration) -> String {
    if time < Duration::from_millis(10) {
        format!("{:.1} ms", time.as_secs_f64() * 1e3)
    } else if time < Duration::from_secs(1) {
        format!("{} ms", time.as_millis())
    } else {
        format!("{:.1} s", time.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::super::result::fixtures::{connection, probe};
    use super::*;

    fn accepted(payload_bytes: usize, wait: Duration) -> Probe {
        Probe {
            wait,
            payload_bytes,
            ..probe(0, vec![connection(1, true)])
        }
    }

    #[test]
    fn accepted_without_an_answer_never_sounds_healthy() {
        let second = Duration::from_secs(1);
        for (payload, wait) in [(0, Duration::ZERO), (0, second), (18, second)] {
            let probe = accepted(payload, wait);
            let text = headline(&probe, Behaviour::Accepts);
            assert!(!text.to_lowercase().contains("healthy"), "{text}");
            let so = conclusion(&probe, Behaviour::Accepts).unwrap();
            assert!(so.contains("accepted is not served"), "{so}");
        }
        let text = headline(&accepted(18, second), Behaviour::Accepts);
        assert!(text.contains("no bytes came back in 1.0 s"), "{text}");
    }
}
