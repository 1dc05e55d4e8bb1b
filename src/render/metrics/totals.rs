//! Metrics of the whole host, of processes, remote services and network namespaces.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::catalog::{
    BLIND_SPOTS, CLOSE_WAIT, CLOSE_WAIT_COMMAND, CLOSE_WAIT_REMOTE, DROPS, LISTENERS,
    NAMESPACE_INFO, NAMESPACES, OVERFLOWS, VERDICT,
};
use super::family::Family;
use super::findings::count;
use super::listeners::OTHER;
use crate::model::Pid;
use crate::report::{Report, Verdict};

/// Returns the families that have the same series on every host.
pub(super) fn families(report: &Report) -> Vec<Family> {
    let mut verdicts = Family::new(&VERDICT);
    let words = [
        ("healthy", Verdict::Healthy),
        ("degraded", Verdict::Degraded),
        ("critical", Verdict::Critical),
        ("unknown", Verdict::Unknown),
    ];
    for (word, verdict) in words {
        verdicts.add(&[word], count(usize::from(report.verdict == verdict)));
    }
    let mut blind = Family::new(&BLIND_SPOTS);
    for (word, hides) in [("true", true), ("false", false)] {
        let spots = report.blind_spots.iter();
        let number = spots.filter(|spot| spot.hides_findings == hides).count();
        blind.add(&[word], count(number));
    }
    let mut close_wait = Family::new(&CLOSE_WAIT);
    close_wait.add(&["accept_queue"], count(report.close_wait.accept_queue));
    close_wait.add(&["process"], count(report.close_wait.owned));
    close_wait.add(&["unattributed"], count(report.close_wait.unattributed));
    vec![
        verdicts,
        blind,
        close_wait,
        Family::single(&NAMESPACES, count(report.namespaces.len())),
        Family::single(&LISTENERS, count(report.listeners.len())),
    ]
}

/// Returns connections in `CLOSE_WAIT` by command and unit, and how many of these are summed in `other`.
pub(super) fn commands(
    report: &Report,
    units: &BTreeMap<Pid, String>,
    most: usize,
) -> (Family, usize) {
    let mut held: BTreeMap<[&str; 2], usize> = BTreeMap::new();
    for row in report.processes.iter().filter(|row| row.close_wait > 0) {
        let unit = units.get(&row.pid).map_or("", String::as_str);
        *held.entry([&row.process().command, unit]).or_default() += row.close_wait;
    }
    largest(Family::new(&CLOSE_WAIT_COMMAND), held, most, [OTHER, ""])
}

/// Returns connections in `CLOSE_WAIT` by the remote service to which this host opened them, and how many services
/// are summed in `other`.
pub(super) fn remotes(report: &Report, most: usize) -> (Family, usize) {
    let services = report.remote_services();
    let named: Vec<(&str, String, usize)> = services
        .into_iter()
        .map(|((netns, remote), number)| (netns, remote.to_string(), number))
        .collect();
    let named = named
        .iter()
        .map(|(netns, remote, number)| ([*netns, remote.as_str()], *number));
    largest(
        Family::new(&CLOSE_WAIT_REMOTE),
        named.collect(),
        most,
        [OTHER, OTHER],
    )
}

fn largest<'l>(
    mut family: Family,
    all: BTreeMap<[&'l str; 2], usize>,
    most: usize,
    other: [&'l str; 2],
) -> (Family, usize) {
    let mut all: Vec<_> = all.into_iter().collect();
    all.sort_by_key(|(_, number)| Reverse(*number));
    let rest = all.split_off(all.len().min(most));
    for (labels, number) in all {
        family.add(&labels, count(number));
    }
    if !rest.is_empty() {
        let sum = rest.iter().map(|(_, number)| number).sum();
        family.add(&other, count(sum));
    }
    (family, rest.len())
}

/// Returns the counters of each network namespace and what it belongs to, and how many namespaces are summed in
/// `other`.
#[expect(
    clippy::cast_precision_loss,
    reason = "Prometheus keeps counters as floating point numbers itself"
)]
pub(super) fn namespaces(report: &Report, most: usize) -> (Vec<Family>, usize) {
    let mut overflows = Family::new(&OVERFLOWS);
    let mut drops = Family::new(&DROPS);
    let mut info = Family::new(&NAMESPACE_INFO);
    let counters: BTreeMap<&str, _> = report.dropped_counters().collect();
    for (index, namespace) in report.namespaces.iter().enumerate() {
        let has_own = index < most;
        let name = if has_own { &namespace.name } else { OTHER };
        if let Some(counters) = counters.get(namespace.name.as_str()) {
            overflows.add(&[name], counters.overflows as f64);
            drops.add(&[name], counters.drops as f64);
        }
        if has_own {
            let origin = &namespace.origin;
            let (runtime, container) = match &origin.container {
                Some((runtime, id)) => (runtime.as_str(), id.as_str()),
                None => ("", ""),
            };
            let or_empty = |text: &'_ Option<String>| text.clone().unwrap_or_default();
            let (pod, unit) = (or_empty(&origin.pod), or_empty(&origin.unit));
            info.add(&[name, runtime, container, &pod, &unit], 1.0);
        }
    }
    let summed = report.namespaces.len().saturating_sub(most);
    (vec![info, overflows, drops], summed)
}
