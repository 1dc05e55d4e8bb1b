//! The experiment: open a connection to a listener, and see what its queue and its server do.
//!
//! Nothing is sent unless it is asked for. A connection that the server has accepted is closed when it
//! was watched, so that it takes no worker from the next, nor from a client. Those that wait stay open
//! until the last one was watched: who has left the queue is then not mistaken for one who has hung up.

mod behaviour;
mod newcomer;
mod stance;
mod words;

use std::net::SocketAddr;
use std::time::Duration;

use crate::act::queue::{Queue, Target, read_queue};
use crate::collect::kernel::{Kernel, KernelError};
use crate::collect::sock_diag;

pub use behaviour::{Behaviour, behaviour};
pub use stance::{Stance, Weighed, weigh};
pub use words::{conclusion, evidence, headline, remedies};

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// How many connections to open, one after another.
    pub count: u32,
    /// How long each of them is watched.
    pub timeout: Duration,
    /// What each of them sends.
    pub payload: Option<Vec<u8>>,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// The listener.
    pub target: Target,
    /// Whether its port is listened on at other addresses too.
    pub port_is_shared: bool,
    /// Its queue just before.
    pub before: Queue,
    /// Its queue just after, with those of our connections still open that wait in it.
    pub after: Queue,
    /// Our connections, in their order.
    pub newcomers: Vec<Newcomer>,
    /// Why there are fewer than were ordered.
    pub cut_short: Option<CutShort>,
    /// How long each was watched at most.
    pub timeout: Duration,
    /// How long it took.
    pub elapsed: Duration,
}

impl Probe {
    /// Those of our connections that are left in the queue: they stay there, closed, until the server
    /// accepts them.
    pub fn left_waiting(&self) -> impl Iterator<Item = &Newcomer> {
        self.newcomers.iter().filter(|newcomer| newcomer.waits())
    }

    /// How many left the queue, without those newcomers that were accepted at once.
    pub(super) fn others_left(&self) -> u32 {
        self.newcomers.iter().map(Newcomer::others_left).sum()
    }
}

/// One connection of ours. Times are counted from its SYN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Newcomer {
    /// Our address.
    pub client: SocketAddr,
    /// When the handshake was done.
    pub connected: Option<Duration>,
    /// Why there was none.
    pub refusal: Option<Refusal>,
    /// When it was first seen accepted.
    pub accepted: Option<Duration>,
    /// When and how the server closed it.
    pub closed: Option<Closed>,
    /// How much the server sent.
    pub answered_bytes: usize,
    /// Length of the queue before it came.
    pub queue_before: u32,
    /// And at the end, the newcomer included while it waits.
    pub queue_after: u32,
    /// How many left the queue meanwhile.
    pub taken: u32,
    /// Whether it is connected and yet not in the queue: the kernel waits for its data
    /// (`TCP_DEFER_ACCEPT`), or the queue is full.
    pub kept_out: bool,
    /// Whether the listener was closed meanwhile.
    pub listener_gone: bool,
}

impl Newcomer {
    /// Whether the server got it, however briefly: nobody else can close it.
    pub fn was_accepted(&self) -> bool {
        self.accepted.is_some() || self.answered_bytes > 0 || self.closed.is_some()
    }

    /// How many left the queue while it was watched, itself not counted.
    fn others_left(&self) -> u32 {
        self.taken.saturating_sub(u32::from(self.was_accepted()))
    }

    /// Whether it is left in the queue.
    pub fn waits(&self) -> bool {
        let in_the_queue = self.connected.is_some() && !self.kept_out && !self.listener_gone;
        in_the_queue && !self.was_accepted()
    }
}

/// Why a connection did not come about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The kernel dropped the SYN, as it does when the queue is full.
    NoAnswer,
    /// A reset came.
    Reset,
    /// Something else, in the system's words.
    Other(String),
}

/// How the server closed a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// With an end of stream.
    Ended(Duration),
    /// With a reset.
    Reset(Duration),
}

impl Closed {
    /// When.
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

/// Opens the connections, one after another, and watches each. It stops where the next one would keep
/// a client out.
///
/// # Errors
///
/// When the kernel does not show the queue. That a connection does not come about is an answer.
pub fn probe(
    kernel: &mut dyn Kernel,
    target: &Target,
    order: &Order,
) -> Result<Probe, KernelError> {
    let started = kernel.elapsed()?;
    let port_is_shared = port_is_shared(kernel, target)?;
    let before = read_queue(kernel, target)?.unwrap_or_default();
    let mut newcomers = Vec::new();
    let mut open = Vec::new();
    let mut cut_short = None;
    for number in 0..order.count {
        if number > 0 {
            cut_short = no_more(&newcomers, read_queue(kernel, target)?);
        }
        if cut_short.is_some() {
            break;
        }
        let (newcomer, socket) = newcomer::watch(kernel, target, order)?;
        let ends = newcomer.listener_gone;
        // One that was accepted is closed here.
        open.extend(socket.filter(|_| !newcomer.was_accepted()));
        newcomers.push(newcomer);
        if ends {
            break;
        }
    }
    let after = read_queue(kernel, target)?.unwrap_or_default();
    drop(open);
    Ok(Probe {
        target: target.clone(),
        port_is_shared,
        before,
        after,
        newcomers,
        cut_short,
        timeout: order.timeout,
        elapsed: kernel.elapsed()?.saturating_sub(started),
    })
}

/// The port does not name the listener then.
fn port_is_shared(kernel: &mut dyn Kernel, target: &Target) -> Result<bool, KernelError> {
    let port = target.local.port();
    let (listeners, _) = sock_diag::read_listeners(kernel, &[port.into()])?;
    Ok(listeners
        .iter()
        .any(|other| other.local.port() == port && other.local != target.local))
}

/// Whether a further newcomer would do harm.
fn no_more(newcomers: &[Newcomer], queue: Option<Queue>) -> Option<CutShort> {
    if newcomers.iter().any(|newcomer| newcomer.refusal.is_some()) {
        return Some(CutShort::Refused);
    }
    let queue = queue?;
    // The kernel admits one more than the limit: that place is left to a client.
    let is_full = queue
        .limit
        .is_some_and(|limit| queue.length >= limit.max(1));
    is_full.then_some(CutShort::NoPlaceLeft)
}
