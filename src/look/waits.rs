//! The last phase: wait chains, followed link by link from the processes that are about to be
//! accused.

use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::FxHashMap;

use super::blind_spots;
use super::looker::Looker;
use crate::collect::kernel::{self, DescriptorTable, KernelError};
use crate::collect::proc;
use crate::collect::sock_diag::Wanted;
use crate::correlate::Triage;
use crate::correlate::waits::{self, Next};
use crate::model::{
    Descriptor, FutexWait, InFlight, InodeSet, LinkHolder, Pid, Snapshot, UnixSocket, Via,
};

/// The most links that are followed from the first thread to the last.
const MOST_LINKS: usize = 4;

/// The most processes that are read on the way.
const MOST_PROCESSES: usize = 96;

/// The most descriptors of one process that are read, the lowest numbers first. Each costs about 3 us.
const MOST_DESCRIPTORS: usize = 1024;

/// The most descriptors of all processes together.
const MOST_DESCRIPTORS_IN_ALL: usize = 16 * 1024;

const EPOLL: &str = "anon_inode:[eventpoll]";
const IO_URING: &str = "anon_inode:[io_uring]";

/// What is carried from one link to the next.
struct Following {
    /// How many descriptors may still be read.
    budget: usize,
    /// Descriptors of processes that come next, which were read to find their epoll sets, and whether they are all.
    listed: BTreeMap<Pid, (Vec<Descriptor>, bool)>,
}

