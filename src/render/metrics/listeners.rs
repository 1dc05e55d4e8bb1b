//! Metrics of listeners: one series for each address, the rest in `other`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use super::catalog::{
    ACCEPTED, ACCEPTED_CLOSE_WAIT, ACCEPTED_OLDEST, ACCEPTED_UNREAD, QUEUE_LENGTH, QUEUE_LIMIT,
    QUEUE_MEMBERS, QUEUE_OLDEST,
};
use super::family::Family;
use crate::model::Pid;
use crate::report::{ListenerRow, Report};

/// The label of what has no series of its own.
pub(super) const OTHER: &str = "other";

/// The numbers of the listeners on one address, or of all that are summed. A number that one of them does not tell is
/// not known of all.
#[derive(Debug, Clone, PartialEq)]
struct Numbers {
    length: Option<u64>,
    limit: Option<u64>,
    established: Option<u64>,
    close_wait: Option<u64>,
    reset: Option<u64>,
    oldest: Option<Duration>,
    accepted: Option<u64>,
    accepted_close_wait: Option<u64>,
    accepted_unread: Option<u64>,
    accepted_oldest: Option<Duration>,
}

impl Numbers {
    const NONE: Self = Self {
        length: Some(0),
        limit: Some(0),
        established: Some(0),
        close_wait: Some(0),
        reset: Some(0),
        oldest: None,
        accepted: Some(0),
        accepted_close_wait: Some(0),
        accepted_unread: Some(0),
        accepted_oldest: None,
    };

    fn of(row: &ListenerRow) -> Self {
        let queue = &row.queue;
        let shown = row.listener.queue_is_shown;
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let accepted = row.accepted.as_ref();
        Self {
            length: shown.then_some(queue.length.into()),
            limit: row.listener.accept_queue_limit.copied().map(u64::from),
            established: queue.established.map(u64::from),
            close_wait: queue.close_wait.map(u64::from),
            reset: queue.reset.map(u64::from),
            oldest: queue.oldest,
            accepted: accepted.and_then(|ledger| ledger.total).map(count),
            accepted_close_wait: accepted.map(|ledger| count(ledger.close_wait)),
            accepted_unread: accepted.and_then(|ledger| ledger.unread).map(count),
            accepted_oldest: accepted.and_then(|ledger| ledger.oldest),
        }
    }

    fn and(&self, other: &Self) -> Self {
        let sum = |one: Option<u64>, other: Option<u64>| Some(one? + other?);
        Self {
            length: sum(self.length, other.length),
            limit: sum(self.limit, other.limit),
            established: sum(self.established, other.established),
            close_wait: sum(self.close_wait, other.close_wait),
            reset: sum(self.reset, other.reset),
            oldest: self.oldest.max(other.oldest),
            accepted: sum(self.accepted, other.accepted),
            accepted_close_wait: sum(self.accepted_close_wait, other.accepted_close_wait),
            accepted_unread: sum(self.accepted_unread, other.accepted_unread),
            accepted_oldest: self.accepted_oldest.max(other.accepted_oldest),
        }
    }

    /// What decides which listeners have series of their own.
    fn trouble(&self) -> u64 {
        self.length.unwrap_or(0) + self.accepted_close_wait.unwrap_or(0)
    }
}

/// The listeners on one address of one namespace.
struct Group {
    numbers: Numbers,
    pids: BTreeSet<Pid>,
}

