//! The report for a person: the answer first.

use std::io::{self, Write};

use anstyle::Style;

use super::blocks::{Block, Budget, blocks, write_block};
use super::cells::TableOptions;
use super::connections::write_connections;
use super::escape::escape;
use super::groups::write_groups;
use super::layout::wrap;
use super::listeners::write_listeners;
use super::verdict::{Line, finding_line, verdict_line};
use crate::report::{Report, Verdict, absent_sentence};
use crate::rules::{Finding, Severity};

/// Labels of a finding's block stand in a column of this width.
const LABEL_WIDTH: usize = 6;
/// Set before each line of a paragraph but the first.
const HANGING: &str = "  ";

/// Writes the report. On a terminal as much of each block is shown as fits the screen; a report that is longer
/// still ends with its first line.
///
/// # Errors
///
/// When the writer fails.
pub fn write_table(report: &Report, options: TableOptions, out: &mut dyn Write) -> io::Result<()> {
    let blocks = blocks(&report.findings);
    let verdict = verdict_line(report, &blocks);
    if options.is_first_line() {
        return write_line(&verdict, options, out);
    }
    // A prompt stands below the report.
    let room = options
        .height
        .map(|height| usize::from(height).saturating_sub(1));
    let Some(room) = room.filter(|_| !options.lists_each()) else {
        let lines = write_all(report, &blocks, &verdict, Budget::ALL[0], options, out)?;
        if room.is_some_and(|room| lines > room) {
            writeln!(out)?;
            write_line(&verdict, options, out)?;
        }
        return Ok(());
    };
    let mut text = Vec::new();
    for budget in Budget::ALL {
        text.clear();
        if write_all(report, &blocks, &verdict, budget, options, &mut text)? <= room {
            return out.write_all(&text);
        }
    }
    out.write_all(&text)?;
    writeln!(out)?;
    write_line(&verdict, options, out)
}

/// Writes everything, and returns how many lines that took.
fn write_all(
    report: &Report,
    blocks: &[Block],
    verdict: &Line,
    budget: Budget,
    options: TableOptions,
    out: &mut dyn Write,
) -> io::Result<usize> {
    let mut out = Counting { out, lines: 0 };
    write_line(verdict, options, &mut out)?;
    write_banner(report, options, &mut out)?;
    write_absent(report, options, &mut out)?;
    let begins_with_finding = matches!(report.verdict, Verdict::Critical | Verdict::Degraded);
    for (number, block) in blocks.iter().enumerate() {
        let is_first = number == 0 && begins_with_finding;
        if !is_first && (block.cause.severity > Severity::Info || options.is_full()) {
            writeln!(out)?;
        }
        write_block(report, block, is_first, budget, options, &mut out)?;
    }
    if options.is_full() || report.verdict != Verdict::Healthy {
        write_listeners(report, options, &mut out)?;
        if options.lists_each() {
            write_connections(report, options, &mut out)?;
        } else {
            write_groups(report, options, &mut out)?;
        }
    }
    write_blind_spots(report, options, &mut out)?;
    if options.is_full() {
        write_lines(report, &mut out)?;
    }
    Ok(out.lines)
}

/// Writes one line for each finding, or one where there is none.
///
/// # Errors
///
/// When the writer fails.
pub fn write_brief(report: &Report, options: TableOptions, out: &mut dyn Write) -> io::Result<()> {
    if report.findings.is_empty() {
        return write_line(&verdict_line(report, &[]), options, out);
    }
    for finding in &report.findings {
        let line = finding_line(report, finding);
        let text = format!("{}  {}", finding.id, line.text);
        write_line(&Line { text, ..line }, options, out)?;
    }
    Ok(())
}

/// Counts the lines that are written.
struct Counting<'a> {
    out: &'a mut dyn Write,
    lines: usize,
}

impl Write for Counting<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        let breaks = bytes[..written].iter().filter(|byte| **byte == b'\n');
        self.lines += breaks.count();
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// A coloured word and a sentence, which goes on below the word.
pub(super) fn write_line(
    line: &Line,
    options: TableOptions,
    out: &mut dyn Write,
) -> io::Result<()> {
    let Line { style, word, text } = line;
    let before = word.len() + HANGING.len();
    for (number, part) in wrap(text, options.width, before).iter().enumerate() {
        if number == 0 {
            writeln!(out, "{style}{word}{style:#}  {part}")?;
        } else {
            writeln!(out, "{:before$}{part}", "")?;
        }
    }
    Ok(())
}

/// Where the report comes from, if it is not a look at this host; with everything, when and of what it is.
fn write_banner(report: &Report, options: TableOptions, out: &mut dyn Write) -> io::Result<()> {
    let mut facts: Vec<String> = Vec::new();
    facts.extend(report.origin.as_ref().map(ToString::to_string));
    if report.origin.is_none() && options.is_full() {
        facts.push(format!(
            "on {}, taken {}",
            report.host.hostname, report.taken_at
        ));
    }
    if (report.origin.is_some() || options.is_full()) && !report.host.kernel.is_empty() {
        facts.push(format!("kernel {}", report.host.kernel));
    }
    if report.origin.is_some() {
        facts.push(completeness(report));
    }
    if facts.is_empty() {
        return Ok(());
    }
    write_text("", [&facts.join(", ")], options, out)
}

/// How much of what was asked for the report could be made of.
fn completeness(report: &Report) -> String {
    match report.blind_spots.len() {
        0 => "complete".to_owned(),
        1 => "1 thing not seen".to_owned(),
        number => format!("{number} things not seen"),
    }
}

