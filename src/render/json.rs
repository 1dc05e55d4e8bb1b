//! The JSON report, `closewait-doctor.report/v1`.
//!
//! Its structs are its own: a change of a model type must not change the wire by accident. Field
//! names, ids and units are promises; more fields may come.

use std::collections::BTreeMap;
use std::io::{self, Write};

use schemars::JsonSchema;
use serde::{Serialize, Serializer};
use serde_json::ser::{CompactFormatter, Formatter, PrettyFormatter};

use super::escape::is_dangerous;
use super::json_check::CheckV1;
use super::json_types::{ConfidenceV1, SeverityV1, millis};
use super::json_waits::WaitsV1;
use crate::correlate::{Activity, Place};
use crate::model::{
    Absent, Asked, BlindSpot, Holder, HolderSource, Library, Namespace, Pid, PortRange, Reading,
    RunState, Server, Software, Via,
};
use crate::report::{
    Check, ConnectionRow, ListenerRow, Oldest, Origin, OriginKind, ProcessRow, Report, Source,
    Verdict,
};
use crate::rules::{Finding, Severity, SubjectKind, WaitChain};

/// The schema's name and version.
pub const SCHEMA: &str = "closewait-doctor.report/v1";

/// The report.
#[derive(Serialize, JsonSchema)]
#[schemars(title = "closewait-doctor.report/v1")]
struct ReportV1<'a> {
    /// Always `closewait-doctor.report/v1`.
    schema: &'static str,
    /// Version of the program.
    tool_version: &'static str,
    /// When the look began, RFC 3339 in UTC.
    taken_at: &'a str,
    /// How long the look took, in milliseconds.
    elapsed_ms: u64,
    host: HostV1<'a>,
    scope: ScopeV1<'a>,
    sources: SourcesV1,
    /// The recording or text that was read instead of the kernel; null for a look at the kernel.
    source: Option<SourceV1<'a>>,
    /// The network namespaces that were looked into.
    namespaces: Vec<NamespaceV1<'a>>,
    /// What was asked for and is not there: neither a listener nor a connection. The verdict is then
    /// `unknown` at best.
    absent: Vec<AbsentV1>,
    /// What could not be seen.
    blind_spots: Vec<BlindSpotV1<'a>>,
    summary: SummaryV1,
    /// What is wrong, the worst first.
    findings: Vec<FindingV1<'a>>,
    /// Every listener in scope.
    listeners: Vec<ListenerV1<'a>>,
    /// Connections in CLOSE_WAIT, and every one that waits in an accept queue; with `--limit` the oldest
    /// of them.
    #[schemars(with = "Vec<ConnectionV1>")]
    connections: ListedV1<'a>,
    /// How many more there are, which `--limit` left out. Everything else counts them.
    connections_omitted: usize,
    /// The processes that hold what is shown.
    processes: Vec<ProcessV1<'a>>,
    /// What the command `check` came to; other commands do not have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    check: Option<CheckV1>,
}

/// The machine that was looked at.
#[derive(Serialize, JsonSchema)]
struct HostV1<'a> {
    hostname: &'a str,
    /// Kernel release.
    kernel: &'a str,
}

/// A recording or a text.
#[derive(Serialize, JsonSchema)]
struct SourceV1<'a> {
    kind: SourceKindV1,
    /// The host that it shows; null where it is not known.
    host: Option<&'a str>,
    /// When it was taken, RFC 3339 in UTC; null where it is not known.
    taken_at: Option<&'a str>,
    /// The version of the program that made a recording.
    tool_version: Option<&'a str>,
    /// The tools whose tables are in a text.
    tables: &'a [&'static str],
    /// Lines of a text that are not empty; null for a recording.
    lines: Option<LinesV1>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum SourceKindV1 {
    Recording,
    Text,
}

/// What became of lines.
#[derive(Serialize, JsonSchema)]
struct LinesV1 {
    /// Part of what is reported.
    used: usize,
    /// Not used.
    unused: usize,
}

