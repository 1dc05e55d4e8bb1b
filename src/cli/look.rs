//! One look: sockets first; then only the processes they point at; then, when a listener is
//! suspicious, a few repeated glances. What to look at next is decided in `correlate`; this
//! alternates the two.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::dead::{self, Sighting};
use super::{blind_spots, everywhere};
use crate::collect::kernel::{
    DescriptorTable, DescriptorTables, Kernel, KernelError, Kind, RecordedManner,
};
use crate::collect::proc;
use crate::collect::sock_diag::{self, Dump, Wanted};
use crate::correlate::{
    self, Attention, attention, blocked_descriptors, needs_unaccepted, parse_polled, poll_argument,
    threads_to_watch,
};
use crate::model::{
    BlindSpot, Connection, Examination, Gap, Glance, HiddenSearch, Holder, Inode, InodeSet, Later,
    Listener, Namespace, Pid, PortRange, Reading, Scope, Snapshot, SocketSource, SocketTable,
    Syscall, ThreadGlance, Via,
};

/// How to look.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    /// The age from which on an untended connection is a patient.
    pub grace: Duration,
    /// How long to watch suspicious listeners.
    pub observe: Duration,
    /// Whether the user asked to observe, and not just to look.
    pub observe_asked: bool,
    /// Whether owners are wanted even where nothing is suspicious.
    pub inventory: bool,
    /// Whether to read sockets from procfs although `sock_diag` may do.
    pub procfs: bool,
}

impl From<Plan> for RecordedManner {
    fn from(plan: Plan) -> Self {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Self {
            min_age_ms: millis(plan.grace),
            observe_ms: millis(plan.observe),
            observe_asked: plan.observe_asked,
            procfs_source: plan.procfs,
        }
    }
}

impl From<RecordedManner> for Plan {
    fn from(manner: RecordedManner) -> Self {
        Self {
            grace: Duration::from_millis(manner.min_age_ms),
            observe: Duration::from_millis(manner.observe_ms),
            observe_asked: manner.observe_asked,
            // A recording is made with owners.
            inventory: true,
            procfs: manner.procfs_source,
        }
    }
}

/// Time between glances. Reading procfs takes longer by itself.
const GLANCE_INTERVAL: Duration = Duration::from_millis(10);

/// Glances at processes that hold connections nobody reads.
const READER_GLANCES: usize = 3;
const READER_INTERVAL: Duration = Duration::from_millis(2);

/// Takes one look, at one network namespace or at all that can be reached.
pub(super) fn look(kernel: &mut dyn Kernel, scope: &Scope, plan: &Plan) -> Result<Vec<Snapshot>> {
    if scope.all_netns {
        return everywhere::look(kernel, scope, plan);
    }
    let namespace = Namespace::named(scope.netns_name());
    let mut looker = Looker::new(kernel, scope, plan, Progress::default());
    for pid in &scope.pids {
        looker.expect_process(*pid)?;
    }
    let (snapshot, seen) = looker.first_breath(namespace)?;
    let wanted = looker.wanted(&snapshot, &seen);
    let tables = wanted.map(|wanted| looker.kernel.descriptor_tables(&wanted));
    let snapshot = looker.further_breaths(snapshot, seen, tables.as_ref());
    Ok(vec![snapshot])
}

/// One namespace under way.
pub(super) struct Looker<'k> {
    kernel: &'k mut dyn Kernel,
    scope: &'k Scope,
    plan: &'k Plan,
    pub(super) progress: Progress,
}

/// What a look has noted by the way.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Progress {
    /// When the sockets were read, since the look began.
    sockets_at: Duration,
    /// The latest time that was read.
    latest: Duration,
    malformed: usize,
    interrupted: bool,
}

impl<'k> Looker<'k> {
    pub(super) fn new(
        kernel: &'k mut dyn Kernel,
        scope: &'k Scope,
        plan: &'k Plan,
        progress: Progress,
    ) -> Self {
        Self {
            kernel,
            scope,
            plan,
            progress,
        }
    }
}

