//! Decides what keeps a process from accepting.

use std::collections::BTreeSet;
use std::time::Duration;

use super::acceptor_types::{Acceptor, AcceptorState, Doubt};
use super::activity::Activity;
use super::halt::halt;
use super::threads::Unwatched;
use super::threads::{self, ThreadLook, ThreadRecord, idleness, is_socket, weight};
use super::waits::Target;
use super::watch::{Watch, Watches};
use crate::model::{Descriptor, Gap, Pid, Reading, RunState};

/// Decides the state; a cause that makes the others meaningless comes first.
///
/// A stopped thread still shows the call it was stopped in, and one that can open no more
/// descriptors may sleep or spin: neither is the cause.
pub(super) fn state_of(acceptor: &Acceptor, watches: &Watches) -> AcceptorState {
    let process = acceptor.process;
    let Some(examination) = &process.examination else {
        let gap = process.state.gap().unwrap_or(Gap::NotLookedAt);
        return AcceptorState::Unclear(Doubt::Unseen(gap));
    };
    if let Some(halt) = halt(process) {
        return AcceptorState::Halted(halt);
    }
    if let Some(gap) = examination.threads.gap().or(acceptor.unseen()) {
        return AcceptorState::Unclear(Doubt::Unseen(gap));
    }
    // A thread that is blocked on a socket in every sample has not even tried to accept.
    if let Some(limit) = process.exhausted_fd_limit()
        && !acceptor.is_blocked_on_socket()
    {
        return AcceptorState::AtFdLimit { limit };
    }
    if acceptor.accepts() {
        return AcceptorState::Serving;
    }
    if !examination.io_urings.is_empty() && acceptor.any(|look| look.activity == Activity::IoUring)
    {
        return AcceptorState::Unclear(Doubt::IoUring);
    }
    if !watches.complete && acceptor.watches.is_empty() {
        return AcceptorState::Unclear(Doubt::Unseen(Gap::NotPermitted));
    }
    if acceptor.watches.is_empty() {
        acceptor.without_watch()
    } else if acceptor.is_armed() {
        acceptor.armed()
    } else {
        acceptor.disarmed()
    }
}

