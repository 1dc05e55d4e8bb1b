//! Who should read a connection whose end of stream is there to be read, and why nobody does.

use std::collections::{BTreeMap, HashMap};

use super::acceptor::{self, Halt};
use super::activity::Activity;
use super::threads::{self, ThreadRecord};
use super::watch::{Watch, Watches};
use crate::model::{Connection, Inode, Pid, Process, Snapshot};

/// Who reads a connection whose end of stream is there to be read.
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
    /// It is watched, and nobody waits on the set: this thread does something else.
    LoopBusy {
        /// The thread.
        tid: Pid,
        /// What it does.
        activity: Activity,
    },
    /// Its process has no epoll set, and this thread does something else.
    NoLoop {
        /// The thread.
        tid: Pid,
        /// What it does.
        activity: Activity,
    },
    /// Who holds it is not visible.
    OwnerUnknown,
    /// What its process does is not visible, or does not fit together.
    Unclear,
}

/// The examined processes, prepared for looking up many connections.
pub(super) struct Suspects<'a> {
    by_pid: HashMap<Pid, Suspect<'a>>,
}

struct Suspect<'a> {
    process: &'a Process,
    watches: Watches<'a>,
    threads: Vec<ThreadRecord>,
}

impl<'a> Suspects<'a> {
    pub(super) fn of(snapshot: &'a Snapshot) -> Self {
        let examined = snapshot
            .processes
            .values()
            .filter(|process| process.examination.is_some());
        Self {
            by_pid: examined
                .map(|process| (process.pid, Suspect::of(process, snapshot)))
                .collect(),
        }
    }

    pub(super) fn reader(
        &self,
        connection: &Connection,
        inode: Inode,
        owners: &BTreeMap<Pid, Vec<u32>>,
    ) -> Reader {
        match connection.end_was_read() {
            Some(true) => return Reader::Done,
            None => return Reader::NotShown,
            Some(false) => {}
        }
        if owners.is_empty() {
            return Reader::OwnerUnknown;
        }
        // Of several owners, one that watches the connection is the one that should read it.
        let mut readers = owners
            .iter()
            .filter_map(|(pid, fds)| Some(self.by_pid.get(pid)?.reader(inode, fds)));
        let first = readers.next().unwrap_or(Reader::Unclear);
        match first {
            Reader::NotInSet { .. } | Reader::NoLoop { .. } => {
                let watching = |reader: &Reader| {
                    !matches!(reader, Reader::NotInSet { .. } | Reader::NoLoop { .. })
                };
                readers.find(watching).unwrap_or(first)
            }
            other => other,
        }
    }
}

impl<'a> Suspect<'a> {
    fn of(process: &'a Process, snapshot: &Snapshot) -> Self {
        Self {
            process,
            watches: Watches::of(process),
            threads: threads::records(process, snapshot),
        }
    }

    fn reader(&self, inode: Inode, fds: &[u32]) -> Reader {
        if let Some(halt) = acceptor::halt(self.process) {
            return Reader::Halted(halt);
        }
        let found = self.watches.find(inode, fds);
        let Some(watch) = found.first() else {
            return self.unwatched();
        };
        let registration = watch.registration;
        if !registration.wants_input() && !registration.wants_hangup() {
            return if registration.spent_one_shot() {
                Reader::SpentOneShot
            } else {
                Reader::NoInput {
                    events: registration.events_text(),
                }
            };
        }
        let asleep = self.asleep_on(watch);
        if watch.edge_triggered && asleep.is_some() {
            return Reader::EdgeConsumed {
                events: registration.events_text(),
            };
        }
        if asleep.is_some() {
            // Level-triggered, it would have been woken: what was read does not fit together.
            return Reader::Unclear;
        }
        self.busiest()
            .map_or(Reader::Unclear, |(tid, activity)| Reader::LoopBusy {
                tid,
                activity,
            })
    }

    fn unwatched(&self) -> Reader {
        if !self.watches.complete {
            return Reader::Unclear;
        }
        if self.watches.any {
            let examination = self.process.examination.as_ref();
            return Reader::NotInSet {
                sets: examination.map_or(0, |examination| examination.epoll_sets.len()),
            };
        }
        self.busiest()
            .map_or(Reader::Unclear, |(tid, activity)| Reader::NoLoop {
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

    fn busiest(&self) -> Option<(Pid, Activity)> {
        let descriptors = self
            .process
            .examination
            .as_ref()
            .map_or(&[][..], |examination| &examination.descriptors);
        let thread = threads::busiest(&self.threads, descriptors)?;
        let (activity, _) = thread.usual()?;
        match activity {
            Activity::Unseen(_) => None,
            seen => Some((thread.tid, seen)),
        }
    }
}