impl Looker<'_> {
    /// Sockets, and what is suspicious about them.
    pub(super) fn first_breath(&mut self, namespace: Namespace) -> Result<(Snapshot, Attention)> {
        let mut snapshot = self.sockets(namespace)?;
        let mut seen = attention(&snapshot, self.plan.grace);
        if seen.missing_members {
            self.look_for_redirected(&mut snapshot);
            seen = attention(&snapshot, self.plan.grace);
        }
        Ok((snapshot, seen))
    }

    /// The sockets whose holders are to be found, if any are.
    pub(super) fn wanted(&self, snapshot: &Snapshot, seen: &Attention) -> Option<InodeSet> {
        if !self.plan.inventory && seen.is_idle() && self.scope.pids.is_empty() {
            return None;
        }
        let listeners = snapshot.sockets.listeners.iter();
        let mut wanted: InodeSet = listeners.filter_map(|listener| listener.inode).collect();
        wanted.extend(&seen.closed_by_peer);
        wanted.extend(&seen.half_closed);
        Some(wanted)
    }

    /// Who holds the sockets, and what they do.
    pub(super) fn further_breaths(
        &mut self,
        mut snapshot: Snapshot,
        mut seen: Attention,
        tables: Option<&Result<DescriptorTables, KernelError>>,
    ) -> Snapshot {
        let walks = tables.is_some();
        let tables = match tables {
            Some(tables) => self.owners(&mut snapshot, &seen, tables),
            None => Vec::new(),
        };
        if !self.scope.pids.is_empty() {
            restrict_to_pids(&mut snapshot, &self.scope.pids);
            seen = attention(&snapshot, self.plan.grace);
        }
        let dead = self.look_for_dead(&snapshot, walks);
        self.examine(&mut snapshot, &seen, &tables);
        self.watch(&mut snapshot, &seen);
        self.look_again(&mut snapshot, &seen);
        if let Some(dead) = dead {
            self.confirm_dead(&mut snapshot, dead);
        }
        self.name_what_blocks(&mut snapshot);
        self.note_blind_spots(&mut snapshot, &seen);
        snapshot.elapsed = self.now().unwrap_or(self.progress.latest);
        snapshot
    }

    /// The time since the look began; nothing where a recording has come to its end.
    fn now(&mut self) -> Option<Duration> {
        let now = self.kernel.elapsed().ok()?;
        self.progress.latest = now;
        Some(now)
    }

    /// A process that is not there, or not in this network namespace, has nothing to show here, and
    /// that is not the same as healthy.
    fn expect_process(&mut self, pid: Pid) -> Result<()> {
        if let Err(error) = self.kernel.read(&format!("{pid}/stat")) {
            if error.kind == Kind::NotFound {
                bail!("there is no process {pid}");
            }
            return Ok(());
        }
        let its = self.kernel.read_link(&format!("{pid}/ns/net"));
        let ours = self.kernel.read_link("thread-self/ns/net");
        if let (Ok(its), Ok(ours)) = (its, ours)
            && its != ours
        {
            bail!("process {pid} is in another network namespace: use --netns {pid}");
        }
        Ok(())
    }

    /// The first breath: sockets, from where they can be had.
    fn sockets(&mut self, namespace: Namespace) -> Result<Snapshot> {
        let host = self.kernel.host();
        self.progress.sockets_at = self.now().unwrap_or_default();
        let mut refusal = None;
        let read = if self.plan.procfs {
            None
        } else {
            self.sockets_of(SocketSource::InetDiag)
                .map_err(|error| refusal = Some(error))
                .ok()
        };
        let (source, (sockets, listeners_after)) = if let Some(sockets) = read {
            (SocketSource::InetDiag, sockets)
        } else {
            let sockets = self.sockets_of(SocketSource::Procfs);
            let sockets = match &refusal {
                Some(refusal) => {
                    sockets.with_context(|| format!("{refusal}, and the fallback failed"))
                }
                None => sockets.context("reading sockets from procfs"),
            }?;
            (SocketSource::Procfs, sockets)
        };
        let mut snapshot = Snapshot {
            namespace,
            host,
            source,
            sockets,
            listeners_after,
            later: None,
            holders: Vec::new(),
            holders_complete: Reading::Unknown(Gap::NotLookedAt),
            hidden: None,
            dead: Vec::new(),
            processes: BTreeMap::new(),
            peers: Vec::new(),
            glances: Vec::new(),
            dropped: None,
            blind_spots: Vec::new(),
            elapsed: Duration::ZERO,
        };
        if source == SocketSource::Procfs {
            let seen = attention(&snapshot, self.plan.grace);
            let spot = blind_spots::procfs_only(refusal.as_ref(), !seen.is_idle());
            snapshot.blind_spots.push(spot);
        }
        Ok(snapshot)
    }

    /// Listeners, connections, and listeners again: queues may have changed meanwhile.
    fn sockets_of(
        &mut self,
        source: SocketSource,
    ) -> Result<(SocketTable, Vec<Listener>), KernelError> {
        let ports = &self.scope.ports;
        let (listeners, other_listeners): (Vec<Listener>, Vec<Listener>) = self
            .listeners(source, &[])?
            .into_iter()
            .partition(|listener| self.scope.has_port(listener.local.port()));
        let waiting = needs_unaccepted(&listeners);
        let inodes: InodeSet = listeners.iter().filter_map(|l| l.inode).collect();
        let mut connections;
        if waiting.is_empty() {
            connections = self.connections(source, Wanted::CloseWait, ports, &inodes)?;
        } else if ports.is_empty() {
            connections = self.connections(source, Wanted::Unaccepted, &waiting, &inodes)?;
            let closed = self.connections(source, Wanted::CloseWait, ports, &inodes)?;
            merge(&mut connections, closed);
        } else {
            connections = self.connections(source, Wanted::Unaccepted, ports, &inodes)?;
        }
        if source == SocketSource::InetDiag {
            connections = self.with_mptcp(connections, !waiting.is_empty());
        }
        let after = if waiting.is_empty() {
            listeners.clone()
        } else {
            in_order_of(&listeners, self.listeners(source, ports)?)
        };
        let table = SocketTable {
            listeners,
            other_listeners,
            connections,
        };
        Ok((table, after))
    }

    fn listeners(
        &mut self,
        source: SocketSource,
        ports: &[PortRange],
    ) -> Result<Vec<Listener>, KernelError> {
        match source {
            SocketSource::InetDiag => {
                let (listeners, dump) = sock_diag::read_listeners(self.kernel, ports)?;
                self.note_dump(&dump);
                Ok(listeners)
            }
            SocketSource::Procfs => {
                let nobody = InodeSet::default();
                Ok(self.net_tcp(Wanted::CloseWait, ports, &nobody)?.listeners)
            }
            SocketSource::Text { .. } => Err(KernelError::not_recorded("the text")),
        }
    }

    fn connections(
        &mut self,
        source: SocketSource,
        wanted: Wanted,
        ports: &[PortRange],
        listeners: &InodeSet,
    ) -> Result<Vec<Connection>, KernelError> {
        match source {
            SocketSource::InetDiag => {
                let (connections, dump) =
                    sock_diag::read_connections(self.kernel, wanted, ports, listeners)?;
                self.note_dump(&dump);
                Ok(connections)
            }
            SocketSource::Procfs => Ok(self.net_tcp(wanted, ports, listeners)?.connections),
            SocketSource::Text { .. } => Err(KernelError::not_recorded("the text")),
        }
    }

    /// A kernel without MPTCP has no such connections: nothing is missing then.
    fn with_mptcp(&mut self, tcp: Vec<Connection>, unaccepted: bool) -> Vec<Connection> {
        let wanted = if unaccepted {
            Wanted::Unaccepted
        } else {
            Wanted::CloseWait
        };
        let Ok((mptcp, dump)) = sock_diag::read_mptcp(self.kernel, wanted, &self.scope.ports)
        else {
            return tcp;
        };
        self.note_dump(&dump);
        correlate::join_subflows(tcp, mptcp)
    }

    fn net_tcp(
        &mut self,
        wanted: Wanted,
        ports: &[PortRange],
        listeners: &InodeSet,
    ) -> Result<SocketTable, KernelError> {
        let (mut table, malformed) = proc::read_net_tcp(self.kernel, wanted, listeners)?;
        self.progress.malformed = self.progress.malformed.max(malformed);
        sock_diag::retain_ports(&mut table, ports);
        Ok(table)
    }

    fn note_dump(&mut self, dump: &Dump) {
        self.progress.malformed += dump.malformed;
        self.progress.interrupted |= dump.interrupted;
    }

    /// Connections that were redirected to a listener (TPROXY, `sk_lookup`) have another port than
    /// it, and only what no listener explains can be one.
    fn look_for_redirected(&mut self, snapshot: &mut Snapshot) {
        let listeners = &snapshot.sockets.listeners;
        let inodes: InodeSet = listeners.iter().filter_map(|l| l.inode).collect();
        let Ok(mut unaccepted) =
            self.connections(snapshot.source, Wanted::Unaccepted, &[], &inodes)
        else {
            return;
        };
        unaccepted.retain(|connection| {
            connection.inode.is_none()
                && correlate::fits_no_listener(&snapshot.sockets.listeners, connection)
                && correlate::fits_no_listener(&snapshot.sockets.other_listeners, connection)
                && correlate::may_wait(connection)
        });
        merge(&mut snapshot.sockets.connections, unaccepted);
    }

    /// The second breath: who holds the sockets, of those that the tables show.
    fn owners(
        &mut self,
        snapshot: &mut Snapshot,
        seen: &Attention,
        tables: &Result<DescriptorTables, KernelError>,
    ) -> Vec<DescriptorTable> {
        let tables = match tables {
            Ok(tables) => of_interest(tables, &self.wanted(snapshot, seen).unwrap_or_default()),
            Err(error) => {
                snapshot.holders_complete = Reading::Unknown(error.gap());
                let spot = blind_spots::no_processes(error, !seen.is_idle());
                snapshot.blind_spots.push(spot);
                return Vec::new();
            }
        };
        snapshot.holders = holders(&tables);
        snapshot.holders_complete = if tables.refused.is_empty() && !tables.unlisted {
            Reading::Known(())
        } else {
            Reading::Unknown(Gap::NotPermitted)
        };
        let hidden = self.look_for_hidden(snapshot, seen);
        self.drop_closed_meanwhile(snapshot, seen);
        note_missing_owners(snapshot, seen, &tables);
        self.note_refused_scope(snapshot, &tables);
        let tables = one_for_each_process(tables.tables, hidden);
        for table in &tables {
            if let Some(mut process) = proc::read_process(self.kernel, table.pid) {
                process.open_fds = Reading::Known(table.open);
                process.lowest_free_fd = Reading::Known(table.lowest_free);
                snapshot.processes.insert(table.pid, process);
            }
        }
        snapshot
            .holders
            .retain(|holder| snapshot.processes.contains_key(&holder.pid));
        tables
    }

    /// A connection that was closed after it was read has no owner, and is no riddle either.
    fn drop_closed_meanwhile(&mut self, snapshot: &mut Snapshot, seen: &Attention) {
        let missing = unattributed(snapshot, seen);
        if missing.is_empty() {
            return;
        }
        let Ok((now, _)) = self.sockets_of(snapshot.source) else {
            return;
        };
        let still_there: InodeSet = now
            .connections
            .iter()
            .filter_map(|connection| connection.inode)
            .chain(now.listeners.iter().filter_map(|listener| listener.inode))
            .collect();
        let gone = |inode: Option<Inode>| {
            inode.is_some_and(|inode| missing.contains(&inode) && !still_there.contains(&inode))
        };
        let sockets = &mut snapshot.sockets;
        sockets
            .connections
            .retain(|connection| !gone(connection.inode));
        sockets.listeners.retain(|listener| !gone(listener.inode));
        snapshot
            .listeners_after
            .retain(|listener| !gone(listener.inode));
    }

    /// Where nobody is seen to hold what is suspicious, it may be held in another way. Returns the tables
    /// of those who do.
    fn look_for_hidden(
        &mut self,
        snapshot: &mut Snapshot,
        seen: &Attention,
    ) -> Vec<DescriptorTable> {
        let missing = unattributed(snapshot, seen);
        if missing.is_empty() {
            return Vec::new();
        }
        let Ok(hidden) = self.kernel.hidden_descriptors(&missing) else {
            return Vec::new();
        };
        for table in &hidden.threads {
            let via = Via::Thread(table.through);
            snapshot.holders.extend(table_holders(table, via));
        }
        for (pid, fd, inodes) in &hidden.rings {
            let held = inodes.iter().filter_map(|inode| Inode::new(*inode));
            snapshot.holders.extend(held.map(|inode| Holder {
                inode,
                pid: *pid,
                fd: Some(*fd),
                via: Via::Ring,
            }));
        }
        snapshot.holders.sort_unstable();
        snapshot.hidden = Some(HiddenSearch {
            in_flight: hidden.in_flight,
            complete: hidden.complete,
        });
        one_for_each_process(hidden.threads, hidden.ring_owners)
    }

    /// Connections that no longer exist, while descriptors of them do.
    fn look_for_dead(&mut self, snapshot: &Snapshot, walks: bool) -> Option<Sighting> {
        // The kernel counts dead sockets for the whole machine only, so each namespace would search
        // all processes for those of the others.
        let elsewhere = self.scope.all_netns && snapshot.namespace.name != Scope::CURRENT_NETNS;
        if elsewhere
            || snapshot.source != SocketSource::InetDiag
            || !dead::is_worth_a_search(self.kernel, walks)
        {
            return None;
        }
        let at = self.now()?;
        dead::sight(self.kernel, self.scope, at)
    }

    /// A connection that was reset a moment ago is normal; a leaked one is there at another look.
    fn confirm_dead(&mut self, snapshot: &mut Snapshot, first: Sighting) {
        if !first.complete {
            let spot = blind_spots::too_many_descriptors();
            snapshot.blind_spots.push(spot);
        }
        let again = if first.found.is_empty() || self.plan.observe.is_zero() {
            None
        } else {
            self.sight_again(first.at)
        };
        snapshot.dead = match again {
            Some(second) => {
                let over = second.at.saturating_sub(first.at);
                dead::confirm(first.found, &second, over)
            }
            None => first.found,
        };
        for found in &snapshot.dead {
            if !snapshot.processes.contains_key(&found.pid)
                && let Some(mut process) = proc::read_process(self.kernel, found.pid)
            {
                if let Some(open) = first.open.get(&found.pid) {
                    process.open_fds = Reading::Known(*open);
                }
                snapshot.processes.insert(found.pid, process);
            }
        }
    }

    fn sight_again(&mut self, first: Duration) -> Option<Sighting> {
        let since_first = self.now()?.saturating_sub(first);
        self.kernel
            .pause(self.plan.observe.saturating_sub(since_first));
        let at = self.now()?;
        dead::sight(self.kernel, self.scope, at)
    }

    /// Whoever asks for a process that may not be read must not take nothing for an answer.
    fn note_refused_scope(&self, snapshot: &mut Snapshot, tables: &DescriptorTables) {
        let pids = self.scope.pids.iter().copied();
        let refused: Vec<Pid> = pids.filter(|pid| tables.refused.contains(pid)).collect();
        if !refused.is_empty() {
            let spot = blind_spots::refused_scope(&refused);
            snapshot.blind_spots.push(spot);
        }
    }

    /// What only those are asked for that hold something suspicious.
    fn examine(&mut self, snapshot: &mut Snapshot, seen: &Attention, tables: &[DescriptorTable]) {
        let suspects = seen.suspects(snapshot);
        for table in tables.iter().filter(|table| suspects.contains(&table.pid)) {
            let mut examination = proc::examine_process(self.kernel, table);
            self.read_polled_fds(&snapshot.host.machine, table.pid, &mut examination);
            if let Some(process) = snapshot.processes.get_mut(&table.pid) {
                process.examination = Some(examination);
            }
        }
    }

    /// The third breath: glances at suspicious listeners and those who should serve them.
    fn watch(&mut self, snapshot: &mut Snapshot, seen: &Attention) {
        if self.plan.observe.is_zero() {
            return;
        }
        if seen.listeners.is_empty() {
            self.glance_at_readers(snapshot, seen);
            return;
        }
        let ports = ports_of(snapshot, &seen.listeners);
        let threads = threads_of(snapshot, &seen.to_watch(snapshot));
        let before = proc::read_dropped_counters(self.kernel).ok();
        let Some(started) = self.now() else { return };
        while let Some(glance) = self.glance(snapshot, &ports, &threads) {
            let done = glance.at.saturating_sub(started) >= self.plan.observe;
            snapshot.glances.push(glance);
            if done {
                break;
            }
            self.kernel.pause(GLANCE_INTERVAL);
        }
        let after = proc::read_dropped_counters(self.kernel).ok();
        snapshot.dropped = before.zip(after);
    }

    /// One look at a thread may catch it between two waits; a few more cost little.
    fn glance_at_readers(&mut self, snapshot: &mut Snapshot, seen: &Attention) {
        let threads = threads_of(snapshot, &seen.slow_readers(snapshot));
        if threads.is_empty() {
            return;
        }
        for _ in 0..READER_GLANCES {
            self.kernel.pause(READER_INTERVAL);
            let Some(glance) = self.glance(snapshot, &[], &threads) else {
                return;
            };
            snapshot.glances.push(glance);
        }
    }

    /// The sockets once more, where one look does not tell or the user wants to see them change.
    fn look_again(&mut self, snapshot: &mut Snapshot, seen: &Attention) {
        let anything = !seen.is_idle() || !seen.closed_by_peer.is_empty();
        let wanted = seen.second_look || (self.plan.observe_asked && anything);
        if !wanted || self.plan.observe.is_zero() {
            return;
        }
        let Some(now) = self.now() else { return };
        let since_first = now.saturating_sub(self.progress.sockets_at);
        self.kernel
            .pause(self.plan.observe.saturating_sub(since_first));
        let Some(now) = self.now() else { return };
        let after = now.saturating_sub(self.progress.sockets_at);
        snapshot.later = self
            .sockets_of(snapshot.source)
            .ok()
            .map(|(sockets, _)| Later { after, sockets });
    }

    /// Queue lengths, threads, queue lengths. Nothing where the sockets can be read no more.
    fn glance(
        &mut self,
        snapshot: &Snapshot,
        ports: &[PortRange],
        threads: &[(Pid, Pid, bool)],
    ) -> Option<Glance> {
        let at = self.now()?;
        let before = self.queue_lengths(snapshot.source, ports)?;
        let threads = threads
            .iter()
            .map(|(pid, tid, compat)| {
                let seen = proc::glance_at_thread(self.kernel, *pid, *tid, *compat);
                self.with_polled_fds(&snapshot.host.machine, seen)
            })
            .collect();
        Some(Glance {
            at,
            before,
            threads,
            after: self.queue_lengths(snapshot.source, ports)?,
        })
    }

    fn queue_lengths(
        &mut self,
        source: SocketSource,
        ports: &[PortRange],
    ) -> Option<BTreeMap<Inode, u32>> {
        if ports.is_empty() {
            return Some(BTreeMap::new());
        }
        let listeners = self.listeners(source, ports).ok()?;
        Some(
            listeners
                .iter()
                .filter_map(|listener| Some((listener.inode?, listener.accept_queue_len)))
                .collect(),
        )
    }

    fn with_polled_fds(&mut self, machine: &str, mut seen: ThreadGlance) -> ThreadGlance {
        seen.polled_fds = self.polled_fds(machine, seen.pid, seen.syscall);
        seen
    }

    fn read_polled_fds(&mut self, machine: &str, pid: Pid, examination: &mut Examination) {
        if let Reading::Known(threads) = &mut examination.threads {
            for thread in threads {
                thread.polled_fds = self.polled_fds(machine, pid, thread.syscall);
            }
        }
    }

    fn polled_fds(
        &mut self,
        machine: &str,
        pid: Pid,
        syscall: Reading<Syscall>,
    ) -> Option<Vec<u32>> {
        let argument = poll_argument(machine, &syscall)?;
        let (address, len) = argument.memory();
        let memory = self.kernel.read_at(&format!("{pid}/mem"), address, len);
        memory.ok().map(|memory| parse_polled(argument, &memory))
    }

    /// What threads are blocked on, by name and by peer.
    fn name_what_blocks(&mut self, snapshot: &mut Snapshot) {
        for (pid, fd) in blocked_descriptors(snapshot) {
            let Some(descriptor) = proc::read_descriptor(self.kernel, pid, fd) else {
                continue;
            };
            let process = snapshot.processes.get_mut(&pid);
            if let Some(examination) = process.and_then(|process| process.examination.as_mut()) {
                examination.descriptors.push(descriptor);
            }
        }
        let unnamed = correlate::unnamed_sockets(snapshot);
        if unnamed.is_empty() {
            return;
        }
        let nobody = InodeSet::default();
        if let Ok(open) = self.connections(snapshot.source, Wanted::Open, &[], &nobody) {
            snapshot.peers = open
                .into_iter()
                .filter(|connection| {
                    connection
                        .inode
                        .is_some_and(|inode| unnamed.contains(&inode))
                })
                .collect();
        }
    }

    fn note_blind_spots(&self, snapshot: &mut Snapshot, seen: &Attention) {
        let mut spots: Vec<BlindSpot> = Vec::new();
        if self.progress.malformed > 0 {
            spots.push(blind_spots::malformed_sockets(self.progress.malformed));
        }
        if self.progress.interrupted {
            spots.push(blind_spots::interrupted_dump());
        }
        let unknown = correlate::unknown_waits(snapshot, self.plan.grace);
        if unknown > 0 && snapshot.source == SocketSource::InetDiag {
            spots.push(blind_spots::unknown_waits(unknown));
        }
        let ageless = correlate::unknown_mptcp_ages(snapshot, self.plan.grace);
        if ageless > 0 {
            spots.push(blind_spots::unknown_mptcp_ages(ageless));
        }
        if !seen.listeners.is_empty() && snapshot.glances.is_empty() && !self.plan.observe.is_zero()
        {
            spots.push(blind_spots::not_watched());
        }
        let mut hidden: BTreeMap<Gap, Vec<String>> = BTreeMap::new();
        let suspects = seen.suspects(snapshot);
        for process in suspects
            .iter()
            .filter_map(|pid| snapshot.processes.get(pid))
        {
            if let Some(gap) = correlate::why_threads_are_hidden(process) {
                let name = format!("{}[{}]", process.command, process.pid);
                hidden.entry(gap).or_default().push(name);
            }
        }
        spots.extend(
            hidden
                .into_iter()
                .map(|(gap, names)| blind_spots::hidden_threads(&names.join(", "), gap)),
        );
        snapshot.blind_spots.extend(spots);
    }
}