/// What every line of a text was taken for.
fn write_lines(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let lines = report
        .origin
        .as_ref()
        .and_then(|origin| origin.lines.as_ref());
    let spans = lines.map_or(&[][..], |lines| &lines.spans);
    if !spans.is_empty() {
        writeln!(out, "\nLINES  TAKEN FOR")?;
    }
    for span in spans {
        let range = if span.first == span.last {
            span.first.to_string()
        } else {
            format!("{}-{}", span.first, span.last)
        };
        writeln!(out, "{range:<5}  {}", span.taken_for)?;
    }
    Ok(())
}

/// What was asked for and is not there, but for what the first line says.
fn write_absent(report: &Report, options: TableOptions, out: &mut dyn Write) -> io::Result<()> {
    let told = usize::from(matches!(
        report.verdict,
        Verdict::Unknown | Verdict::Healthy
    ));
    let absent = report.absent.iter().skip(told);
    let sentences: Vec<String> = absent
        .map(|one| absent_sentence(one, &report.scope))
        .collect();
    write_text("", &sentences, options, out)
}

pub(super) fn scope_clause(report: &Report) -> String {
    let scope = &report.scope;
    let narrowed = |port: u16| scope.addresses.iter().any(|one| one.port() == port);
    let ports = scope.ports.iter().filter(|range| !narrowed(range.first()));
    let ports: Vec<String> = ports.map(ToString::to_string).collect();
    let addresses: Vec<String> = scope.addresses.iter().map(ToString::to_string).collect();
    let pids: Vec<String> = scope.pids.iter().map(ToString::to_string).collect();
    let mut clauses = Vec::new();
    if !ports.is_empty() {
        clauses.push(format!(" on port {}", ports.join(", ")));
    }
    if !addresses.is_empty() {
        clauses.push(format!(" on {}", addresses.join(", ")));
    }
    if !pids.is_empty() {
        clauses.push(format!(" of process {}", pids.join(", ")));
    }
    clauses.extend(
        scope
            .names
            .iter()
            .map(|name| format!(" of {}", taken(report, name))),
    );
    if let Some(netns) = &scope.netns {
        clauses.push(format!(" in namespace {}", escape(netns)));
    }
    if scope.all_netns {
        clauses.push(format!(
            " in {} network namespaces",
            report.namespaces.len()
        ));
    }
    clauses.concat()
}

/// A name, and the processes that it was taken for: `nginx (nginx[7], nginx[8] and 3 more)`.
fn taken(report: &Report, name: &str) -> String {
    const NAMED: usize = 3;
    let processes = report
        .processes
        .iter()
        .map(crate::report::ProcessRow::process);
    let names: Vec<String> = processes
        .filter(|process| process.is_called(name))
        .map(|process| format!("{}[{}]", escape(&process.command), process.pid))
        .collect();
    let more = match names.len().saturating_sub(NAMED) {
        0 => String::new(),
        number => format!(" and {number} more"),
    };
    let shown = names.len().min(NAMED);
    format!("{} ({}{more})", escape(name), names[..shown].join(", "))
}

pub(super) fn subject(report: &Report, finding: &Finding) -> String {
    const NAMED: usize = 3;
    let mut parts: Vec<String> = Vec::new();
    if report.namespaces.len() > 1 {
        parts.push(format!("[{}]", escape(&finding.subject.netns)));
    }
    parts.extend(finding.subject.local.map(|local| local.to_string()));
    parts.extend(finding.subject.remote.map(|remote| format!("to {remote}")));
    let names: Vec<String> = finding
        .subject
        .pids
        .iter()
        .take(NAMED)
        .map(|pid| format!("{}[{pid}]", escape(report.command(*pid))))
        .collect();
    parts.extend((!names.is_empty()).then(|| names.join(" ")));
    if finding.subject.pids.len() > NAMED {
        parts.push(format!("and {} more", finding.subject.pids.len() - NAMED));
    }
    parts.join("  ")
}

/// Writes paragraphs beside a label that stands once.
pub(super) fn write_text<'t>(
    label: &str,
    paragraphs: impl IntoIterator<Item = &'t String>,
    options: TableOptions,
    out: &mut dyn Write,
) -> io::Result<()> {
    let indent = HANGING.len() + LABEL_WIDTH;
    let mut label = label;
    for paragraph in paragraphs {
        let lines = wrap(&escape(paragraph), options.width, indent + HANGING.len());
        for (number, line) in lines.iter().enumerate() {
            // What a paragraph goes on with is set in, to tell it from the next paragraph.
            let hanging = if number == 0 { "" } else { HANGING };
            writeln!(out, "  {label:LABEL_WIDTH$}{hanging}{line}")?;
            label = "";
        }
    }
    Ok(())
}

/// Writes commands, whole and each on its own line. What they are made of is harmless already.
pub(super) fn write_commands(
    label: &str,
    commands: &[String],
    out: &mut dyn Write,
) -> io::Result<()> {
    let set_in = if label.is_empty() { HANGING } else { "" };
    let mut label = label;
    for command in commands {
        writeln!(out, "  {label:LABEL_WIDTH$}{set_in}{command}")?;
        label = "";
    }
    Ok(())
}

fn write_blind_spots(
    report: &Report,
    options: TableOptions,
    out: &mut dyn Write,
) -> io::Result<()> {
    if report.blind_spots.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    // Where it hides nothing, what would help is for later.
    let in_short = report.verdict != Verdict::Unknown && !options.is_full();
    for spot in &report.blind_spots {
        let text = if in_short && !spot.hides_findings {
            format!("{}: {}", spot.what, spot.why)
        } else {
            format!("{}: {}. {}", spot.what, spot.why, spot.remedy)
        };
        let line = Line {
            style: Style::new().bold(),
            word: "NOT SEEN",
            text: escape(&text).into_owned(),
        };
        write_line(&line, options, out)?;
    }
    Ok(())
}
