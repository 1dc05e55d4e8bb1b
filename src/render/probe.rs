//! The report of a probe, for a person.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};

use super::cells::TableOptions;
use super::paragraphs::write_text;
use crate::act::probe::{self, AssessedFinding, Behaviour, Effect, Probe, ProbeOutcome};
use crate::model::Snapshot;
use crate::render::escape::escape;
use crate::rules::Confidence;

/// What a report of a probe is made of.
pub struct ProbeReport<'a> {
    /// When it began (RFC 3339, UTC).
    pub taken_at: String,
    /// The look before it.
    pub snapshot: &'a Snapshot,
    /// What the probe saw.
    pub probe: &'a Probe,
    /// What the server does with new connections.
    pub behaviour: Behaviour,
    /// The findings of the look before, and what the probe says about them.
    pub findings: Vec<AssessedFinding>,
}

impl ProbeReport<'_> {
    /// Returns the processes that hold the listener: pid, descriptor, name.
    pub(super) fn owners(&self) -> impl Iterator<Item = (u32, Option<u32>, &str)> {
        self.snapshot
            .holders
            .iter()
            .filter(|holder| self.probe.target.inodes.contains(&holder.inode))
            .map(|holder| {
                let process = self.snapshot.processes.get(&holder.pid);
                let command = process.map_or("", |process| process.command.as_str());
                (holder.pid, holder.fd, command)
            })
    }
}

/// How many owners of the listener are named without `--verbose`.
const OWNERS: usize = 3;

/// Writes the report of a probe.
///
/// # Errors
///
/// When the writer fails.
pub fn write_probe_table(
    report: &ProbeReport,
    options: TableOptions,
    out: &mut dyn Write,
) -> io::Result<()> {
    let (style, word) = word(probe::outcome(report.probe));
    let bold = Style::new().bold();
    let mut owners: Vec<String> = report
        .owners()
        .map(|(pid, _, command)| format!("{}[{pid}]", escape(command)))
        .collect();
    owners.dedup();
    let more = owners.len().saturating_sub(OWNERS);
    if more > 0 && !options.is_full() {
        owners.truncate(OWNERS);
        owners.push(format!("and {more} more"));
    }
    writeln!(
        out,
        "{style}{word}{style:#}  {bold}{}{bold:#}  {}",
        report.probe.target.local,
        owners.join(" ")
    )?;
    let headline = probe::headline(report.probe, report.behaviour);
    write_text("", [&headline], options, out)?;
    writeln!(out)?;
    write_text("seen", &probe::evidence(report.probe), options, out)?;
    let conclusion = probe::conclusion(report.probe, report.behaviour).map(str::to_owned);
    write_text("so", &conclusion, options, out)?;
    let weighed: Vec<String> = report.findings.iter().map(describe).collect();
    write_text("scan", &weighed, options, out)?;
    let remedies = probe::remedies(report.probe, report.behaviour);
    write_text("do", &remedies, options, out)?;
    writeln!(out)
}

/// Returns the first word of the report. Only an answer is green: accepted is not healthy.
fn word(outcome: Option<ProbeOutcome>) -> (Style, &'static str) {
    let (color, word) = match outcome {
        Some(ProbeOutcome::Answered) => (AnsiColor::Green, "ANSWERED"),
        Some(ProbeOutcome::Accepted) => (AnsiColor::Yellow, "ACCEPTED"),
        Some(ProbeOutcome::Queued) => (AnsiColor::Red, "QUEUED"),
        Some(ProbeOutcome::Dropped) => (AnsiColor::Red, "DROPPED"),
        Some(ProbeOutcome::Refused) => (AnsiColor::Red, "REFUSED"),
        None => (AnsiColor::Yellow, "NOT TRIED"),
    };
    (color.on_default().bold(), word)
}

fn describe(assessed: &AssessedFinding) -> String {
    let effect = match assessed.effect {
        Effect::Supports => "the probe fits it",
        Effect::Corrects => "the probe corrects it",
        Effect::Contradicts => "the probe contradicts it",
        Effect::Silent => "the probe does not tell",
    };
    let (before, now) = (assessed.finding.confidence, assessed.confidence);
    let changed = if now == before {
        String::new()
    } else {
        format!(", now {}", confidence(now))
    };
    let excludes = if assessed.excludes.is_empty() {
        String::new()
    } else {
        format!("; it excludes {}", assessed.excludes.join(", "))
    };
    format!(
        "{} ({}{changed}): {effect}: {}{excludes}",
        assessed.finding.id,
        confidence(before),
        assessed.why
    )
}

fn confidence(confidence: Confidence) -> &'static str {
    match confidence {
        Confidence::Certain => "certain",
        Confidence::Likely => "likely",
        Confidence::Possible => "possible",
    }
}
