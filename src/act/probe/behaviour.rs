//! What a server does with newcomers, judged on what was seen. Pure.

use std::time::Duration;

use super::{Closed, Newcomer, Probe, Refusal};

/// What a server does with newcomers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// It accepts them.
    Healthy,
    /// It accepts one that waited for each newcomer, which takes its place.
    OnePerNewcomer,
    /// It accepts some that waited, and not all.
    SomePerNewcomer,
    /// A newcomer made it accept all who waited.
    DrainsFully,
    /// It accepts nobody.
    AcceptsNothing,
    /// It closes whom it has just accepted.
    ClosedAtOnce,
    /// Its kernel waits for data before it lets a newcomer into the queue.
    AwaitsData,
    /// No connection comes about.
    Refuses,
    /// The listener was closed meanwhile.
    ListenerGone,
}

impl Behaviour {
    /// Its name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::OnePerNewcomer => "one_per_newcomer",
            Self::SomePerNewcomer => "some_per_newcomer",
            Self::DrainsFully => "drains_fully",
            Self::AcceptsNothing => "accepts_nothing",
            Self::ClosedAtOnce => "closed_at_once",
            Self::AwaitsData => "awaits_data",
            Self::Refuses => "refuses",
            Self::ListenerGone => "listener_gone",
        }
    }
}

/// A server that closes a connection within this time of its SYN did not want it.
const AT_ONCE: Duration = Duration::from_secs(1);

/// Judges; `stuck` tells whether connections were stuck in the queue before.
pub fn behaviour(probe: &Probe, stuck: bool) -> Behaviour {
    let newcomers = &probe.newcomers;
    if newcomers.iter().any(|newcomer| newcomer.listener_gone) {
        return Behaviour::ListenerGone;
    }
    let connected: Vec<&Newcomer> = newcomers
        .iter()
        .filter(|newcomer| newcomer.connected.is_some())
        .collect();
    if connected.is_empty() {
        return Behaviour::Refuses;
    }
    if connected.iter().all(|newcomer| newcomer.was_accepted()) {
        return if connected.iter().all(|newcomer| was_turned_away(newcomer)) {
            Behaviour::ClosedAtOnce
        } else if stuck && probe.before.length > 0 {
            Behaviour::DrainsFully
        } else {
            Behaviour::Healthy
        };
    }
    if connected
        .iter()
        .all(|newcomer| newcomer.kept_out || newcomer.was_accepted())
    {
        let is_full = probe
            .before
            .limit
            .is_some_and(|limit| probe.before.length > limit);
        return if is_full {
            Behaviour::Refuses
        } else {
            Behaviour::AwaitsData
        };
    }
    let taken: u32 = connected.iter().map(|newcomer| newcomer.taken).sum();
    if taken == 0 {
        Behaviour::AcceptsNothing
    } else if connected
        .iter()
        .all(|newcomer| newcomer.waits() && newcomer.taken == 1)
    {
        Behaviour::OnePerNewcomer
    } else {
        Behaviour::SomePerNewcomer
    }
}

fn was_turned_away(newcomer: &Newcomer) -> bool {
    newcomer.answered_bytes == 0 && newcomer.closed.is_some_and(|closed| closed.at() <= AT_ONCE)
}

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
        Behaviour::DrainsFully => {
            format!(
                "a newcomer was enough: the server accepted all {waiting} who waited, and it too"
            )
        }
        Behaviour::AcceptsNothing => format!(
            "accepts nothing: nobody left the queue in {}",
            span(probe.timeout)
        ),
        Behaviour::ClosedAtOnce => {
            "newcomers are accepted and closed at once, without an answer".to_owned()
        }
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
        Behaviour::AwaitsData => {
            Some("this tells nothing of the server: ask it something with --payload FILE")
        }
        Behaviour::Refuses => Some("clients are hurt now: nobody can connect"),
    }
}

/// What to do.
pub fn remedies(probe: &Probe, behaviour: Behaviour) -> Vec<String> {
    let relieve = format!(
        "right now: closewait-doctor relieve --port {}     (shows a plan, changes nothing)",
        probe.target.local.port()
    );
    let in_the_code =
        "in the code: accept until EAGAIN, at the connection limit too; or register the listener \
         without EPOLLET"
            .to_owned();
    match behaviour {
        Behaviour::Healthy
        | Behaviour::ListenerGone
        | Behaviour::ClosedAtOnce
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

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::act::queue::{Queue, Target};

    pub(crate) fn newcomer(taken: u32, accepted: bool) -> Newcomer {
        Newcomer {
            client: "127.0.0.1:40000".parse().unwrap(),
            connected: Some(Duration::from_micros(90)),
            refusal: None,
            accepted: accepted.then_some(Duration::from_millis(1)),
            closed: None,
            answered_bytes: 0,
            queue_before: 8,
            queue_after: 9 - taken,
            taken,
            kept_out: false,
            listener_gone: false,
        }
    }

    pub(crate) fn probe(before: u32, newcomers: Vec<Newcomer>) -> Probe {
        let local: std::net::SocketAddr = "127.0.0.1:8080".parse().unwrap();
        Probe {
            target: Target {
                local,
                address: local,
                inodes: Vec::new(),
            },
            before: Queue {
                length: before,
                limit: Some(511),
            },
            after: Queue::default(),
            newcomers,
            timeout: Duration::from_secs(1),
            elapsed: Duration::from_secs(1),
        }
    }

    #[test]
    fn each_behaviour_has_its_pattern() {
        let of = |before, newcomers, stuck| behaviour(&probe(before, newcomers), stuck);
        assert_eq!(of(0, vec![newcomer(1, true)], false), Behaviour::Healthy);
        assert_eq!(of(8, vec![newcomer(9, true)], true), Behaviour::DrainsFully);
        assert_eq!(
            of(8, vec![newcomer(1, false), newcomer(1, false)], true),
            Behaviour::OnePerNewcomer
        );
        assert_eq!(
            of(8, vec![newcomer(3, false)], true),
            Behaviour::SomePerNewcomer
        );
        assert_eq!(
            of(8, vec![newcomer(0, false)], true),
            Behaviour::AcceptsNothing
        );
        let closed = Newcomer {
            closed: Some(Closed::Ended(Duration::from_millis(2))),
            ..newcomer(1, false)
        };
        assert_eq!(of(0, vec![closed], false), Behaviour::ClosedAtOnce);
        let refused = Newcomer {
            connected: None,
            refusal: Some(Refusal::NoAnswer),
            ..newcomer(0, false)
        };
        assert_eq!(of(8, vec![refused], true), Behaviour::Refuses);
    }

    #[test]
    fn a_busy_queue_that_nobody_was_stuck_in_is_healthy() {
        let busy = probe(2, vec![newcomer(3, true)]);
        assert_eq!(behaviour(&busy, false), Behaviour::Healthy);
    }

    #[test]
    fn an_answer_before_the_close_is_service() {
        let served = Newcomer {
            closed: Some(Closed::Ended(Duration::from_millis(2))),
            answered_bytes: 100,
            ..newcomer(1, true)
        };
        let served = probe(0, vec![served]);
        assert_eq!(behaviour(&served, false), Behaviour::Healthy);
    }
}
