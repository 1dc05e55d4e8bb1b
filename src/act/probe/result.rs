//! What a probe saw.

use std::net::SocketAddr;
use std::time::Duration;

use crate::act::queue::Queue;
use crate::act::target::Target;

/// What a probe saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// The listener.
    pub target: Target,
    /// Whether other listeners use the same port, on other addresses.
    pub port_is_shared: bool,
    /// The queue just before.
    pub before: Queue,
    /// The queue just after, with those of our connections that wait in it.
    pub after: Queue,
    /// Our connections, in their order.
    pub connections: Vec<ProbeConnection>,
    /// Why there are fewer connections than were asked for.
    pub cut_short: Option<CutShort>,
    /// How long each was given for handshake and `accept`.
    pub timeout: Duration,
    /// How long the server was given to send something after it accepted.
    pub wait: Duration,
    /// How many bytes each connection was to send.
    pub payload_bytes: usize,
    /// How long the probe took.
    pub elapsed: Duration,
}

impl Probe {
    /// Returns those of our connections that are left in the queue. They stay there, closed, until
    /// the server accepts them.
    pub fn left_waiting(&self) -> impl Iterator<Item = &ProbeConnection> {
        self.connections.iter().filter(|one| one.waits())
    }

    /// Returns how many connections left the queue that were not ours.
    pub(super) fn others_left(&self) -> u32 {
        self.connections
            .iter()
            .map(ProbeConnection::others_left)
            .sum()
    }
}

/// One connection of ours. Times are counted from its SYN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeConnection {
    /// Our address.
    pub client: SocketAddr,
    /// When the handshake was done.
    pub connected: Option<Duration>,
    /// Why there was no handshake.
    pub refusal: Option<Refusal>,
    /// When it was first seen accepted.
    pub accepted: Option<Duration>,
    /// When and how the server closed it.
    pub closed: Option<Closed>,
    /// How many bytes were sent on it.
    pub sent_bytes: usize,
    /// How many bytes the server sent.
    pub answered_bytes: usize,
    /// When the first of them came.
    pub answered: Option<Duration>,
    /// Length of the queue before it came.
    pub queue_before: u32,
    /// Length of the queue at the end; the connection is counted while it waits.
    pub queue_after: u32,
    /// Whether the queue had no place left before it came.
    pub queue_was_full: bool,
    /// How many connections left the queue meanwhile.
    pub taken: u32,
    /// Whether it is connected and yet not in the queue: the kernel waits for its data
    /// (`TCP_DEFER_ACCEPT`), or the queue is full.
    pub kept_out: bool,
    /// Whether the listener was closed meanwhile.
    pub listener_gone: bool,
}

impl ProbeConnection {
    /// Whether a process accepted it, however briefly: no one else sends bytes or closes it, except
    /// the kernel when the queue is full.
    pub fn was_accepted(&self) -> bool {
        let closed = self.closed.is_some() && !self.was_turned_away_by_kernel();
        self.accepted.is_some() || self.answered_bytes > 0 || closed
    }

    /// Returns how many other connections left the queue while it was watched.
    pub(super) fn others_left(&self) -> u32 {
        self.taken.saturating_sub(u32::from(self.was_accepted()))
    }

    /// Whether it is left in the queue.
    pub fn waits(&self) -> bool {
        let in_the_queue = self.connected.is_some() && !self.kept_out && !self.listener_gone;
        in_the_queue && !self.was_accepted() && self.closed.is_none()
    }
}

/// Why a connection did not come about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The kernel dropped the SYN, as it does when the queue is full.
    NoAnswer,
    /// A reset came.
    Reset,
    /// This host could not try: the system's words.
    Other(String),
}

/// How the server closed a connection, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// With an end of stream.
    Ended(Duration),
    /// With a reset.
    Reset(Duration),
}

impl Closed {
    /// Returns when.
    pub fn at(self) -> Duration {
        match self {
            Self::Ended(at) | Self::Reset(at) => at,
        }
    }
}

/// Why no further connection was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CutShort {
    /// One did not come about.
    Refused,
    /// One more would take the last place in the queue, and clients would be turned away.
    NoPlaceLeft,
}

#[cfg(test)]
pub(super) mod fixtures {
    use super::*;

    /// A connection that came to a queue of eight.
    pub(in super::super) fn connection(taken: u32, accepted: bool) -> ProbeConnection {
        ProbeConnection {
            client: "127.0.0.1:40000".parse().unwrap(),
            connected: Some(Duration::from_micros(90)),
            refusal: None,
            accepted: accepted.then_some(Duration::from_millis(1)),
            closed: None,
            sent_bytes: 0,
            answered_bytes: 0,
            answered: None,
            queue_before: 8,
            queue_after: 9_u32.saturating_sub(taken),
            queue_was_full: false,
            taken,
            kept_out: false,
            listener_gone: false,
        }
    }

    /// A probe of a queue of this length.
    pub(in super::super) fn probe(before: u32, connections: Vec<ProbeConnection>) -> Probe {
        let local: SocketAddr = "127.0.0.1:8080".parse().unwrap();
        let left: u32 = connections.iter().map(ProbeConnection::others_left).sum();
        let wait = connections.iter().filter(|one| one.waits());
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
            connections,
            cut_short: None,
            timeout: Duration::from_secs(1),
            wait: Duration::ZERO,
            payload_bytes: 0,
            elapsed: Duration::from_secs(1),
        }
    }
}
