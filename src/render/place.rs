//! Where and whose: what was looked at, and what a finding is about.

use super::escape::escape;
use crate::report::{ProcessRow, Report};
use crate::rules::Finding;

/// What was looked at, as a clause: ` on port 8080 in namespace blue`.
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
    let processes = report.processes.iter().map(ProcessRow::process);
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
