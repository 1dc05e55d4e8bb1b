//! Which thread should read a connection whose end of stream has arrived, and why it does not.

use std::cell::{OnceCell, RefCell};
use std::rc::Rc;

use rustc_hash::FxHashMap;

use super::acceptor::{self, Halt};
use super::activity::Activity;
use super::loops;
use super::pending;
use super::threads::{self, ThreadRecord};
use super::waits::{Facts, Summary, Target};
use super::watch::{Watch, Watches};
use crate::model::{Connection, EpollWatch, Holder, Inode, Pid, Process, Snapshot};

/// Why the end of stream of a connection is read or not.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Reader {
    /// It was read, to the end.
    Done,
    /// Whether it was read is not shown: it is an MPTCP connection.
    NotShown,
    /// Its process does not run.
    Halted(Halt),
    /// It is in none of the epoll sets of its process.
    NotInSet {
        /// How many sets there are.
        sets: usize,
        /// How many of those watch other clients, with no thread that waits on them.
        unattended: usize,
    },
    /// It is in an epoll set, with a mask that wakes for neither data nor end.
    NoInput {
        /// The mask, as text.
        events: String,
    },
    /// It is in an epoll set as one-shot, and its one event was delivered.
    SpentOneShot,
    /// It is watched edge-triggered, and the edge is gone with data left.
    EdgeConsumed {
        /// The mask, as text.
        events: String,
    },
    /// It is watched, and no thread waits on the set: this thread does something else.
    LoopBusy {
        /// The thread.
        tid: Pid,
        /// What it does.
        activity: Activity,
    },
    /// It is watched, and no thread waits on the set; what it waits for instead does not show.
    Unattended,
    /// Its process has no epoll set, and this thread does something else.
    NoLoop {
        /// The thread.
        tid: Pid,
        /// What it does.
        activity: Activity,
    },
    /// Its process has no epoll set, and no thread waits for it or is in the middle of something.
    NoThread,
    /// Its holder is not visible.
    OwnerUnknown,
    /// What its process does is not visible, or does not fit together.
    Unclear,
}

/// The examined processes, indexed: thousands of connections may be looked up.
pub(super) struct Suspects<'a> {
    by_pid: FxHashMap<Pid, Suspect<'a>>,
    done: Rc<Reader>,
    not_shown: Rc<Reader>,
    owner_unknown: Rc<Reader>,
    unclear: Rc<Reader>,
}

struct Suspect<'a> {
    process: &'a Process,
    watches: Watches,
    threads: Vec<ThreadRecord>,
    waits: Summary,
    at_work: bool,
    /// Sets with clients on which no thread waits.
    unattended: usize,
    /// Of every connection, where it does not run.
    halted: Option<Rc<Reader>>,
    /// Of connections in no set.
    unwatched: OnceCell<Rc<Reader>>,
    /// Of connections in a set, by the set and the mask.
    watched: RefCell<FxHashMap<(u32, u32), Rc<Reader>>>,
}

impl<'a> Suspects<'a> {
    pub(super) fn of(snapshot: &'a Snapshot) -> Self {
        let facts = Facts::of(snapshot);
        let examined = snapshot
            .processes
            .values()
            .filter(|process| process.examination.is_some());
        Self {
            by_pid: examined
                .map(|process| (process.pid, Suspect::of(process, snapshot, &facts)))
                .collect(),
            done: Rc::new(Reader::Done),
            not_shown: Rc::new(Reader::NotShown),
            owner_unknown: Rc::new(Reader::OwnerUnknown),
            unclear: Rc::new(Reader::Unclear),
        }
    }

    /// Returns whether a process works, or waits for something that will come.
    pub(super) fn is_at_work(&self, pid: Pid) -> bool {
        self.by_pid.get(&pid).is_some_and(|suspect| suspect.at_work)
    }

    pub(super) fn reader(
        &self,
        connection: &Connection,
        inode: Inode,
        owners: &[Holder],
    ) -> Rc<Reader> {
        match connection.end_was_read() {
            Some(true) => return self.done.clone(),
            None => return self.not_shown.clone(),
            Some(false) => {}
        }
        if owners.is_empty() {
            return self.owner_unknown.clone();
        }
        // Of several owners, one that watches the connection is the one that should read it.
        let mut readers = owners
            .chunk_by(|one, other| one.pid == other.pid)
            .filter_map(|of_one| Some(self.by_pid.get(&of_one[0].pid)?.reader(inode, of_one)));
        let first = readers.next().unwrap_or_else(|| self.unclear.clone());
        let watches = |reader: &Rc<Reader>| {
            !matches!(
                **reader,
                Reader::NotInSet { .. }
                    | Reader::Unattended
                    | Reader::NoLoop { .. }
                    | Reader::NoThread
            )
        };
        if watches(&first) {
            return first;
        }
        readers.find(watches).unwrap_or(first)
    }
}

