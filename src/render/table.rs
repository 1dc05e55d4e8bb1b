//! The report for a person: the answer first.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};

use super::connections::write_connections;
use super::escape::escape;
use crate::correlate::Ledger;
use crate::model::{Holder, Reading, Via};
use crate::report::{ListenerRow, Report, Source, Verdict};
use crate::rules::{Confidence, Finding, Severity};

/// How the report is laid out.
#[derive(Debug, Clone, Copy, Default)]
pub struct TableOptions {
    /// Width of the terminal; nothing is wrapped where there is none.
    pub width: Option<u16>,
    /// Show every listener, and every connection where there is no limit.
    pub all: bool,
    /// How many connections to list at most; without it a few of each kind, or all.
    pub limit: Option<usize>,
}

/// Beyond this width lines are hard to read.
const WIDEST_TEXT: u16 = 110;
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
    write_verdict(report, out)?;
    for finding in &report.findings {
        write_finding(report, finding, options, out)?;
    }
    if options.all || report.verdict != Verdict::Healthy || !report.findings.is_empty() {
        write_listeners(report, options, out)?;
        write_connections(report, options, out)?;
    }
    write_blind_spots(report, options, out)
}

/// One line, when there is no finding that says more.
fn write_verdict(report: &Report, out: &mut dyn Write) -> io::Result<()> {
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
        for (number, line) in wrap(&escape(paragraph), options.width, indent)
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

/// Breaks text between words where there is a terminal to fit; the table library does the work.
fn wrap(text: &str, width: Option<u16>, indent: usize) -> Vec<String> {
    let Some(width) = width else {
        return vec![text.to_owned()];
    };
    let room = width
        .min(WIDEST_TEXT)
        .saturating_sub(u16::try_from(indent + HANGING.len()).unwrap_or(u16::MAX))
        .max(20);
    let mut table = plain_table();
    table
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(room)
        .add_row([text]);
    for column in table.column_iter_mut() {
        column.set_padding((0, 0));
    }
    lines(&table)
}

pub(super) fn plain_table() -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_content_arrangement(ContentArrangement::Disabled);
    table
}

fn lines(table: &Table) -> Vec<String> {
    table
        .lines()
        .map(|line| line.trim_end().to_owned())
        .collect()
}

/// Writes a table without borders, columns two blanks apart, never cut.
pub(super) fn write_rows(table: &mut Table, out: &mut dyn Write) -> io::Result<()> {
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    for line in lines(table) {
        writeln!(out, "{line}")?;
    }
    writeln!(out)
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
        table.add_row([
            address(report, &row.netns, row.listener.local),
            format!("{} / {limit}", row.queue.length),
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

/// An address, with its network namespace where there are several.
pub(super) fn address(report: &Report, netns: &str, local: SocketAddr) -> String {
    if report.namespaces.len() > 1 {
        format!("[{}] {local}", escape(netns))
    } else {
        local.to_string()
    }
}

/// A listener is shown when somebody waits at it, or when connections of it are shown.
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

pub(super) fn owners(report: &Report, owners: &[Holder]) -> String {
    const SHOWN: usize = 2;
    if owners.is_empty() {
        return "?".to_owned();
    }
    let mut names: Vec<String> = owners
        .iter()
        .take(SHOWN)
        .map(|owner| {
            let via = match owner.via {
                Via::Table => String::new(),
                Via::Thread(tid) => format!(" of thread {tid}"),
                Via::Ring => " (io_uring)".to_owned(),
            };
            let fd = owner.fd.map_or(String::new(), |fd| format!(" fd {fd}"));
            let command = escape(report.command(owner.pid));
            format!("{command}[{}]{fd}{via}", owner.pid)
        })
        .collect();
    if owners.len() > SHOWN {
        names.push(format!("and {} more", owners.len() - SHOWN));
    }
    names.join(", ")
}

/// Short enough for a column.
pub(super) fn duration(time: Duration) -> String {
    let millis = time.as_millis();
    match millis {
        0..1000 => format!("{millis}ms"),
        1000..60_000 if millis.is_multiple_of(1000) => format!("{}s", millis / 1000),
        1000..60_000 => format!("{}.{}s", millis / 1000, millis % 1000 / 100),
        60_000..3_600_000 => format!("{}m{:02}s", millis / 60_000, millis / 1000 % 60),
        _ => format!("{}h{:02}m", millis / 3_600_000, millis / 60_000 % 60),
    }
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
