//! What renderers see: findings, listeners, connections, blind spots, totals.

mod absent;
mod check;
mod oldest;
mod origin;
mod services;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crate::correlate::acceptor::division;
use crate::correlate::age::Age;
use crate::correlate::waits::Facts;
use crate::correlate::{AcceptQueue, Activity, Analysis, Ledger, Place, Watch, interpret, ledgers};
use crate::model::{
    Absent, BlindSpot, Connection, Coverage, DroppedCounters, Holder, HolderSource, Host, Listener,
    Namespace, Pid, Process, Scope, SocketSource, TcpState, Thread,
};
use crate::rules::{self, Finding, Severity, WaitChain};

pub use absent::absent_sentence;
pub use check::{
    AmountText, Check, Evaluation, Limits, Measurement, Metric, Status, Threshold, Thresholds,
    ThresholdsError, Unit,
};
pub use oldest::Oldest;
pub use origin::{Lines, Origin, OriginKind, Span};

/// The report of one look: everything a renderer shows.
pub struct Report {
    /// When the look began (RFC 3339, UTC).
    pub taken_at: String,
    /// How long it took.
    pub elapsed: Duration,
    /// The machine.
    pub host: Host,
    /// What was looked at.
    pub scope: Scope,
    /// Where the sockets came from.
    pub source: Source,
    /// The recording or the text that was read instead of the kernel.
    pub origin: Option<Origin>,
    /// What of the sockets is shown in full.
    pub coverage: Coverage,
    /// Where the holders of sockets came from, where they were looked for.
    pub owner_source: Option<HolderSource>,
    /// The answer in one word.
    pub verdict: Verdict,
    /// The age from which on a connection that no process serves is suspicious.
    pub grace: Duration,
    /// Numbers of connections in `CLOSE_WAIT` by place.
    pub close_wait: CloseWaitTotals,
    /// What is wrong, the worst first.
    pub findings: Vec<Finding>,
    /// Every listener in scope.
    pub listeners: Vec<ListenerRow>,
    /// The processes that hold what is shown.
    pub processes: Vec<ProcessRow>,
    /// Names of users by their ids, as far as they are known.
    users: BTreeMap<u32, String>,
    /// Whether the look was ended before it was done.
    pub is_partial: bool,
    /// What was asked for and is not there.
    pub absent: Vec<Absent>,
    /// What could not be seen.
    pub blind_spots: Vec<BlindSpot>,
    /// The network namespaces that were looked into.
    pub namespaces: Vec<Namespace>,
    /// What was seen in each of them.
    analyses: Vec<Arc<Analysis>>,
}

/// Where the sockets of a report came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The running kernel, over `sock_diag`.
    InetDiag,
    /// The running kernel, over `/proc/net/tcp`.
    Procfs,
    /// A recording.
    Recording,
    /// Text that was copied; it does not say when.
    Text,
}

/// The answer in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing is wrong.
    Healthy,
    /// Something is wrong; no client is affected yet.
    Degraded,
    /// Clients are affected now.
    Critical,
    /// Nothing was found, and something could hide in a blind spot, or something that was asked for is
    /// not there.
    Unknown,
}

/// Connections in `CLOSE_WAIT` by place.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CloseWaitTotals {
    /// In an accept queue.
    pub accept_queue: usize,
    /// Held by a process that is known.
    pub owned: usize,
    /// Accepted by an unknown process; or it is unknown whether it was accepted.
    pub unattributed: usize,
}

impl CloseWaitTotals {
    /// All of them.
    pub fn total(self) -> usize {
        self.accept_queue + self.owned + self.unattributed
    }

    fn add(&mut self, other: Self) {
        self.accept_queue += other.accept_queue;
        self.owned += other.owned;
        self.unattributed += other.unattributed;
    }
}

/// A listener and its queue.
pub struct ListenerRow {
    /// Its network namespace.
    pub netns: String,
    /// The listener.
    pub listener: Listener,
    /// Its queue.
    pub queue: AcceptQueue,
    /// The processes that hold it.
    pub owners: Vec<Holder>,
    /// What its program has accepted and still has; none where it cannot be told what belongs to it.
    pub accepted: Option<Ledger>,
    /// Where it is registered: process and registration.
    pub watchers: Vec<(Pid, Watch)>,
}

