//! What a probe came to, for a person.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};

use super::cells::TableOptions;
use super::table::write_text;
use crate::act::probe::{self, Behaviour, Probe, Stance, Weighed};
use crate::model::Snapshot;
use crate::render::escape::escape;
use crate::rules::Confidence;

/// What there is to say of a probe.
pub struct ProbeReport<'a> {
    /// When it began (RFC 3339, UTC).
    pub taken_at: String,
    /// The look before it.
    pub snapshot: &'a Snapshot,
    /// What was done, and what came of it.
    pub probe: &'a Probe,
    /// What the server does with newcomers.
    pub behaviour: Behaviour,
    /// The findings of the look before, and what the probe says to them.
    pub findings: Vec<Weighed>,
}

impl ProbeReport<'_> {
    /// The processes that hold the listener: pid, descriptor, name.
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

/// Writes what a probe came to.
///
/// # Errors
///
/// When the writer fails.
pub fn write_probe_table(
    report: &ProbeReport,
    options: TableOptions,
    out: &mut dyn Write,
) -> io::Result<()> {
    let (style, word) = word(report.behaviour);
    let bold = Style::new().bold();
    let mut owners: Vec<String> = report
        .owners()
        .map(|(pid, _, command)| format!("{}[{pid}]", escape(command)))
        .collect();
    owners.dedup();
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
    let conclusion = probe::conclusion(report.behaviour).map(str::to_owned);
    write_text("so", &conclusion, options, out)?;
    let weighed: Vec<String> = report.findings.iter().map(describe).collect();
    write_text("scan", &weighed, options, out)?;
    let remedies = probe::remedies(report.probe, report.behaviour);
    write_text("do", &remedies, options, out)?;
    writeln!(out)
}

fn word(behaviour: Behaviour) -> (Style, &'static str) {
    let (color, word) = match behaviour {
        Behaviour::Healthy => (AnsiColor::Green, "HEALTHY"),
        Behaviour::OnePerNewcomer => (AnsiColor::Red, "ONE FOR EACH NEWCOMER"),
        Behaviour::SomePerNewcomer => (AnsiColor::Red, "SOME FOR EACH NEWCOMER"),
        Behaviour::DrainsFully => (AnsiColor::Yellow, "DRAINS FULLY"),
        Behaviour::AcceptsNothing => (AnsiColor::Red, "ACCEPTS NOTHING"),
        Behaviour::ClosedAtOnce => (AnsiColor::Yellow, "CLOSED AT ONCE"),
        Behaviour::TakenElsewhere => (AnsiColor::Yellow, "TAKEN ELSEWHERE"),
        Behaviour::AwaitsData => (AnsiColor::Yellow, "AWAITS DATA"),
        Behaviour::Refuses => (AnsiColor::Red, "REFUSES"),
        Behaviour::ListenerGone => (AnsiColor::Yellow, "LISTENER GONE"),
    };
    (color.on_default().bold(), word)
}

fn describe(weighed: &Weighed) -> String {
    let stance = match weighed.stance {
        Stance::Supports => "the probe supports it",
        Stance::Corrects => "the probe corrects it",
        Stance::Contradicts => "the probe contradicts it",
        Stance::Silent => "the probe does not tell",
    };
    let (before, now) = (weighed.finding.confidence, weighed.confidence);
    let changed = if now == before {
        String::new()
    } else {
        format!(", now {}", confidence(now))
    };
    format!(
        "{} ({}{changed}): {stance}: {}",
        weighed.finding.id,
        confidence(before),
        weighed.why
    )
}

fn confidence(confidence: Confidence) -> &'static str {
    match confidence {
        Confidence::Certain => "certain",
        Confidence::Likely => "likely",
        Confidence::Possible => "possible",
    }
}
