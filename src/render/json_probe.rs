//! The JSON of a probe, `closewait-doctor.probe/v1`. Its structs are its own, as those of the report.

use std::io::{self, Write};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::json::{ConfidenceV1, SeverityV1, schema_of, write_value};
use super::probe::ProbeReport;
use crate::act::probe::{self, Closed, Newcomer, Refusal, Weighed};

/// The schema's name and version.
pub const PROBE_SCHEMA: &str = "closewait-doctor.probe/v1";

/// What a probe came to.
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
    /// `healthy`, `one_per_newcomer`, `some_per_newcomer`, `drains_fully`, `accepts_nothing`,
    /// `closed_at_once`, `taken_elsewhere`, `awaits_data`, `refuses` or `listener_gone`.
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
    /// What the look before found about this listener, and what the probe says to it.
    findings: Vec<WeighedV1<'a>>,
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
    /// How much the server sent.
    answered_bytes: usize,
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
struct WeighedV1<'a> {
    id: &'a str,
    severity: SeverityV1,
    /// Of the look before.
    confidence: ConfidenceV1,
    headline: &'a str,
    /// `supports`, `corrects`, `contradicts` or `silent`.
    stance: &'static str,
    /// How sure one may be now.
    confidence_now: ConfidenceV1,
    /// Why.
    why: &'a str,
}

/// Writes what a probe came to as one JSON object.
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
        behaviour: report.behaviour.name(),
        headline: probe::headline(probe, report.behaviour),
        evidence: probe::evidence(probe),
        conclusion: probe::conclusion(report.behaviour),
        remedies: probe::remedies(probe, report.behaviour),
        queue: QueueChangeV1 {
            before: probe.before.length,
            after: probe.after.length,
            limit: probe.after.limit.or(probe.before.limit),
        },
        newcomers: probe.newcomers.iter().map(newcomer).collect(),
        left_waiting: probe.left_waiting().count(),
        findings: report.findings.iter().map(weighed).collect(),
    };
    write_value(&value, out)
}

/// The JSON Schema of a probe.
pub fn probe_schema() -> String {
    schema_of::<ProbeV1>()
}

fn newcomer(newcomer: &Newcomer) -> NewcomerV1 {
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    NewcomerV1 {
        client: newcomer.client.to_string(),
        connected_us: newcomer.connected.map(micros),
        refusal: newcomer.refusal.as_ref().map(|refusal| match refusal {
            Refusal::NoAnswer => "no_answer".to_owned(),
            Refusal::Reset => "reset".to_owned(),
            Refusal::Other(error) => error.clone(),
        }),
        accepted_us: newcomer.accepted.map(micros),
        closed_us: newcomer.closed.map(|closed| micros(closed.at())),
        reset: newcomer
            .closed
            .map(|closed| matches!(closed, Closed::Reset(_))),
        answered_bytes: newcomer.answered_bytes,
        queue_before: newcomer.queue_before,
        queue_after: newcomer.queue_after,
        taken: newcomer.taken,
        kept_out: newcomer.kept_out,
        waits: newcomer.waits(),
    }
}

fn weighed(weighed: &Weighed) -> WeighedV1<'_> {
    WeighedV1 {
        id: weighed.finding.id,
        severity: weighed.finding.severity.into(),
        confidence: weighed.finding.confidence.into(),
        headline: &weighed.finding.headline,
        stance: weighed.stance.name(),
        confidence_now: weighed.confidence.into(),
        why: weighed.why,
    }
}