/// A connection and where it is.
#[derive(Clone, Copy)]
pub struct ConnectionRow<'a> {
    /// Its network namespace.
    pub netns: &'a str,
    /// The connection.
    pub connection: &'a Connection,
    /// Where it is.
    pub place: Place,
    /// How long it has been in its state.
    pub age: Age,
    /// Whether it was in `CLOSE_WAIT`, and a second look did not see it so any more.
    pub ended: bool,
    /// The processes that hold it.
    pub owners: &'a [Holder],
}

impl ConnectionRow<'_> {
    /// Bytes that were received and not read, without the FIN; unknown at MPTCP level.
    pub fn unread_bytes(&self) -> Option<u32> {
        let connection = self.connection;
        if connection.layer.is_mptcp() {
            None
        } else if connection.state == TcpState::CloseWait {
            Some(connection.recv_q.saturating_sub(1))
        } else {
            Some(connection.recv_q)
        }
    }
}

/// A process that holds what is shown.
pub struct ProcessRow {
    /// The look that read it.
    analysis: Arc<Analysis>,
    /// Its id.
    pub pid: Pid,
    /// How many connections in `CLOSE_WAIT` it holds.
    pub close_wait: usize,
}

impl ProcessRow {
    /// The process.
    ///
    /// # Panics
    ///
    /// Never: a row is made of a process that the look has read.
    pub fn process(&self) -> &Process {
        let process = self.analysis.process(self.pid);
        process.expect("a row is made of a process that the look has read")
    }

    /// How long it runs, where that is known.
    pub fn runs_for(&self) -> Option<Duration> {
        self.analysis.facts().age(self.process())
    }

    /// Its threads and what they do; none where it was not examined.
    pub fn threads(&self) -> impl Iterator<Item = (&Thread, Activity)> {
        let machine = &self.analysis.snapshot.host.machine;
        let threads = self.process().examination.iter();
        threads
            .filter_map(|examination| examination.threads.known())
            .flatten()
            .map(move |thread| {
                let polled = thread.polled_fds.as_ref();
                let activity = interpret(machine, thread.state, thread.syscall, polled);
                (thread, activity)
            })
    }
}

/// What a report needs to know besides the analysis.
pub struct Circumstances {
    /// When the look began (RFC 3339, UTC).
    pub taken_at: String,
    /// What was looked at.
    pub scope: Scope,
    /// Whether it was replayed from a recording.
    pub replayed: bool,
}

impl Report {
    /// Gathers the answer.
    pub fn new(
        analysis: Arc<Analysis>,
        findings: Vec<Finding>,
        circumstances: Circumstances,
    ) -> Self {
        let snapshot = &analysis.snapshot;
        let (close_wait, held) = count(&analysis);
        Self {
            taken_at: circumstances.taken_at,
            elapsed: snapshot.elapsed,
            host: snapshot.host.clone(),
            scope: circumstances.scope,
            source: match snapshot.source {
                SocketSource::Text => Source::Text,
                _ if circumstances.replayed => Source::Recording,
                SocketSource::InetDiag => Source::InetDiag,
                SocketSource::Procfs => Source::Procfs,
            },
            origin: None,
            coverage: snapshot.coverage,
            owner_source: snapshot.holder_source,
            verdict: verdict(&findings, &snapshot.blind_spots, &snapshot.absent),
            absent: snapshot.absent.clone(),
            grace: analysis.grace,
            close_wait,
            listeners: listener_rows(&analysis),
            processes: process_rows(&analysis, &held),
            users: BTreeMap::new(),
            is_partial: false,
            findings,
            blind_spots: snapshot.blind_spots.clone(),
            namespaces: vec![snapshot.namespace.clone()],
            analyses: vec![analysis],
        }
    }

