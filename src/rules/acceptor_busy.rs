#![doc = include_str!("../../docs/findings/acceptor-busy.md")]

use super::evidence::{self, acceptor_evidence, listener_subject, queue_evidence};
use super::remedies::{Cause, Facts, remedies};
use super::thresholds::{FD_SETSIZE, FD_SETSIZE_MARGIN};
use super::{Check, Confidence, Evidence, Finding, Rule, waits};
use crate::correlate::acceptor::{Acceptor, AcceptorState};
use crate::correlate::waits::{Group, Target};
use crate::correlate::{Activity, Analysis, StuckListener, ThreadRecord, Waiting};
use crate::model::Pid;

pub(super) const RULE: Rule = Rule {
    id: "acceptor-busy",
    page: include_str!("../../docs/findings/acceptor-busy.md"),
    check: Check::Cause(check),
};

struct Busy<'a> {
    acceptor: &'a Acceptor<'a>,
    tid: Pid,
    activity: &'a Activity,
    constant: bool,
    sole: bool,
}

fn check(analysis: &Analysis, stuck: &StuckListener) -> Option<Finding> {
    if stuck.waiting == Waiting::Briefly {
        return None;
    }
    let busy: Vec<Busy> = stuck
        .acceptors
        .iter()
        .filter_map(|acceptor| match &acceptor.state {
            AcceptorState::Busy {
                tid,
                activity,
                constant,
                sole,
            } => Some(Busy {
                acceptor,
                tid: *tid,
                activity,
                constant: *constant,
                sole: *sole,
            }),
            _ => None,
        })
        .collect();
    let Some(first) = busy.first() else {
        return without_thread(analysis, stuck);
    };
    // If no process registers the listener, a supervisor that holds it may be the acceptor.
    let registered = stuck
        .acceptors
        .iter()
        .any(|acceptor| !acceptor.watches.is_empty());
    let all = busy.len() == stuck.acceptors.len() && (registered || stuck.holders.is_empty());
    let confidence = match stuck.waiting {
        Waiting::TooLong(_) if all && is_plain(&busy) && evidence::watched_long_enough(stuck) => {
            Confidence::Certain
        }
        Waiting::TooLong(_) => Confidence::Likely,
        Waiting::Unknown | Waiting::Briefly => Confidence::Possible,
    };
    let mut seen = queue_evidence(analysis, stuck);
    seen.extend(acceptor_evidence(analysis, stuck));
    seen.extend(select_limit(first).map(Evidence::from));
    Some(Finding {
        id: RULE.id,
        severity: evidence::queue_severity(stuck),
        confidence,
        subject: listener_subject(
            stuck,
            busy.iter().map(|busy| busy.acceptor.process.pid).collect(),
        ),
        headline: headline(analysis, stuck, &busy),
        evidence: seen,
        conclusion: waits::conclusion(&stuck.facts, &stuck.waits)
            .or_else(|| ended_or_parked(stuck, &busy)),
        remedies: remedies(
            &Facts::of(RULE.id, cause(first), Some(first.acceptor.process)).thread(first.tid),
        ),
        connections: stuck.queue.length as usize,
    })
}

/// The listener is registered in a set on which no thread waits any more.
fn without_thread(analysis: &Analysis, stuck: &StuckListener) -> Option<Finding> {
    let left: Vec<(&Acceptor, usize)> = stuck
        .acceptors
        .iter()
        .filter_map(|acceptor| match acceptor.state {
            AcceptorState::NoThread { watch } => Some((acceptor, watch)),
            _ => None,
        })
        .collect();
    let (first, watch) = left.first()?;
    let mut seen = queue_evidence(analysis, stuck);
    seen.extend(acceptor_evidence(analysis, stuck));
    let pids: Vec<Pid> = left.iter().map(|(one, _)| one.process.pid).collect();
    Some(Finding {
        id: RULE.id,
        severity: evidence::queue_severity(stuck),
        confidence: match stuck.waiting {
            Waiting::TooLong(_) => Confidence::Likely,
            Waiting::Unknown | Waiting::Briefly => Confidence::Possible,
        },
        subject: listener_subject(stuck, pids),
        headline: format!(
            "{}, and no thread of {} is left that waits on epoll fd {}, which watches the listener",
            evidence::waiting_clause(stuck),
            evidence::process_name(first.process),
            first.watches[*watch].epoll_fd,
        ),
        evidence: seen,
        conclusion: Some(
            "the thread of that event loop has ended, by an exception for example, or something \
             keeps it parked"
                .to_owned(),
        ),
        remedies: remedies(&Facts::of(RULE.id, Cause::LoopEnded, Some(first.process))),
        connections: stuck.queue.length as usize,
    })
}

/// Each process has just one thread, and it did the same at every look. No fact ties one of several
/// threads to what it does not wait for.
fn is_plain(busy: &[Busy]) -> bool {
    busy.iter().all(|busy| busy.constant && busy.sole)
}