/// What the look was restricted to.
#[derive(Serialize, JsonSchema)]
struct ScopeV1<'a> {
    /// Ports, and ranges as `first-last`; empty for all.
    ports: Vec<PortV1>,
    /// Addresses, each with a port that is among `ports`; empty for all.
    addresses: Vec<String>,
    /// Processes; empty for all.
    pids: &'a [u32],
    /// Names of processes or units; empty for all.
    names: &'a [String],
    /// `current`, or the namespace as it was named.
    netns: &'a str,
}

/// A port or a range.
#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
enum PortV1 {
    One(u16),
    Range(String),
}

/// Something that was asked for and is not there.
#[derive(Serialize, JsonSchema)]
struct AbsentV1 {
    kind: AskedV1,
    /// The port or range, the address, the process id, or the name.
    asked: String,
    /// Listeners that are there, those on the nearest ports first.
    nearby: Vec<String>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum AskedV1 {
    Port,
    Address,
    Process,
    Name,
    Namespace,
}

/// Where the facts came from.
#[derive(Serialize, JsonSchema)]
struct SourcesV1 {
    sockets: SocketSourceV1,
    /// Where the holders of sockets were read from; null if none was looked for.
    owners: Option<OwnerSourceV1>,
    accept_queues: QueueSourceV1,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum SocketSourceV1 {
    InetDiag,
    Procfs,
    Recording,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum OwnerSourceV1 {
    /// The links of `/proc/PID/fd`.
    Procfs,
    /// One pass inside the kernel: the BPF iterator `task_file`.
    Bpf,
    /// What the text says.
    Text,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum QueueSourceV1 {
    /// From inodes, addresses and lengths.
    Inferred,
}

/// A network namespace.
#[derive(Serialize, JsonSchema)]
struct NamespaceV1<'a> {
    /// The name by which everything else refers to it.
    name: &'a str,
    /// Its number, as in `net:[4026531840]`; null for the current one where it was not asked for.
    inode: Option<u64>,
    /// Runtime of the container it belongs to.
    container_runtime: Option<&'a str>,
    /// Id of that container.
    container_id: Option<&'a str>,
    /// Uid of its Kubernetes pod.
    pod_uid: Option<&'a str>,
    /// Its systemd unit.
    unit: Option<&'a str>,
}

/// Something that could not be seen.
#[derive(Serialize, JsonSchema)]
struct BlindSpotV1<'a> {
    what: &'a str,
    why: &'a str,
    /// What would make it visible.
    remedy: &'a str,
    /// Whether a finding could hide in it.
    hides_findings: bool,
}

/// The answer in numbers.
#[derive(Serialize, JsonSchema)]
struct SummaryV1 {
    verdict: VerdictV1,
    close_wait: CloseWaitV1,
    listeners: usize,
    findings: FindingCountsV1,
}

/// `critical` when there is a critical finding, `degraded` when there are only warnings,
/// `unknown` when a blind spot could hide one, else `healthy`.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum VerdictV1 {
    Healthy,
    Degraded,
    Critical,
    Unknown,
}

/// Connections in CLOSE_WAIT; `total` is the sum of the other three.
#[derive(Serialize, JsonSchema)]
struct CloseWaitV1 {
    total: usize,
    /// Never accepted.
    accept_queue: usize,
    /// Held by a process that is known.
    owned: usize,
    /// Accepted by an unknown process.
    unattributed: usize,
}

#[derive(Serialize, JsonSchema)]
struct FindingCountsV1 {
    critical: usize,
    warning: usize,
    info: usize,
}

/// What is wrong.
#[derive(Serialize, JsonSchema)]
struct FindingV1<'a> {
    id: &'a str,
    severity: SeverityV1,
    confidence: ConfidenceV1,
    subject: SubjectV1<'a>,
    headline: &'a str,
    /// What was seen.
    evidence: Vec<&'a str>,
    /// What follows from it, where the headline does not say all.
    conclusion: Option<&'a str>,
    /// What to do.
    remedies: Vec<String>,
    /// How many connections it covers.
    connections: usize,
    /// Who waits for whom, from the accused processes to the root; null where they are not blocked, or that was
    /// not followed.
    waits: Option<WaitsV1>,
}