/// Returns the families, and how many addresses are summed in `other`. Those with connections that wait or are left
/// come first, then by address.
pub(super) fn families(
    report: &Report,
    units: &BTreeMap<Pid, String>,
    most: usize,
) -> (Vec<Family>, usize) {
    let mut groups: Vec<_> = groups(report).into_iter().collect();
    groups.sort_by_key(|(_, group)| std::cmp::Reverse(group.numbers.trouble()));
    let rest = groups.split_off(groups.len().min(most));
    let mut families = Families::new();
    for ((netns, local), group) in &groups {
        let command = names(group.pids.iter().map(|pid| report.command(*pid)));
        let unit = names(group.pids.iter().filter_map(|pid| units.get(pid)));
        let local = local.to_string();
        families.add([netns, &local, &command, &unit], &group.numbers);
    }
    if !rest.is_empty() {
        let all = rest
            .iter()
            .fold(Numbers::NONE, |sum, (_, group)| sum.and(&group.numbers));
        families.add([OTHER, OTHER, "", ""], &all);
    }
    (families.into_all(), rest.len())
}

fn groups(report: &Report) -> BTreeMap<(&str, SocketAddr), Group> {
    let mut groups = BTreeMap::new();
    for row in &report.listeners {
        let group = groups
            .entry((row.netns.as_str(), row.listener.local))
            .or_insert_with(|| Group {
                numbers: Numbers::NONE,
                pids: BTreeSet::new(),
            });
        group.numbers = group.numbers.and(&Numbers::of(row));
        group
            .pids
            .extend(row.owners.iter().map(|holder| holder.pid));
    }
    groups
}

/// Returns different names, sorted and joined by commas.
pub(super) fn names(all: impl Iterator<Item = impl AsRef<str>>) -> String {
    let names: BTreeSet<String> = all.map(|name| name.as_ref().to_owned()).collect();
    let names: Vec<String> = names.into_iter().filter(|name| !name.is_empty()).collect();
    names.join(",")
}

struct Families {
    length: Family,
    limit: Family,
    members: Family,
    oldest: Family,
    accepted: Family,
    accepted_close_wait: Family,
    accepted_unread: Family,
    accepted_oldest: Family,
}

impl Families {
    fn new() -> Self {
        Self {
            length: Family::new(&QUEUE_LENGTH),
            limit: Family::new(&QUEUE_LIMIT),
            members: Family::new(&QUEUE_MEMBERS),
            oldest: Family::new(&QUEUE_OLDEST),
            accepted: Family::new(&ACCEPTED),
            accepted_close_wait: Family::new(&ACCEPTED_CLOSE_WAIT),
            accepted_unread: Family::new(&ACCEPTED_UNREAD),
            accepted_oldest: Family::new(&ACCEPTED_OLDEST),
        }
    }

    fn add(&mut self, labels: [&str; 4], numbers: &Numbers) {
        add_count(&mut self.length, &labels, numbers.length);
        add_count(&mut self.limit, &labels, numbers.limit);
        add_time(&mut self.oldest, &labels, numbers.oldest);
        add_count(&mut self.accepted, &labels, numbers.accepted);
        add_count(
            &mut self.accepted_close_wait,
            &labels,
            numbers.accepted_close_wait,
        );
        add_count(&mut self.accepted_unread, &labels, numbers.accepted_unread);
        add_time(&mut self.accepted_oldest, &labels, numbers.accepted_oldest);
        let members = [
            ("established", numbers.established),
            ("close_wait", numbers.close_wait),
            ("reset", numbers.reset),
        ];
        let [netns, local, command, unit] = labels;
        for (state, number) in members {
            let labels = [netns, local, command, unit, state];
            add_count(&mut self.members, &labels, number);
        }
    }

    fn into_all(self) -> Vec<Family> {
        vec![
            self.length,
            self.limit,
            self.members,
            self.oldest,
            self.accepted,
            self.accepted_close_wait,
            self.accepted_unread,
            self.accepted_oldest,
        ]
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "numbers of connections are far below 2^52"
)]
fn add_count(family: &mut Family, labels: &[&str], number: Option<u64>) {
    if let Some(number) = number {
        family.add(labels, number as f64);
    }
}

fn add_time(family: &mut Family, labels: &[&str], time: Option<Duration>) {
    if let Some(time) = time {
        family.add(labels, time.as_secs_f64());
    }
}