impl Looker<'_> {
    /// Follows the waits of the processes that hold what is suspicious.
    pub(super) fn follow_waits(&mut self, snapshot: &mut Snapshot, seen: &Triage) {
        let mut front: BTreeSet<Pid> = seen
            .suspects(snapshot)
            .into_iter()
            .filter(|pid| is_examined(snapshot, *pid))
            .collect();
        if front.is_empty() {
            return;
        }
        let mut following = Following {
            budget: MOST_DESCRIPTORS_IN_ALL,
            listed: BTreeMap::new(),
        };
        for _ in 0..MOST_LINKS {
            if self.kernel.is_out_of_time() {
                break;
            }
            self.read_what_they_wait_for(snapshot, &front, &mut following);
            let next = waits::next(snapshot, &front);
            front = self.resolve(snapshot, next, &mut following);
            if front.is_empty() {
                return;
            }
        }
        let names: Vec<String> = front.iter().map(ToString::to_string).collect();
        let more = format!("what processes {} wait for", names.join(", "));
        snapshot.waits.not_followed.push(more);
    }

    /// Descriptors, locks, and the memory that threads wait at.
    fn read_what_they_wait_for(
        &mut self,
        snapshot: &mut Snapshot,
        pids: &BTreeSet<Pid>,
        following: &mut Following,
    ) {
        for pid in pids {
            self.read_descriptors(snapshot, *pid, following);
            self.read_futexes(snapshot, *pid);
            self.read_children(snapshot, *pid);
            snapshot.waits.followed.push(*pid);
        }
        let needs = waits::needs(snapshot);
        self.read_in_flight(snapshot, pids);
        if needs.connections && snapshot.waits.uptime.is_none() {
            // Ages of processes are compared with those of connections.
            snapshot.waits.uptime = proc::read_uptime(self.kernel);
        }
        if needs.connections {
            let nobody = InodeSet::default();
            // Those that one end has closed are known already, unless only some ports were asked for.
            let wanted = if self.options.scope.ports.is_empty() {
                Wanted::Rest
            } else {
                Wanted::Every
            };
            match self.connections(snapshot.source, wanted, &[], &nobody) {
                Ok(every) => snapshot.waits.connections = every,
                // An outage behind accept shows in connections alone.
                Err(error) => {
                    let spot = blind_spots::open_connections(&error);
                    snapshot.blind_spots.push(spot);
                }
            }
        }
        if needs.locks {
            match proc::read_locks(self.kernel) {
                Ok(locks) => snapshot.waits.locks = locks,
                Err(error) => not_read(snapshot, "who holds locks on files", &error),
            }
        }
        if needs.unix_sockets {
            match self.kernel.unix_sockets() {
                Ok(sockets) => snapshot.waits.unix_sockets = unix_sockets(sockets),
                Err(error) => not_read(snapshot, "who is at the other end of unix sockets", &error),
            }
        }
        self.read_udp_sockets(snapshot);
    }

    /// A thread that is blocked on a socket which is neither TCP nor unix often waits for a name server.
    fn read_udp_sockets(&mut self, snapshot: &mut Snapshot) {
        if !waits::needs_udp_sockets(snapshot) {
            return;
        }
        match proc::read_udp_sockets(self.kernel) {
            Ok(sockets) => snapshot.waits.udp_sockets = sockets,
            Err(error) => not_read(snapshot, "UDP sockets that are waited for", &error),
        }
    }

    /// Descriptors that were sent to a process and that it has not taken.
    fn read_in_flight(&mut self, snapshot: &mut Snapshot, pids: &BTreeSet<Pid>) {
        for (pid, fd) in waits::channels_of_children(snapshot, pids) {
            let number = proc::read_in_flight(self.kernel, pid, fd).unwrap_or(0);
            if number > 0 {
                let found = InFlight { pid, fd, number };
                snapshot.waits.in_flight.push(found);
            }
        }
    }

    fn read_descriptors(&mut self, snapshot: &mut Snapshot, pid: Pid, following: &mut Following) {
        let blocked = waits::blocked_descriptors(snapshot, pid);
        let most = MOST_DESCRIPTORS.min(following.budget);
        let (mut descriptors, all) = match following.listed.remove(&pid) {
            Some((mut listed, all)) => {
                let fits = listed.len() <= most;
                listed.truncate(most);
                (listed, all && fits)
            }
            None => self.list_descriptors(snapshot, pid, most),
        };
        following.budget -= descriptors.len().min(following.budget);
        for fd in blocked {
            if descriptors.iter().all(|descriptor| descriptor.fd != fd) {
                descriptors.extend(proc::read_descriptor(self.kernel, pid, fd));
            }
        }
        let process = snapshot.processes.get_mut(&pid);
        if let Some(examination) = process.and_then(|process| process.examination.as_mut()) {
            examination.descriptors = descriptors;
            examination.descriptors_complete = all;
        }
    }

    /// Lists the descriptors of a suspect, and whether they are all.
    fn list_descriptors(
        &mut self,
        snapshot: &mut Snapshot,
        pid: Pid,
        most: usize,
    ) -> (Vec<Descriptor>, bool) {
        // What was found to hold a socket a moment ago need not be asked again.
        let known: FxHashMap<u32, u32> = snapshot
            .holders
            .iter()
            .filter(|holder| holder.pid == pid && holder.via == Via::Table)
            .filter_map(|holder| Some((holder.fd?, holder.inode.number()?)))
            .collect();
        proc::read_descriptors(self.kernel, pid, most, |fd| known.get(&fd).copied()).unwrap_or_else(
            |error| {
                // A process that has ended holds nothing.
                if self.kernel.read(&format!("{pid}/stat")).is_ok() {
                    let spot = blind_spots::descriptors_of_suspect(pid, &error);
                    snapshot.blind_spots.push(spot);
                }
                Default::default()
            },
        )
    }

    fn read_futexes(&mut self, snapshot: &mut Snapshot, pid: Pid) {
        let mut found = Vec::new();
        for thread in waits::threads(snapshot, pid) {
            if !waits::is_in_futex(&snapshot.host.machine, thread) {
                continue;
            }
            if let Some((address, wait)) = proc::read_futex(self.kernel, pid, thread) {
                found.push(FutexWait {
                    pid,
                    tid: thread.tid,
                    address,
                    wait,
                });
            }
        }
        snapshot.waits.futexes.extend(found);
    }

    fn read_children(&mut self, snapshot: &mut Snapshot, pid: Pid) {
        let children = proc::read_children(self.kernel, pid, waits::threads(snapshot, pid));
        if !children.is_empty() {
            snapshot.waits.children.insert(pid, children);
        }
    }

    /// Finds the processes behind the next links, and reads them.
    fn resolve(
        &mut self,
        snapshot: &mut Snapshot,
        next: Next,
        following: &mut Following,
    ) -> BTreeSet<Pid> {
        let mut found = next.pids;
        if !next.sockets.is_empty() {
            match self.kernel.descriptor_tables(&next.sockets) {
                Ok(tables) => {
                    for table in tables.tables {
                        found.insert(table.pid);
                        let held = super::owners::table_holders(&table, Via::Table);
                        let held = held.filter(|holder| next.sockets.contains(&holder.inode));
                        snapshot.waits.holders.extend(held);
                    }
                }
                Err(error) => not_read(snapshot, "who is at the other end of connections", &error),
            }
        }
        if !next.links.is_empty() {
            match self.kernel.link_holders(&next.links) {
                Ok(links) => {
                    for link in links.holders {
                        found.insert(link.pid);
                        let access = proc::read_access(self.kernel, link.pid, link.fd);
                        snapshot.waits.links.push(LinkHolder {
                            pid: link.pid,
                            fd: link.fd,
                            target: link.target,
                            access,
                        });
                    }
                }
                Err(error) => not_read(snapshot, "who is at the other end of pipes", &error),
            }
        }
        let known: BTreeSet<Pid> = snapshot.waits.followed.iter().copied().collect();
        let mut new: BTreeSet<Pid> = found.difference(&known).copied().collect();
        let room = MOST_PROCESSES.saturating_sub(known.len());
        if new.len() > room {
            let left_out = new.len() - room;
            let more = format!("{left_out} more processes that are waited for");
            snapshot.waits.not_followed.push(more);
            new = new.into_iter().take(room).collect();
        }
        new.retain(|pid| {
            !self.kernel.is_out_of_time() && self.examine_followed(snapshot, *pid, following)
        });
        new
    }

    /// Reads a process that another waits for; false if it has ended.
    fn examine_followed(
        &mut self,
        snapshot: &mut Snapshot,
        pid: Pid,
        following: &mut Following,
    ) -> bool {
        if is_examined(snapshot, pid) {
            return true;
        }
        let known = snapshot.processes.remove(&pid);
        let Some(process) = known.or_else(|| proc::read_process(self.kernel, pid)) else {
            return false;
        };
        // Where they cannot be listed, the next step asks again and says why.
        let listed = proc::read_descriptors(self.kernel, pid, MOST_DESCRIPTORS, |_| None).ok();
        let table = table_of(
            pid,
            listed.as_ref().map_or(&[], |(descriptors, _)| descriptors),
        );
        following.listed.extend(listed.map(|listed| (pid, listed)));
        let command_line = process.command_line.known().map_or("", String::as_str);
        let mut examination = proc::examine_process(self.kernel, &table, command_line);
        snapshot.processes.insert(pid, process);
        self.read_polled_fds(&snapshot.host.machine, pid, &mut examination);
        if let Some(process) = snapshot.processes.get_mut(&pid) {
            process.examination = Some(examination);
        }
        true
    }
}