/// What a finding is about.
#[derive(Serialize, JsonSchema)]
struct SubjectV1<'a> {
    kind: SubjectKindV1,
    netns: &'a str,
    /// The local address, of a listener or of connections that came in there.
    local: Option<String>,
    /// The port of `local`.
    port: Option<u16>,
    /// The remote service, of connections that this host opened.
    remote: Option<String>,
    pids: &'a [u32],
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum SubjectKindV1 {
    Listener,
    Process,
    Connection,
}

/// A listener.
#[derive(Serialize, JsonSchema)]
struct ListenerV1<'a> {
    local: String,
    port: u16,
    netns: &'a str,
    inode: Option<u32>,
    accept_queue: AcceptQueueV1,
    /// What its program has accepted and still has; null where it cannot be told what belongs to it.
    accepted: Option<AcceptedV1>,
    owners: Vec<OwnerV1<'a>>,
    /// Epoll registrations; looked for only where something is suspicious.
    watchers: Vec<WatcherV1>,
}

/// An accept queue; null where it is not certain.
#[derive(Serialize, JsonSchema)]
struct AcceptQueueV1 {
    /// Connections that wait, whatever their state; null where a text does not show it.
    length: Option<u32>,
    /// The queue holds one more than this.
    limit: Option<u32>,
    /// Of these, ESTABLISHED.
    established: Option<u32>,
    /// Of these, in CLOSE_WAIT.
    close_wait: Option<u32>,
    /// Of these, reset while they waited; no socket list shows them.
    reset: Option<u32>,
    /// How long the oldest visible one has waited, in milliseconds.
    oldest_ms: Option<u64>,
}

/// Accepted connections of a listener.
#[derive(Serialize, JsonSchema)]
struct AcceptedV1 {
    /// All of them, whatever their state; asked for only where something is suspicious, otherwise null.
    total: Option<usize>,
    /// Of these, in CLOSE_WAIT.
    close_wait: usize,
    /// Of all, with something left to read, if only the end; null where `total` is.
    unread: Option<usize>,
    /// How long the oldest in CLOSE_WAIT has been so, at least, in milliseconds; null where there is
    /// none or no age is known.
    oldest_ms: Option<u64>,
}

/// A process's descriptor.
#[derive(Serialize, JsonSchema)]
struct OwnerV1<'a> {
    pid: u32,
    /// Null where the source does not show it.
    fd: Option<u32>,
    command: &'a str,
    /// How, where it is not by a descriptor of its table: `thread` (a table of its own) or
    /// `io_uring` (registered with the one that is `fd`).
    #[serde(skip_serializing_if = "Option::is_none")]
    via: Option<&'static str>,
}

/// An epoll registration.
#[derive(Serialize, JsonSchema)]
struct WatcherV1 {
    pid: u32,
    epoll_fd: u32,
    /// As in `epoll_ctl(2)`, joined by `|`.
    events: String,
    edge_triggered: bool,
}

/// The connections that are listed: all of them, or the rows that a limit leaves. They are made as they
/// are written, since there can be very many.
struct ListedV1<'a> {
    report: &'a Report,
    rows: Option<Vec<ConnectionRow<'a>>>,
}

impl Serialize for ListedV1<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let report = self.report;
        if let Some(rows) = &self.rows {
            let rows = rows.iter();
            return serializer.collect_seq(rows.map(|row| convert_connection(report, row)));
        }
        let rows = report.connections();
        serializer.collect_seq(rows.map(|row| convert_connection(report, &row)))
    }
}

