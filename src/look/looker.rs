//! The look into one network namespace: its phases, and what it has noted so far.

use std::collections::BTreeMap;
use std::time::Duration;

use super::blind_spots;
use super::dead::{self, DeadScan};
use super::error::LookError;
use super::options::LookOptions;
use super::scope::{is_selected, restrict_to_holders};
use super::search::Search;
use super::unread_sets::unread_sets;
use crate::collect::kernel::{DescriptorTables, Kernel, KernelError, Kind};
use crate::collect::proc;
use crate::correlate::{self, Triage, triage};
use crate::model::{
    BlindSpot, Extent, Gap, InodeSet, Namespace, Pid, Process, Reading, Scope, Snapshot,
    SocketSource,
};

/// The look into one namespace.
pub(super) struct Looker<'k> {
    pub(super) kernel: &'k mut dyn Kernel,
    pub(super) options: &'k LookOptions,
    pub(super) progress: Progress,
}

/// What a look has noted so far.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Progress {
    /// When the sockets were read, since the look began.
    pub(super) sockets_at: Duration,
    /// The latest time that was read.
    pub(super) latest: Duration,
    pub(super) malformed: usize,
    /// Why a part of the socket tables could not be read.
    pub(super) sockets_lack: Option<Gap>,
    pub(super) interrupted: bool,
}

impl<'k> Looker<'k> {
    pub(super) fn new(
        kernel: &'k mut dyn Kernel,
        options: &'k LookOptions,
        progress: Progress,
    ) -> Self {
        Self {
            kernel,
            options,
            progress,
        }
    }
}

