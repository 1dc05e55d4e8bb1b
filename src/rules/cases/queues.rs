//! Rules on accept queues. Who would accept, and what keeps it from it, is given.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{GRACE, SERVER};
use crate::correlate::acceptor::{Acceptor, AcceptorState, Doubt, Halt, Unwatched};
use crate::correlate::waits::Summary;
use crate::correlate::{Activity, Analysis, Waiting, Watch, fixtures};
use crate::model::{DroppedCounters, EpollWatch, Extent, Gap, Pid, Reading, Snapshot, SocketTable};
use crate::rules::rule::Check;
use crate::rules::thresholds::{PROOF_LOOKS, PROOF_SPAN};
use crate::rules::{Confidence, Finding, Severity, cause, find};

/// What is varied.
#[derive(Clone)]
struct Case {
    length: u32,
    limit: Reading<u32>,
    waiting: Waiting,
    states: Vec<AcceptorState>,
    samples: usize,
    span: Duration,
    holders: Extent,
    dropped: Option<u64>,
}

impl Case {
    /// Somebody has waited for exactly the grace period, and the queue was watched for just long enough.
    fn of(states: Vec<AcceptorState>) -> Self {
        Self {
            length: 2,
            limit: Reading::Known(128),
            waiting: Waiting::TooLong(GRACE),
            states,
            samples: PROOF_LOOKS,
            span: PROOF_SPAN,
            holders: Extent::Whole,
            dropped: None,
        }
    }

    fn snapshot(&self) -> Snapshot {
        let mut listener = fixtures::listener("127.0.0.1:8080", 1);
        listener.accept_queue_len = self.length;
        listener.accept_queue_limit = self.limit;
        let mut snapshot = fixtures::snapshot(SocketTable {
            listeners: vec![listener],
            connections: vec![fixtures::waiting_connection(3000)],
            ..SocketTable::default()
        });
        snapshot.coverage.holders = self.holders;
        let counters = |overflows| DroppedCounters {
            overflows,
            drops: overflows,
        };
        snapshot.dropped = self.dropped.map(|rose| (counters(5), counters(5 + rose)));
        for pid in (SERVER..).take(self.states.len()) {
            snapshot.processes.insert(pid, fixtures::process(pid));
        }
        snapshot
    }

    fn judge<T>(&self, rules: impl FnOnce(&Analysis, &crate::correlate::StuckListener) -> T) -> T {
        let analysis = Analysis::new(self.snapshot(), GRACE);
        let mut stuck = analysis
            .stuck_listeners()
            .next()
            .expect("its queue is not empty");
        stuck.waiting = self.waiting;
        stuck.samples = self.samples;
        stuck.span = self.span;
        let processes = analysis.snapshot.processes.values();
        stuck.acceptors = processes
            .zip(self.states.iter().cloned())
            .map(|(process, state)| Acceptor {
                process,
                fds: vec![3],
                watches: vec![watch()],
                threads: Vec::new(),
                waits: Summary::default(),
                loops: BTreeSet::new(),
                state,
                has_clients: false,
            })
            .collect();
        rules(&analysis, &stuck)
    }

    /// The cause that is told.
    fn cause(&self) -> Finding {
        self.judge(cause).expect("a cause is found")
    }

    fn causes(&self) -> Option<&'static str> {
        self.judge(cause).map(|finding| finding.id)
    }

    fn overflow(&self) -> Option<Finding> {
        let rule = find("accept-queue-overflow").expect("it is a rule");
        let Check::Queue(check) = rule.check else {
            panic!("it is about a queue");
        };
        self.judge(check)
    }
}

/// The listener in an epoll set, edge-triggered.
fn watch() -> Watch {
    Watch {
        epoll_fd: 4,
        registration: EpollWatch {
            target_fd: 3,
            events: 0x8000_0001,
            target_inode: Some(1),
        },
        reached_by: vec![4],
        edge_triggered: true,
    }
}

fn asleep(times: usize, looks: usize) -> AcceptorState {
    AcceptorState::AsleepOnEdge {
        watch: 0,
        tid: SERVER,
        asleep: times,
        looks,
        other_at_work: false,
    }
}

fn busy(tid: Pid, sole: bool) -> AcceptorState {
    AcceptorState::Busy {
        tid,
        activity: Activity::Sleep {
            call: "clock_nanosleep",
        },
        constant: true,
        sole,
    }
}

fn unwatched() -> AcceptorState {
    AcceptorState::Unwatched {
        how: Unwatched::NotInSet { epoll_fd: 4 },
        tid: SERVER,
    }
}

fn every_state() -> [AcceptorState; 7] {
    [
        asleep(3, 3),
        busy(SERVER, true),
        unwatched(),
        AcceptorState::Halted(Halt::Stopped),
        AcceptorState::AtFdLimit { limit: 40 },
        AcceptorState::NoThread { watch: 0 },
        AcceptorState::Unclear(Doubt::Contradiction),
    ]
}

#[test]
fn nobody_is_accused_of_a_queue_in_which_nobody_has_waited_long() {
    for state in every_state() {
        let mut case = Case::of(vec![state]);
        case.waiting = Waiting::Briefly;
        assert_eq!(case.causes(), None);
    }
}

#[test]
fn each_state_has_its_cause() {
    let causes = every_state().map(|state| Case::of(vec![state]).causes());
    assert_eq!(
        causes.map(Option::unwrap_or_default),
        [
            "edge-triggered-stall",
            "acceptor-busy",
            "listener-unwatched",
            "acceptor-stopped",
            "fd-limit-reached",
            "acceptor-busy",
            "accept-queue-stranded",
        ]
    );
}

