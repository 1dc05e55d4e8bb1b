//! The JSON of a probe, `closewait-doctor.probe/v1`. Its structs are its own, as those of the report.

use std::io::{self, Write};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::json::{schema_of, write_value};
use super::json_types::{ConfidenceV1, SeverityV1};
use super::probe::ProbeReport;
use crate::act::probe::{self, AssessedFinding, Closed, ProbeConnection, ProbeOutcome, Refusal};

/// The schema's name and version.
pub const PROBE_SCHEMA: &str = "closewait-doctor.probe/v1";

/// What a probe saw.
#[derive(Serialize, JsonSchema)]
#[schemars(title = "closewait-doctor.probe/v1")]
struct ProbeV1<'a> {
    /// Always `closewait-doctor.probe/v1`.
    schema: &'static str,
    /// Version of the program.
    tool_version: &'static str,
    /// When it began, RFC 3339 in UTC.
    taken_at: &'a str,
    /// How long the connections were watched, in milliseconds.
    elapsed_ms: u64,
    listener: ProbedV1<'a>,
    /// The worst of what became of the connections: `refused`, `dropped`, `queued`, `accepted` (a
    /// process took it, and no bytes came back) or `answered` (bytes came back); null where this host
    /// could not try. Accepted is not healthy.
    outcome: Option<&'static str>,
    /// What the server does with new connections and with those that wait: `answers`, `accepts`, `one_per_newcomer`,
    /// `some_per_newcomer`, `drains_fully`, `accepts_nothing`, `closed_at_once`, `taken_elsewhere`,
    /// `awaits_data`, `refuses` or `listener_gone`. A newcomer is a connection of the probe.
    behaviour: &'static str,
    headline: String,
    /// What was seen.
    evidence: Vec<String>,
    /// What follows from it, where the headline does not say all.
    conclusion: Option<&'static str>,
    /// What to do.
    remedies: Vec<String>,
    queue: QueueChangeV1,
    /// Our connections, in their order.
    newcomers: Vec<NewcomerV1>,
    /// How many of them are left in the queue, closed.
    left_waiting: usize,
    /// What the look before found about this listener, and what the probe says about it.
    findings: Vec<AssessedFindingV1<'a>>,
}

/// The listener that was probed.
#[derive(Serialize, JsonSchema)]
struct ProbedV1<'a> {
    local: String,
    port: u16,
    /// Where the connections were opened to.
    address: String,
    netns: &'a str,
    owners: Vec<HolderV1<'a>>,
}

/// A process's descriptor.
#[derive(Serialize, JsonSchema)]
pub(super) struct HolderV1<'a> {
    pub(super) pid: u32,
    /// Null where it is not known.
    pub(super) fd: Option<u32>,
    pub(super) command: &'a str,
}

/// The length of the accept queue.
#[derive(Serialize, JsonSchema)]
struct QueueChangeV1 {
    before: u32,
    /// While those of our connections that wait are still open.
    after: u32,
    /// The queue holds one more than this.
    limit: Option<u32>,
}

/// One connection of ours. Times are microseconds since its SYN.
#[derive(Serialize, JsonSchema)]
struct NewcomerV1 {
    /// Our address.
    client: String,
    /// What became of it, as `outcome` of the probe.
    outcome: Option<&'static str>,
    /// When the handshake was done; null where there was none.
    connected_us: Option<u64>,
    /// Why there was none: `no_answer`, `reset`, or the system's words.
    refusal: Option<String>,
    /// When it was first seen accepted.
    accepted_us: Option<u64>,
    /// When the server closed it.
    closed_us: Option<u64>,
    /// Whether it did so with a reset; null where it did not.
    reset: Option<bool>,
    /// How many bytes were sent on it.
    sent_bytes: usize,
    /// How many bytes the server sent.
    answered_bytes: usize,
    /// When the first of them came.
    answered_us: Option<u64>,
    queue_before: u32,
    queue_after: u32,
    /// How many left the queue meanwhile.
    taken: u32,
    /// Whether it is connected and yet not in the queue: the kernel waits for its data
    /// (TCP_DEFER_ACCEPT), or the queue is full.
    kept_out: bool,
    /// Whether it is left in the queue.
    waits: bool,
}

