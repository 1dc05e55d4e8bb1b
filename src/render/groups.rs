//! Connections in groups of what has everything in common: one line a group.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::cells::{TableOptions, duration};
use super::escape::escape;
use super::grid::{Column, Row, write_grid};
use crate::correlate::Place;
use crate::model::Pid;
use crate::report::{ConnectionRow, Report};

/// The most groups that are shown.
const SHOWN: usize = 6;

const COLUMNS: [Column; 7] = [
    Column::right("NUMBER", 0),
    Column::left("STATE", 0),
    Column::left("LOCAL", 2),
    Column::left("REMOTE", 1),
    Column::right("AGE", 0),
    Column::left("UNREAD", 1),
    Column::left("WHERE", 0),
];

/// What the connections of a group have in common.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Kind<'a> {
    netns: &'a str,
    place: GroupPlace<'a>,
    local: Local,
    state: &'static str,
}

/// In the order of the table.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum GroupPlace<'a> {
    Queue,
    Undecided,
    Unowned,
    /// By the names of the programs: the workers of a service are one group.
    Held(Vec<&'a str>),
}

/// Those of a listener have its port in common, and others the address.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Local {
    Service(SocketAddr),
    Host(IpAddr),
}

#[derive(Default)]
struct Group {
    number: usize,
    remotes: BTreeSet<SocketAddr>,
    pids: BTreeSet<Pid>,
    youngest: Option<Duration>,
    oldest: Option<Duration>,
    /// Whether some age is not known exactly.
    vague: bool,
    fewest_unread: Option<u32>,
    most_unread: Option<u32>,
    /// How many have the end of the stream unread, and read.
    ends_unread: usize,
    ends_read: usize,
}

pub(super) fn write_groups(
    report: &Report,
    options: TableOptions,
    out: &mut dyn Write,
) -> io::Result<()> {
    let ports: BTreeSet<u16> = report
        .listeners
        .iter()
        .map(|row| row.listener.local.port())
        .collect();
    let mut groups: BTreeMap<Kind, Group> = BTreeMap::new();
    for row in report.connections() {
        groups
            .entry(kind(report, &ports, &row))
            .or_default()
            .add(&row);
    }
    if groups.is_empty() {
        return Ok(());
    }
    let mut rows: Vec<Row> = groups
        .iter()
        .take(SHOWN)
        .map(|(kind, group)| Row::Cells(cells(report, kind, group)))
        .collect();
    let left = groups.len().saturating_sub(SHOWN);
    if left > 0 {
        let connections: usize = groups.values().skip(SHOWN).map(|group| group.number).sum();
        rows.push(Row::Note(format!(
            "and {connections} more in {left} groups (--connections lists each)"
        )));
    }
    writeln!(out)?;
    write_grid(&COLUMNS, &rows, options.width, out)
}

fn kind<'a>(report: &'a Report, ports: &BTreeSet<u16>, row: &ConnectionRow<'a>) -> Kind<'a> {
    let local = row.connection.local;
    Kind {
        netns: row.netns,
        place: match row.place {
            Place::AcceptQueue(_) => GroupPlace::Queue,
            Place::Undecided => GroupPlace::Undecided,
            Place::Accepted(_) | Place::Orphan if row.owners.is_empty() => GroupPlace::Unowned,
            Place::Accepted(_) | Place::Orphan => {
                let owners = row.owners.iter();
                let mut names: Vec<&str> = owners.map(|one| report.command(one.pid)).collect();
                names.sort_unstable();
                names.dedup();
                GroupPlace::Held(names)
            }
        },
        local: if ports.contains(&local.port()) {
            Local::Service(local)
        } else {
            Local::Host(local.ip())
        },
        state: row.connection.state.name(),
    }
}

impl Group {
    fn add(&mut self, row: &ConnectionRow) {
        let age = row.age.at_least;
        self.number += 1;
        self.remotes.insert(row.connection.remote);
        self.pids.extend(row.owners.iter().map(|owner| owner.pid));
        self.youngest = [self.youngest, age].into_iter().flatten().min();
        self.oldest = self.oldest.max(age);
        self.vague |= row.age.at_most != age || age.is_none();
        let unread = row.unread_bytes();
        self.fewest_unread = [self.fewest_unread, unread].into_iter().flatten().min();
        self.most_unread = self.most_unread.max(unread);
        match row.connection.end_was_read() {
            Some(true) => self.ends_read += 1,
            Some(false) => self.ends_unread += 1,
            None => {}
        }
    }

    /// The service or the host at the other end; of several hosts their number.
    fn remote(&self) -> String {
        let hosts: BTreeSet<IpAddr> = self
            .remotes
            .iter()
            .map(|one| one.ip().to_canonical())
            .collect();
        match (self.remotes.first(), hosts.first(), hosts.len()) {
            (Some(remote), _, 1) if self.remotes.len() == 1 => remote.to_string(),
            (_, Some(host), 1) => host.to_string(),
            (_, _, number) => format!("{number} hosts"),
        }
    }

    fn age(&self) -> String {
        let (Some(youngest), Some(oldest)) = (self.youngest, self.oldest) else {
            return "?".to_owned();
        };
        let more = if self.vague { "+" } else { "" };
        let (youngest, oldest) = (duration(youngest), duration(oldest));
        if youngest == oldest {
            return format!("{oldest}{more}");
        }
        format!("{youngest}-{oldest}{more}")
    }

    /// Unread bytes, and whether the end of the stream is among what is unread.
    fn unread(&self) -> String {
        let (Some(fewest), Some(most)) = (self.fewest_unread, self.most_unread) else {
            return "?".to_owned();
        };
        let bytes = if fewest == most {
            most.to_string()
        } else {
            format!("{fewest}-{most}")
        };
        match (self.ends_unread, self.ends_read) {
            (0, 0) => bytes,
            (0, _) => "end was read".to_owned(),
            (_, 0) if most == 0 => "FIN".to_owned(),
            (_, 0) => format!("{bytes} + FIN"),
            (unread, _) => format!("{bytes}, FIN on {unread}"),
        }
    }
}

fn cells(report: &Report, kind: &Kind, group: &Group) -> Vec<String> {
    let local = match kind.local {
        Local::Service(service) => service.to_string(),
        Local::Host(host) => host.to_string(),
    };
    let local = if report.namespaces.len() > 1 {
        format!("[{}] {local}", escape(kind.netns))
    } else {
        local
    };
    vec![
        group.number.to_string(),
        kind.state.to_owned(),
        local,
        group.remote(),
        group.age(),
        group.unread(),
        place(&kind.place, group),
    ]
}

fn place(place: &GroupPlace, group: &Group) -> String {
    match place {
        GroupPlace::Queue => "queue, never accepted".to_owned(),
        GroupPlace::Undecided => "accepted or in the queue: not shown".to_owned(),
        GroupPlace::Unowned => "accepted, owner not visible".to_owned(),
        GroupPlace::Held(names) => {
            let names: Vec<_> = names.iter().map(|name| escape(name)).collect();
            let names = names.join(", ");
            match (group.pids.first(), group.pids.len()) {
                (Some(pid), 1) => format!("{names}[{pid}]"),
                (_, number) => format!("{names} ({number} processes)"),
            }
        }
    }
}
