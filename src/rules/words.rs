//! Numbers and names in words, for all rules alike.

use std::time::Duration;

use crate::correlate::Analysis;
use crate::model::{Process, Rights};

/// A number of things, with the plural's s.
pub(super) fn count(number: usize, thing: &str) -> String {
    if number == 1 {
        format!("1 {thing}")
    } else {
        format!("{number} {thing}s")
    }
}

/// A duration as people say it.
pub(super) fn seconds(time: Duration) -> String {
    let millis = time.as_millis();
    match millis {
        0..1000 => format!("{millis} ms"),
        1000..100_000 => format!("{}.{} s", millis / 1000, millis % 1000 / 100),
        100_000..7_200_000 => format!("{} min", millis / 60_000),
        _ => format!("{} h", millis / 3_600_000),
    }
}

/// What gives the looking program the privilege that it lacks.
pub(super) fn what_helps(analysis: &Analysis) -> String {
    let rights = analysis.snapshot.rights;
    rights.map_or_else(|| Rights::USUAL.to_owned(), Rights::what_helps)
}

/// A process as people name it.
pub(super) fn process_name(process: &Process) -> String {
    format!("{}[{}]", process.command, process.pid)
}

/// Several processes, the first few by name.
pub(super) fn process_names<'a>(processes: impl Iterator<Item = &'a Process>) -> String {
    const NAMED: usize = 3;
    let names: Vec<String> = processes.map(process_name).collect();
    if names.len() <= NAMED {
        return names.join(", ");
    }
    format!(
        "{} and {} more",
        names[..NAMED].join(", "),
        names.len() - NAMED
    )
}
