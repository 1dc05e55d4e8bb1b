//! What became of a connection, in the five words that a probe may use. Pure.

use super::result::{Closed, Probe, ProbeConnection, Refusal};

/// What became of a connection of ours, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProbeOutcome {
    /// A reset came: nothing listens any more, or the kernel turns connections away.
    Refused,
    /// The kernel dropped it, as it does when the accept queue is full.
    Dropped,
    /// The kernel completed the handshake, and no process accepted it.
    Queued,
    /// A process accepted it, and no bytes came back.
    Accepted,
    /// Bytes came back.
    Answered,
}

impl ProbeOutcome {
    /// Its name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Dropped => "dropped",
            Self::Queued => "queued",
            Self::Accepted => "accepted",
            Self::Answered => "answered",
        }
    }
}

/// Returns the worst of what became of the connections; nothing where none could be tried.
pub fn outcome(probe: &Probe) -> Option<ProbeOutcome> {
    let outcomes = probe
        .connections
        .iter()
        .filter_map(ProbeConnection::outcome);
    outcomes.min()
}

impl ProbeConnection {
    /// Returns what became of it; nothing where this host could not try.
    pub fn outcome(&self) -> Option<ProbeOutcome> {
        match &self.refusal {
            Some(Refusal::Other(_)) => return None,
            Some(Refusal::NoAnswer) => return Some(ProbeOutcome::Dropped),
            Some(Refusal::Reset) => return Some(ProbeOutcome::Refused),
            None => {}
        }
        Some(if self.answered_bytes > 0 {
            ProbeOutcome::Answered
        } else if self.was_turned_away_by_kernel() {
            ProbeOutcome::Refused
        } else if self.was_accepted() {
            ProbeOutcome::Accepted
        } else if self.listener_gone {
            ProbeOutcome::Refused
        } else if self.kept_out && self.queue_was_full {
            ProbeOutcome::Dropped
        } else {
            ProbeOutcome::Queued
        })
    }

    /// Whether a reset came that the kernel sent for a full queue (`tcp_abort_on_overflow`).
    pub(super) fn was_turned_away_by_kernel(&self) -> bool {
        let reset = matches!(self.closed, Some(Closed::Reset(_)));
        reset && self.accepted.is_none() && self.answered_bytes == 0 && self.queue_was_full
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::result::fixtures::connection;
    use super::*;

    #[test]
    fn accepted_is_not_answered() {
        let accepted = connection(1, true);
        assert_eq!(accepted.outcome(), Some(ProbeOutcome::Accepted));
        let answered = ProbeConnection {
            answered_bytes: 1,
            ..connection(1, true)
        };
        assert_eq!(answered.outcome(), Some(ProbeOutcome::Answered));
    }

    #[test]
    fn a_close_without_bytes_is_accepted_and_no_more() {
        let closed = ProbeConnection {
            closed: Some(Closed::Ended(Duration::from_millis(1))),
            ..connection(1, false)
        };
        assert_eq!(closed.outcome(), Some(ProbeOutcome::Accepted));
    }

    #[test]
    fn a_connection_that_a_full_queue_keeps_out_is_dropped() {
        let kept_out = ProbeConnection {
            kept_out: true,
            ..connection(0, false)
        };
        assert_eq!(kept_out.outcome(), Some(ProbeOutcome::Queued));
        let full = ProbeConnection {
            queue_was_full: true,
            ..kept_out
        };
        assert_eq!(full.outcome(), Some(ProbeOutcome::Dropped));
    }

    #[test]
    fn a_reset_for_a_full_queue_is_no_acceptance() {
        let reset = ProbeConnection {
            closed: Some(Closed::Reset(Duration::from_millis(1))),
            queue_was_full: true,
            ..connection(0, false)
        };
        assert_eq!(reset.outcome(), Some(ProbeOutcome::Refused));
    }

    #[test]
    fn an_error_of_this_host_says_nothing_about_the_server() {
        let untried = ProbeConnection {
            connected: None,
            refusal: Some(Refusal::Other("Too many open files".to_owned())),
            ..connection(0, false)
        };
        assert_eq!(untried.outcome(), None);
    }
}
