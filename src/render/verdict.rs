//! The first line: the verdict, what is wrong, where, how many, since when.

use std::net::SocketAddr;
use std::time::Duration;

use anstyle::{AnsiColor, Style};

use super::cells::duration;
use super::disease::Block;
use super::escape::escape;
use super::paragraphs::Line;
use super::place::scope_clause;
use crate::report::{Report, Source, Verdict, absent_sentence};
use crate::rules::{Confidence, Finding, Severity, SubjectKind};

/// Returns the answer in one line.
pub(super) fn verdict_line(report: &Report, blocks: &[Block]) -> Line {
    let mut line = whole_line(report, blocks);
    if report.is_partial {
        line.text = format!("(partial: interrupted) {}", line.text);
    }
    line
}

fn whole_line(report: &Report, blocks: &[Block]) -> Line {
    match report.verdict {
        Verdict::Critical | Verdict::Degraded => match blocks.first() {
            Some(first) => worst(report, first, blocks),
            None => calm(report),
        },
        Verdict::Healthy | Verdict::Unknown => calm(report),
    }
}

/// The worst finding, and how many others there are.
fn worst(report: &Report, first: &Block, blocks: &[Block]) -> Line {
    let mut line = finding_line(report, first.cause);
    let others = |severity: Severity| {
        let others = blocks.iter().skip(1);
        others
            .filter(|block| block.cause.severity == severity)
            .count()
    };
    let counts = [
        (others(Severity::Critical), "critical"),
        (others(Severity::Warning), "warning"),
    ];
    let more: Vec<String> = counts
        .iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, what)| format!("{number} {what}"))
        .collect();
    if !more.is_empty() {
        line.text = format!("{}; and {} more", line.text, more.join(", "));
    }
    line
}

/// A finding: where, who, what, and since when.
pub(super) fn finding_line(report: &Report, finding: &Finding) -> Line {
    let (style, word) = severity(finding.severity);
    let confidence = match finding.confidence {
        Confidence::Certain => "",
        Confidence::Likely => " (likely)",
        Confidence::Possible => " (possible)",
    };
    let text = format!(
        "{}{}{}{confidence}",
        place(report, finding),
        escape(&headline(finding)),
        since(report, finding)
    );
    Line { style, word, text }
}

/// The headline without the address that stands before it.
fn headline(finding: &Finding) -> String {
    let subject = &finding.subject;
    let at = subject.local.map(|local| format!(" on {local}"));
    let to = subject.remote.map(|remote| format!(" to {remote}"));
    match at.or(to) {
        Some(place) => finding.headline.replacen(&place, "", 1),
        None => finding.headline.clone(),
    }
}

/// How bad it is, as a coloured word.
pub(super) fn severity(severity: Severity) -> (Style, &'static str) {
    match severity {
        Severity::Critical => (AnsiColor::Red.on_default().bold(), "CRITICAL"),
        Severity::Warning => (AnsiColor::Yellow.on_default().bold(), "WARNING"),
        Severity::Info => (AnsiColor::Cyan.on_default().bold(), "INFO"),
    }
}

/// `127.0.0.1:8080 nginx: `.
fn place(report: &Report, finding: &Finding) -> String {
    let subject = &finding.subject;
    let mut parts: Vec<String> = Vec::new();
    if report.namespaces.len() > 1 {
        parts.push(format!("[{}]", escape(&subject.netns)));
    }
    parts.extend(subject.local.map(|local| local.to_string()));
    parts.extend(subject.remote.map(|remote| format!("to {remote}")));
    let mut names: Vec<&str> = subject
        .pids
        .iter()
        .map(|pid| report.command(*pid))
        .collect();
    names.sort_unstable();
    names.dedup();
    if let [name] = names[..] {
        parts.push(escape(name).into_owned());
    }
    if parts.is_empty() {
        return String::new();
    }
    format!("{}: ", parts.join(" "))
}

/// `; the oldest waits for 3.5s; 19 accepted are closed by their clients`, as far as the headline does not say it.
fn since(report: &Report, finding: &Finding) -> String {
    let subject = &finding.subject;
    let mut rows = report.listeners.iter();
    let row =
        rows.find(|row| Some(row.listener.local) == subject.local && row.netns == subject.netns);
    let is_queue = subject.kind == SubjectKind::Listener;
    let oldest = match row {
        Some(row) if is_queue => row.queue.oldest,
        _ => oldest(report, finding),
    };
    let oldest = oldest.filter(|_| !finding.headline.contains(" for up to "));
    let oldest = oldest.map(|age| format!("; the oldest for {}", duration(age)));
    let accepted = row.and_then(|row| row.accepted).filter(|_| is_queue);
    let closed = accepted
        .map(|accepted| accepted.close_wait)
        .filter(|number| *number > 0);
    let closed =
        closed.map(|number| format!("; {number} accepted ones are closed by their clients"));
    [oldest, closed].into_iter().flatten().collect()
}

/// How long the oldest of the connections in `CLOSE_WAIT` is so that the processes of a finding hold.
fn oldest(report: &Report, finding: &Finding) -> Option<Duration> {
    let subject = &finding.subject;
    let is_its = |end: SocketAddr| subject.local.is_none_or(|local| local.port() == end.port());
    report
        .connections()
        .filter(|row| row.netns == subject.netns && is_its(row.connection.local))
        .filter(|row| {
            subject
                .remote
                .is_none_or(|remote| row.connection.remote == remote)
        })
        .filter(|row| {
            row.owners
                .iter()
                .any(|owner| subject.pids.contains(&owner.pid))
        })
        .filter_map(|row| row.age.at_least)
        .max()
}

/// Nothing is wrong, or that cannot be told.
fn calm(report: &Report) -> Line {
    if let Some(absent) = report.absent.first() {
        let more = match report.absent.len() {
            1 => String::new(),
            number => format!("; and {} more", number - 1),
        };
        return Line {
            style: AnsiColor::Yellow.on_default().bold(),
            word: "NOT THERE",
            text: format!("{}{more}", escape(&absent_sentence(absent, &report.scope))),
        };
    }
    let total = report.close_wait.total();
    let grace = duration(report.grace);
    let (color, word, close_wait) = match (report.verdict, total) {
        (Verdict::Unknown, total) => (
            AnsiColor::Yellow,
            "CANNOT TELL",
            format!("{total} CLOSE_WAIT; see below what could not be seen"),
        ),
        (_, 0) => (AnsiColor::Green, "HEALTHY", "no CLOSE_WAIT".to_owned()),
        (_, total) => (
            AnsiColor::Green,
            "HEALTHY",
            format!("{total} CLOSE_WAIT, none of them stuck for {grace}"),
        ),
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
    Line {
        style: color.on_default().bold(),
        word,
        text: format!(
            "{listeners}{}, {waiting} waiting to be accepted, {close_wait}  ({took})",
            scope_clause(report)
        ),
    }
}