/// A finding after the probe.
#[derive(Serialize, JsonSchema)]
struct AssessedFindingV1<'a> {
    id: &'a str,
    severity: SeverityV1,
    /// As the look before had it.
    confidence: ConfidenceV1,
    headline: &'a str,
    /// `supports`, `corrects`, `contradicts` or `silent`.
    stance: &'static str,
    /// How sure it is now. It rises only where the probe excludes the other causes.
    confidence_now: ConfidenceV1,
    /// The causes that the probe excludes, by their finding ids.
    excludes: &'static [&'static str],
    /// Why.
    why: &'a str,
}

/// Writes what a probe saw as one JSON object.
///
/// # Errors
///
/// When the writer fails.
pub fn write_probe_json(report: &ProbeReport, out: &mut dyn Write) -> io::Result<()> {
    let probe = report.probe;
    let value = ProbeV1 {
        schema: PROBE_SCHEMA,
        tool_version: env!("CARGO_PKG_VERSION"),
        taken_at: &report.taken_at,
        elapsed_ms: u64::try_from(probe.elapsed.as_millis()).unwrap_or(u64::MAX),
        listener: ProbedV1 {
            local: probe.target.local.to_string(),
            port: probe.target.local.port(),
            address: probe.target.address.to_string(),
            netns: &report.snapshot.namespace.name,
            owners: report
                .owners()
                .map(|(pid, fd, command)| HolderV1 { pid, fd, command })
                .collect(),
        },
        outcome: probe::outcome(probe).map(ProbeOutcome::name),
        behaviour: report.behaviour.name(),
        headline: probe::headline(probe, report.behaviour),
        evidence: probe::evidence(probe),
        conclusion: probe::conclusion(probe, report.behaviour),
        remedies: probe::remedies(probe, report.behaviour),
        queue: QueueChangeV1 {
            before: probe.before.length,
            after: probe.after.length,
            limit: probe.after.limit.or(probe.before.limit),
        },
        newcomers: probe.connections.iter().map(connection).collect(),
        left_waiting: probe.left_waiting().count(),
        findings: report.findings.iter().map(assessed).collect(),
    };
    write_value(&value, out)
}

/// The JSON Schema of a probe.
pub fn probe_schema() -> String {
    schema_of::<ProbeV1>()
}

fn connection(connection: &ProbeConnection) -> NewcomerV1 {
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    NewcomerV1 {
        client: connection.client.to_string(),
        outcome: connection.outcome().map(ProbeOutcome::name),
        connected_us: connection.connected.map(micros),
        refusal: connection.refusal.as_ref().map(|refusal| match refusal {
            Refusal::NoAnswer => "no_answer".to_owned(),
            Refusal::Reset => "reset".to_owned(),
            Refusal::Other(error) => error.clone(),
        }),
        accepted_us: connection.accepted.map(micros),
        closed_us: connection.closed.map(|closed| micros(closed.at())),
        reset: connection
            .closed
            .map(|closed| matches!(closed, Closed::Reset(_))),
        sent_bytes: connection.sent_bytes,
        answered_bytes: connection.answered_bytes,
        answered_us: connection.answered.map(micros),
        queue_before: connection.queue_before,
        queue_after: connection.queue_after,
        taken: connection.taken,
        kept_out: connection.kept_out,
        waits: connection.waits(),
    }
}

fn assessed(assessed: &AssessedFinding) -> AssessedFindingV1<'_> {
    AssessedFindingV1 {
        id: assessed.finding.id,
        severity: assessed.finding.severity.into(),
        confidence: assessed.finding.confidence.into(),
        headline: &assessed.finding.headline,
        stance: assessed.effect.name(),
        confidence_now: assessed.confidence.into(),
        excludes: assessed.excludes,
        why: assessed.why,
    }
}
