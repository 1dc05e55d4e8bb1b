//! The rows of the list: findings first, then listeners.

use std::cmp::Reverse;
use std::net::SocketAddr;
use std::time::Duration;

use crate::follow::{FindingKey, History, Tracked, Trend};
use crate::render::{escape::escape, severity_word};
use crate::report::{ListenerRow, Report};
use crate::rules::Severity;

/// What a row stands for; it stays the same from look to look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RowId {
    Finding(FindingKey),
    Listener(String, SocketAddr),
}

/// A row of the list.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    pub(super) id: RowId,
    pub(super) text: String,
    /// How bad it is; none for a listener with which nothing is wrong, and for what is gone.
    pub(super) severity: Option<Severity>,
}

/// What the list is sorted by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Sort {
    #[default]
    Severity,
    Connections,
    Age,
}

impl Sort {
    pub(super) fn next(self) -> Self {
        match self {
            Self::Severity => Self::Connections,
            Self::Connections => Self::Age,
            Self::Age => Self::Severity,
        }
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Severity => "severity",
            Self::Connections => "connections",
            Self::Age => "age",
        }
    }
}

/// Returns the rows that contain the filter.
pub(super) fn rows(
    report: &Report,
    history: &History,
    now: Duration,
    sort: Sort,
    filter: &str,
) -> Vec<Row> {
    let mut findings: Vec<_> = history.findings().collect();
    findings.sort_by_key(|(_, tracked)| {
        let gone = tracked.gone_at.is_some();
        let (severity, connections) = (Reverse(tracked.severity), Reverse(tracked.connections()));
        match sort {
            Sort::Severity => (gone, severity, connections, tracked.first_seen),
            Sort::Connections => (
                gone,
                Reverse(Severity::Info),
                connections,
                tracked.first_seen,
            ),
            Sort::Age => (
                gone,
                Reverse(Severity::Info),
                Reverse(0),
                tracked.first_seen,
            ),
        }
    });
    let of_findings = findings
        .into_iter()
        .map(|(key, tracked)| of_finding(key, tracked, now));
    let mut listeners: Vec<&ListenerRow> = report.listeners.iter().collect();
    listeners.sort_by_key(|row| {
        let left = row.accepted.as_ref().map_or(0, |ledger| ledger.close_wait);
        Reverse((row.queue.length, left))
    });
    let of_listeners = listeners.into_iter().map(|row| of_listener(report, row));
    let all = of_findings.chain(of_listeners);
    all.filter(|row| row.text.contains(filter)).collect()
}

fn of_finding(key: &FindingKey, tracked: &Tracked, now: Duration) -> Row {
    let age = seconds(now.saturating_sub(tracked.first_seen));
    let course = match (tracked.gone_at, tracked.trend()) {
        (Some(gone), _) => format!("gone {} ago", seconds(now.saturating_sub(gone))),
        (None, Trend::New) => "new".to_owned(),
        (None, Trend::Steady) => "steady".to_owned(),
        (None, Trend::Growing(rate)) => format!("growing +{rate:.1}/s"),
        (None, Trend::Shrinking(rate)) => format!("shrinking -{rate:.1}/s"),
    };
    let is_there = tracked.gone_at.is_none();
    let word = if is_there {
        severity_word(tracked.severity)
    } else {
        "gone"
    };
    let place = key.place();
    Row {
        text: format!(
            "{word:<8}  {:<24}  {:<22}  {:>6}  {age:>7}  {course}",
            key.id,
            escape(&place),
            tracked.connections()
        ),
        severity: is_there.then_some(tracked.severity),
        id: RowId::Finding(key.clone()),
    }
}

fn of_listener(report: &Report, row: &ListenerRow) -> Row {
    let length = row.queue.length;
    let limit = row.listener.accept_queue_limit.copied();
    let left = row
        .accepted
        .as_ref()
        .map_or("?".to_owned(), |ledger| ledger.close_wait.to_string());
    let command = row.owners.first().map_or("", |one| report.command(one.pid));
    let shown_limit = limit.map_or("?".to_owned(), |limit| limit.to_string());
    Row {
        text: format!(
            "{:<24}  {} {length:>5} / {shown_limit:<5}  {left:>10}  {}",
            row.listener.local.to_string(),
            bar(length, limit),
            escape(command)
        ),
        severity: (length > 0).then_some(Severity::Info),
        id: RowId::Listener(row.netns.clone(), row.listener.local),
    }
}

/// Returns ten places of which so many are filled as the queue is; a queue that is not empty fills one at least.
pub(super) fn bar(length: u32, limit: Option<u32>) -> String {
    const PLACES: u32 = 10;
    let limit = u64::from(limit.unwrap_or(0).max(1));
    let filled = (u64::from(length) * u64::from(PLACES)).div_ceil(limit);
    let filled = usize::try_from(filled.min(u64::from(PLACES))).unwrap_or(0);
    format!(
        "[{}{}]",
        "#".repeat(filled),
        ".".repeat(PLACES as usize - filled)
    )
}

/// A time in whole seconds, minutes or hours.
pub(super) fn seconds(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..120 => format!("{seconds}s"),
        seconds @ 120..7200 => format!("{}m", seconds / 60),
        seconds => format!("{}h", seconds / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_shows_the_smallest_queue_and_is_never_too_long() {
        assert_eq!(bar(0, Some(128)), "[..........]");
        assert_eq!(bar(1, Some(4096)), "[#.........]");
        assert_eq!(bar(64, Some(128)), "[#####.....]");
        assert_eq!(bar(129, Some(128)), "[##########]");
        assert_eq!(bar(5, Some(0)), "[##########]");
    }

    #[test]
    fn times_are_short() {
        assert_eq!(seconds(Duration::from_secs(90)), "90s");
        assert_eq!(seconds(Duration::from_secs(300)), "5m");
        assert_eq!(seconds(Duration::from_secs(8000)), "2h");
    }
}
