//! For a listener with waiting connections: who should accept them, and what keeps them from it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::activity::Activity;
use super::threads::{
    self, ThreadLook, ThreadRecord, WORKING, first_look, idleness, is_socket, later_look, weight,
};
use super::watch::{Watch, Watches};
use crate::model::{Descriptor, Gap, Inode, Listener, Pid, Process, Reading, RunState, Snapshot};

/// A process that would accept, and what keeps it from it.
#[derive(Debug)]
pub struct Acceptor<'a> {
    /// The process.
    pub process: &'a Process,
    /// Its descriptors of the listener.
    pub fds: Vec<u32>,
    /// Where it registered the listener.
    pub watches: Vec<Watch>,
    /// What its threads were seen doing while connections waited.
    pub threads: Vec<ThreadRecord>,
    /// What keeps it from accepting.
    pub standing: Standing,
}

/// What keeps a process from accepting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It does not run at all.
    Halted(Halt),
    /// It has as many descriptors open as it may have.
    AtFdLimit {
        /// Open descriptors.
        open: u64,
        /// `RLIMIT_NOFILE`, soft.
        limit: u64,
    },
    /// A thread sleeps on the very set that watches the listener edge-triggered.
    AsleepOnEdge {
        /// Which of the acceptor's watches.
        watch: usize,
        /// The thread.
        tid: Pid,
        /// In how many looks one slept there.
        asleep: usize,
        /// Of how many.
        looks: usize,
        /// Another thread does something on a socket meanwhile, and may be the one that took
        /// the edge.
        other_at_work: bool,
    },
    /// A thread sleeps on a set that watches the listener, and nothing woke it: another waiter
    /// was chosen (`EPOLLEXCLUSIVE`).
    NotWoken,
    /// Nobody in it waits for the listener, though there is a thread that is idle.
    Unwatched {
        /// In which way.
        how: Unwatched,
        /// The idle thread.
        tid: Pid,
    },
    /// The thread that would accept does something else.
    Busy {
        /// The thread.
        tid: Pid,
        /// What it does.
        activity: Activity,
        /// Whether it did that in every look.
        constant: bool,
    },
    /// It was seen accepting, or about to.
    Serving,
    /// It cannot be told.
    Unclear(Doubt),
}

/// Why a process does not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Halt {
    /// Stopped by a signal.
    Stopped,
    /// Stopped by a debugger.
    Traced,
    /// Its cgroup is frozen.
    Frozen,
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

/// Why it cannot be told what keeps a process from accepting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// It was not examined, or its threads could not be seen.
    Unseen(Gap),
    /// It may accept through an `io_uring`.
    IoUring,
    /// What was seen does not fit together: it sleeps on a set that should have woken it.
    Contradiction,
}

/// Divides the owners of a listener into those that would accept and those that merely hold it.
///
/// Whoever watches the listener, or was seen accepting from it, serves it. If nobody does, all
/// would, but not a parent of another owner: a master keeps the listener for its workers.
pub fn acceptors<'a>(
    snapshot: &'a Snapshot,
    listener: &Listener,
) -> (Vec<Acceptor<'a>>, Vec<&'a Process>) {
    let Some(inode) = listener.inode else {
        return (Vec::new(), Vec::new());
    };
    let all: Vec<Acceptor> = owners(snapshot, inode)
        .into_iter()
        .filter_map(|(pid, fds)| {
            let process = snapshot.processes.get(&pid)?;
            Some(acceptor(snapshot, process, inode, fds))
        })
        .collect();
    let serves = |acceptor: &Acceptor| !acceptor.watches.is_empty() || acceptor.accepts();
    let any_serves = all.iter().any(serves);
    let parents: BTreeSet<Pid> = all
        .iter()
        .filter_map(|acceptor| acceptor.process.parent.copied())
        .collect();
    let (accepting, holding): (Vec<_>, Vec<_>) = all.into_iter().partition(|acceptor| {
        if any_serves {
            serves(acceptor)
        } else {
            !parents.contains(&acceptor.process.pid)
        }
    });
    (
        accepting,
        holding
            .into_iter()
            .map(|acceptor| acceptor.process)
            .collect(),
    )
}