/// A connection.
#[derive(Serialize, JsonSchema)]
struct ConnectionV1<'a> {
    state: &'static str,
    local: String,
    remote: String,
    netns: &'a str,
    /// 0 when it was never accepted; null where the source does not show it.
    inode: Option<u32>,
    /// Whether it is an MPTCP connection. Then `recv_q` counts memory, and `eof` is null.
    mptcp: bool,
    /// Bytes received and not read; in CLOSE_WAIT the FIN counts as one.
    recv_q: u32,
    /// Bytes not yet acknowledged.
    send_q: u32,
    eof: Option<EofV1>,
    /// In its state for at least this long, in milliseconds.
    age_ms: Option<u64>,
    /// And for at most this long; the same where it is exact.
    age_at_most_ms: Option<u64>,
    place: PlaceV1,
    owners: Vec<OwnerV1<'a>>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum EofV1 {
    Unread,
    Consumed,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum PlaceV1 {
    AcceptQueue,
    Process,
    Unattributed,
}

/// A process.
#[derive(Serialize, JsonSchema)]
struct ProcessV1<'a> {
    pid: u32,
    /// Its id in its own pid namespace, where that is another.
    pid_inside: Option<u32>,
    command: &'a str,
    command_line: Option<&'a str>,
    /// `running`, `sleeping`, `uninterruptible`, `stopped`, `traced`, `zombie` or `other`.
    state: Option<&'static str>,
    /// The user it acts as; null where it could not be read.
    uid: Option<u32>,
    /// That user's name on this host; null where it is not known, and always of a recording.
    user: Option<&'a str>,
    /// Its systemd unit.
    unit: Option<&'a str>,
    /// Runtime of the container it is in.
    container_runtime: Option<&'a str>,
    /// Id of that container.
    container_id: Option<&'a str>,
    /// Uid of its Kubernetes pod.
    pod_uid: Option<&'a str>,
    /// How long it runs, in milliseconds.
    running_ms: Option<u64>,
    /// Whether threads and epoll sets were looked at: only where something is suspicious.
    examined: bool,
    /// Language runtime or server, where it was recognised.
    runtime: Option<&'static str>,
    /// Event library, where it was recognised.
    library: Option<&'static str>,
    /// Program or server, where it was recognised.
    server: Option<&'static str>,
    /// Whether its cgroup is frozen.
    frozen: Option<bool>,
    fds: FdsV1,
    threads: Vec<ThreadV1<'a>>,
    /// Connections in CLOSE_WAIT that it holds.
    close_wait: usize,
}

/// Descriptors of a process.
#[derive(Serialize, JsonSchema)]
struct FdsV1 {
    open: Option<u64>,
    /// Soft `RLIMIT_NOFILE`.
    limit: Option<u64>,
}

/// A thread.
#[derive(Serialize, JsonSchema)]
struct ThreadV1<'a> {
    tid: u32,
    command: &'a str,
    state: Option<&'static str>,
    /// The system call it is blocked in, by name.
    syscall: Option<String>,
    /// What it waits for, in words, or the kernel function it sleeps in.
    waiting_on: Option<String>,
    /// What it waits for in the end, where its waits were followed: a service, a lock and its holder, a child, a
    /// pipe.
    waits_for: Option<String>,
}

/// Writes the report as one JSON object, indented, and a newline; with a limit, of the connections
/// only so many, the oldest.
///
/// # Errors
///
/// When the writer fails.
pub fn write_json(report: &Report, limit: Option<usize>, out: &mut dyn Write) -> io::Result<()> {
    write(&convert(report, limit), out)
}

/// Writes the report with what a check came to.
///
/// # Errors
///
/// When the writer fails.
pub fn write_json_with_check(
    report: &Report,
    check: &Check,
    out: &mut dyn Write,
) -> io::Result<()> {
    let report = ReportV1 {
        check: Some(check.into()),
        ..convert(report, None)
    };
    write(&report, out)
}

