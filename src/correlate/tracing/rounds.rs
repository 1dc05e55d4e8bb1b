//! How each thread serves a listener: one round lasts from a wake-up to the next wait.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::time::Duration;

use crate::model::{Actor, Event, EventKind, Frame, Pid, TcpState, Trace, Wait};

/// `EAGAIN`: the queue is empty.
const EAGAIN: i32 = 11;

/// What one thread did with one listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptRecord {
    /// The thread, by the name that it had last.
    pub thread: Actor,
    /// The listener's address.
    pub listener: SocketAddr,
    /// The listener's descriptor.
    pub listener_fd: u32,
    /// The epoll set that the thread waited on last.
    pub epoll: Option<u32>,
    /// How many connections it accepted.
    pub accepted: u32,
    /// How often `accept` failed, by error.
    pub failures: BTreeMap<i32, u32>,
    /// Rounds in which it called `accept`.
    pub rounds: u32,
    /// Rounds that ended with `EAGAIN`: the queue was read to its end.
    pub drained: u32,
    /// Rounds whose last `accept` succeeded while connections were left in the queue.
    pub stopped: u32,
    /// Of those, the rounds after which it slept although connections waited.
    pub stopped_and_slept: u32,
    /// The fewest and the most that it accepted in a stopped round.
    pub taken: Option<(u32, u32)>,
    /// Waits that began while connections were in the queue, without an `accept` before them.
    pub passed_by: u32,
    /// How many connections were left when it last began to wait.
    pub left: u32,
    /// The longest time that it slept although connections waited.
    pub slept: Duration,
    /// What it did last in a stopped round before the wait: where in the code the loop ended.
    pub last_step: Option<LastStep>,
}

/// The last thing in a stopped round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastStep {
    /// Whether it was closing a connection; otherwise it was accepting one.
    pub closes: bool,
    /// Where.
    pub stack: Vec<Frame>,
}

/// A thread that is asleep for so long, while connections wait at a listener that it watches, was not woken by
/// them. A wake-up takes microseconds, on a busy machine some milliseconds.
pub(super) const ASLEEP: Duration = Duration::from_millis(100);

/// A round that is not over.
#[derive(Default)]
struct Round {
    accepted: u32,
    last: Option<Result<(), i32>>,
    last_step: Option<LastStep>,
}

/// What is known of a thread and a listener while events are gone through.
struct Open {
    record: AcceptRecord,
    round: Round,
    /// The wait that it is in, since when, and whether a stopped round came before it.
    wait: Option<(Wait, Duration, bool)>,
}

/// Goes through a trace, and returns what each thread did with each listener.
pub(super) fn accept_records(trace: &Trace) -> Vec<AcceptRecord> {
    let mut all: BTreeMap<(Pid, u32), Open> = BTreeMap::new();
    let mut last_seen: HashMap<Pid, Duration> = HashMap::new();
    for event in &trace.events {
        let Some(actor) = &event.actor else { continue };
        last_seen.insert(actor.tid, event.at);
        match event.kind {
            EventKind::Accepted { listener, .. } => {
                let open = entry(&mut all, event, actor, listener);
                open.round.accepted += 1;
                open.round.last = Some(Ok(()));
                open.round.last_step = Some(step(event, false));
                open.record.accepted += 1;
            }
            EventKind::AcceptFailed {
                listener, errno, ..
            } => {
                let open = entry(&mut all, event, actor, listener);
                open.round.last = Some(Err(errno));
                *open.record.failures.entry(errno).or_default() += 1;
            }
            EventKind::State { to, .. } if is_close(to) => {
                let theirs = all.range_mut((actor.tid, 0)..=(actor.tid, u32::MAX));
                for (_, open) in theirs.filter(|(_, open)| open.round.last == Some(Ok(()))) {
                    open.round.last_step = Some(step(event, true));
                }
            }
            EventKind::Waits(wait) if !wait.returns_at_once => {
                let open = entry(&mut all, event, actor, wait.listener);
                open.end_wait(wait.slept);
                open.end_round(wait, event.at);
            }
            EventKind::Waits(_)
            | EventKind::State { .. }
            | EventKind::FirstRead { .. }
            | EventKind::EndRead { .. }
            | EventKind::FirstWrite { .. }
            | EventKind::QueueSeen { .. }
            | EventKind::Seen { .. }
            | EventKind::Gone => {}
        }
    }
    let opens = all.into_values();
    opens
        .map(|open| open.finish(&last_seen, trace.elapsed))
        .collect()
}

fn entry<'a>(
    all: &'a mut BTreeMap<(Pid, u32), Open>,
    event: &Event,
    actor: &Actor,
    listener: u32,
) -> &'a mut Open {
    let open = all.entry((actor.tid, listener)).or_insert_with(|| Open {
        record: AcceptRecord::new(actor.clone(), event.ends.local, listener),
        round: Round::default(),
        wait: None,
    });
    open.record.thread.command.clone_from(&actor.command);
    open
}

fn is_close(to: TcpState) -> bool {
    matches!(to, TcpState::FinWait1 | TcpState::LastAck | TcpState::Close)
}

fn step(event: &Event, closes: bool) -> LastStep {
    LastStep {
        closes,
        stack: event.stack.clone(),
    }
}

impl Open {
    fn end_wait(&mut self, slept: Duration) {
        let Some((wait, _, stopped)) = self.wait.take() else {
            return;
        };
        if wait.queue == 0 {
            return;
        }
        self.record.slept = self.record.slept.max(slept);
        if stopped && slept >= ASLEEP {
            self.record.stopped_and_slept += 1;
        }
    }

    fn end_round(&mut self, wait: Wait, at: Duration) {
        let round = std::mem::take(&mut self.round);
        let record = &mut self.record;
        record.epoll = wait.epoll;
        record.left = wait.queue;
        let stopped = round.last == Some(Ok(())) && wait.queue > 0;
        match round.last {
            None => record.passed_by += u32::from(wait.queue > 0),
            Some(Ok(())) => record.rounds += 1,
            Some(Err(errno)) => {
                record.rounds += 1;
                record.drained += u32::from(errno == EAGAIN);
            }
        }
        if stopped {
            record.stopped += 1;
            let (least, most) = record.taken.unwrap_or((u32::MAX, 0));
            record.taken = Some((least.min(round.accepted), most.max(round.accepted)));
            record.last_step = round.last_step;
        }
        self.wait = Some((wait, at, stopped));
    }

    fn finish(mut self, last_seen: &HashMap<Pid, Duration>, elapsed: Duration) -> AcceptRecord {
        if let Some((_, since, _)) = self.wait
            && last_seen.get(&self.record.thread.tid) <= Some(&since)
        {
            self.end_wait(elapsed.saturating_sub(since));
        }
        self.record
    }
}

impl AcceptRecord {
    fn new(thread: Actor, listener: SocketAddr, listener_fd: u32) -> Self {
        Self {
            thread,
            listener,
            listener_fd,
            epoll: None,
            accepted: 0,
            failures: BTreeMap::new(),
            rounds: 0,
            drained: 0,
            stopped: 0,
            stopped_and_slept: 0,
            taken: None,
            passed_by: 0,
            left: 0,
            slept: Duration::ZERO,
            last_step: None,
        }
    }
}
