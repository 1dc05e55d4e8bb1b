//! The details of a row: evidence, remedies, connections.

use std::net::SocketAddr;

use super::rows::RowId;
use crate::follow::FindingKey;
use crate::render::escape::escape;
use crate::report::{Oldest, Report};
use crate::rules::{self, Finding};

/// So many connections of a listener are listed, the oldest.
const SHOWN_CONNECTIONS: usize = 50;

/// Returns the lines about a row; a finding that is gone has none but that.
pub(super) fn details(report: &Report, row: &RowId) -> Vec<String> {
    match row {
        RowId::Finding(key) => of_finding(report, key),
        RowId::Listener(netns, local) => of_listener(report, netns, *local),
    }
}

/// Returns the page of a finding.
pub(super) fn page(row: &RowId) -> Option<&'static str> {
    match row {
        RowId::Finding(key) => rules::find(key.id).map(|rule| rule.page),
        RowId::Listener(..) => None,
    }
}

fn of_finding(report: &Report, key: &FindingKey) -> Vec<String> {
    let mut findings = report.findings.iter();
    let found = findings.find(|finding| FindingKey::new(report, finding) == *key);
    let Some(finding) = found else {
        return vec![format!("{} is gone.", key.id)];
    };
    let mut lines = vec![format!("{}: {}", finding.id, escape(&finding.headline))];
    let evidence = finding.evidence.iter().map(|one| one.text.clone());
    section(&mut lines, "seen", &evidence.collect::<Vec<_>>());
    section(&mut lines, "so", finding.conclusion.as_slice());
    section(&mut lines, "waits", &waits(report, finding));
    let remedies = finding.remedies.iter().map(ToString::to_string);
    section(&mut lines, "do", &remedies.collect::<Vec<_>>());
    lines
}

fn waits(report: &Report, finding: &Finding) -> Vec<String> {
    let pids = &finding.subject.pids;
    let waits = report.thread_waits();
    let of_these = waits.iter().filter(|((pid, _), _)| pids.contains(pid));
    of_these
        .map(|((pid, tid), waits)| {
            format!("thread {tid} of {}[{pid}]: {waits}", report.command(*pid))
        })
        .collect()
}

fn section(lines: &mut Vec<String>, name: &str, texts: &[String]) {
    if texts.is_empty() {
        return;
    }
    lines.push(String::new());
    lines.push(name.to_owned());
    for line in texts.iter().flat_map(|text| text.lines()) {
        lines.push(format!("  {}", escape(line)));
    }
}

fn of_listener(report: &Report, netns: &str, local: SocketAddr) -> Vec<String> {
    let mut lines = vec![format!(
        "listener {local} in network namespace {}",
        escape(netns)
    )];
    let mut rows = report.listeners.iter();
    let Some(row) = rows.find(|row| row.netns == netns && row.listener.local == local) else {
        lines.push("It does not listen any more.".to_owned());
        return lines;
    };
    for owner in &row.owners {
        let command = report.command(owner.pid);
        lines.push(format!("  held by {}[{}]", escape(command), owner.pid));
    }
    let mut oldest = Oldest::new(SHOWN_CONNECTIONS);
    report
        .connections()
        .filter(|one| one.netns == netns && one.connection.local.port() == local.port())
        .for_each(|one| oldest.add(one));
    lines.push(String::new());
    lines.push("connections in CLOSE_WAIT or waiting to be accepted, the oldest first".to_owned());
    for one in oldest.into_rows() {
        let connection = one.connection;
        let age = one.age.at_least;
        let age = age.map_or("?".to_owned(), super::rows::seconds);
        lines.push(format!(
            "  {:<12} {age:>5}  {}",
            connection.state.name(),
            connection.remote
        ));
    }
    lines
}
