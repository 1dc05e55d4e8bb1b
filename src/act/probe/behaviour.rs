//! What a server does with newcomers, judged on what was seen. Pure.

use std::time::Duration;

use super::{Newcomer, Probe};

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
    /// Another listener of the group (`SO_REUSEPORT`) accepts newcomers, and those who wait stay.
    TakenElsewhere,
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
            Self::TakenElsewhere => "taken_elsewhere",
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
        // First what became of those who were stuck: a server at its limit may close whom it accepts.
        return if stuck && probe.before.length > 0 {
            if is_drained(probe) {
                Behaviour::DrainsFully
            } else {
                Behaviour::TakenElsewhere
            }
        } else if connected.iter().all(|newcomer| was_turned_away(newcomer)) {
            Behaviour::ClosedAtOnce
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
    // Where nobody waited before, those who wait now came too fast, or found no worker left.
    if probe.others_left() == 0 || probe.before.length == 0 {
        Behaviour::AcceptsNothing
    } else if connected
        .iter()
        .all(|newcomer| !newcomer.kept_out && newcomer.others_left() == u32::from(newcomer.waits()))
    {
        Behaviour::OnePerNewcomer
    } else {
        Behaviour::SomePerNewcomer
    }
}

/// Whether all who waited have left, now that each newcomer was accepted. A queue is served in its
/// order, so that of one listener they have; of a group each has a queue of its own.
fn is_drained(probe: &Probe) -> bool {
    let others = probe.others_left();
    let alone = probe.target.inodes.len() <= 1;
    probe.after.length == 0 || others >= probe.before.length || alone && others > 0
}

fn was_turned_away(newcomer: &Newcomer) -> bool {
    newcomer.answered_bytes == 0 && newcomer.closed.is_some_and(|closed| closed.at() <= AT_ONCE)
}

#[cfg(test)]
mod tests {
    use super::super::{Closed, Refusal};
    use super::*;
    use crate::act::queue::{Queue, Target};
    use crate::model::Inode;

    fn newcomer(taken: u32, accepted: bool) -> Newcomer {
        Newcomer {
            client: "127.0.0.1:40000".parse().unwrap(),
            connected: Some(Duration::from_micros(90)),
            refusal: None,
            accepted: accepted.then_some(Duration::from_millis(1)),
            closed: None,
            answered_bytes: 0,
            queue_before: 8,
            queue_after: 9_u32.saturating_sub(taken),
            taken,
            kept_out: false,
            listener_gone: false,
        }
    }

    fn probe(before: u32, newcomers: Vec<Newcomer>) -> Probe {
        let local: std::net::SocketAddr = "127.0.0.1:8080".parse().unwrap();
        let left: u32 = newcomers.iter().map(Newcomer::others_left).sum();
        let wait = newcomers.iter().filter(|newcomer| newcomer.waits());
        let wait = u32::try_from(wait.count()).unwrap();
        Probe {
            target: Target {
                local,
                address: local,
                interface: 0,
                inodes: Vec::new(),
            },
            port_is_shared: false,
            before: Queue {
                length: before,
                limit: Some(511),
            },
            after: Queue {
                length: (before + wait).saturating_sub(left),
                limit: Some(511),
            },
            newcomers,
            cut_short: None,
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
        assert_eq!(of(0, vec![closed.clone()], false), Behaviour::ClosedAtOnce);
        let drained = Newcomer { taken: 9, ..closed };
        assert_eq!(of(8, vec![drained], true), Behaviour::DrainsFully);
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
    fn a_newcomer_that_another_of_the_group_took_tells_nothing_of_those_who_wait() {
        let of_group = |newcomers| {
            let mut probe = probe(10, newcomers);
            probe.target.inodes = (1..=3).filter_map(Inode::new).collect();
            behaviour(&probe, true)
        };
        let (elsewhere, waits) = (newcomer(1, true), newcomer(0, false));
        assert_eq!(of_group(vec![elsewhere.clone()]), Behaviour::TakenElsewhere);
        assert_eq!(of_group(vec![newcomer(11, true)]), Behaviour::DrainsFully);
        assert_eq!(
            of_group(vec![elsewhere.clone(), waits]),
            Behaviour::AcceptsNothing
        );
        assert_eq!(
            of_group(vec![elsewhere, newcomer(1, false)]),
            Behaviour::OnePerNewcomer
        );
    }

    #[test]
    fn newcomers_that_take_all_workers_show_no_lost_edge() {
        let taken = vec![newcomer(1, true), newcomer(0, false), newcomer(1, false)];
        let busy = probe(0, taken);
        assert_eq!(behaviour(&busy, false), Behaviour::AcceptsNothing);
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