/// Returns the report as a value, to be a part of another answer.
pub(super) fn report_value(report: &Report) -> io::Result<serde_json::Value> {
    Ok(serde_json::to_value(convert(report, None))?)
}

fn write(report: &ReportV1, out: &mut dyn Write) -> io::Result<()> {
    write_value(report, out)
}

/// Writes one JSON object, indented, and a newline.
pub(super) fn write_value(value: &impl Serialize, out: &mut dyn Write) -> io::Result<()> {
    let formatter = Harmless(PrettyFormatter::new());
    let mut serializer = serde_json::Serializer::with_formatter(&mut *out, formatter);
    value.serialize(&mut serializer)?;
    out.write_all(b"\n")
}

/// The JSON Schema of the report.
///
/// # Panics
///
/// Never: a schema has only string keys.
pub fn schema() -> String {
    schema_of::<ReportV1>()
}

/// The JSON Schema of a type.
pub(super) fn schema_of<T: JsonSchema>() -> String {
    let settings = schemars::generate::SchemaSettings::default().for_serialize();
    let schema = settings.into_generator().into_root_schema_for::<T>();
    serde_json::to_string_pretty(&schema).expect("a schema has only string keys")
}

fn convert_origin(origin: &Origin) -> SourceV1<'_> {
    let (kind, tool_version, tables) = match &origin.kind {
        OriginKind::Recording(version) => (SourceKindV1::Recording, Some(&**version), &[][..]),
        OriginKind::Text(tables) => (SourceKindV1::Text, None, &tables[..]),
    };
    SourceV1 {
        kind,
        host: origin.host.as_deref().filter(|host| !host.is_empty()),
        taken_at: origin.taken_at.as_deref(),
        tool_version,
        tables,
        lines: origin.lines.as_ref().map(|lines| LinesV1 {
            used: lines.used,
            unused: lines.unused,
        }),
    }
}

fn convert(report: &Report, limit: Option<usize>) -> ReportV1<'_> {
    let all = report.connections().count();
    let rows = limit.filter(|limit| *limit < all).map(|limit| {
        let mut oldest = Oldest::new(limit);
        report.connections().for_each(|row| oldest.add(row));
        oldest.into_rows()
    });
    let listed = rows.as_ref().map_or(all, Vec::len);
    let thread_waits = report.thread_waits();
    ReportV1 {
        schema: SCHEMA,
        tool_version: env!("CARGO_PKG_VERSION"),
        taken_at: &report.taken_at,
        elapsed_ms: millis(report.elapsed),
        host: HostV1 {
            hostname: &report.host.hostname,
            kernel: &report.host.kernel,
        },
        scope: ScopeV1 {
            ports: report
                .scope
                .ports
                .iter()
                .copied()
                .map(PortV1::from)
                .collect(),
            addresses: report
                .scope
                .addresses
                .iter()
                .map(ToString::to_string)
                .collect(),
            pids: &report.scope.pids,
            names: &report.scope.names,
            netns: report.scope.netns_name(),
        },
        sources: SourcesV1 {
            sockets: match report.source {
                Source::InetDiag => SocketSourceV1::InetDiag,
                Source::Procfs => SocketSourceV1::Procfs,
                Source::Recording | Source::Text => SocketSourceV1::Recording,
            },
            owners: report.owner_source.map(|source| match source {
                HolderSource::Procfs => OwnerSourceV1::Procfs,
                HolderSource::BpfIterator => OwnerSourceV1::Bpf,
                HolderSource::Text => OwnerSourceV1::Text,
            }),
            accept_queues: QueueSourceV1::Inferred,
        },
        source: report.origin.as_ref().map(convert_origin),
        namespaces: report.namespaces.iter().map(convert_namespace).collect(),
        absent: report.absent.iter().map(convert_absent).collect(),
        blind_spots: report.blind_spots.iter().map(BlindSpotV1::from).collect(),
        summary: summary(report),
        findings: report
            .findings
            .iter()
            .map(|finding| convert_finding(finding, report.waits(finding)))
            .collect(),
        listeners: report
            .listeners
            .iter()
            .map(|row| convert_listener(report, row))
            .collect(),
        connections: ListedV1 { report, rows },
        connections_omitted: all - listed,
        processes: report
            .processes
            .iter()
            .map(|row| convert_process(report, row, &thread_waits))
            .collect(),
        check: None,
    }
}