impl Looker<'_> {
    /// Sockets, and what is suspicious about them.
    pub(super) fn first_phase(
        &mut self,
        namespace: Namespace,
    ) -> Result<(Snapshot, Triage), LookError> {
        let mut snapshot = self.sockets(namespace)?;
        let mut seen = triage(&snapshot, self.options.grace);
        if seen.missing_members {
            self.look_for_redirected(&mut snapshot);
            seen = triage(&snapshot, self.options.grace);
        }
        self.note_absent(&mut snapshot);
        Ok((snapshot, seen))
    }

    /// The sockets whose holders are to be found, if any are.
    pub(super) fn wanted(&self, snapshot: &Snapshot, seen: &Triage) -> Option<InodeSet> {
        if !self.options.inventory && seen.is_idle() && !self.options.scope.selects_holders() {
            return None;
        }
        let listeners = snapshot.sockets.listeners.iter();
        let mut wanted: InodeSet = listeners.filter_map(|listener| listener.inode).collect();
        wanted.extend(&seen.closed_by_peer);
        wanted.extend(&seen.half_closed);
        Some(wanted)
    }

    /// The descriptors of the wanted sockets, of all processes.
    pub(super) fn descriptor_tables(
        &mut self,
        wanted: &InodeSet,
    ) -> Result<DescriptorTables, KernelError> {
        self.kernel.descriptor_tables(wanted)
    }

    /// Which processes hold the sockets, and what they do.
    pub(super) fn further_phases(
        &mut self,
        mut snapshot: Snapshot,
        mut seen: Triage,
        search: Option<Search>,
    ) -> Snapshot {
        let walks = search.is_some();
        let tables = match search {
            Some(search) => self.owners(&mut snapshot, &seen, search),
            None => Vec::new(),
        };
        if self.options.scope.selects_holders() {
            self.note_absent_names(&mut snapshot);
            restrict_to_holders(&mut snapshot, &self.options.scope);
            self.note_absent_processes(&mut snapshot);
            seen = triage(&snapshot, self.options.grace);
        }
        if self.kernel.is_out_of_time() {
            snapshot.blind_spots.push(blind_spots::out_of_time());
            self.note_blind_spots(&mut snapshot, &seen);
            self.name_privileges(&mut snapshot);
            snapshot.elapsed = self.now().unwrap_or(self.progress.latest);
            return snapshot;
        }
        let dead = self.look_for_dead(&mut snapshot, walks);
        self.examine(&mut snapshot, &seen, &tables);
        self.watch(&mut snapshot, &seen);
        self.look_again(&mut snapshot, &seen);
        self.read_uptime(&mut snapshot);
        if let Some(dead) = dead {
            self.confirm_dead(&mut snapshot, dead);
        }
        self.follow_waits(&mut snapshot, &seen);
        self.read_open(&mut snapshot, &seen);
        self.note_blind_spots(&mut snapshot, &seen);
        self.name_privileges(&mut snapshot);
        snapshot.elapsed = self.now().unwrap_or(self.progress.latest);
        snapshot
    }

    /// Connections that no longer exist, while descriptors of them do.
    fn look_for_dead(&mut self, snapshot: &mut Snapshot, walks: bool) -> Option<DeadScan> {
        // The kernel counts dead sockets for the whole machine only, so each namespace would search
        // all processes for those of the others.
        let elsewhere =
            self.options.scope.all_netns && snapshot.namespace.name != Scope::CURRENT_NETNS;
        if elsewhere {
            return None;
        }
        match self.search_dead(snapshot.source, walks) {
            Ok(scan) => {
                snapshot.coverage.dead =
                    scan.as_ref().map_or(Extent::NotNeeded, |scan| scan.extent);
                scan
            }
            Err(error) => {
                snapshot.coverage.dead = Extent::Unread(error.gap());
                let spot = blind_spots::dead_not_searched(&error);
                snapshot.blind_spots.push(spot);
                None
            }
        }
    }

    /// Searches for them, unless the kernel's own counts show that there are hardly any.
    fn search_dead(
        &mut self,
        source: SocketSource,
        walks: bool,
    ) -> Result<Option<DeadScan>, KernelError> {
        if !dead::is_worth_a_search(self.kernel, walks)? {
            return Ok(None);
        }
        let at = self.kernel.elapsed()?;
        dead::sight(self.kernel, &self.options.scope, source, at).map(Some)
    }

    /// A connection that was reset a moment ago is normal; a leaked one is still there at the next look.
    fn confirm_dead(&mut self, snapshot: &mut Snapshot, first: DeadScan) {
        if let Some(gap) = first.extent.gap() {
            let spot = blind_spots::dead_searched_partly(gap);
            snapshot.blind_spots.push(spot);
        }
        let again = if first.found.is_empty() || self.options.observe.is_zero() {
            None
        } else {
            self.sight_again(snapshot.source, first.at)
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
        let scope = &self.options.scope;
        let processes = &snapshot.processes;
        let is_selected = |pid| {
            processes
                .get(&pid)
                .is_none_or(|one| is_selected(scope, one))
        };
        snapshot.dead.retain(|found| is_selected(found.pid));
    }

    fn sight_again(&mut self, source: SocketSource, first: Duration) -> Option<DeadScan> {
        let since_first = self.now()?.saturating_sub(first);
        self.kernel
            .pause(self.options.observe.saturating_sub(since_first));
        let at = self.now()?;
        dead::sight(self.kernel, &self.options.scope, source, at).ok()
    }

    /// The time since the look began; nothing where a recording has come to its end.
    pub(super) fn now(&mut self) -> Option<Duration> {
        let now = self.kernel.elapsed().ok()?;
        self.progress.latest = now;
        Some(now)
    }

    /// A process that does not exist, or is in another network namespace, shows no sockets here. That is
    /// not the same as healthy.
    pub(super) fn expect_process(&mut self, pid: Pid) -> Result<(), LookError> {
        if let Err(error) = self.kernel.read(&format!("{pid}/stat")) {
            if error.kind == Kind::NotFound {
                return Err(LookError::NoProcess(pid));
            }
            return Ok(());
        }
        let its = self.kernel.read_link(&format!("{pid}/ns/net"));
        let ours = self.kernel.read_link("thread-self/ns/net");
        if let (Ok(its), Ok(ours)) = (its, ours)
            && its != ours
        {
            return Err(LookError::Elsewhere(pid));
        }
        Ok(())
    }

    /// Which privilege was missing, where something was refused.
    fn name_privileges(&mut self, snapshot: &mut Snapshot) {
        if !blind_spots::lack_privileges(&snapshot.blind_spots) {
            return;
        }
        snapshot.rights = proc::read_own_rights(self.kernel);
        if let Some(rights) = snapshot.rights {
            blind_spots::name_privileges(&mut snapshot.blind_spots, rights);
        }
    }

    fn note_blind_spots(&self, snapshot: &mut Snapshot, seen: &Triage) {
        let mut spots: Vec<BlindSpot> = Vec::new();
        if self.progress.malformed > 0 {
            snapshot.coverage.lacks_sockets(Gap::Malformed);
            spots.push(blind_spots::malformed_sockets(self.progress.malformed));
        }
        if self.progress.interrupted {
            snapshot.coverage.lacks_sockets(Gap::CutOff);
            spots.push(blind_spots::interrupted_dump());
        }
        if let Some(gap) = self.progress.sockets_lack {
            snapshot.coverage.lacks_sockets(gap);
        }
        if let Some(gap) = snapshot.coverage.sockets.gap()
            && spots.is_empty()
        {
            spots.push(blind_spots::missing_sockets(gap));
        }
        let not_followed = &snapshot.waits.not_followed;
        spots.extend(
            not_followed
                .iter()
                .map(|what| blind_spots::not_followed(what)),
        );
        // Only a queue that was watched can be known not to have moved.
        if !seen.listeners.is_empty() && snapshot.source == SocketSource::InetDiag {
            let unknown = correlate::unknown_waits(snapshot, self.options.grace);
            spots.extend((unknown > 0).then(|| blind_spots::unknown_waits(unknown)));
        }
        let ageless = correlate::unknown_ages(snapshot, self.options.grace);
        spots.extend(blind_spots::unknown_ages(ageless));
        if !seen.listeners.is_empty()
            && snapshot.samples.is_empty()
            && !self.options.observe.is_zero()
        {
            spots.push(blind_spots::not_watched());
        }
        spots.extend(silent(snapshot).map(|names| blind_spots::no_answer(&names)));
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
        let examined = suspects
            .iter()
            .filter_map(|pid| snapshot.processes.get(pid));
        spots.extend(unread_sets(examined));
        snapshot.blind_spots.extend(spots);
    }
}

/// The processes whose memory or files did not answer.
fn silent(snapshot: &Snapshot) -> Option<String> {
    let is_silent = |process: &&Process| process.command_line == Reading::Unknown(Gap::NoAnswer);
    let processes = snapshot.processes.values().filter(is_silent);
    let names: Vec<String> = processes
        .map(|process| format!("{}[{}]", process.command, process.pid))
        .collect();
    (!names.is_empty()).then(|| names.join(", "))
}