impl<'a> Suspect<'a> {
    fn of(process: &'a Process, snapshot: &Snapshot, facts: &Facts) -> Self {
        let threads = threads::records(process, snapshot);
        Self {
            process,
            watches: Watches::of(process),
            waits: Summary::of(facts, &[process.pid]),
            at_work: pending::is_at_work(process, &threads, &snapshot.host.machine),
            unattended: loops::unattended(facts, process, &threads),
            threads,
            halted: acceptor::halt(process).map(|halt| Rc::new(Reader::Halted(halt))),
            unwatched: OnceCell::new(),
            watched: RefCell::default(),
        }
    }

    fn reader(&self, inode: Inode, holders: &[Holder]) -> Rc<Reader> {
        if let Some(halted) = &self.halted {
            return halted.clone();
        }
        let fds = holders.iter().filter_map(|holder| holder.fd);
        let Some((epoll_fd, registration)) = self.watches.find(inode, fds).next() else {
            let reader = || Rc::new(self.unwatched());
            return self.unwatched.get_or_init(reader).clone();
        };
        let mut watched = self.watched.borrow_mut();
        let same = watched.entry((epoll_fd, registration.events));
        let reader = || Rc::new(self.watched(epoll_fd, registration));
        same.or_insert_with(reader).clone()
    }

    fn watched(&self, epoll_fd: u32, registration: EpollWatch) -> Reader {
        let watch = self.watches.describe(epoll_fd, registration);
        if !registration.wants_input() && !registration.wants_hangup() {
            return if registration.spent_one_shot() {
                Reader::SpentOneShot
            } else {
                Reader::NoInput {
                    events: registration.events_text(),
                }
            };
        }
        let asleep = self.asleep_on(&watch);
        if watch.edge_triggered && asleep.is_some() {
            return Reader::EdgeConsumed {
                events: registration.events_text(),
            };
        }
        if asleep.is_some() {
            // Level-triggered, it would have been woken: what was read does not fit together.
            return Reader::Unclear;
        }
        match self.busiest() {
            Some((tid, activity)) => Reader::LoopBusy { tid, activity },
            None if self.is_unseen() => Reader::Unclear,
            None => Reader::Unattended,
        }
    }

    fn unwatched(&self) -> Reader {
        if !self.watches.complete {
            return Reader::Unclear;
        }
        if self.watches.any {
            let examination = self.process.examination.as_ref();
            return Reader::NotInSet {
                sets: examination.map_or(0, |examination| examination.epoll_sets.len()),
                unattended: self.unattended,
            };
        }
        if self.is_unseen() {
            return Reader::Unclear;
        }
        self.busiest()
            .map_or(Reader::NoThread, |(tid, activity)| Reader::NoLoop {
                tid,
                activity,
            })
    }

    fn asleep_on(&self, watch: &Watch) -> Option<Pid> {
        let waits = |thread: &&ThreadRecord| {
            thread.looks.iter().any(|look| {
                matches!(look.activity, Activity::EpollWait { fd } if watch.reached_by.contains(&fd))
            })
        };
        self.threads.iter().find(waits).map(|thread| thread.tid)
    }

    /// Returns the thread that does something else than read. The order: the only one that is left when all with
    /// another task are taken out; the main thread if it works or waits for another thread; one of the largest
    /// group that is blocked for the same reason. Of several threads that only sleep, none is named.
    fn busiest(&self) -> Option<(Pid, Activity)> {
        let examination = self.process.examination.as_ref()?;
        let shared = examination.software.shares_work_among_threads();
        let mut candidates = self
            .threads
            .iter()
            .filter(|thread| !self.has_other_work(thread.tid));
        let first = candidates.next()?;
        let alone = candidates.next().is_none();
        let is_main = self
            .threads
            .first()
            .is_some_and(|main| main.tid == first.tid);
        let (activity, _) = first.usual()?;
        let in_something = threads::weight(&activity, &examination.descriptors) >= threads::WORKING
            || (activity == Activity::Futex && self.watches.any);
        let sleeps = matches!(activity, Activity::Sleep { .. } | Activity::Poll { .. });
        if alone || (is_main && !shared && in_something && !sleeps) {
            return Some((first.tid, activity)).filter(|(_, seen)| is_seen(seen));
        }
        let member = self.waits.groups.first()?.members.first()?;
        let thread = self.threads.iter().find(|one| one.tid == member.tid)?;
        Some((thread.tid, thread.usual()?.0))
    }

    /// Returns whether a thread has another task than this connection: it accepts, waits on a set, or listens to
    /// a service.
    fn has_other_work(&self, tid: Pid) -> bool {
        let wait = self.waits.threads.iter().find(|wait| wait.tid == tid);
        wait.is_some_and(|wait| {
            matches!(
                wait.target,
                Target::Accept | Target::Events | Target::News { .. } | Target::Signal
            )
        })
    }

    /// Returns whether the activity of the threads is unknown.
    fn is_unseen(&self) -> bool {
        let mut looks = self.threads.iter().flat_map(|thread| &thread.looks);
        !looks.any(|look| is_seen(&look.activity))
    }
}

fn is_seen(activity: &Activity) -> bool {
    !matches!(activity, Activity::Unseen(_))
}