fn convert_absent(absent: &Absent) -> AbsentV1 {
    let (kind, asked) = match &absent.asked {
        Asked::Port(range) => (AskedV1::Port, range.to_string()),
        Asked::Address(address) => (AskedV1::Address, address.to_string()),
        Asked::Process(pid) => (AskedV1::Process, pid.to_string()),
        Asked::Name(name, _) => (AskedV1::Name, name.clone()),
        Asked::Namespace(name) => (AskedV1::Namespace, name.clone()),
    };
    AbsentV1 {
        kind,
        asked,
        nearby: absent.nearby.iter().map(ToString::to_string).collect(),
    }
}

fn convert_namespace(namespace: &Namespace) -> NamespaceV1<'_> {
    let container = namespace.origin.container.as_ref();
    NamespaceV1 {
        name: &namespace.name,
        inode: namespace.inode,
        container_runtime: container.map(|(runtime, _)| runtime.as_str()),
        container_id: container.map(|(_, id)| id.as_str()),
        pod_uid: namespace.origin.pod.as_deref(),
        unit: namespace.origin.unit.as_deref(),
    }
}

fn summary(report: &Report) -> SummaryV1 {
    SummaryV1 {
        verdict: match report.verdict {
            Verdict::Healthy => VerdictV1::Healthy,
            Verdict::Degraded => VerdictV1::Degraded,
            Verdict::Critical => VerdictV1::Critical,
            Verdict::Unknown => VerdictV1::Unknown,
        },
        close_wait: CloseWaitV1 {
            total: report.close_wait.total(),
            accept_queue: report.close_wait.accept_queue,
            owned: report.close_wait.owned,
            unattributed: report.close_wait.unattributed,
        },
        listeners: report.listeners.len(),
        findings: FindingCountsV1 {
            critical: report.count(Severity::Critical),
            warning: report.count(Severity::Warning),
            info: report.count(Severity::Info),
        },
    }
}

fn convert_finding(finding: &Finding, waits: Option<WaitChain>) -> FindingV1<'_> {
    FindingV1 {
        id: finding.id,
        severity: finding.severity.into(),
        confidence: finding.confidence.into(),
        subject: SubjectV1 {
            kind: match finding.subject.kind {
                SubjectKind::Listener => SubjectKindV1::Listener,
                SubjectKind::Process => SubjectKindV1::Process,
                SubjectKind::Connection => SubjectKindV1::Connection,
            },
            netns: &finding.subject.netns,
            local: finding.subject.local.map(|local| local.to_string()),
            port: finding.subject.local.map(|local| local.port()),
            remote: finding.subject.remote.map(|remote| remote.to_string()),
            pids: &finding.subject.pids,
        },
        headline: &finding.headline,
        evidence: finding
            .evidence
            .iter()
            .map(|one| one.text.as_str())
            .collect(),
        conclusion: finding.conclusion.as_deref(),
        remedies: finding.remedies.iter().map(ToString::to_string).collect(),
        connections: finding.connections,
        waits: waits.map(WaitsV1::from),
    }
}