/// The epoll sets and rings among the descriptors of a process.
fn table_of(pid: Pid, descriptors: &[Descriptor]) -> DescriptorTable {
    let of_kind = |kind: &str| {
        let matching = descriptors.iter().filter(|one| one.target == kind);
        matching.map(|descriptor| descriptor.fd).collect()
    };
    DescriptorTable {
        pid,
        through: pid,
        epolls: of_kind(EPOLL),
        io_urings: of_kind(IO_URING),
        ..DescriptorTable::default()
    }
}

/// Notes that a link of a chain could not be read: the chain ends there, and nothing else is lost.
fn not_read(snapshot: &mut Snapshot, what: &str, error: &KernelError) {
    let missing = format!("{what} ({error})");
    if !snapshot.waits.not_followed.contains(&missing) {
        snapshot.waits.not_followed.push(missing);
    }
}

fn unix_sockets(sockets: Vec<kernel::UnixSocket>) -> Vec<UnixSocket> {
    let kept = |socket: kernel::UnixSocket| UnixSocket {
        inode: socket.inode,
        peer: socket.peer,
        name: socket.name,
        waiting: socket.waiting,
    };
    sockets.into_iter().map(kept).collect()
}

fn is_examined(snapshot: &Snapshot, pid: Pid) -> bool {
    let process = snapshot.processes.get(&pid);
    process.is_some_and(|process| process.examination.is_some())
}