impl Acceptor<'_> {
    /// Returns whether a thread was seen in `accept` on the listener, or polling it.
    ///
    /// A stopped thread still shows the call it was stopped in; here that is enough.
    pub fn accepts(&self) -> bool {
        self.any(|look| match &look.activity {
            Activity::Accept { fd } => self.fds.contains(fd),
            Activity::Poll { fds: Some(fds), .. } => fds.iter().any(|fd| self.fds.contains(fd)),
            _ => false,
        })
    }

    /// Returns whether the listener is registered for input.
    pub(super) fn is_armed(&self) -> bool {
        self.watches
            .iter()
            .any(|watch| watch.registration.wants_input())
    }

    /// Returns whether a thread was seen waiting on a set through which the listener would wake it.
    pub(super) fn waits(&self) -> bool {
        self.watches
            .iter()
            .any(|watch| self.any(|look| sleeps_on(look, watch)))
    }

    /// Returns whether its main thread does what masters do: wait for children, signals, or in an
    /// event loop for something else.
    pub(super) fn is_supervisor(&self) -> bool {
        let main = self.threads.first().and_then(ThreadRecord::usual);
        main.is_some_and(|(activity, _)| idleness(&activity, self.descriptors()).is_some())
    }

    /// How much its most active thread is at work.
    pub(super) fn weight(&self) -> u8 {
        let weights = self.threads.iter().filter_map(|thread| {
            let (activity, _) = thread.usual()?;
            Some(weight(&activity, self.descriptors()))
        });
        weights.max().unwrap_or(0)
    }

    /// The thread with this id.
    pub fn thread(&self, tid: Pid) -> Option<&ThreadRecord> {
        self.threads.iter().find(|thread| thread.tid == tid)
    }

    /// How many looks there were while connections waited.
    pub fn look_count(&self) -> usize {
        let times: BTreeSet<Duration> = self.looks().map(|look| look.at).collect();
        times.len()
    }

    fn looks(&self) -> impl Iterator<Item = &ThreadLook> {
        self.threads.iter().flat_map(|thread| &thread.looks)
    }

    fn any(&self, fits: impl Fn(&ThreadLook) -> bool) -> bool {
        self.looks().any(fits)
    }

    fn descriptors(&self) -> &[Descriptor] {
        let examination = self.process.examination.as_ref();
        examination.map_or(&[], |examination| &examination.descriptors)
    }

    /// Threads that have not exited.
    fn living(&self) -> impl Iterator<Item = &ThreadRecord> {
        self.threads.iter().filter(|thread| {
            let exited = |look: &ThreadLook| look.state == Reading::Known(RunState::Zombie);
            !thread.looks.iter().any(exited)
        })
    }

    fn is_sole(&self) -> bool {
        self.living().count() == 1
    }

    fn is_blocked_on_socket(&self) -> bool {
        let thread = self.living().next().and_then(ThreadRecord::usual);
        self.is_sole()
            && matches!(thread, Some((Activity::OnDescriptor { fd, .. }, true))
                if is_socket(self.descriptors(), fd))
    }

    /// Why none of the threads' calls could be seen, if none could.
    fn unseen(&self) -> Option<Gap> {
        let mut gap = None;
        for look in self.looks() {
            match &look.activity {
                Activity::Unseen(reason) if *reason != Gap::Vanished => gap = Some(*reason),
                Activity::Unseen(_) => {}
                _ => return None,
            }
        }
        gap
    }

    /// For a listener that is registered for input.
    fn armed(&self) -> AcceptorState {
        let mut best: Option<(usize, usize, Pid)> = None;
        for (index, watch) in self.watches.iter().enumerate() {
            if watch.registration.wants_input()
                && let Some((asleep, tid)) = self.asleep_on(watch)
                && best.is_none_or(|(_, most, _)| asleep > most)
            {
                best = Some((index, asleep, tid));
            }
        }
        let Some((watch, asleep, tid)) = best else {
            let armed = |watch: &Watch| watch.registration.wants_input();
            let watch = self.watches.iter().position(armed).unwrap_or_default();
            return match self.loop_thread() {
                Some(thread) => self.busy(Some(thread)),
                None => AcceptorState::NoThread { watch },
            };
        };
        let registration = &self.watches[watch];
        if registration.edge_triggered {
            return AcceptorState::AsleepOnEdge {
                watch,
                tid,
                asleep,
                looks: self.look_count(),
                other_at_work: self.other_at_work(tid),
            };
        }
        if registration.registration.exclusive() {
            return AcceptorState::NotWoken;
        }
        // A level-triggered wait returns at once while a connection waits: so it was between two waits,
        // unless that is all it is ever seen doing.
        if asleep == self.look_count() && asleep > 1 {
            return AcceptorState::Unclear(Doubt::Contradiction);
        }
        self.busy(self.loop_thread().or(self.living().next()))
    }

    /// In how many looks a thread slept on a set through which the watch would wake it, and which.
    fn asleep_on(&self, watch: &Watch) -> Option<(usize, Pid)> {
        let mut times: BTreeSet<Duration> = BTreeSet::new();
        let mut first = None;
        for thread in &self.threads {
            for look in thread.looks.iter().filter(|look| sleeps_on(look, watch)) {
                times.insert(look.at);
                first.get_or_insert(thread.tid);
            }
        }
        Some((times.len(), first?))
    }

    /// Returns whether another thread spent every look on one socket or on a processor.
    fn other_at_work(&self, sleeper: Pid) -> bool {
        self.living()
            .filter(|thread| thread.tid != sleeper)
            .filter_map(ThreadRecord::usual)
            .any(|(activity, constant)| {
                constant
                    && match &activity {
                        Activity::Running => true,
                        Activity::OnDescriptor { fd, .. } => is_socket(self.descriptors(), *fd),
                        _ => false,
                    }
            })
    }

    /// For a listener that is registered, but not for input.
    fn disarmed(&self) -> AcceptorState {
        let watch = 0;
        let spent = self.watches[watch].registration.spent_one_shot();
        let in_loop = |look: &ThreadLook| matches!(look.activity, Activity::EpollWait { .. });
        match self
            .living()
            .find(|thread| thread.looks.iter().any(in_loop))
        {
            Some(thread) => AcceptorState::Unwatched {
                how: if spent {
                    Unwatched::SpentOneShot { watch }
                } else {
                    Unwatched::NoInput { watch }
                },
                tid: thread.tid,
            },
            None => self.busy(self.loop_thread().or(self.living().next())),
        }
    }

    /// For a listener in no epoll set of the process.
    fn without_watch(&self) -> AcceptorState {
        if let Some(thread) = self.blocked_worker() {
            return self.busy(Some(thread));
        }
        let Some(thread) = self.would_be_acceptor() else {
            return AcceptorState::Unclear(Doubt::Unseen(Gap::Vanished));
        };
        // A thread that waits in an event loop even once has one, and it lacks the listener.
        let loops = |activity: &Activity| matches!(activity, Activity::EpollWait { .. });
        let seen = thread
            .looks
            .iter()
            .map(|look| &look.activity)
            .find(|activity| loops(activity))
            .cloned()
            .or_else(|| thread.usual().map(|(activity, _)| activity));
        match seen {
            None => AcceptorState::Unclear(Doubt::Unseen(Gap::Vanished)),
            Some(Activity::Poll { fds: None, .. }) => {
                AcceptorState::Unclear(Doubt::Unseen(Gap::NotPermitted))
            }
            Some(activity) => match idleness(&activity, self.descriptors()) {
                Some(Unwatched::Supervisor) if self.runs_a_child(thread.tid) => {
                    self.busy(Some(thread))
                }
                Some(how) => AcceptorState::Unwatched {
                    how,
                    tid: thread.tid,
                },
                None => self.busy(Some(thread)),
            },
        }
    }

    /// Whether a thread with a client at hand waits for one given child: it runs a program for it. A supervisor
    /// waits for any of its children, and has no clients.
    fn runs_a_child(&self, tid: Pid) -> bool {
        let wait = self.waits.threads.iter().find(|wait| wait.tid == tid);
        self.has_clients
            && wait.is_some_and(|wait| matches!(wait.target, Target::Child { pid: Some(_), .. }))
    }

    /// Picks the thread that would accept, in a process that registers the listener nowhere: one
    /// that is named for it, else the main thread when it is at work, else an idle event loop, else
    /// the one that is most at work.
    fn would_be_acceptor(&self) -> Option<&ThreadRecord> {
        if let Some(named) = self
            .living()
            .find(|thread| is_named_acceptor(&thread.command))
        {
            return Some(named);
        }
        let main = self.living().next()?;
        let main_activity = main.usual()?.0;
        let waits_for_another = main_activity == Activity::Futex;
        if self.is_sole() || self.works(&main_activity) {
            return Some(main);
        }
        let has_loop = |thread: &&ThreadRecord| {
            thread.looks.iter().any(|look| {
                matches!(
                    look.activity,
                    Activity::EpollWait { .. } | Activity::Poll { .. }
                ) && idleness(&look.activity, self.descriptors()).is_some()
            })
        };
        if let Some(idle_loop) = self.living().find(has_loop) {
            return Some(idle_loop);
        }
        // Several threads that each read from their own client are a pool of workers; the main
        // thread waits for one of them to be free.
        let on_sockets = self.living().filter(|thread| {
            thread.usual().is_some_and(|(activity, _)| {
                matches!(activity, Activity::OnDescriptor { fd, .. }
                    if is_socket(self.descriptors(), fd))
            })
        });
        if waits_for_another && on_sockets.count() > 1 {
            return Some(main);
        }
        threads::busiest(&self.threads, self.descriptors())
    }

    /// Returns whether an activity is work in any thread. One of several threads may always sleep.
    fn works(&self, activity: &Activity) -> bool {
        match activity {
            Activity::Sleep { .. } => self.is_sole(),
            other => weight(other, self.descriptors()) >= threads::WORKING,
        }
    }

    /// The thread that should wait on the set that watches the listener: most often the main one. Where many
    /// threads share that work the main one only waits for the others; then it is one that cannot go on, and
    /// none where all are at rest.
    fn loop_thread(&self) -> Option<&ThreadRecord> {
        let examination = self.process.examination.as_ref();
        let shared = examination.is_some_and(|e| e.software.shares_work_among_threads());
        let main = self.living().next()?;
        let activity = main.usual()?.0;
        let waits_elsewhere = matches!(
            activity,
            Activity::EpollWait { .. } | Activity::Accept { .. } | Activity::ChildOrSignal { .. }
        ) || is_pause(&activity);
        if !self.is_sole() && (shared || waits_elsewhere) {
            return self.blocked_thread();
        }
        // Many wait for orders of a parent by reading a pipe, and leave the clients to other threads.
        let reads_pipe = matches!(activity, Activity::OnDescriptor { fd, .. }
            if threads::is_channel(self.descriptors(), fd));
        if !self.is_sole() && reads_pipe {
            return self.blocked_thread().or(Some(main));
        }
        Some(main)
    }

    /// The first of the most threads that cannot go on for the same reason.
    fn blocked_thread(&self) -> Option<&ThreadRecord> {
        let group = self.waits.groups.first()?;
        self.thread(group.members[0].tid)
    }

    /// A thread of a pool that cannot go on. The idle threads of such a process say nothing: one may poll a pipe
    /// for signals, one sleep until a place is free. An event loop that has clients of its own, and is idle,
    /// would accept however.
    fn blocked_worker(&self) -> Option<&ThreadRecord> {
        let idle_loop = self.living().any(|thread| {
            thread.looks.iter().any(|look| {
                matches!(look.activity, Activity::EpollWait { fd } if self.loops.contains(&fd))
            })
        });
        if self.is_sole() || idle_loop {
            return None;
        }
        let group = self.waits.foreign()?;
        self.thread(group.members[0].tid)
    }

    fn busy(&self, thread: Option<&ThreadRecord>) -> AcceptorState {
        let usual = thread.and_then(|thread| Some((thread.tid, thread.usual()?)));
        match usual {
            Some((tid, (activity, constant))) => AcceptorState::Busy {
                tid,
                activity,
                constant,
                sole: self.is_sole(),
            },
            None => AcceptorState::Unclear(Doubt::Unseen(Gap::Vanished)),
        }
    }
}

