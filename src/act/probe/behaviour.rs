//! What a server does with new connections, judged on what was seen. Pure.

use std::time::Duration;

use super::result::{Probe, ProbeConnection};

/// What a server does with new connections and with those that wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// It accepts new connections and answers on each.
    Answers,
    /// It accepts new connections; no bytes came back on at least one.
    Accepts,
    /// For each new connection it accepts one that waited; the new one takes its place.
    OnePerConnection,
    /// For each new connection it accepts some that waited, and not all.
    SomePerConnection,
    /// A new connection made it accept all that waited.
    DrainsFully,
    /// It accepts nothing.
    AcceptsNothing,
    /// It closes what it has just accepted.
    ClosedAtOnce,
    /// Another listener of the group (`SO_REUSEPORT`) accepts new connections; those that wait stay.
    TakenElsewhere,
    /// Its kernel waits for data before it queues a new connection.
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
            Self::Answers => "answers",
            Self::Accepts => "accepts",
            Self::OnePerConnection => "one_per_newcomer",
            Self::SomePerConnection => "some_per_newcomer",
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

/// Judges; `stuck` says whether connections were stuck in the queue before.
pub fn behaviour(probe: &Probe, stuck: bool) -> Behaviour {
    let connections = &probe.connections;
    if connections.iter().any(|one| one.listener_gone) {
        return Behaviour::ListenerGone;
    }
    let connected: Vec<&ProbeConnection> = connections
        .iter()
        .filter(|one| one.connected.is_some() && !one.was_turned_away_by_kernel())
        .collect();
    if connected.is_empty() {
        return Behaviour::Refuses;
    }
    if connected.iter().all(|one| one.was_accepted()) {
        return all_accepted(probe, &connected, stuck);
    }
    if connected
        .iter()
        .all(|one| one.kept_out || one.was_accepted())
    {
        return if probe.before.is_full() {
            Behaviour::Refuses
        } else {
            Behaviour::AwaitsData
        };
    }
    // Where no connection waited before, those that wait now came too fast, or found no free worker.
    if probe.others_left() == 0 || probe.before.length == 0 {
        Behaviour::AcceptsNothing
    } else if connected
        .iter()
        .all(|one| !one.kept_out && one.others_left() == u32::from(one.waits()))
    {
        Behaviour::OnePerConnection
    } else {
        Behaviour::SomePerConnection
    }
}

/// Judges where each connection was accepted. What became of the stuck ones comes first: a server at
/// its limit may close what it accepts.
fn all_accepted(probe: &Probe, connected: &[&ProbeConnection], stuck: bool) -> Behaviour {
    if stuck && probe.before.length > 0 {
        return if is_drained(probe) {
            Behaviour::DrainsFully
        } else {
            Behaviour::TakenElsewhere
        };
    }
    if connected.iter().all(|one| was_turned_away(one)) {
        Behaviour::ClosedAtOnce
    } else if connected.iter().all(|one| one.answered_bytes > 0) {
        Behaviour::Answers
    } else {
        Behaviour::Accepts
    }
}

/// Whether all that waited have left, given that each new connection was accepted. A queue is served
/// in its order, so that of one listener they have; in a group each listener has its own queue.
fn is_drained(probe: &Probe) -> bool {
    let others = probe.others_left();
    let alone = probe.target.inodes.len() <= 1;
    probe.after.length == 0 || others >= probe.before.length || alone && others > 0
}

fn was_turned_away(connection: &ProbeConnection) -> bool {
    let closed = connection
        .closed
        .is_some_and(|closed| closed.at() <= AT_ONCE);
    connection.answered_bytes == 0 && closed
}

#[cfg(test)]
mod tests {
    use super::super::result::fixtures::{connection, probe};
    use super::super::result::{Closed, Refusal};
    use super::*;
    use crate::model::Inode;

    #[test]
    fn each_behaviour_has_its_pattern() {
        let of = |before, connections, stuck| behaviour(&probe(before, connections), stuck);
        assert_eq!(of(0, vec![connection(1, true)], false), Behaviour::Accepts);
        assert_eq!(
            of(8, vec![connection(9, true)], true),
            Behaviour::DrainsFully
        );
        assert_eq!(
            of(8, vec![connection(1, false), connection(1, false)], true),
            Behaviour::OnePerConnection
        );
        assert_eq!(
            of(8, vec![connection(3, false)], true),
            Behaviour::SomePerConnection
        );
        assert_eq!(
            of(8, vec![connection(0, false)], true),
            Behaviour::AcceptsNothing
        );
        let closed = ProbeConnection {
            closed: Some(Closed::Ended(Duration::from_millis(2))),
            ..connection(1, false)
        };
        assert_eq!(of(0, vec![closed.clone()], false), Behaviour::ClosedAtOnce);
        let drained = ProbeConnection { taken: 9, ..closed };
        assert_eq!(of(8, vec![drained], true), Behaviour::DrainsFully);
        let refused = ProbeConnection {
            connected: None,
            refusal: Some(Refusal::NoAnswer),
            ..connection(0, false)
        };
        assert_eq!(of(8, vec![refused], true), Behaviour::Refuses);
    }

    #[test]
    fn a_busy_queue_without_stuck_connections_is_accepting() {
        let busy = probe(2, vec![connection(3, true)]);
        assert_eq!(behaviour(&busy, false), Behaviour::Accepts);
    }

    #[test]
    fn a_connection_that_another_of_the_group_took_says_nothing_about_those_that_wait() {
        let of_group = |connections| {
            let mut probe = probe(10, connections);
            probe.target.inodes = (1..=3).filter_map(Inode::new).collect();
            behaviour(&probe, true)
        };
        let (elsewhere, waits) = (connection(1, true), connection(0, false));
        assert_eq!(of_group(vec![elsewhere.clone()]), Behaviour::TakenElsewhere);
        assert_eq!(of_group(vec![connection(11, true)]), Behaviour::DrainsFully);
        assert_eq!(
            of_group(vec![elsewhere.clone(), waits]),
            Behaviour::AcceptsNothing
        );
        assert_eq!(
            of_group(vec![elsewhere, connection(1, false)]),
            Behaviour::OnePerConnection
        );
    }

    #[test]
    fn connections_that_take_all_workers_show_no_lost_edge() {
        let taken = vec![
            connection(1, true),
            connection(0, false),
            connection(1, false),
        ];
        let busy = probe(0, taken);
        assert_eq!(behaviour(&busy, false), Behaviour::AcceptsNothing);
    }

    #[test]
    fn an_answer_before_the_close_is_service() {
        let served = ProbeConnection {
            closed: Some(Closed::Ended(Duration::from_millis(2))),
            answered_bytes: 100,
            ..connection(1, true)
        };
        let half = probe(0, vec![served.clone(), connection(1, true)]);
        assert_eq!(behaviour(&half, false), Behaviour::Accepts);
        let served = probe(0, vec![served]);
        assert_eq!(behaviour(&served, false), Behaviour::Answers);
    }
}
