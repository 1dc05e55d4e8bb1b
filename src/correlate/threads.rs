//! Threads over several samples: what they do, and which of them is at work.

use std::time::Duration;

use super::activity::{self, Activity};
use crate::model::{Descriptor, Pid, Process, Reading, RunState, Snapshot, Thread, ThreadSample};

/// A thread over all looks during which connections waited.
#[derive(Debug, Clone)]
pub struct ThreadRecord {
    /// Its id.
    pub tid: Pid,
    /// Its name.
    pub command: String,
    /// What it did at each look.
    pub looks: Vec<ThreadLook>,
}

/// A thread at one look.
#[derive(Debug, Clone)]
pub struct ThreadLook {
    /// When, since the look began.
    pub at: Duration,
    /// Whether it ran, slept or was stopped.
    pub state: Reading<RunState>,
    /// What it was doing.
    pub activity: Activity,
}

pub(super) fn first_look(machine: &str, thread: &Thread) -> ThreadLook {
    ThreadLook {
        at: Duration::ZERO,
        state: thread.state,
        activity: activity::interpret(
            machine,
            thread.state,
            thread.syscall,
            thread.polled_fds.as_ref(),
        ),
    }
}

pub(super) fn later_look(machine: &str, at: Duration, seen: &ThreadSample) -> ThreadLook {
    ThreadLook {
        at,
        state: seen.state,
        activity: activity::interpret(machine, seen.state, seen.syscall, seen.polled_fds.as_ref()),
    }
}

/// What each thread of a process was seen doing, at the first look and at every sample.
pub(super) fn records(process: &Process, snapshot: &Snapshot) -> Vec<ThreadRecord> {
    let machine = &snapshot.host.machine;
    let threads = process
        .examination
        .iter()
        .filter_map(|examination| examination.threads.known())
        .flatten();
    threads
        .map(|thread| {
            let samples = snapshot.samples.iter().flat_map(|sample| {
                let seen = sample.threads.iter();
                seen.filter(|seen| seen.pid == process.pid && seen.tid == thread.tid)
                    .map(|seen| later_look(machine, sample.at, seen))
            });
            ThreadRecord {
                tid: thread.tid,
                command: thread.command.clone(),
                looks: std::iter::once(first_look(machine, thread))
                    .chain(samples)
                    .collect(),
            }
        })
        .collect()
}

impl ThreadRecord {
    /// What the thread was seen doing most, and whether it was that every time.
    pub fn usual(&self) -> Option<(Activity, bool)> {
        let mut best: Option<(&Activity, usize)> = None;
        for look in &self.looks {
            let same = |other: &&ThreadLook| other.activity == look.activity;
            let count = self.looks.iter().filter(same).count();
            if best.is_none_or(|(_, most)| count > most) {
                best = Some((&look.activity, count));
            }
        }
        let (activity, count) = best?;
        Some((activity.clone(), count == self.looks.len()))
    }

    /// Returns whether it slept where nothing but the awaited event wakes it, in every look.
    pub fn is_uninterruptible(&self) -> bool {
        !self.looks.is_empty()
            && self
                .looks
                .iter()
                .all(|look| look.state == Reading::Known(RunState::Uninterruptible))
    }
}

/// From this weight on a thread is at work, rather than waiting for work.
pub(super) const WORKING: u8 = 3;

/// Orders activities by how likely they keep a thread from accepting.
pub(super) fn weight(activity: &Activity, descriptors: &[Descriptor]) -> u8 {
    match activity {
        Activity::OnDescriptor { fd, .. } if is_socket(descriptors, *fd) => 6,
        Activity::Running => 5,
        // Reading a pipe or an eventfd is waiting for work.
        Activity::OnDescriptor { fd, .. } if is_channel(descriptors, *fd) => 2,
        Activity::OnDescriptor { .. } | Activity::OutsideCalls | Activity::Other(_) => 4,
        Activity::Sleep { .. } => WORKING,
        Activity::Poll { .. } if idleness(activity, descriptors).is_none() => WORKING,
        Activity::Futex | Activity::Poll { .. } | Activity::EpollWait { .. } => 2,
        Activity::Accept { .. } | Activity::ChildOrSignal { .. } | Activity::IoUring => 1,
        Activity::Unseen(_) => 0,
    }
}

pub(super) fn is_socket(descriptors: &[Descriptor], fd: u32) -> bool {
    descriptors
        .iter()
        .any(|descriptor| descriptor.fd == fd && descriptor.socket().is_some())
}

pub(super) fn is_channel(descriptors: &[Descriptor], fd: u32) -> bool {
    descriptors.iter().any(|descriptor| {
        let target = &descriptor.target;
        descriptor.fd == fd && (target.starts_with("pipe:") || target.starts_with("anon_inode:"))
    })
}

/// Returns whether an activity is that of an idle event loop or a supervisor.
///
/// A thread asleep in poll while connections wait does not poll the listener: poll is
/// level-triggered and would have returned. If it polls one socket, it waits for that peer.
pub(super) fn idleness(activity: &Activity, descriptors: &[Descriptor]) -> Option<Unwatched> {
    match activity {
        Activity::EpollWait { fd } => Some(Unwatched::NotInSet { epoll_fd: *fd }),
        Activity::Poll { fds: Some(fds), .. } => match fds[..] {
            [one] if is_socket(descriptors, one) => None,
            _ => Some(Unwatched::NotPolled),
        },
        Activity::ChildOrSignal { .. } => Some(Unwatched::Supervisor),
        Activity::Running
        | Activity::Poll { fds: None, .. }
        | Activity::Accept { .. }
        | Activity::OnDescriptor { .. }
        | Activity::Futex
        | Activity::Sleep { .. }
        | Activity::IoUring
        | Activity::Other(_)
        | Activity::OutsideCalls
        | Activity::Unseen(_) => None,
    }
}

/// Returns the main thread when it is at work, else the busiest one.
pub(super) fn busiest<'t>(
    threads: &'t [ThreadRecord],
    descriptors: &[Descriptor],
) -> Option<&'t ThreadRecord> {
    let weigh = |thread: &ThreadRecord| {
        thread
            .usual()
            .map_or(0, |(activity, _)| weight(&activity, descriptors))
    };
    let main = threads.first()?;
    if weigh(main) >= WORKING {
        return Some(main);
    }
    // Of equals the first, so the main thread goes before the others.
    threads.iter().rev().max_by_key(|thread| weigh(thread))
}

/// How a listener goes unwatched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unwatched {
    /// An idle thread waits on a set without it.
    NotInSet {
        /// The set it waits on.
        epoll_fd: u32,
    },
    /// It is in a set, with a mask that lets nothing in.
    NoInput {
        /// Which of the acceptor's watches.
        watch: usize,
    },
    /// It is in a set as one-shot, and its one event was delivered.
    SpentOneShot {
        /// Which of the acceptor's watches.
        watch: usize,
    },
    /// An idle thread polls other descriptors.
    NotPolled,
    /// The process waits for its children or for signals, as a supervisor does.
    Supervisor,
}