/// Drops the sockets that the given processes do not hold.
pub(super) fn restrict_to_pids(snapshot: &mut Snapshot, pids: &[Pid]) {
    let owned: InodeSet = snapshot.holders.iter().map(|holder| holder.inode).collect();
    let held: InodeSet = snapshot
        .holders
        .iter()
        .filter(|holder| pids.contains(&holder.pid))
        .map(|holder| holder.inode)
        .collect();
    let is_held = |listener: &Listener| listener.inode.is_some_and(|inode| held.contains(&inode));
    snapshot.sockets.listeners.retain(is_held);
    snapshot.listeners_after.retain(is_held);
    let listeners = &snapshot.sockets.listeners;
    snapshot
        .sockets
        .connections
        .retain(|connection| match connection.inode {
            Some(inode) if !inode.is_stand_in() || owned.contains(&inode) => held.contains(&inode),
            Some(_) | None => !correlate::fits_no_listener(listeners, connection),
        });
    snapshot
        .holders
        .retain(|holder| held.contains(&holder.inode));
    let shown: BTreeSet<Pid> = snapshot.holders.iter().map(|holder| holder.pid).collect();
    snapshot.processes.retain(|pid, _| shown.contains(pid));
}

/// The part of the tables that holds the wanted sockets: one pass serves all namespaces.
fn of_interest(tables: &DescriptorTables, wanted: &InodeSet) -> DescriptorTables {
    let is_wanted =
        |(_, inode): &&(u32, u32)| Inode::new(*inode).is_some_and(|inode| wanted.contains(&inode));
    let parts = tables.tables.iter().map(|table| DescriptorTable {
        sockets: table.sockets.iter().filter(is_wanted).copied().collect(),
        ..table.clone()
    });
    DescriptorTables {
        tables: parts.filter(|table| !table.sockets.is_empty()).collect(),
        ..tables.clone()
    }
}

