//! The report for a person: the answer first.

use std::io::{self, Write};

use anstyle::Style;

use super::blocks::{Budget, write_block};
use super::cells::TableOptions;
use super::connections::write_connections;
use super::disease::{Block, blocks};
use super::escape::escape;
use super::groups::write_groups;
use super::listeners::write_listeners;
use super::paragraphs::{Line, write_line, write_text};
use super::verdict::{finding_line, verdict_line};
use crate::report::{Report, Verdict, absent_sentence};
use crate::rules::Severity;

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