    /// Says that the look was ended before it was done: what it did not come to may hide anything.
    pub fn mark_interrupted(&mut self) {
        self.is_partial = true;
        self.blind_spots.push(BlindSpot {
            what: "the rest of the look".to_owned(),
            why: "it was interrupted".to_owned(),
            remedy: "let it come to its end; --port and --timeout make it shorter".to_owned(),
            hides_findings: true,
        });
        self.verdict = verdict(&self.findings, &self.blind_spots, &self.absent);
    }

    /// Says which recording or text it is about.
    #[must_use]
    pub fn with_origin(mut self, origin: Origin) -> Self {
        self.origin = Some(origin);
        self
    }

    /// Puts the reports of several network namespaces together.
    ///
    /// What one process holds in several of them is counted together. A blind spot that all have
    /// is listed once.
    #[must_use]
    pub fn merge(self, other: Self) -> Self {
        let mut merged = self;
        merged.elapsed = merged.elapsed.max(other.elapsed);
        merged.coverage = merged.coverage.and(other.coverage);
        merged.owner_source = merged.owner_source.or(other.owner_source);
        merged.findings.extend(other.findings);
        rules::sort(&mut merged.findings);
        merged.listeners.extend(other.listeners);
        merged.namespaces.extend(other.namespaces);
        merged.analyses.extend(other.analyses);
        for spot in other.blind_spots {
            if !merged.blind_spots.contains(&spot) {
                merged.blind_spots.push(spot);
            }
        }
        merge_processes(&mut merged.processes, other.processes);
        merged.close_wait.add(other.close_wait);
        merged.absent = absent::merge(merged.absent, &other.absent);
        merged.verdict = verdict(&merged.findings, &merged.blind_spots, &merged.absent);
        merged
    }

    /// Who waits for whom behind a finding of this report.
    pub fn waits(&self, finding: &Finding) -> Option<WaitChain> {
        let mut analyses = self.analyses.iter();
        let its = analyses.find(|one| one.snapshot.namespace.name == finding.subject.netns)?;
        rules::wait_chain(its, finding)
    }

    /// What the threads of the processes that were followed wait for, in words.
    pub fn thread_waits(&self) -> BTreeMap<(Pid, Pid), String> {
        let analyses = self.analyses.iter();
        analyses.flat_map(|one| rules::thread_waits(one)).collect()
    }

    /// Connections in `CLOSE_WAIT`, and those that wait in a queue. There can be very many, so a row is
    /// made when it is asked for.
    pub fn connections(&self) -> impl Iterator<Item = ConnectionRow<'_>> {
        self.analyses
            .iter()
            .flat_map(|analysis| connection_rows(analysis))
    }

    /// Returns the counters of refused connections of each network namespace, where they were asked for and could
    /// be read.
    pub fn dropped_counters(&self) -> impl Iterator<Item = (&str, DroppedCounters)> {
        self.analyses.iter().filter_map(|analysis| {
            let snapshot = &analysis.snapshot;
            Some((snapshot.namespace.name.as_str(), snapshot.counters?))
        })
    }

    /// How many findings are of this severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.findings
            .iter()
            .filter(|finding| finding.severity == severity)
            .count()
    }

    /// A process that holds what is shown.
    pub fn process(&self, pid: Pid) -> Option<&ProcessRow> {
        let index = self.processes.binary_search_by_key(&pid, |row| row.pid);
        index.ok().map(|index| &self.processes[index])
    }

    /// The name of a process.
    pub fn command(&self, pid: Pid) -> &str {
        self.process(pid).map_or("", |row| &row.process().command)
    }

    /// The name of a user, where it is known.
    pub fn user(&self, uid: u32) -> Option<&str> {
        // Every system calls it so.
        let root = (uid == 0).then_some("root");
        self.users.get(&uid).map(String::as_str).or(root)
    }

    /// Says what the users of this host are called.
    #[must_use]
    pub fn with_users(mut self, users: BTreeMap<u32, String>) -> Self {
        self.users = users;
        self
    }
}