fn convert_listener<'a>(report: &'a Report, row: &'a ListenerRow) -> ListenerV1<'a> {
    ListenerV1 {
        local: row.listener.local.to_string(),
        port: row.listener.local.port(),
        netns: &row.netns,
        inode: row.listener.inode.and_then(crate::model::Inode::number),
        accept_queue: AcceptQueueV1 {
            length: row.listener.queue_is_shown.then_some(row.queue.length),
            limit: row.listener.accept_queue_limit.copied(),
            established: row.queue.established,
            close_wait: row.queue.close_wait,
            reset: row.queue.reset,
            oldest_ms: row.queue.oldest.map(millis),
        },
        accepted: row.accepted.map(|accepted| AcceptedV1 {
            total: accepted.total,
            close_wait: accepted.close_wait,
            unread: accepted.unread,
            oldest_ms: accepted.oldest.map(millis),
        }),
        owners: owners(report, &row.owners),
        watchers: row
            .watchers
            .iter()
            .map(|(pid, watch)| WatcherV1 {
                pid: *pid,
                epoll_fd: watch.epoll_fd,
                events: watch.registration.events_text(),
                edge_triggered: watch.registration.edge_triggered(),
            })
            .collect(),
    }
}

fn convert_connection<'a>(report: &'a Report, row: &ConnectionRow<'a>) -> ConnectionV1<'a> {
    let connection = row.connection;
    ConnectionV1 {
        state: connection.state.name(),
        local: connection.local.to_string(),
        remote: connection.remote.to_string(),
        netns: row.netns,
        inode: match row.place {
            Place::AcceptQueue(_) | Place::Orphan => Some(0),
            Place::Accepted(inode) => inode.number(),
            Place::Undecided => None,
        },
        mptcp: connection.layer.is_mptcp(),
        recv_q: connection.recv_q,
        send_q: connection.send_q,
        eof: connection
            .end_was_read()
            .map(|read| if read { EofV1::Consumed } else { EofV1::Unread }),
        age_ms: row.age.at_least.map(millis),
        age_at_most_ms: row.age.at_most.map(millis),
        place: match row.place {
            Place::AcceptQueue(_) => PlaceV1::AcceptQueue,
            Place::Undecided => PlaceV1::Unattributed,
            Place::Accepted(_) | Place::Orphan if row.owners.is_empty() => PlaceV1::Unattributed,
            Place::Accepted(_) | Place::Orphan => PlaceV1::Process,
        },
        owners: owners(report, row.owners),
    }
}

fn owners<'a>(report: &'a Report, holders: &[Holder]) -> Vec<OwnerV1<'a>> {
    holders
        .iter()
        .map(|holder| OwnerV1 {
            pid: holder.pid,
            fd: holder.fd,
            command: report.command(holder.pid),
            via: match holder.via {
                Via::Table => None,
                Via::Thread(_) => Some("thread"),
                Via::Ring => Some("io_uring"),
            },
        })
        .collect()
}

fn convert_process<'a>(
    report: &'a Report,
    row: &'a ProcessRow,
    thread_waits: &BTreeMap<(Pid, Pid), String>,
) -> ProcessV1<'a> {
    let process = row.process();
    let examination = process.examination.as_ref();
    let software = examination.map(|examination| &examination.software);
    let origin = process.origin.known();
    let container = origin.and_then(|origin| origin.container.as_ref());
    let uid = process.uid.copied();
    ProcessV1 {
        pid: process.pid,
        pid_inside: process.pid_inside,
        command: &process.command,
        command_line: process.command_line.known().map(String::as_str),
        state: state_name(process.state),
        uid,
        user: uid.and_then(|uid| report.user(uid)),
        unit: origin.and_then(|origin| origin.unit.as_deref()),
        container_runtime: container.map(|(runtime, _)| runtime.as_str()),
        container_id: container.map(|(_, id)| id.as_str()),
        pod_uid: origin.and_then(|origin| origin.pod.as_deref()),
        running_ms: row.runs_for().map(millis),
        examined: examination.is_some(),
        runtime: software.and_then(Software::name),
        library: software
            .and_then(|software| software.library)
            .map(Library::name),
        server: software
            .and_then(|software| software.server)
            .map(Server::name),
        frozen: examination.and_then(|examination| examination.frozen.copied()),
        fds: FdsV1 {
            open: process.open_fds.copied(),
            limit: process.fd_limit.copied().map(|limit| limit.soft),
        },
        threads: row
            .threads()
            .map(|(thread, activity)| ThreadV1 {
                tid: thread.tid,
                command: &thread.command,
                state: state_name(thread.state),
                syscall: syscall_name(&activity),
                waiting_on: waiting_on(&activity, thread.wchan.known()),
                waits_for: thread_waits.get(&(process.pid, thread.tid)).cloned(),
            })
            .collect(),
        close_wait: row.close_wait,
    }
}

