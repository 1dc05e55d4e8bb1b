//! What a probe says to the findings of the look before it. Pure.

use super::Behaviour;
use crate::rules::{Confidence, Finding};

/// How a probe stands to a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stance {
    /// It makes the finding surer.
    Supports,
    /// It shows that the cause lies deeper than the finding says.
    Corrects,
    /// It cannot be so, or not any more.
    Contradicts,
    /// It has nothing to say to it.
    Silent,
}

impl Stance {
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
pub struct Weighed {
    /// The finding.
    pub finding: Finding,
    /// What the probe says to it.
    pub stance: Stance,
    /// How sure one may be of it now.
    pub confidence: Confidence,
    /// Why.
    pub why: &'static str,
}

/// Holds a finding against what newcomers experienced.
pub fn weigh(finding: Finding, behaviour: Behaviour) -> Weighed {
    let (stance, why) = stance(finding.id, behaviour);
    let confidence = match stance {
        Stance::Supports => Confidence::Certain,
        Stance::Contradicts => Confidence::Possible,
        Stance::Corrects | Stance::Silent => finding.confidence,
    };
    Weighed {
        finding,
        stance,
        confidence,
        why,
    }
}

fn stance(id: &str, behaviour: Behaviour) -> (Stance, &'static str) {
    match id {
        "edge-triggered-stall" => lost_edge(behaviour),
        "acceptor-stopped" | "acceptor-busy" | "listener-unwatched" => nobody_accepts(behaviour),
        "fd-limit-reached" => at_descriptor_limit(behaviour),
        "accept-queue-overflow" => overflow(behaviour),
        "accept-queue-stranded" => stranded(behaviour),
        _ => (Stance::Silent, "a newcomer does not show it"),
    }
}

const MOVED_ON: &str = "newcomers are accepted: the queue moved on meanwhile";
const NO_LISTENER: &str = "the listener is gone";
const NOBODY_GOT_IN: &str = "no newcomer got into that queue";

fn lost_edge(behaviour: Behaviour) -> (Stance, &'static str) {
    match behaviour {
        Behaviour::OnePerNewcomer | Behaviour::SomePerNewcomer => (
            Stance::Supports,
            "an arrival wakes the server, and its loop stops before EAGAIN",
        ),
        Behaviour::DrainsFully => (
            Stance::Supports,
            "one new edge was all that was missing; the loop itself accepts until EAGAIN",
        ),
        Behaviour::AcceptsNothing => (
            Stance::Corrects,
            "a fresh edge does not help either: the accept loop is parked before accept, behind a \
             limit or a lock",
        ),
        Behaviour::Healthy | Behaviour::ClosedAtOnce => (Stance::Contradicts, MOVED_ON),
        Behaviour::Refuses | Behaviour::TakenElsewhere | Behaviour::AwaitsData => {
            (Stance::Silent, NOBODY_GOT_IN)
        }
        Behaviour::ListenerGone => (Stance::Contradicts, NO_LISTENER),
    }
}

fn nobody_accepts(behaviour: Behaviour) -> (Stance, &'static str) {
    match behaviour {
        Behaviour::AcceptsNothing => (Stance::Supports, "a newcomer woke nobody who would accept"),
        Behaviour::OnePerNewcomer | Behaviour::SomePerNewcomer | Behaviour::DrainsFully => (
            Stance::Contradicts,
            "the newcomer made the server accept: somebody does wait for this listener",
        ),
        Behaviour::Healthy | Behaviour::ClosedAtOnce => (Stance::Contradicts, MOVED_ON),
        Behaviour::Refuses | Behaviour::TakenElsewhere | Behaviour::AwaitsData => {
            (Stance::Silent, NOBODY_GOT_IN)
        }
        Behaviour::ListenerGone => (Stance::Contradicts, NO_LISTENER),
    }
}

fn at_descriptor_limit(behaviour: Behaviour) -> (Stance, &'static str) {
    match behaviour {
        Behaviour::AcceptsNothing => (
            Stance::Supports,
            "a newcomer is not accepted: there is no descriptor for it",
        ),
        Behaviour::ClosedAtOnce => (
            Stance::Supports,
            "newcomers are closed at once, as with a descriptor kept in reserve",
        ),
        Behaviour::DrainsFully => (
            Stance::Silent,
            "all were accepted, and may have been closed with a descriptor kept in reserve",
        ),
        Behaviour::OnePerNewcomer | Behaviour::SomePerNewcomer | Behaviour::Healthy => (
            Stance::Contradicts,
            "connections were accepted: there are descriptors again",
        ),
        Behaviour::Refuses | Behaviour::TakenElsewhere | Behaviour::AwaitsData => {
            (Stance::Silent, NOBODY_GOT_IN)
        }
        Behaviour::ListenerGone => (Stance::Contradicts, NO_LISTENER),
    }
}

fn overflow(behaviour: Behaviour) -> (Stance, &'static str) {
    match behaviour {
        Behaviour::Refuses => (Stance::Supports, "the newcomer was dropped"),
        Behaviour::ListenerGone => (Stance::Contradicts, NO_LISTENER),
        Behaviour::TakenElsewhere | Behaviour::AwaitsData => (Stance::Silent, NOBODY_GOT_IN),
        Behaviour::AcceptsNothing
        | Behaviour::OnePerNewcomer
        | Behaviour::SomePerNewcomer
        | Behaviour::DrainsFully
        | Behaviour::Healthy
        | Behaviour::ClosedAtOnce => (Stance::Contradicts, "there was room for a newcomer"),
    }
}

fn stranded(behaviour: Behaviour) -> (Stance, &'static str) {
    match behaviour {
        Behaviour::OnePerNewcomer | Behaviour::SomePerNewcomer => (
            Stance::Corrects,
            "the cause shows: each arrival is one edge, and the loop stops before EAGAIN \
             (edge-triggered-stall)",
        ),
        Behaviour::DrainsFully => (
            Stance::Corrects,
            "the cause shows: one edge was missing (edge-triggered-stall)",
        ),
        Behaviour::AcceptsNothing => (
            Stance::Supports,
            "nobody accepts: the server is stopped, busy, parked, or does not watch the listener",
        ),
        Behaviour::Healthy | Behaviour::ClosedAtOnce => (Stance::Contradicts, MOVED_ON),
        Behaviour::Refuses | Behaviour::TakenElsewhere | Behaviour::AwaitsData => {
            (Stance::Silent, NOBODY_GOT_IN)
        }
        Behaviour::ListenerGone => (Stance::Contradicts, NO_LISTENER),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_tells_a_lost_edge_from_a_parked_loop() {
        let stance = |behaviour| stance("edge-triggered-stall", behaviour).0;
        assert_eq!(stance(Behaviour::OnePerNewcomer), Stance::Supports);
        assert_eq!(stance(Behaviour::AcceptsNothing), Stance::Corrects);
        assert_eq!(stance(Behaviour::Healthy), Stance::Contradicts);
    }

    #[test]
    fn a_finding_that_newcomers_contradict_is_only_possible() {
        assert_eq!(
            stance("listener-unwatched", Behaviour::DrainsFully).0,
            Stance::Contradicts
        );
        assert_eq!(
            stance("acceptor-busy", Behaviour::AcceptsNothing).0,
            Stance::Supports
        );
        assert_eq!(
            stance("unclosed-after-eof", Behaviour::Healthy).0,
            Stance::Silent
        );
    }
}
