//! What a probe says about the findings of the look before it. Pure.
//!
//! A probe makes a finding surer only when it excludes the other causes, and names them. What merely
//! fits a finding leaves its confidence as it was.

use super::behaviour::Behaviour;
use super::result::Probe;
use crate::rules::{Confidence, Finding};

/// How a probe relates to a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It fits the finding.
    Supports,
    /// It shows that the cause is another than the finding says.
    Corrects,
    /// The finding cannot be so, or is not so any more.
    Contradicts,
    /// It says nothing about the finding.
    Silent,
}

impl Effect {
    /// Its name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Supports => "supports",
            Self::Corrects => "corrects",
            Self::Contradicts => "contradicts",
            Self::Silent => "silent",
        }
    }
}

/// A finding after the probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssessedFinding {
    /// The finding.
    pub finding: Finding,
    /// How the probe relates to it.
    pub effect: Effect,
    /// How sure the finding is now.
    pub confidence: Confidence,
    /// The other causes that the probe excludes, by their finding ids.
    pub excludes: &'static [&'static str],
    /// Why, in words.
    pub why: &'static str,
}

/// Compares a finding with what became of the probe connections.
pub fn assess(finding: Finding, behaviour: Behaviour, probe: &Probe) -> AssessedFinding {
    let told = relate(finding.id, behaviour, is_repeated(probe));
    let confidence = match told.effect {
        Effect::Supports if told.settles => Confidence::Certain,
        Effect::Contradicts => Confidence::Possible,
        Effect::Supports | Effect::Corrects | Effect::Silent => finding.confidence,
    };
    AssessedFinding {
        finding,
        effect: told.effect,
        confidence,
        excludes: told.excludes,
        why: told.why,
    }
}

/// This many connections in a row are no coincidence: a slow server also accepts one
/// connection now and then, but not exactly one for each of ours.
const REPEATED: usize = 3;

/// Whether what a probe saw is more than a coincidence.
fn is_repeated(probe: &Probe) -> bool {
    probe.connections.len() >= REPEATED
}

/// What a probe says about a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Told {
    effect: Effect,
    why: &'static str,
    /// Other causes that cannot be, given what was seen.
    excludes: &'static [&'static str],
    /// Whether no other cause is left.
    settles: bool,
}

const fn told(effect: Effect, why: &'static str) -> Told {
    Told {
        effect,
        why,
        excludes: &[],
        settles: false,
    }
}

impl Told {
    const fn excluding(self, excludes: &'static [&'static str]) -> Self {
        Self { excludes, ..self }
    }
}

/// Causes by which a server accepts nothing at all.
const NO_ACCEPT: &[&str] = &["acceptor-stopped", "listener-unwatched", "fd-limit-reached"];
/// Those, and a server that is merely slow.
const NO_ACCEPT_OR_SLOW: &[&str] = &[
    "acceptor-stopped",
    "acceptor-busy",
    "listener-unwatched",
    "fd-limit-reached",
];
/// A lost edge: a new connection is a new edge.
const LOST_EDGE: &[&str] = &["edge-triggered-stall"];

const MOVED_ON: Told = told(
    Effect::Contradicts,
    "new connections are accepted: the queue has moved on meanwhile",
);
const NO_LISTENER: Told = told(Effect::Contradicts, "the listener is gone");
const NOT_QUEUED: Told = told(Effect::Silent, "no probe connection got into that queue");

fn relate(id: &str, behaviour: Behaviour, repeated: bool) -> Told {
    if behaviour == Behaviour::ListenerGone {
        return NO_LISTENER;
    }
    match id {
        "edge-triggered-stall" => lost_edge(behaviour, repeated),
        "acceptor-stopped" | "acceptor-busy" | "listener-unwatched" => no_accept(behaviour),
        "fd-limit-reached" => descriptor_limit(behaviour),
        "accept-queue-overflow" => overflow(behaviour),
        "accept-queue-stranded" => stranded(behaviour, repeated),
        "accepted-unserved" => unserved(behaviour),
        _ => told(Effect::Silent, "a probe connection does not show it"),
    }
}