/// Processes and their descriptors of a socket.
pub fn owners(snapshot: &Snapshot, inode: Inode) -> BTreeMap<Pid, Vec<u32>> {
    let start = snapshot
        .holders
        .partition_point(|holder| holder.inode < inode);
    let mut owners: BTreeMap<Pid, Vec<u32>> = BTreeMap::new();
    for holder in &snapshot.holders[start..] {
        if holder.inode != inode {
            break;
        }
        owners.entry(holder.pid).or_default().extend(holder.fd);
    }
    owners
}

fn acceptor<'a>(
    snapshot: &'a Snapshot,
    process: &'a Process,
    inode: Inode,
    fds: Vec<u32>,
) -> Acceptor<'a> {
    let all_watches = Watches::of(process);
    let mut acceptor = Acceptor {
        process,
        watches: all_watches.find(inode, &fds),
        threads: thread_records(snapshot, process, inode),
        fds,
        standing: Standing::Serving,
    };
    acceptor.standing = standing(&acceptor, &all_watches);
    acceptor
}

/// What each thread did while connections waited.
fn thread_records(snapshot: &Snapshot, process: &Process, inode: Inode) -> Vec<ThreadRecord> {
    let threads = match &process.examination {
        Some(examination) => examination.threads.known().map_or(&[][..], Vec::as_slice),
        None => &[],
    };
    let mut records: Vec<ThreadRecord> = threads
        .iter()
        .map(|thread| ThreadRecord {
            tid: thread.tid,
            command: thread.command.clone(),
            looks: Vec::new(),
        })
        .collect();
    if snapshot.glances.is_empty() {
        for (record, thread) in records.iter_mut().zip(threads) {
            record
                .looks
                .push(first_look(&snapshot.host.machine, thread));
        }
        return records;
    }
    let waits = |lengths: &BTreeMap<Inode, u32>| lengths.get(&inode).is_some_and(|len| *len > 0);
    for glance in &snapshot.glances {
        if !waits(&glance.before) || !waits(&glance.after) {
            continue;
        }
        for seen in glance.threads.iter().filter(|seen| seen.pid == process.pid) {
            let look = later_look(&snapshot.host.machine, glance.at, seen);
            match records.iter_mut().find(|record| record.tid == seen.tid) {
                Some(record) => record.looks.push(look),
                None => records.push(ThreadRecord {
                    tid: seen.tid,
                    command: String::new(),
                    looks: vec![look],
                }),
            }
        }
    }
    records
}

/// Tells whether a process does not run, and why.
pub fn halt(process: &Process) -> Option<Halt> {
    let examination = process.examination.as_ref()?;
    if examination.frozen == Reading::Known(true) {
        return Some(Halt::Frozen);
    }
    let halted = |state: &Reading<RunState>| match state {
        Reading::Known(RunState::Stopped) => Some(Halt::Stopped),
        Reading::Known(RunState::Traced) => Some(Halt::Traced),
        _ => None,
    };
    match examination.threads.known() {
        // A thread that has exited and is not reaped yet holds nobody back.
        Some(threads) if !threads.is_empty() => {
            let mut living = threads
                .iter()
                .filter(|thread| thread.state != Reading::Known(RunState::Zombie))
                .map(|thread| halted(&thread.state));
            let first = living.next()??;
            living.all(|halt| halt.is_some()).then_some(first)
        }
        _ => halted(&process.state),
    }
}

/// Decides what keeps a process from accepting; what makes the rest meaningless comes first.
///
/// A stopped thread still shows the call it was stopped in, and one that may open no more
/// descriptors may sleep or spin: neither is the cause.
fn standing(acceptor: &Acceptor, watches: &Watches) -> Standing {
    let process = acceptor.process;
    let Some(examination) = &process.examination else {
        let gap = process.state.gap().unwrap_or(Gap::NotLookedAt);
        return Standing::Unclear(Doubt::Unseen(gap));
    };
    if let Some(halt) = halt(process) {
        return Standing::Halted(halt);
    }
    if let (Some(open), Some(limit)) = (process.open_fds.copied(), process.fd_limit.copied())
        && open >= limit.soft
    {
        return Standing::AtFdLimit {
            open,
            limit: limit.soft,
        };
    }
    if let Some(gap) = examination.threads.gap().or(acceptor.unseen()) {
        return Standing::Unclear(Doubt::Unseen(gap));
    }
    if acceptor.accepts() {
        return Standing::Serving;
    }
    if !examination.io_urings.is_empty() && acceptor.any(|look| look.activity == Activity::IoUring)
    {
        return Standing::Unclear(Doubt::IoUring);
    }
    if !watches.complete && acceptor.watches.is_empty() {
        return Standing::Unclear(Doubt::Unseen(Gap::NotPermitted));
    }
    if acceptor.watches.is_empty() {
        return acceptor.without_watch(&examination.descriptors, watches.any);
    }
    acceptor
        .armed()
        .unwrap_or_else(|| acceptor.disarmed(&examination.descriptors))
}