fn headline(analysis: &Analysis, stuck: &StuckListener, busy: &[Busy]) -> String {
    let first = &busy[0];
    let doing = analysis.describe_activity(first.acceptor.process, first.activity);
    let waiting = evidence::waiting_clause(stuck);
    if let Some(group) = primary(stuck, busy) {
        let members = waits::group_sentence(&stuck.facts, &stuck.waits, group);
        return format!("{waiting}: {members}");
    }
    if busy.len() == 1
        && let Some(sentence) = waits::standstill_sentence(&stuck.facts, &stuck.waits)
    {
        return format!("{waiting}: {sentence}");
    }
    let name = evidence::process_name(first.acceptor.process);
    match (busy.len(), first.sole) {
        (1, true) => format!(
            "{waiting}, and {} of {name} is {doing}{}",
            evidence::thread_name(first.acceptor, first.tid),
            select_clause(first),
        ),
        (1, false) => format!(
            "{waiting}, and none of the {} threads of {name} waits for them; {} is {doing}{}",
            first.acceptor.threads.len(),
            evidence::thread_name(first.acceptor, first.tid),
            busy_others(stuck, first),
        ),
        (number, _) => format!(
            "{waiting}, and all {number} processes that would accept are busy, {name} {doing}"
        ),
    }
}

/// A thread that rests need not be the one that accepted before.
fn ended_or_parked(stuck: &StuckListener, busy: &[Busy]) -> Option<String> {
    let [first] = busy else { return None };
    let rests = match first.activity {
        Activity::Futex | Activity::Sleep { .. } => true,
        Activity::Poll { fds: Some(fds), .. } => fds.is_empty(),
        _ => false,
    };
    let is_explained = primary(stuck, busy).is_some()
        || waits::standstill_sentence(&stuck.facts, &stuck.waits).is_some();
    (rests && !first.sole && first.acceptor.watches.is_empty() && !is_explained).then(|| {
        "the thread that accepts is parked, at a limit or a lock, or has ended, by an exception for example: its log may \
         say so"
            .to_owned()
    })
}

/// A program that waits with `select` stops working at the descriptor 1024, whatever its limit.
fn select_limit(busy: &Busy) -> Option<String> {
    let process = busy.acceptor.process;
    let examination = process.examination.as_ref()?;
    if !examination.epoll_sets.is_empty() {
        return None;
    }
    let highest = examination
        .descriptors
        .iter()
        .map(|one| u64::from(one.fd))
        .max();
    let next = process.lowest_free_fd.copied();
    let above = highest.max(next).filter(|fd| *fd >= FD_SETSIZE)?;
    let just_above = above < FD_SETSIZE + FD_SETSIZE_MARGIN;
    let may_select = match busy.activity {
        Activity::Running => true,
        // A loop that rests after each failure stops as soon as the limit is passed.
        Activity::Sleep { .. } => just_above,
        other => other.call_name().contains("select"),
    };
    if !may_select {
        return None;
    }
    Some(format!(
        "{} has descriptors up to {above} and no epoll set: select() takes none above 1023 (FD_SETSIZE), \
         and a loop around it fails or spins from there on",
        evidence::process_name(process)
    ))
}

/// The threads that cannot go on for the same reason as the first one that is busy; of several processes, the
/// most.
fn primary<'s>(stuck: &'s StuckListener, busy: &[Busy]) -> Option<&'s Group> {
    let first = (busy[0].acceptor.process.pid, busy[0].tid);
    let groups = &stuck.waits.groups;
    if busy.len() > 1 {
        return groups.first();
    }
    groups
        .iter()
        .find(|group| group.members.iter().any(|one| (one.pid, one.tid) == first))
}

fn select_clause(busy: &Busy) -> &'static str {
    if select_limit(busy).is_some() {
        "; select() takes no descriptor above 1023, and it has more"
    } else {
        ""
    }
}

/// The threads that use the processor while the thread that should accept waits for another: a garbage collector, a
/// compiler, a thread that computes.
fn busy_others(stuck: &StuckListener, busy: &Busy) -> String {
    if *busy.activity != Activity::Futex {
        return String::new();
    }
    let groups = &stuck.waits.groups;
    let running = groups
        .iter()
        .find(|group| group.target == Target::Processor);
    running.map_or(String::new(), |group| {
        format!(
            ", while {} a processor",
            match &group.members[..] {
                [one] => format!("thread {} ({}) uses", one.tid, one.name),
                [first, ..] => format!("{} threads ({}, ...) use", group.members.len(), first.name),
                [] => String::new(),
            }
        )
    })
}

fn cause(busy: &Busy) -> Cause {
    if waits_for_kernel(busy) {
        return Cause::Kernel;
    }
    match busy.activity {
        Activity::OnDescriptor { .. } | Activity::Poll { .. } => Cause::Descriptor,
        Activity::Sleep { .. } => Cause::Nap,
        Activity::Running => Cause::Computes,
        Activity::Futex => Cause::Lock,
        Activity::EpollWait { .. }
        | Activity::Accept { .. }
        | Activity::ChildOrSignal { .. }
        | Activity::IoUring
        | Activity::Other(_)
        | Activity::OutsideCalls
        | Activity::Unseen(_) => Cause::Elsewhere,
    }
}

/// A parent in `vfork` sleeps as if for the kernel, and waits for its child.
fn waits_for_kernel(busy: &Busy) -> bool {
    let mut waits = busy.acceptor.waits.threads.iter();
    let for_child =
        waits.any(|wait| wait.tid == busy.tid && matches!(wait.target, Target::Child { .. }));
    !for_child
        && busy
            .acceptor
            .thread(busy.tid)
            .is_some_and(ThreadRecord::is_uninterruptible)
}