fn lost_edge(behaviour: Behaviour, repeated: bool) -> Told {
    match behaviour {
        Behaviour::OnePerConnection if repeated => Told {
            settles: true,
            ..told(
                Effect::Supports,
                "each arrival wakes the server, and its loop stops before EAGAIN",
            )
            .excluding(NO_ACCEPT_OR_SLOW)
        },
        Behaviour::OnePerConnection | Behaviour::SomePerConnection => told(
            Effect::Supports,
            "the server accepted when a connection arrived, and stopped before EAGAIN; a slow \
             server may look the same once (--count 3 tells)",
        )
        .excluding(NO_ACCEPT),
        Behaviour::DrainsFully => told(
            Effect::Supports,
            "after one more arrival the server accepted all; a server that was busy and became free \
             at that moment looks the same",
        )
        .excluding(NO_ACCEPT),
        Behaviour::AcceptsNothing => told(
            Effect::Corrects,
            "a new edge does not help either: the accept loop is held back before accept, by a limit \
             or a lock",
        )
        .excluding(LOST_EDGE),
        Behaviour::Accepts | Behaviour::Answers | Behaviour::ClosedAtOnce => MOVED_ON,
        Behaviour::Refuses
        | Behaviour::TakenElsewhere
        | Behaviour::AwaitsData
        | Behaviour::ListenerGone => NOT_QUEUED,
    }
}

fn no_accept(behaviour: Behaviour) -> Told {
    match behaviour {
        Behaviour::AcceptsNothing => told(
            Effect::Supports,
            "a new connection is not accepted either; that fits every cause by which a server does \
             not accept, except a lost edge",
        )
        .excluding(LOST_EDGE),
        Behaviour::OnePerConnection | Behaviour::SomePerConnection | Behaviour::DrainsFully => {
            told(
                Effect::Contradicts,
                "the server accepted when a connection arrived: a thread does wait for this listener",
            )
        }
        Behaviour::Accepts | Behaviour::Answers | Behaviour::ClosedAtOnce => MOVED_ON,
        Behaviour::Refuses
        | Behaviour::TakenElsewhere
        | Behaviour::AwaitsData
        | Behaviour::ListenerGone => NOT_QUEUED,
    }
}

fn descriptor_limit(behaviour: Behaviour) -> Told {
    match behaviour {
        Behaviour::AcceptsNothing => told(
            Effect::Supports,
            "a new connection is not accepted either, as when there is no descriptor for it",
        )
        .excluding(LOST_EDGE),
        Behaviour::ClosedAtOnce => told(
            Effect::Supports,
            "new connections are closed at once, as by a server that keeps one descriptor in reserve",
        ),
        Behaviour::DrainsFully => told(
            Effect::Silent,
            "all were accepted; a server that keeps one descriptor in reserve may have closed them",
        ),
        Behaviour::OnePerConnection
        | Behaviour::SomePerConnection
        | Behaviour::Accepts
        | Behaviour::Answers => told(
            Effect::Contradicts,
            "connections were accepted: there are descriptors again",
        ),
        Behaviour::Refuses
        | Behaviour::TakenElsewhere
        | Behaviour::AwaitsData
        | Behaviour::ListenerGone => NOT_QUEUED,
    }
}

fn overflow(behaviour: Behaviour) -> Told {
    match behaviour {
        Behaviour::Refuses => told(Effect::Supports, "the new connection did not get in either"),
        Behaviour::TakenElsewhere | Behaviour::AwaitsData | Behaviour::ListenerGone => NOT_QUEUED,
        Behaviour::AcceptsNothing
        | Behaviour::OnePerConnection
        | Behaviour::SomePerConnection
        | Behaviour::DrainsFully
        | Behaviour::Accepts
        | Behaviour::Answers
        | Behaviour::ClosedAtOnce => told(
            Effect::Contradicts,
            "there was a place for a new connection",
        ),
    }
}

fn stranded(behaviour: Behaviour, repeated: bool) -> Told {
    match behaviour {
        Behaviour::OnePerConnection if repeated => told(
            Effect::Corrects,
            "each arrival wakes the server, and its loop stops before EAGAIN \
             (edge-triggered-stall)",
        )
        .excluding(NO_ACCEPT_OR_SLOW),
        Behaviour::OnePerConnection | Behaviour::SomePerConnection | Behaviour::DrainsFully => {
            told(
                Effect::Supports,
                "the server accepted when a connection arrived: it has lost an edge \
             (edge-triggered-stall), or is slow",
            )
            .excluding(NO_ACCEPT)
        }
        Behaviour::AcceptsNothing => told(
            Effect::Supports,
            "nothing is accepted: the server is stopped, busy, held back, or does not watch the \
             listener",
        )
        .excluding(LOST_EDGE),
        Behaviour::Accepts | Behaviour::Answers | Behaviour::ClosedAtOnce => MOVED_ON,
        Behaviour::Refuses
        | Behaviour::TakenElsewhere
        | Behaviour::AwaitsData
        | Behaviour::ListenerGone => NOT_QUEUED,
    }
}