fn verdict(findings: &[Finding], blind_spots: &[BlindSpot], absent: &[Absent]) -> Verdict {
    let untold = !absent.is_empty() || blind_spots.iter().any(|spot| spot.hides_findings);
    match findings.iter().map(|finding| finding.severity).max() {
        Some(Severity::Critical) => Verdict::Critical,
        Some(Severity::Warning) => Verdict::Degraded,
        Some(Severity::Info) | None if untold => Verdict::Unknown,
        Some(Severity::Info) | None => Verdict::Healthy,
    }
}

fn merge_processes(all: &mut Vec<ProcessRow>, more: Vec<ProcessRow>) {
    for row in more {
        match all.binary_search_by_key(&row.pid, |known| known.pid) {
            Ok(index) => {
                let known = &mut all[index];
                known.close_wait += row.close_wait;
                if known.process().examination.is_none() {
                    known.analysis = row.analysis;
                }
            }
            Err(index) => all.insert(index, row),
        }
    }
}

fn listener_rows(analysis: &Analysis) -> Vec<ListenerRow> {
    let facts = analysis.facts();
    analysis
        .snapshot
        .sockets
        .listeners
        .iter()
        .zip(&analysis.queues)
        .zip(ledgers(analysis))
        .map(|((listener, queue), accepted)| ListenerRow {
            netns: analysis.snapshot.namespace.name.clone(),
            listener: listener.clone(),
            queue: queue.clone(),
            owners: listener
                .inode
                .map_or(&[][..], |inode| analysis.owners.of(inode))
                .to_vec(),
            accepted,
            watchers: watchers(&facts, listener),
        })
        .collect()
}

fn watchers(facts: &Facts, listener: &Listener) -> Vec<(Pid, Watch)> {
    let acceptors = division(facts, listener).acceptors;
    acceptors
        .into_iter()
        .flat_map(|acceptor| {
            let pid = acceptor.process.pid;
            acceptor.watches.into_iter().map(move |watch| (pid, watch))
        })
        .collect()
}

fn connection_rows(analysis: &Analysis) -> impl Iterator<Item = ConnectionRow<'_>> {
    let netns = &analysis.snapshot.namespace.name;
    shown(analysis).map(|(connection, place, owners)| ConnectionRow {
        netns,
        connection,
        place,
        age: analysis
            .ages
            .in_state(connection, matches!(place, Place::AcceptQueue(_))),
        ended: analysis.ages.has_ended(connection),
        owners,
    })
}

fn shown(analysis: &Analysis) -> impl Iterator<Item = (&Connection, Place, &[Holder])> {
    let connections = analysis.snapshot.sockets.connections.iter();
    let placed = connections.zip(analysis.places.iter().copied());
    placed
        .zip(analysis.owners.of_connections())
        .map(|((connection, place), owners)| (connection, place, owners))
        .filter(|(connection, place, _)| {
            connection.state == TcpState::CloseWait || matches!(place, Place::AcceptQueue(_))
        })
}

/// Counts connections in `CLOSE_WAIT`, by place and by process.
fn count(analysis: &Analysis) -> (CloseWaitTotals, HashMap<Pid, usize>) {
    let mut totals = CloseWaitTotals::default();
    let mut held: HashMap<Pid, usize> = HashMap::new();
    for (connection, place, owners) in shown(analysis) {
        if connection.state != TcpState::CloseWait {
            continue;
        }
        match place {
            Place::AcceptQueue(_) => totals.accept_queue += 1,
            Place::Undecided => totals.unattributed += 1,
            Place::Accepted(_) | Place::Orphan if owners.is_empty() => totals.unattributed += 1,
            Place::Accepted(_) | Place::Orphan => totals.owned += 1,
        }
        for of_one in owners.chunk_by(|one, other| one.pid == other.pid) {
            *held.entry(of_one[0].pid).or_default() += 1;
        }
    }
    (totals, held)
}

fn process_rows(analysis: &Arc<Analysis>, close_wait: &HashMap<Pid, usize>) -> Vec<ProcessRow> {
    let pids = analysis.snapshot.processes.keys();
    pids.map(|pid| ProcessRow {
        analysis: Arc::clone(analysis),
        pid: *pid,
        close_wait: close_wait.get(pid).copied().unwrap_or(0),
    })
    .collect()
}
