//! One look: sockets first; then only the processes they point at; then, when a listener is
//! suspicious, a few repeated samples. What to look at next is decided in `correlate`; this
//! alternates the two.

mod blind_spots;
mod dead;
mod everywhere;
mod ledger;
mod owners;
mod sockets;
mod text;
mod text_blind_spots;
mod watch;

use owners::{Search, restrict_to_pids};
pub use text::snapshot as snapshot_of_text;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::collect::kernel::{Kernel, Kind, RecordedManner};
use crate::collect::proc;
use crate::correlate::{self, Triage, triage};
use crate::model::{
    BlindSpot, Gap, InodeSet, Namespace, Pid, Reading, Scope, Snapshot, SocketSource,
};
use dead::DeadScan;

/// How to look.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// The age from which on an untended connection is a server.
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

/// Takes one look, at one network namespace or at all that can be reached.
///
/// # Errors
///
/// When no socket can be read at all, or a process that was named is not there.
pub fn look(kernel: &mut dyn Kernel, scope: &Scope, plan: &Plan) -> Result<Vec<Snapshot>> {
    kernel.begin_look();
    if scope.all_netns {
        return everywhere::look(kernel, scope, plan);
    }
    let namespace = Namespace::named(scope.netns_name());
    let mut looker = Looker::new(kernel, scope, plan, Progress::default());
    for pid in &scope.pids {
        looker.expect_process(*pid)?;
    }
    let (snapshot, seen) = looker.first_phase(namespace)?;
    let wanted = looker.wanted(&snapshot, &seen);
    let answered = wanted.map(|wanted| (looker.kernel.descriptor_tables(&wanted), wanted));
    let search = answered
        .as_ref()
        .map(|(tables, wanted)| Search { wanted, tables });
    let snapshot = looker.further_phases(snapshot, seen, search);
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
    pub(super) fn first_phase(&mut self, namespace: Namespace) -> Result<(Snapshot, Triage)> {
        let mut snapshot = self.sockets(namespace)?;
        let mut seen = triage(&snapshot, self.plan.grace);
        if seen.missing_members {
            self.look_for_redirected(&mut snapshot);
            seen = triage(&snapshot, self.plan.grace);
        }
        Ok((snapshot, seen))
    }

    /// The sockets whose holders are to be found, if any are.
    pub(super) fn wanted(&self, snapshot: &Snapshot, seen: &Triage) -> Option<InodeSet> {
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
        if !self.scope.pids.is_empty() {
            restrict_to_pids(&mut snapshot, &self.scope.pids);
            seen = triage(&snapshot, self.plan.grace);
        }
        let dead = self.look_for_dead(&snapshot, walks);
        self.examine(&mut snapshot, &seen, &tables);
        self.watch(&mut snapshot, &seen);
        self.look_again(&mut snapshot, &seen);
        self.read_uptime(&mut snapshot, &seen);
        if let Some(dead) = dead {
            self.confirm_dead(&mut snapshot, dead);
        }
        self.name_what_blocks(&mut snapshot);
        self.note_blind_spots(&mut snapshot, &seen);
        snapshot.elapsed = self.now().unwrap_or(self.progress.latest);
        snapshot
    }

    /// Connections that no longer exist, while descriptors of them do.
    fn look_for_dead(&mut self, snapshot: &Snapshot, walks: bool) -> Option<DeadScan> {
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
    fn confirm_dead(&mut self, snapshot: &mut Snapshot, first: DeadScan) {
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

    fn sight_again(&mut self, first: Duration) -> Option<DeadScan> {
        let since_first = self.now()?.saturating_sub(first);
        self.kernel
            .pause(self.plan.observe.saturating_sub(since_first));
        let at = self.now()?;
        dead::sight(self.kernel, self.scope, at)
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

    fn note_blind_spots(&self, snapshot: &mut Snapshot, seen: &Triage) {
        let mut spots: Vec<BlindSpot> = Vec::new();
        if self.progress.malformed > 0 {
            spots.push(blind_spots::malformed_sockets(self.progress.malformed));
        }
        if self.progress.interrupted {
            spots.push(blind_spots::interrupted_dump());
        }
        // Only what was watched can have stood still without telling for how long.
        if !seen.listeners.is_empty() && snapshot.source == SocketSource::InetDiag {
            let unknown = correlate::unknown_waits(snapshot, self.plan.grace);
            spots.extend((unknown > 0).then(|| blind_spots::unknown_waits(unknown)));
        }
        spots.extend(blind_spots::unknown_ages(correlate::unknown_ages(
            snapshot,
            self.plan.grace,
        )));
        if !seen.listeners.is_empty() && snapshot.samples.is_empty() && !self.plan.observe.is_zero()
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