#[test]
fn where_it_is_not_known_how_long_they_have_waited_no_cause_is_certain() {
    // But for sleep on an edge while the queue is not empty, which is proof of itself.
    for state in every_state().into_iter().skip(1) {
        let mut case = Case::of(vec![state.clone()]);
        case.waiting = Waiting::Unknown;
        assert_ne!(case.cause().confidence, Confidence::Certain, "{state:?}");
    }
}

#[test]
fn a_stall_is_certain_from_the_fewest_looks_over_the_shortest_span_on() {
    let case = Case::of(vec![asleep(PROOF_LOOKS, PROOF_LOOKS)]);
    assert_eq!(case.cause().confidence, Confidence::Certain);
    let short = Case {
        span: PROOF_SPAN.saturating_sub(Duration::from_millis(1)),
        ..case.clone()
    };
    assert_eq!(short.cause().confidence, Confidence::Likely);
    let few = Case {
        samples: PROOF_LOOKS - 1,
        ..case.clone()
    };
    assert_eq!(few.cause().confidence, Confidence::Likely);
    // Four of five looks are the share that is proof.
    let share = |times| Case::of(vec![asleep(times, 10)]).cause().confidence;
    assert_eq!(share(8), Confidence::Certain);
    assert_eq!(share(7), Confidence::Likely);
    // Of one of two acceptors it is likely only.
    let two = Case::of(vec![asleep(3, 3), AcceptorState::Serving]);
    assert_eq!(two.cause().confidence, Confidence::Likely);
    // Seen once while nobody is known to wait, a healthy server looks like that.
    let once = Case {
        waiting: Waiting::Unknown,
        ..Case::of(vec![asleep(1, 1)])
    };
    assert_ne!(once.causes(), Some("edge-triggered-stall"));
}

#[test]
fn a_stop_explains_a_queue_when_nobody_else_could_accept() {
    let stopped = AcceptorState::Halted(Halt::Frozen);
    let all = Case::of(vec![stopped.clone(), AcceptorState::NotWoken]);
    assert_eq!(all.causes(), Some("acceptor-stopped"));
    assert_eq!(all.cause().subject.pids, [SERVER]);
    let one = Case::of(vec![stopped, unwatched()]);
    assert_eq!(one.causes(), Some("listener-unwatched"));
}

#[test]
fn an_idle_loop_is_accused_with_certainty_only_when_all_holders_were_seen() {
    let mut case = Case::of(vec![unwatched()]);
    assert_eq!(case.cause().confidence, Confidence::Certain);
    case.holders = Extent::Partly(Gap::NotPermitted);
    assert_eq!(case.cause().confidence, Confidence::Likely);
}

#[test]
fn a_supervisor_beside_a_worker_that_is_busy_is_not_accused() {
    let supervisor = AcceptorState::Unwatched {
        how: Unwatched::Supervisor,
        tid: SERVER,
    };
    let alone = Case::of(vec![supervisor.clone()]);
    assert_eq!(alone.causes(), Some("listener-unwatched"));
    let beside = Case::of(vec![supervisor, busy(SERVER + 1, true)]);
    assert_eq!(beside.causes(), Some("acceptor-busy"));
}

#[test]
fn one_of_several_threads_is_likely_the_one_that_is_busy() {
    let sole = Case::of(vec![busy(SERVER, true)]);
    assert_eq!(sole.cause().confidence, Confidence::Certain);
    let of_many = Case::of(vec![busy(SERVER, false)]);
    assert_eq!(of_many.cause().confidence, Confidence::Likely);
}

#[test]
fn what_was_not_seen_is_said_of_a_stranded_queue() {
    let refused = AcceptorState::Unclear(Doubt::Unseen(Gap::NotPermitted));
    let unseen = Case::of(vec![refused]).cause();
    assert_eq!(unseen.id, "accept-queue-stranded");
    assert!(unseen.remedies[0].text.contains("root"), "{unseen:#?}");
    let mut nobody = Case::of(Vec::new());
    nobody.holders = Extent::Unread(Gap::NotPermitted);
    let hidden = nobody.cause();
    assert!(
        hidden
            .conclusion
            .is_some_and(|text| text.contains("could not be seen")),
        "what could not be seen is not said to be absent"
    );
    nobody.holders = Extent::Whole;
    let absent = nobody.cause();
    assert!(
        absent
            .conclusion
            .is_some_and(|text| text.contains("no process that can be seen"))
    );
}

#[test]
fn a_queue_overflows_above_its_limit() {
    let queue = |length, limit| Case {
        length,
        limit,
        ..Case::of(Vec::new())
    };
    assert!(queue(4, Reading::Known(4)).overflow().is_none());
    let full = queue(5, Reading::Known(4)).overflow().expect("it is over");
    assert_eq!(full.severity, Severity::Critical);
    assert_eq!(full.confidence, Confidence::Certain);
    assert!(
        queue(5, Reading::Unknown(Gap::NotShown))
            .overflow()
            .is_none()
    );
}

#[test]
fn a_full_queue_that_moves_is_judged_by_what_was_dropped() {
    let moving = |dropped| Case {
        length: 5,
        limit: Reading::Known(4),
        waiting: Waiting::Briefly,
        dropped,
        ..Case::of(Vec::new())
    };
    let severity = |dropped| moving(dropped).overflow().map(|finding| finding.severity);
    assert_eq!(severity(Some(1)), Some(Severity::Warning));
    assert_eq!(severity(Some(0)), Some(Severity::Info));
    assert_eq!(severity(None), Some(Severity::Info));
}
