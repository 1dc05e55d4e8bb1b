//! The table of connections, each on its own line: in groups of what has everything in common, the oldest of each.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};

use super::cells::{TableOptions, address, duration, owners};
use super::grid::{Column, Row, write_grid};
use crate::correlate::Place;
use crate::correlate::age::Age;
use crate::model::{Holder, Pid};
use crate::report::{ConnectionRow, Oldest, Report};

/// What connections have in common when they are shown as a group.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Kind<'a> {
    netns: &'a str,
    accepted: bool,
    state: &'static str,
    local: Local,
    holders: Holders<'a>,
}

/// Those that wait have their listener in common, and others at most the address.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Local {
    Listener(SocketAddr),
    Address(IpAddr),
}

/// Compared by their processes.
struct Holders<'a>(&'a [Holder]);

impl Holders<'_> {
    fn pids(&self) -> impl Iterator<Item = Pid> {
        let by_process = self.0.chunk_by(|one, other| one.pid == other.pid);
        by_process.map(|of_one| of_one[0].pid)
    }
}

impl Ord for Holders<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.pids().cmp(other.pids())
    }
}

impl PartialOrd for Holders<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Holders<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Holders<'_> {}

impl<'a> Kind<'a> {
    fn of(row: &ConnectionRow<'a>) -> Self {
        let local = row.connection.local;
        let accepted = !matches!(row.place, Place::AcceptQueue(_));
        Self {
            netns: row.netns,
            accepted,
            state: row.connection.state.name(),
            local: if accepted {
                Local::Address(local.ip())
            } else {
                Local::Listener(local)
            },
            holders: Holders(row.owners),
        }
    }
}

/// A group: how many there are, and the rows of it that are shown.
#[derive(Default)]
struct Group<'a> {
    number: usize,
    rows: Vec<ConnectionRow<'a>>,
}

pub(super) fn write_connections(
    report: &Report,
    options: TableOptions,
    out: &mut dyn Write,
) -> io::Result<()> {
    let groups = groups(report, options);
    if groups.is_empty() {
        return Ok(());
    }
    let mut rows = Vec::new();
    let mut unlisted = 0;
    for group in groups.values() {
        if group.rows.is_empty() {
            unlisted += group.number;
            continue;
        }
        let listed = group.rows.iter();
        rows.extend(listed.map(|row| Row::Cells(cells(report, row).to_vec())));
        let more = group.number - group.rows.len();
        if more > 0 {
            rows.push(Row::Note(format!("and {more} more like these")));
        }
    }
    if unlisted > 0 {
        rows.push(Row::Note(format!("and {unlisted} others")));
    }
    writeln!(out)?;
    write_grid(&COLUMNS, &rows, options.width, out)
}

const COLUMNS: [Column; 6] = [
    Column::left("CONNECTION", 0),
    Column::left("STATE", 1),
    Column::left("REMOTE", 0),
    Column::right("AGE", 2),
    Column::left("UNREAD", 4),
    Column::left("WHERE", 3),
];

fn groups(report: &Report, options: TableOptions) -> BTreeMap<Kind<'_>, Group<'_>> {
    match options.limit {
        Some(limit) => limited(report, limit),
        None => of_each(report),
    }
}

/// All of each group, the oldest first.
fn of_each(report: &Report) -> BTreeMap<Kind<'_>, Group<'_>> {
    let mut groups: BTreeMap<Kind, (usize, Oldest)> = BTreeMap::new();
    for row in report.connections() {
        let group = groups.entry(Kind::of(&row));
        let (number, oldest) = group.or_insert_with(|| (0, Oldest::new(usize::MAX)));
        *number += 1;
        oldest.add(row);
    }
    let groups = groups.into_iter();
    groups
        .map(|(kind, (number, oldest))| {
            let rows = oldest.into_rows();
            (kind, Group { number, rows })
        })
        .collect()
}

/// The oldest of all, in their groups.
fn limited(report: &Report, limit: usize) -> BTreeMap<Kind<'_>, Group<'_>> {
    let mut groups: BTreeMap<Kind, Group> = BTreeMap::new();
    let mut oldest = Oldest::new(limit);
    for row in report.connections() {
        groups.entry(Kind::of(&row)).or_default().number += 1;
        oldest.add(row);
    }
    for row in oldest.into_rows() {
        groups.entry(Kind::of(&row)).or_default().rows.push(row);
    }
    groups
}

fn cells(report: &Report, row: &ConnectionRow) -> [String; 6] {
    let connection = row.connection;
    let unread = match (connection.end_was_read(), row.unread_bytes()) {
        (_, None) => "unknown (MPTCP)".to_owned(),
        (Some(true), _) => "end was read".to_owned(),
        (Some(false), Some(0)) => "FIN".to_owned(),
        (Some(false), Some(bytes)) => format!("{bytes} + FIN"),
        (None, Some(bytes)) => bytes.to_string(),
    };
    let place = match row.place {
        Place::AcceptQueue(_) => "queue, never accepted".to_owned(),
        Place::Undecided => "accepted or in the accept queue: not shown".to_owned(),
        Place::Accepted(_) | Place::Orphan if row.owners.is_empty() => {
            "accepted, owner not visible".to_owned()
        }
        Place::Accepted(_) | Place::Orphan => owners(report, row.owners),
    };
    [
        address(report, row.netns, connection.local),
        connection.state.name().to_owned(),
        connection.remote.to_string(),
        age(row.age),
        unread,
        place,
    ]
}

/// A range whose ends are written alike is written once.
fn age(age: Age) -> String {
    let (least, most) = (age.at_least.map(duration), age.at_most.map(duration));
    match (least, most) {
        (Some(least), Some(most)) if least == most => least,
        (Some(least), Some(most)) => format!("{least}-{most}"),
        (Some(least), None) => format!("{least}+"),
        (None, _) => "?".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_range_whose_ends_are_written_alike_is_written_once() {
        let text = |least: Option<u64>, most: Option<u64>| {
            age(Age {
                at_least: least.map(Duration::from_millis),
                at_most: most.map(Duration::from_millis),
            })
        };
        assert_eq!(text(Some(3000), Some(3099)), "3s");
        assert_eq!(text(Some(3500), Some(3599)), "3.5s");
        assert_eq!(text(Some(3500), Some(3600)), "3.5s-3.6s");
        assert_eq!(text(Some(3500), None), "3.5s+");
        assert_eq!(text(None, Some(3500)), "?");
    }
}