fn holders(tables: &DescriptorTables) -> Vec<Holder> {
    let mut holders: Vec<Holder> = tables
        .tables
        .iter()
        .flat_map(|table| table_holders(table, Via::Table))
        .collect();
    holders.sort_unstable();
    holders
}

/// The tables, and those of processes that had none among them.
fn one_for_each_process(
    mut tables: Vec<DescriptorTable>,
    more: Vec<DescriptorTable>,
) -> Vec<DescriptorTable> {
    for table in more {
        if tables.iter().all(|known| known.pid != table.pid) {
            tables.push(table);
        }
    }
    tables
}

fn table_holders(table: &DescriptorTable, via: Via) -> impl Iterator<Item = Holder> {
    table.sockets.iter().filter_map(move |(fd, inode)| {
        Some(Holder {
            inode: Inode::new(*inode)?,
            pid: table.pid,
            fd: Some(*fd),
            via,
        })
    })
}

fn ports_of(snapshot: &Snapshot, inodes: &[Inode]) -> Vec<PortRange> {
    let ports: BTreeSet<u16> = snapshot
        .sockets
        .listeners
        .iter()
        .filter(|listener| listener.inode.is_some_and(|inode| inodes.contains(&inode)))
        .map(|listener| listener.local.port())
        .collect();
    ports.into_iter().map(PortRange::from).collect()
}