fn state_name(state: Reading<RunState>) -> Option<&'static str> {
    state.copied().map(RunState::name)
}

fn syscall_name(activity: &Activity) -> Option<String> {
    match activity {
        Activity::Running | Activity::OutsideCalls | Activity::Unseen(_) => None,
        call => Some(call.call_name().to_owned()),
    }
}

fn waiting_on(activity: &Activity, wchan: Option<&String>) -> Option<String> {
    match activity {
        Activity::EpollWait { fd } => Some(format!("epoll fd {fd}")),
        Activity::Accept { fd } | Activity::OnDescriptor { fd, .. } => Some(format!("fd {fd}")),
        Activity::Running | Activity::Unseen(_) => None,
        Activity::Poll { .. }
        | Activity::Futex
        | Activity::Sleep { .. }
        | Activity::ChildOrSignal { .. }
        | Activity::IoUring
        | Activity::Other(_)
        | Activity::OutsideCalls => wchan.cloned(),
    }
}

impl From<PortRange> for PortV1 {
    fn from(range: PortRange) -> Self {
        if range.first() == range.last() {
            Self::One(range.first())
        } else {
            Self::Range(range.to_string())
        }
    }
}

impl<'a> From<&'a BlindSpot> for BlindSpotV1<'a> {
    fn from(spot: &'a BlindSpot) -> Self {
        Self {
            what: &spot.what,
            why: &spot.why,
            remedy: &spot.remedy,
            hides_findings: spot.hides_findings,
        }
    }
}

/// Escapes what JSON lets through and terminals act on, such as the one-byte CSI U+009B.
struct Harmless<'a>(PrettyFormatter<'a>);

impl Formatter for Harmless<'_> {
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        if fragment.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return CompactFormatter.write_string_fragment(writer, fragment);
        }
        let mut rest = fragment;
        while let Some((at, character)) = rest.char_indices().find(|(_, c)| is_dangerous(*c)) {
            CompactFormatter.write_string_fragment(writer, &rest[..at])?;
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                write!(writer, "\\u{unit:04x}")?;
            }
            rest = &rest[at + character.len_utf8()..];
        }
        CompactFormatter.write_string_fragment(writer, rest)
    }

    fn begin_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_array(writer)
    }

    fn end_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array(writer)
    }

    fn begin_array_value<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        self.0.begin_array_value(writer, first)
    }

    fn end_array_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array_value(writer)
    }

    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object(writer)
    }

    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object(writer)
    }

    fn begin_object_key<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        self.0.begin_object_key(writer, first)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object_value(writer)
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object_value(writer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_act_on_is_escaped_and_reads_back() {
        let text = "\u{1b}[31m \u{9b}2J \u{202e} \"quoted\" \u{7f}";
        let mut bytes = Vec::new();
        let formatter = Harmless(PrettyFormatter::new());
        let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
        text.serialize(&mut serializer).unwrap();
        let written = String::from_utf8(bytes).unwrap();
        assert!(!written.chars().any(is_dangerous), "{written}");
        assert_eq!(serde_json::from_str::<String>(&written).unwrap(), text);
    }
}
