//! Who the processes of a finding are: user, unit or container, running time, command line.

use std::time::Duration;

use super::cells::TableOptions;
use crate::model::{Origin, Pid, Process};
use crate::report::{ProcessRow, Report};

/// The most processes that are named.
const NAMED: usize = 3;

/// As much of a container's id as runtimes print.
const SHORT_ID: usize = 12;

/// A command line is shown up to here where not everything is shown.
const SHORT_COMMAND_LINE: usize = 60;

/// Returns one line about the processes, or one about each where everything is shown. Those of one service are
/// alike: the first stands for them.
pub(super) fn who(report: &Report, pids: &[Pid], options: TableOptions) -> Vec<String> {
    let rows: Vec<&ProcessRow> = pids.iter().filter_map(|pid| report.process(*pid)).collect();
    if options.is_full() {
        return rows
            .iter()
            .map(|row| one(report, row, usize::MAX))
            .collect();
    }
    let Some(first) = rows.first() else {
        return Vec::new();
    };
    if rows.len() == 1 {
        return vec![one(report, first, SHORT_COMMAND_LINE)];
    }
    let names: Vec<String> = rows
        .iter()
        .take(NAMED)
        .map(|row| name(row.process()))
        .collect();
    let more = match rows.len().saturating_sub(NAMED) {
        0 => String::new(),
        number => format!(" and {number} more"),
    };
    vec![format!(
        "{}{more}; the first: {}",
        names.join(" "),
        facts(report, first, SHORT_COMMAND_LINE)
    )]
}

fn name(process: &Process) -> String {
    format!("{}[{}]", process.command, process.pid)
}

fn one(report: &Report, row: &ProcessRow, most: usize) -> String {
    let facts = facts(report, row, most);
    let name = name(row.process());
    if facts.is_empty() {
        return name;
    }
    format!("{name}: {facts}")
}

/// `user www-data, unit nginx.service, runs for 3h20m: nginx: worker process`.
fn facts(report: &Report, row: &ProcessRow, most: usize) -> String {
    let process = row.process();
    let mut facts: Vec<String> = Vec::new();
    facts.extend(process.uid.copied().map(|uid| match report.user(uid) {
        Some(name) => format!("user {name}"),
        None => format!("uid {uid}"),
    }));
    facts.extend(process.origin.known().and_then(place));
    facts.extend(
        row.runs_for()
            .map(|age| format!("runs for {}", running(age))),
    );
    let facts = facts.join(", ");
    let command_line = process.command_line.known().map_or("", String::as_str);
    match (facts.is_empty(), command_line.is_empty()) {
        (_, true) => facts,
        (true, false) => shortened(command_line, most),
        (false, false) => format!("{facts}; {}", shortened(command_line, most)),
    }
}

/// The container, by its short id, or the unit.
fn place(origin: &Origin) -> Option<String> {
    if let Some((runtime, id)) = &origin.container {
        let id = id.get(..SHORT_ID).unwrap_or(id);
        return Some(format!("{runtime} container {id}"));
    }
    origin.unit.as_ref().map(|unit| format!("unit {unit}"))
}

/// A time that is not about seconds.
fn running(age: Duration) -> String {
    let minutes = age.as_secs() / 60;
    match minutes {
        0 => format!("{} s", age.as_secs()),
        1..120 => format!("{minutes} min"),
        120..2880 => format!("{} h", minutes / 60),
        _ => format!("{} days", minutes / 1440),
    }
}

fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let kept: String = text.chars().take(most).collect();
    format!("{kept}… (-v)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_time_is_told_in_its_largest_unit() {
        for (seconds, text) in [
            (7, "7 s"),
            (60, "1 min"),
            (7200, "2 h"),
            (172_800, "2 days"),
        ] {
            assert_eq!(running(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn a_container_is_named_before_the_unit_around_it() {
        let id = "0123456789abcdef".repeat(4);
        let mut origin = Origin {
            container: Some(("docker".to_owned(), id)),
            pod: None,
            unit: Some("docker.service".to_owned()),
        };
        assert_eq!(
            place(&origin).as_deref(),
            Some("docker container 0123456789ab")
        );
        origin.container = None;
        assert_eq!(place(&origin).as_deref(), Some("unit docker.service"));
    }
}
