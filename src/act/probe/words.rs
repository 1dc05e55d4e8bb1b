//! A probe in words: what was seen, what follows from it, what to do. Pure.

use std::time::Duration;

use super::{Behaviour, Closed, CutShort, Newcomer, Probe, Refusal};

/// The answer in one sentence.
pub fn headline(probe: &Probe, behaviour: Behaviour) -> String {
    let waiting = probe.before.length;
    match behaviour {
        Behaviour::Healthy => match slowest_accept(probe) {
            Some(slowest) => format!("newcomers are accepted, within {}", span(slowest)),
            None => "newcomers are accepted".to_owned(),
        },
        Behaviour::OnePerNewcomer => {
            "one accepted for each newcomer: an old connection leaves the queue, and the newcomer \
             takes its place"
                .to_owned()
        }
        Behaviour::SomePerNewcomer => {
            "a newcomer makes the server accept some of those who wait, and not all".to_owned()
        }
        Behaviour::DrainsFully => format!(
            "a newcomer was enough: the server accepted all {waiting} who waited, and it too{}",
            if probe.newcomers.iter().all(|one| one.closed.is_some()) {
                ", which it closed"
            } else {
                ""
            }
        ),
        Behaviour::AcceptsNothing => accepts_nothing(probe),
        Behaviour::ClosedAtOnce => {
            "newcomers are accepted and closed at once, without an answer".to_owned()
        }
        Behaviour::TakenElsewhere => format!(
            "newcomers go to another listener of the group and are accepted there; the queue keeps \
             those {} who wait",
            probe.after.length
        ),
        Behaviour::AwaitsData => {
            "newcomers do not get into the queue: the kernel waits for their data (TCP_DEFER_ACCEPT), \
             or leads them elsewhere"
                .to_owned()
        }
        Behaviour::Refuses => match refusal(probe) {
            Some(Refusal::NoAnswer) => {
                "refuses: the kernel drops newcomers, as it does when the accept queue is full"
                    .to_owned()
            }
            Some(Refusal::Reset) => "refuses: newcomers get a reset".to_owned(),
            Some(Refusal::Other(error)) => format!("no connection came about: {error}"),
                None => {
                "refuses: the accept queue is full, and the kernel keeps newcomers out of it".to_owned()
            }
        },
        Behaviour::ListenerGone => "the listener was closed while it was probed".to_owned(),
    }
}

fn accepts_nothing(probe: &Probe) -> String {
    let time = span(probe.timeout);
    let accepted = probe.newcomers.iter().filter(|one| one.was_accepted());
    match accepted.count() {
        0 if probe.others_left() > 0 => {
            format!("accepts too slowly: no newcomer was accepted in {time}")
        }
        0 => format!("accepts nothing: nobody left the queue in {time}"),
        _ if probe.target.inodes.len() > 1 => format!(
            "one listener of the group accepts nothing: nobody left its queue in {time}; newcomers \
             that go to another are accepted"
        ),
        accepted => format!(
            "accepts no more: of {} newcomers {accepted} were accepted, the others not in {time}",
            probe.newcomers.len()
        ),
    }
}

fn refusal(probe: &Probe) -> Option<&Refusal> {
    probe
        .newcomers
        .iter()
        .find_map(|newcomer| newcomer.refusal.as_ref())
}

fn slowest_accept(probe: &Probe) -> Option<Duration> {
    let accepted = probe.newcomers.iter().filter_map(|one| one.accepted);
    accepted.max()
}

/// What was seen, with numbers.
pub fn evidence(probe: &Probe) -> Vec<String> {
    let mut seen: Vec<String> = probe
        .newcomers
        .iter()
        .map(|newcomer| describe(newcomer, probe.timeout))
        .collect();
    let tried = probe.newcomers.len();
    match probe.cut_short {
        Some(CutShort::Refused) => {
            seen.push(format!(
                "stopped after {tried}, at the first that was refused"
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
        .map(|newcomer| newcomer.client.to_string())
        .collect();
    if !left.is_empty() {
        seen.push(format!(
            "left behind in the queue, closed by us, until the server accepts: {}",
            left.join(", ")
        ));
    }
    seen
}

fn describe(newcomer: &Newcomer, timeout: Duration) -> String {
    let Some(connected) = newcomer.connected else {
        return match &newcomer.refusal {
            Some(Refusal::Reset) => "a newcomer was refused with a reset".to_owned(),
            Some(Refusal::Other(error)) => format!("a newcomer could not connect: {error}"),
            Some(Refusal::NoAnswer) | None => {
                format!("a newcomer got no answer to its SYN in {}", span(timeout))
            }
        };
    };
    let mut parts = vec![format!("connected in {}", span(connected))];
    parts.push(match newcomer.accepted {
        Some(accepted) => format!("accepted within {}", span(accepted)),
        None if newcomer.was_accepted() => "accepted".to_owned(),
        None if newcomer.kept_out => "not in the queue".to_owned(),
        None => format!("not accepted in {}", span(timeout)),
    });
    if newcomer.answered_bytes > 0 {
        parts.push(format!("answered with {} bytes", newcomer.answered_bytes));
    }
    match newcomer.closed {
        Some(Closed::Ended(at)) => parts.push(format!("closed by the server after {}", span(at))),
        Some(Closed::Reset(at)) => parts.push(format!("reset by the server after {}", span(at))),
        None => {}
    }
    parts.push(format!(
        "queue {} -> {}, {} left it",
        newcomer.queue_before, newcomer.queue_after, newcomer.taken
    ));
    format!("newcomer {}: {}", newcomer.client, parts.join(", "))
}

/// What follows from it.
pub fn conclusion(behaviour: Behaviour) -> Option<&'static str> {
    match behaviour {
        Behaviour::Healthy | Behaviour::ListenerGone => None,
        Behaviour::OnePerNewcomer => Some(
            "each arrival wakes the server for one accept: its loop returns early, and those behind \
             get no edge of their own",
        ),
        Behaviour::SomePerNewcomer => Some(
            "each arrival wakes the server, and its loop stops before EAGAIN: at a connection limit, \
             or after so many",
        ),
        Behaviour::DrainsFully => Some(
            "the loop accepts until EAGAIN; it had missed one edge, and a new one was all it needed. \
             It will happen again",
        ),
        Behaviour::AcceptsNothing => Some(
            "a fresh wake-up does not help: whoever would accept is stopped, busy, held back by a \
             limit, or does not watch the listener",
        ),
        Behaviour::ClosedAtOnce => {
            Some("the server is at its connection limit, or turns this client away")
        }
        Behaviour::TakenElsewhere => Some(
            "this tells nothing of those who wait: the kernel chooses one of the group for each \
             newcomer; try more of them with --count",
        ),
        Behaviour::AwaitsData => Some(
            "this tells nothing of who should accept: send the kernel what it waits for, with \
             --payload FILE",
        ),
        Behaviour::Refuses => Some("clients are hurt now: nobody can connect"),
    }
}

/// What to do.
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
        Behaviour::Healthy
        | Behaviour::ListenerGone
        | Behaviour::ClosedAtOnce
        | Behaviour::TakenElsewhere
        | Behaviour::AwaitsData => Vec::new(),
        Behaviour::OnePerNewcomer | Behaviour::SomePerNewcomer => vec![in_the_code, relieve],
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