/// Adds connections that are not there yet. One that changed its state between two dumps is taken
/// in the later one.
fn merge(connections: &mut Vec<Connection>, later: Vec<Connection>) {
    let identity = |connection: &Connection| {
        (
            connection.cookie,
            connection.local,
            connection.remote,
            connection.interface,
        )
    };
    let known: HashSet<_> = later.iter().map(identity).collect();
    connections.retain(|connection| !known.contains(&identity(connection)));
    connections.extend(later);
}

/// Puts a later reading of listeners in the order of the first; one that is gone keeps its first
/// reading.
fn in_order_of(first: &[Listener], later: Vec<Listener>) -> Vec<Listener> {
    let by_inode: BTreeMap<Option<Inode>, Listener> = later
        .into_iter()
        .map(|listener| (listener.inode, listener))
        .collect();
    first
        .iter()
        .map(|listener| by_inode.get(&listener.inode).unwrap_or(listener).clone())
        .collect()
}

fn note_missing_owners(snapshot: &mut Snapshot, seen: &Attention, tables: &DescriptorTables) {
    let missing = unattributed(snapshot, seen).len();
    if !tables.refused.is_empty() {
        let spot = blind_spots::refused_processes(&tables.refused, tables.processes, missing);
        snapshot.blind_spots.push(spot);
    }
    if tables.unlisted {
        let spot = blind_spots::unlisted_processes(missing);
        snapshot.blind_spots.push(spot);
    }
    if tables.refused.is_empty() && !tables.unlisted && missing > 0 {
        snapshot.blind_spots.push(blind_spots::no_owner(missing));
    }
}

/// Suspicious sockets that nobody is seen to hold.
fn unattributed(snapshot: &Snapshot, seen: &Attention) -> InodeSet {
    let held: InodeSet = snapshot.holders.iter().map(|holder| holder.inode).collect();
    let sockets = &snapshot.sockets;
    let listeners = sockets.listeners.iter().filter_map(|one| one.inode);
    let connections = sockets.connections.iter().filter_map(|one| one.inode);
    let there: InodeSet = listeners.chain(connections).collect();
    let suspicious = seen.listeners.iter().chain(&seen.connections);
    suspicious
        .filter(|inode| there.contains(inode))
        .filter(|inode| !held.contains(inode))
        .copied()
        .collect()
}

fn threads_of(snapshot: &Snapshot, pids: &BTreeSet<Pid>) -> Vec<(Pid, Pid, bool)> {
    let machine = &snapshot.host.machine;
    pids.iter()
        .filter_map(|pid| snapshot.processes.get(pid))
        .flat_map(|process| {
            let compat = process.examination.as_ref().is_some_and(|e| e.compat);
            threads_to_watch(process, machine)
                .into_iter()
                .map(move |tid| (process.pid, tid, compat))
        })
        .collect()
}
