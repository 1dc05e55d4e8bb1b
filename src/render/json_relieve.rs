//! The JSON of `relieve`, `closewait-doctor.relieve/v1`. Its structs are its own, as those of the
//! report.

use std::io::{self, Write};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::json::{schema_of, write_value};
use super::json_types::{ConfidenceV1, SeverityV1};
use super::relieve::{ReliefReport, ServerState};
use crate::act::relieve::ReliefPlan;

/// The schema's name and version.
pub const RELIEVE_SCHEMA: &str = "closewait-doctor.relieve/v1";

/// What would be done, or was done.
#[derive(Serialize, JsonSchema)]
#[schemars(title = "closewait-doctor.relieve/v1")]
struct ReliefV1<'a> {
    /// Always `closewait-doctor.relieve/v1`.
    schema: &'static str,
    /// Version of the program.
    tool_version: &'static str,
    /// When it began, RFC 3339 in UTC.
    taken_at: &'a str,
    /// How long it took with both looks, in milliseconds.
    elapsed_ms: u64,
    /// The listener's address; null where only a process was named.
    local: Option<String>,
    netns: &'a str,
    /// Whether an earlier change was to be undone.
    undo: bool,
    /// Null where there is nothing to do, or it cannot be done.
    plan: Option<PlanV1<'a>>,
    /// `planned`, `nothing_to_do`, `relieved`, `improved`, `unchanged`, `rolled_back`, `undone` or
    /// `failed`.
    outcome: &'static str,
    headline: &'a str,
    /// What to do instead, where nothing was changed.
    instead: &'a [String],
    /// Every step that was taken.
    log: Vec<EntryV1<'a>>,
    before: StateV1<'a>,
    /// Null where nothing was done.
    after: Option<StateV1<'a>>,
}

/// What is to be done.
#[derive(Serialize, JsonSchema)]
struct PlanV1<'a> {
    /// `rearm`, `level`, `drain`, `close-leaked`, `continue` or `thaw`.
    method: &'static str,
    /// Why this method.
    why: &'a str,
    steps: Vec<StepV1<'a>>,
    /// What to know before it is carried out.
    notes: &'a [String],
}

/// A step of the plan.
#[derive(Serialize, JsonSchema)]
struct StepV1<'a> {
    what: &'a str,
    target: &'a str,
}

/// A step that was taken.
#[derive(Serialize, JsonSchema)]
struct EntryV1<'a> {
    /// When, in milliseconds since `taken_at`.
    at_ms: u64,
    step: &'a str,
    target: &'a str,
    result: &'a str,
    /// Whether the result is what it should have been.
    ok: bool,
}

/// What a look said about the server.
#[derive(Serialize, JsonSchema)]
struct StateV1<'a> {
    /// How many connections wait to be accepted.
    accept_queue: u32,
    /// How many connections are in CLOSE_WAIT, accepted or not.
    close_wait: usize,
    findings: Vec<FoundV1<'a>>,
}

/// What was wrong.
#[derive(Serialize, JsonSchema)]
struct FoundV1<'a> {
    id: &'a str,
    severity: SeverityV1,
    confidence: ConfidenceV1,
    headline: &'a str,
}

/// Writes what would be done, or was done, as one JSON object.
///
/// # Errors
///
/// When the writer fails.
pub fn write_relieve_json(report: &ReliefReport, out: &mut dyn Write) -> io::Result<()> {
    let value = ReliefV1 {
        schema: RELIEVE_SCHEMA,
        tool_version: env!("CARGO_PKG_VERSION"),
        taken_at: &report.taken_at,
        elapsed_ms: millis(report.elapsed),
        local: report.local.map(|local| local.to_string()),
        netns: report.netns,
        undo: report.undo,
        plan: report.plan.map(plan),
        outcome: report.relief.outcome.name(),
        headline: &report.relief.headline,
        instead: &report.instead,
        log: report
            .relief
            .log
            .iter()
            .map(|entry| EntryV1 {
                at_ms: millis(entry.at),
                step: entry.step,
                target: &entry.target,
                result: &entry.result,
                ok: entry.ok,
            })
            .collect(),
        before: state(&report.before),
        after: report.after.as_ref().map(state),
    };
    write_value(&value, out)
}

/// The JSON Schema of what `relieve` reports.
pub fn relieve_schema() -> String {
    schema_of::<ReliefV1>()
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn plan(plan: &ReliefPlan) -> PlanV1<'_> {
    PlanV1 {
        method: plan.method.name(),
        why: &plan.why,
        steps: plan
            .steps
            .iter()
            .map(|(what, target)| StepV1 { what, target })
            .collect(),
        notes: &plan.notes,
    }
}

fn state(state: &ServerState) -> StateV1<'_> {
    StateV1 {
        accept_queue: state.queue,
        close_wait: state.close_wait,
        findings: state
            .findings
            .iter()
            .map(|finding| FoundV1 {
                id: finding.id,
                severity: finding.severity.into(),
                confidence: finding.confidence.into(),
                headline: &finding.headline,
            })
            .collect(),
    }
}
