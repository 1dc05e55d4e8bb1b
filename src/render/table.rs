//! The report for a person: the answer first.

use std::io::{self, Write};
use std::time::Duration;

use anstyle::{AnsiColor, Style};

use super::cells::{TableOptions, address, duration, owners, plain_table, write_rows};
use super::connections::write_connections;
use super::escape::escape;
use super::layout::wrap;
use crate::correlate::Ledger;
use crate::model::Reading;
use crate::report::{ListenerRow, Report, Source, Verdict, absent_sentence};
use crate::rules::{Confidence, Finding, Severity};

/// Labels of a finding's block stand in a column of this width.
const LABEL_WIDTH: usize = 6;
/// Set before each line of a paragraph but the first.
const HANGING: &str = "  ";

/// Writes the report.
///
/// # Errors
///
/// When the writer fails.
pub fn write_table(report: &Report, options: TableOptions, out: &mut dyn Write) -> io::Result<()> {
    if let Some(origin) = &report.origin {
        writeln!(out, "{}", escape(&origin.to_string()))?;
    }
    write_absent(report, out)?;
    write_verdict(report, out)?;
    for finding in &report.findings {
        write_finding(report, finding, options, out)?;
    }
    if options.all || report.verdict != Verdict::Healthy || !report.findings.is_empty() {
        write_listeners(report, options, out)?;
        write_connections(report, options, out)?;
    }
    write_blind_spots(report, options, out)?;
    if options.all {
        write_lines(report, out)?;
    }
    Ok(())
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

/// What was asked for and is not there comes before everything else.
fn write_absent(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let style = AnsiColor::Yellow.on_default().bold();
    for absent in &report.absent {
        let sentence = escape(&absent_sentence(absent, &report.scope)).into_owned();
        writeln!(out, "{style}NOT THERE{style:#}  {sentence}")?;
    }
    Ok(())
}

/// One line, when there is no finding and nothing absent that says more.
fn write_verdict(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    if !report.absent.is_empty() && report.blind_spots.is_empty() {
        return Ok(());
    }
    if !report.findings.is_empty() && report.verdict != Verdict::Healthy {
        return Ok(());
    }
    let (style, word) = match report.verdict {
        Verdict::Healthy => (AnsiColor::Green.on_default().bold(), "HEALTHY"),
        Verdict::Unknown => (AnsiColor::Yellow.on_default().bold(), "CANNOT TELL"),
        Verdict::Degraded | Verdict::Critical => return Ok(()),
    };
    let grace = duration(report.grace);
    let close_wait = match report.close_wait.total() {
        0 => "no CLOSE_WAIT".to_owned(),
        total => format!("{total} CLOSE_WAIT, none of them stuck for {grace}"),
    };
    let close_wait = if report.verdict == Verdict::Unknown {
        format!(
            "{} CLOSE_WAIT; see below what could not be seen",
            report.close_wait.total()
        )
    } else {
        close_wait
    };
    let waiting: u32 = report.listeners.iter().map(|row| row.queue.length).sum();
    let listeners = match report.listeners.len() {
        1 => "1 listener".to_owned(),
        number => format!("{number} listeners"),
    };
    let took = match report.source {
        Source::Recording => format!("recorded {}", escape(&report.taken_at)),
        Source::Text => "from text".to_owned(),
        Source::InetDiag | Source::Procfs => format!("{} ms", report.elapsed.as_millis()),
    };
    writeln!(
        out,
        "{style}{word}{style:#}  {listeners}{}, {waiting} waiting to be accepted, {close_wait}  ({took})",
        scope_clause(report)
    )
}

pub(super) fn scope_clause(report: &Report) -> String {
    let ports: Vec<String> = report.scope.ports.iter().map(ToString::to_string).collect();
    let pids: Vec<String> = report.scope.pids.iter().map(ToString::to_string).collect();
    let mut clauses = Vec::new();
    if !ports.is_empty() {
        clauses.push(format!(" on port {}", ports.join(", ")));
    }
    if !pids.is_empty() {
        clauses.push(format!(" of process {}", pids.join(", ")));
    }
    if let Some(netns) = &report.scope.netns {
        clauses.push(format!(" in namespace {}", escape(netns)));
    }
    if report.scope.all_netns {
        clauses.push(format!(
            " in {} network namespaces",
            report.namespaces.len()
        ));
    }
    clauses.concat()
}

fn write_finding(
    report: &Report,
    finding: &Finding,
    options: TableOptions,
    out: &mut dyn Write,
) -> io::Result<()> {
    let (style, severity) = match finding.severity {
        Severity::Critical => (AnsiColor::Red.on_default().bold(), "CRITICAL"),
        Severity::Warning => (AnsiColor::Yellow.on_default().bold(), "WARNING"),
        Severity::Info => (AnsiColor::Cyan.on_default().bold(), "INFO"),
    };
    let confidence = match finding.confidence {
        Confidence::Certain => "",
        Confidence::Likely => "  (likely)",
        Confidence::Possible => "  (possible)",
    };
    let bold = Style::new().bold();
    writeln!(
        out,
        "{style}{severity}{style:#}  {bold}{}{bold:#}  {}{confidence}",
        finding.id,
        subject(report, finding)
    )?;
    write_text("", [&finding.headline], options, out)?;
    writeln!(out)?;
    write_text("seen", &finding.evidence, options, out)?;
    write_text("so", &finding.conclusion, options, out)?;
    write_text("do", &finding.remedies, options, out)?;
    let more = format!("closewait-doctor explain {}", finding.id);
    write_text("more", [&more], options, out)?;
    writeln!(out)
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
    let indent = 2 + if label.is_empty() { 0 } else { LABEL_WIDTH };
    let mut label = label;
    for paragraph in paragraphs {
        for (number, line) in wrap(&escape(paragraph), options.width, indent + HANGING.len())
            .iter()
            .enumerate()
        {
            let lead = indent.saturating_sub(2 + label.len());
            // What a paragraph goes on with is set in, to tell it from the next paragraph.
            let hanging = if number == 0 { "" } else { HANGING };
            writeln!(out, "  {label}{:lead$}{hanging}{line}", "")?;
            label = "";
        }
    }
    Ok(())
}

fn write_listeners(report: &Report, options: TableOptions, out: &mut dyn Write) -> io::Result<()> {
    let rows: Vec<&ListenerRow> = report
        .listeners
        .iter()
        .filter(|row| options.all || is_of_interest(report, row))
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    let mut table = plain_table();
    table.set_header([
        "LISTENER",
        "QUEUE",
        "CLOSE_WAIT",
        "ESTAB",
        "RESET",
        "OLDEST",
        "ACCEPTED",
        "OWNER",
        "WATCHED BY",
    ]);
    for row in rows {
        let number = |number: Option<u32>| number.map_or("?".to_owned(), |n| n.to_string());
        let limit = match &row.listener.accept_queue_limit {
            Reading::Known(limit) => limit.to_string(),
            Reading::Unknown(_) => "?".to_owned(),
        };
        let length = row.listener.queue_is_shown.then_some(row.queue.length);
        table.add_row([
            address(report, &row.netns, row.listener.local),
            format!("{} / {limit}", number(length)),
            number(row.queue.close_wait),
            number(row.queue.established),
            number(row.queue.reset),
            row.queue.oldest.map_or("-".to_owned(), duration),
            accepted(row.accepted),
            owners(report, &row.owners),
            watchers(row),
        ]);
    }
    write_rows(&mut table, out)
}

/// `12 CLOSE_WAIT of 40, oldest 5.0 s`, as far as it is known.
fn accepted(ledger: Option<Ledger>) -> String {
    let Some(ledger) = ledger else {
        return "?".to_owned();
    };
    let of = |total: usize| format!(" of {total}");
    let oldest = |age: Duration| format!(", oldest {}", duration(age));
    match (ledger.close_wait, ledger.total) {
        (0, None) => "-".to_owned(),
        (0, Some(total)) => total.to_string(),
        (closed, total) => format!(
            "{closed} CLOSE_WAIT{}{}",
            total.map_or(String::new(), of),
            ledger.oldest.map_or(String::new(), oldest)
        ),
    }
}

/// Returns whether a listener is shown: connections wait at it, or connections of it are shown.
fn is_of_interest(report: &Report, row: &ListenerRow) -> bool {
    let has_closed = |ledger: Ledger| ledger.close_wait > 0;
    row.queue.length > 0
        || row.accepted.is_some_and(has_closed)
        || report.findings.iter().any(|finding| {
            finding.subject.local == Some(row.listener.local) && finding.subject.netns == row.netns
        })
}

fn watchers(row: &ListenerRow) -> String {
    const SHOWN: usize = 2;
    let mut names: Vec<String> = row
        .watchers
        .iter()
        .take(SHOWN)
        .map(|(pid, watch)| {
            let mode = if watch.edge_triggered {
                "edge"
            } else {
                "level"
            };
            let whose = if row.owners.iter().any(|owner| owner.pid != *pid) {
                format!("[{pid}] ")
            } else {
                String::new()
            };
            format!("{whose}epoll fd {}, {mode}", watch.epoll_fd)
        })
        .collect();
    if row.watchers.len() > SHOWN {
        names.push(format!("and {} more", row.watchers.len() - SHOWN));
    }
    if names.is_empty() {
        return "-".to_owned();
    }
    names.join("; ")
}

fn write_blind_spots(
    report: &Report,
    options: TableOptions,
    out: &mut dyn Write,
) -> io::Result<()> {
    if report.blind_spots.is_empty() {
        return Ok(());
    }
    let bold = Style::new().bold();
    writeln!(out, "{bold}NOT SEEN{bold:#}")?;
    for spot in &report.blind_spots {
        let text = format!("{}: {}. {}", spot.what, spot.why, spot.remedy);
        write_text("", [&text], options, out)?;
    }
    Ok(())
}