/// Whether a thread polls no descriptor: it waits for signals, or lets time pass.
fn is_pause(activity: &Activity) -> bool {
    matches!(activity, Activity::Poll { fds: Some(fds), .. } if fds.is_empty())
}

fn sleeps_on(look: &ThreadLook, watch: &Watch) -> bool {
    matches!(look.activity, Activity::EpollWait { fd } if watch.reached_by.contains(&fd))
}

/// The kernel keeps 15 bytes of a name: Tomcat's `http-nio-8080-Acceptor` ends in `-A`.
fn is_named_acceptor(command: &str) -> bool {
    const LONGEST: usize = 15;
    let name = command.to_ascii_lowercase();
    let cut = ["-a", "-ac", "-acc", "-acce", "-accep"];
    name.contains("accept")
        || (name.len() == LONGEST && cut.iter().any(|ending| name.ends_with(ending)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acceptor_threads_are_recognised_by_names_that_were_cut() {
        for name in [
            "http-nio-8080-A",
            "acceptor-0",
            "Acceptor",
            "http-nio-80-Acc",
        ] {
            assert!(is_named_acceptor(name), "{name}");
        }
        for name in ["server", "worker-a", "http-nio-8080-P"] {
            assert!(!is_named_acceptor(name), "{name}");
        }
    }
}
