//! How each thread serves a listener: one round lasts from a wake-up to the next wait.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::time::Duration;

use crate::model::{Actor, Event, EventKind, Pid, TcpState, Trace, Wait};

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
    /// What it did last in a stopped round before the wait.
    pub last_step: Option<LastStep>,
}

/// The last thing in a stopped round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LastStep {
    /// It accepted a connection.
    Accept,
    /// It closed a connection.
    Close,
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
                open.round.last_step = Some(LastStep::Accept);
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
                    open.round.last_step = Some(LastStep::Close);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::correlate::tracing::verdict::{AcceptVerdict, judge};
    use crate::model::{Ends, Host, TraceSource, TracedListener, TracedWatch};

    fn event(at_ms: u64, kind: EventKind) -> Event {
        let local = ([127, 0, 0, 1], 8080).into();
        Event {
            at: Duration::from_millis(at_ms),
            actor: Some(Actor {
                pid: 7,
                tid: 7,
                command: "server".to_owned(),
            }),
            socket: 1,
            ends: Ends {
                local,
                remote: local,
            },
            kind,
        }
    }

    fn accepted(queue: u32) -> EventKind {
        EventKind::Accepted {
            listener: 3,
            fd: 9,
            queue,
        }
    }

    fn failed(errno: i32) -> EventKind {
        EventKind::AcceptFailed {
            listener: 3,
            errno,
            queue: 0,
        }
    }

    fn waits(queue: u32, slept_ms: u64) -> EventKind {
        EventKind::Waits(Wait {
            listener: 3,
            call: 232,
            epoll: Some(4),
            returns_at_once: false,
            queue,
            limit: 511,
            slept: Duration::from_millis(slept_ms),
            woke: 1,
        })
    }

    /// The record of the only thread of a trace of a second, and what it shows.
    fn judged(events: Vec<Event>) -> (AcceptRecord, Option<AcceptVerdict>) {
        let trace = Trace {
            started_at: String::new(),
            host: Host {
                hostname: "host".to_owned(),
                kernel: "6.18".to_owned(),
                machine: "x86_64".to_owned(),
            },
            source: TraceSource::Events,
            listeners: vec![TracedListener {
                local: ([127, 0, 0, 1], 8080).into(),
                queue: 0,
                holders: vec![(7, 3)],
                watches: vec![TracedWatch {
                    pid: 7,
                    epoll_fd: 4,
                    edge_triggered: true,
                }],
            }],
            events,
            lost: 0,
            elapsed: Duration::from_secs(1),
        };
        let [record] = <[AcceptRecord; 1]>::try_from(accept_records(&trace)).expect("one thread");
        let verdict = judge(&record, &trace.listeners);
        (record, verdict)
    }

    #[test]
    fn a_thread_that_sleeps_after_a_stopped_round_has_lost_the_edge() {
        let (record, verdict) = judged(vec![event(1, accepted(5)), event(2, waits(5, 0))]);
        let edge_triggered = Some(true);
        assert_eq!(
            verdict,
            Some(AcceptVerdict::StopsBeforeEagain { edge_triggered })
        );
        assert_eq!((record.stopped, record.rounds, record.left), (1, 1, 5));
        assert_eq!(record.slept, Duration::from_millis(998));
    }

    #[test]
    fn one_that_is_woken_for_the_rest_at_once_has_not() {
        let (_, verdict) = judged(vec![
            event(1, accepted(1)),
            event(2, waits(1, 0)),
            event(3, accepted(0)),
            event(4, waits(0, 1)),
        ]);
        assert_eq!(verdict, Some(AcceptVerdict::LeavesRest));
    }

    #[test]
    fn eagain_ends_a_sound_round() {
        let (record, verdict) = judged(vec![
            event(1, accepted(0)),
            event(1, failed(EAGAIN)),
            event(2, waits(0, 0)),
        ]);
        assert_eq!(verdict, Some(AcceptVerdict::Serves));
        assert_eq!((record.drained, record.stopped), (1, 0));
    }

    #[test]
    fn a_shortage_is_told_before_anything_else() {
        let (_, verdict) = judged(vec![
            event(1, accepted(5)),
            event(2, failed(24)),
            event(3, waits(5, 0)),
        ]);
        assert_eq!(verdict, Some(AcceptVerdict::Fails { errno: 24 }));
    }

    #[test]
    fn one_that_watches_and_never_accepts_is_named() {
        let (record, verdict) = judged(vec![event(1, waits(3, 0))]);
        assert_eq!(verdict, Some(AcceptVerdict::NeverAccepts));
        assert_eq!(record.passed_by, 1);
    }

    #[test]
    fn a_wait_that_returns_at_once_ends_no_round() {
        let EventKind::Waits(wait) = waits(5, 0) else {
            panic!("a wait");
        };
        let poll = EventKind::Waits(Wait {
            returns_at_once: true,
            ..wait
        });
        let (record, _) = judged(vec![
            event(1, accepted(5)),
            event(2, poll),
            event(3, failed(EAGAIN)),
            event(4, waits(0, 0)),
        ]);
        assert_eq!((record.rounds, record.stopped), (1, 0));
    }
}
