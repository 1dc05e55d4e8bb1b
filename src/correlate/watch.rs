//! Which epoll sets watch a socket, and by waiting on which sets that is noticed.

use std::collections::HashSet;

use rustc_hash::FxHashMap;

use crate::model::{EpollWatch, Inode, Process};

/// A registration of a socket in an epoll set of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watch {
    /// The set it is registered in.
    pub epoll_fd: u32,
    /// The registration.
    pub registration: EpollWatch,
    /// The sets on which a waiting thread is woken by it: its own, and those that this one is
    /// nested in.
    pub reached_by: Vec<u32>,
    /// Whether the registration itself or one on the way to it reports a change only once.
    pub edge_triggered: bool,
}

/// All registrations of one process, for looking up many sockets.
pub(super) struct Watches {
    by_inode: FxHashMap<u64, Vec<(u32, EpollWatch)>>,
    by_fd: FxHashMap<u32, Vec<(u32, EpollWatch)>>,
    /// The registrations of sets in other sets, by the inner one.
    nested: FxHashMap<u32, Vec<(u32, EpollWatch)>>,
    /// Whether every set could be read.
    pub complete: bool,
    /// Whether there is any set.
    pub any: bool,
}

impl Watches {
    /// Collects the registrations of an examined process.
    pub(super) fn of(process: &Process) -> Self {
        let mut watches = Self {
            by_inode: FxHashMap::default(),
            by_fd: FxHashMap::default(),
            nested: FxHashMap::default(),
            complete: process.examination.is_some(),
            any: false,
        };
        let sets = process.examination.iter().flat_map(|e| &e.epoll_sets);
        let all_fds: HashSet<u32> = sets.clone().map(|set| set.fd).collect();
        for set in sets {
            watches.any = true;
            let Some(registrations) = set.watches.known() else {
                watches.complete = false;
                continue;
            };
            for registration in registrations {
                let entry = (set.fd, *registration);
                let inner = registration.target_fd;
                // All sets share one inode, so the number tells.
                if inner != set.fd && all_fds.contains(&inner) {
                    watches.nested.entry(inner).or_default().push(entry);
                }
                match registration.target_inode {
                    Some(inode) => watches.by_inode.entry(inode).or_default().push(entry),
                    // Before Linux 4.13 there is only the descriptor number to go by.
                    None => watches
                        .by_fd
                        .entry(registration.target_fd)
                        .or_default()
                        .push(entry),
                }
            }
        }
        watches
    }

    /// Finds the registrations of a socket that the process holds as one of these descriptors, each
    /// with its set.
    pub(super) fn find(
        &self,
        inode: Inode,
        fds: impl Iterator<Item = u32>,
    ) -> impl Iterator<Item = (u32, EpollWatch)> {
        let by_inode = inode
            .number()
            .and_then(|number| self.by_inode.get(&u64::from(number)));
        let by_fd = fds.filter_map(|fd| self.by_fd.get(&fd));
        by_inode.into_iter().chain(by_fd).flatten().copied()
    }

    /// Tells how a registration is noticed.
    pub(super) fn describe(&self, epoll_fd: u32, registration: EpollWatch) -> Watch {
        let (reached_by, edges_on_the_way) = self.noticed_by(epoll_fd);
        Watch {
            epoll_fd,
            registration,
            reached_by,
            edge_triggered: registration.edge_triggered() || edges_on_the_way,
        }
    }

    /// The sets on which a waiting thread notices what happens in this one, and whether one on the way reports a
    /// change only once.
    pub(super) fn noticed_by(&self, epoll_fd: u32) -> (Vec<u32>, bool) {
        let mut reached_by = vec![epoll_fd];
        let mut edge_triggered = false;
        let mut seen = HashSet::from([epoll_fd]);
        let mut next = 0;
        while let Some(inner) = reached_by.get(next).copied() {
            next += 1;
            for &(outer, nested) in self.nested.get(&inner).into_iter().flatten() {
                if nested.wants_input() && seen.insert(outer) {
                    reached_by.push(outer);
                    edge_triggered |= nested.edge_triggered();
                }
            }
        }
        (reached_by, edge_triggered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::correlate::fixtures;
    use crate::model::{EpollSet, Reading};

    fn watch(target_fd: u32, events: u32, inode: u64) -> EpollWatch {
        EpollWatch {
            target_fd,
            events,
            target_inode: Some(inode),
        }
    }

    fn process(sets: Vec<(u32, Vec<EpollWatch>)>) -> Process {
        let mut process = fixtures::process(1);
        process.examination.as_mut().unwrap().epoll_sets = sets
            .into_iter()
            .map(|(fd, watches)| EpollSet {
                fd,
                watches: Reading::Known(watches),
            })
            .collect();
        process
    }

    fn found(process: &Process) -> Vec<Watch> {
        let watches = Watches::of(process);
        watches
            .find(Inode::new(77).unwrap(), std::iter::once(3))
            .map(|(epoll_fd, registration)| watches.describe(epoll_fd, registration))
            .collect()
    }

    #[test]
    fn a_nested_set_is_reached_through_the_outer_one() {
        let process = process(vec![
            (4, vec![watch(3, 0x8000_0019, 77)]),
            (5, vec![watch(4, 0x1, 1060)]),
        ]);
        let found = found(&process);
        assert_eq!(found[0].reached_by, [4, 5]);
        assert!(found[0].edge_triggered);
    }

    #[test]
    fn sets_that_watch_each_other_end() {
        let process = process(vec![
            (4, vec![watch(3, 1, 77), watch(5, 1, 1060)]),
            (5, vec![watch(4, 1, 1060)]),
        ]);
        let found = found(&process);
        assert_eq!(found[0].reached_by, [4, 5]);
    }

    #[test]
    fn an_old_kernel_without_inodes_is_matched_by_descriptor() {
        let mut old = watch(3, 1, 0);
        old.target_inode = None;
        let process = process(vec![(4, vec![old])]);
        let watches = Watches::of(&process);
        let count = |fd| {
            let inode = Inode::new(77).unwrap();
            watches.find(inode, std::iter::once(fd)).count()
        };
        assert_eq!((count(3), count(9)), (1, 0));
    }
}