impl Acceptor<'_> {
    /// Tells whether a thread was seen in `accept` on the listener, or polling it.
    ///
    /// A stopped thread still shows the call it was stopped in, which is what is wanted here.
    pub fn accepts(&self) -> bool {
        self.any(|look| match &look.activity {
            Activity::Accept { fd } => self.fds.contains(fd),
            Activity::Poll { fds: Some(fds), .. } => fds.iter().any(|fd| self.fds.contains(fd)),
            _ => false,
        })
    }

    /// The thread with this id.
    pub fn thread(&self, tid: Pid) -> Option<&ThreadRecord> {
        self.threads.iter().find(|thread| thread.tid == tid)
    }

    fn any(&self, fits: impl Fn(&ThreadLook) -> bool) -> bool {
        self.threads
            .iter()
            .flat_map(|thread| &thread.looks)
            .any(fits)
    }

    /// Why none of the threads' calls could be seen, if none could.
    fn unseen(&self) -> Option<Gap> {
        let mut gap = None;
        for look in self.threads.iter().flat_map(|thread| &thread.looks) {
            match &look.activity {
                Activity::Unseen(reason) if *reason != Gap::Vanished => gap = Some(*reason),
                Activity::Unseen(_) => {}
                _ => return None,
            }
        }
        gap
    }

    /// For a listener that is registered for input.
    fn armed(&self) -> Option<Standing> {
        let armed: Vec<usize> = (0..self.watches.len())
            .filter(|index| self.watches[*index].registration.wants_input())
            .collect();
        let mut best: Option<(usize, usize, Pid)> = None;
        for index in &armed {
            if let Some((asleep, tid)) = self.asleep_on(&self.watches[*index])
                && best.is_none_or(|(_, most, _)| asleep > most)
            {
                best = Some((*index, asleep, tid));
            }
        }
        armed.first()?;
        let Some((watch, asleep, tid)) = best else {
            return Some(self.busy(&self.process_descriptors()));
        };
        let registration = &self.watches[watch];
        if registration.edge_triggered {
            return Some(Standing::AsleepOnEdge {
                watch,
                tid,
                asleep,
                looks: self.look_count(),
                other_at_work: self.other_at_work(tid),
            });
        }
        if registration.registration.exclusive() {
            return Some(Standing::NotWoken);
        }
        // Level-triggered, it returns at once while somebody waits: so it was between two waits,
        // unless that is all it is ever seen doing.
        if asleep == self.look_count() && asleep > 1 {
            return Some(Standing::Unclear(Doubt::Contradiction));
        }
        Some(self.busy(&self.process_descriptors()))
    }

    /// In how many looks a thread slept on a set through which the watch would wake it, and which.
    fn asleep_on(&self, watch: &Watch) -> Option<(usize, Pid)> {
        let asleep = |look: &ThreadLook| matches!(look.activity, Activity::EpollWait { fd } if watch.reached_by.contains(&fd));
        let mut times: BTreeSet<Duration> = BTreeSet::new();
        let mut sleepiest = None;
        for thread in &self.threads {
            let looks = thread.looks.iter().filter(|look| asleep(look));
            let before = times.len();
            times.extend(looks.map(|look| look.at));
            if times.len() > before && sleepiest.is_none() {
                sleepiest = Some(thread.tid);
            }
        }
        Some((times.len(), sleepiest?))
    }

    /// How many looks there were while connections waited.
    pub fn look_count(&self) -> usize {
        self.threads
            .iter()
            .flat_map(|thread| &thread.looks)
            .map(|look| look.at)
            .collect::<BTreeSet<_>>()
            .len()
    }

    /// Tells whether another thread spent every look on one socket or on a processor.
    fn other_at_work(&self, sleeper: Pid) -> bool {
        let descriptors = self.process_descriptors();
        self.threads
            .iter()
            .filter(|thread| thread.tid != sleeper)
            .filter_map(ThreadRecord::usual)
            .any(|(activity, constant)| {
                constant
                    && match &activity {
                        Activity::Running => true,
                        Activity::OnDescriptor { fd, .. } => is_socket(&descriptors, *fd),
                        _ => false,
                    }
            })
    }

    fn process_descriptors(&self) -> Vec<Descriptor> {
        self.process
            .examination
            .as_ref()
            .map_or_else(Vec::new, |examination| examination.descriptors.clone())
    }

    /// For a listener that is registered, but not for input.
    fn disarmed(&self, descriptors: &[Descriptor]) -> Standing {
        let watch = 0;
        let spent = self.watches[watch].registration.spent_one_shot();
        let idle = self.threads.iter().find(|thread| {
            thread
                .looks
                .iter()
                .any(|look| matches!(look.activity, Activity::EpollWait { .. }))
        });
        match idle {
            Some(thread) => Standing::Unwatched {
                how: if spent {
                    Unwatched::SpentOneShot { watch }
                } else {
                    Unwatched::NoInput { watch }
                },
                tid: thread.tid,
            },
            None => self.busy(descriptors),
        }
    }

    /// For a listener in no epoll set of the process.
    fn without_watch(&self, descriptors: &[Descriptor], has_sets: bool) -> Standing {
        let Some(thread) = self.would_be_acceptor(descriptors, has_sets) else {
            return Standing::Unclear(Doubt::Unseen(Gap::Vanished));
        };
        let Some((activity, constant)) = thread.usual() else {
            return Standing::Unclear(Doubt::Unseen(Gap::Vanished));
        };
        let tid = thread.tid;
        match idleness(&activity, descriptors) {
            Some(how) => Standing::Unwatched { how, tid },
            None => Standing::Busy {
                tid,
                activity,
                constant,
            },
        }
    }

    /// Picks the thread that would accept, in a process that registers the listener nowhere.
    ///
    /// One that is named for it; else one that is at work, in a process without event loop; else
    /// an idle event loop; else the main thread.
    fn would_be_acceptor(
        &self,
        descriptors: &[Descriptor],
        has_sets: bool,
    ) -> Option<&ThreadRecord> {
        let named = self
            .threads
            .iter()
            .find(|thread| thread.command.to_ascii_lowercase().contains("accept"));
        if named.is_some() {
            return named;
        }
        let main = self.threads.first()?;
        let (main_activity, _) = main.usual()?;
        if weight(&main_activity, descriptors) >= WORKING {
            return Some(main);
        }
        // Several threads that each read from their own client are a pool of workers; the main
        // thread waits for one of them to be free.
        let on_sockets = self.threads.iter().filter(|thread| {
            thread.usual().is_some_and(|(activity, _)| {
                matches!(activity, Activity::OnDescriptor { fd, .. } if is_socket(descriptors, fd))
            })
        });
        if main_activity == Activity::Futex && on_sockets.count() > 1 {
            return Some(main);
        }
        let idle_loop = self.threads.iter().find(|thread| {
            thread
                .usual()
                .is_some_and(|(activity, _)| matches!(activity, Activity::EpollWait { .. }))
        });
        if has_sets && idle_loop.is_some() {
            return idle_loop;
        }
        threads::busiest(&self.threads, descriptors)
    }

    fn busy(&self, descriptors: &[Descriptor]) -> Standing {
        match threads::busiest(&self.threads, descriptors).and_then(|thread| {
            let (activity, constant) = thread.usual()?;
            Some(Standing::Busy {
                tid: thread.tid,
                activity,
                constant,
            })
        }) {
            Some(standing) => standing,
            None => Standing::Unclear(Doubt::Unseen(Gap::Vanished)),
        }
    }
}