fn unserved(behaviour: Behaviour) -> Told {
    match behaviour {
        Behaviour::Accepts | Behaviour::ClosedAtOnce => told(
            Effect::Supports,
            "the probe connection was accepted and got no bytes; that fits, and proves nothing by \
             itself",
        ),
        Behaviour::Answers => told(
            Effect::Silent,
            "one answer does not show that the other connections are served",
        ),
        Behaviour::AcceptsNothing
        | Behaviour::OnePerConnection
        | Behaviour::SomePerConnection
        | Behaviour::DrainsFully
        | Behaviour::Refuses
        | Behaviour::TakenElsewhere
        | Behaviour::AwaitsData
        | Behaviour::ListenerGone => told(
            Effect::Silent,
            "the probe connection did not get that far, or was one of many",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Behaviour; 11] = [
        Behaviour::Answers,
        Behaviour::Accepts,
        Behaviour::OnePerConnection,
        Behaviour::SomePerConnection,
        Behaviour::DrainsFully,
        Behaviour::AcceptsNothing,
        Behaviour::ClosedAtOnce,
        Behaviour::TakenElsewhere,
        Behaviour::AwaitsData,
        Behaviour::Refuses,
        Behaviour::ListenerGone,
    ];

    const IDS: [&str; 8] = [
        "edge-triggered-stall",
        "acceptor-stopped",
        "acceptor-busy",
        "listener-unwatched",
        "fd-limit-reached",
        "accept-queue-overflow",
        "accept-queue-stranded",
        "accepted-unserved",
    ];

    #[test]
    fn a_probe_tells_a_lost_edge_from_a_loop_that_is_held_back() {
        let effect = |behaviour| relate("edge-triggered-stall", behaviour, true).effect;
        assert_eq!(effect(Behaviour::OnePerConnection), Effect::Supports);
        assert_eq!(effect(Behaviour::AcceptsNothing), Effect::Corrects);
        assert_eq!(effect(Behaviour::Accepts), Effect::Contradicts);
    }

    #[test]
    fn confidence_rises_only_where_all_other_causes_of_no_accept_are_excluded() {
        for id in IDS {
            for behaviour in ALL {
                for repeated in [false, true] {
                    let told = relate(id, behaviour, repeated);
                    let others = IDS[..5].iter().filter(|other| **other != id);
                    let all_excluded = others.clone().all(|one| told.excludes.contains(one));
                    assert!(
                        !told.settles || all_excluded,
                        "{id} {behaviour:?} {repeated}"
                    );
                    assert!(!told.excludes.contains(&id) || told.effect == Effect::Corrects);
                }
            }
        }
    }

    #[test]
    fn one_connection_that_left_may_be_a_coincidence() {
        let once = relate("edge-triggered-stall", Behaviour::OnePerConnection, false);
        assert!(!once.settles);
        assert!(!once.excludes.contains(&"acceptor-busy"));
        let repeated = relate("edge-triggered-stall", Behaviour::OnePerConnection, true);
        assert!(repeated.settles);
    }

    #[test]
    fn a_slow_server_that_takes_several_at_a_time_is_not_excluded() {
        let told = relate("edge-triggered-stall", Behaviour::SomePerConnection, true);
        assert!(!told.settles);
        assert!(!told.excludes.contains(&"acceptor-busy"));
    }

    #[test]
    fn a_server_that_accepts_nothing_does_not_tell_its_causes_apart() {
        for id in ["acceptor-stopped", "acceptor-busy", "listener-unwatched"] {
            let told = relate(id, Behaviour::AcceptsNothing, true);
            assert_eq!(told.effect, Effect::Supports);
            assert!(!told.settles, "{id}");
        }
    }

    #[test]
    fn an_answer_does_not_clear_the_connections_of_others() {
        let told = relate("accepted-unserved", Behaviour::Answers, true);
        assert_eq!(told.effect, Effect::Silent);
    }
}
