//! What copied text does not show, and which command does.

use std::collections::BTreeSet;

use crate::collect::text::{Fact, Kind, TableSummary};
use crate::correlate::{Analysis, Place, Waiting};
use crate::model::{BlindSpot, Connection, Listener, TcpState};

/// The command that shows the most.
const BEST: &str = "as root: ss -tanpoie";

/// The parts of a text that are not used.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unused {
    /// Lines that begin like rows and cannot be read.
    pub odd_lines: usize,
    /// Rows of `ss state NAME` without their state.
    pub rows_without_state: usize,
    /// Tables that a later one shows again.
    pub replaced_tables: usize,
    /// Hosts and namespaces that are told apart.
    pub places: usize,
}

/// Returns the relevant facts that a text does not show.
pub(super) fn of(analysis: &Analysis, tables: &[TableSummary], unused: Unused) -> Vec<BlindSpot> {
    let spots = [
        undecided(analysis, tables),
        ages(analysis, tables),
        limits(analysis, tables),
        owners(analysis, tables),
        threads(analysis),
        listeners(analysis),
        connections(analysis),
        moments(tables),
        replaced(unused.replaced_tables),
        places(unused.places),
        unreadable(unused.odd_lines),
        without_state(unused.rows_without_state),
    ];
    spots.into_iter().flatten().collect()
}

fn spot(what: String, why: impl Into<String>, remedy: &str) -> BlindSpot {
    BlindSpot {
        what,
        why: why.into(),
        remedy: remedy.to_owned(),
        hides_findings: true,
    }
}

fn plural(number: usize, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

fn undecided(analysis: &Analysis, tables: &[TableSummary]) -> Option<BlindSpot> {
    let number = closed_by_peer(analysis)
        .filter(|(_, place)| *place == Place::Undecided)
        .count();
    (number > 0).then(|| {
        spot(
            format!(
                "whether {} in CLOSE_WAIT ever left the accept queue",
                plural(number, "connection")
            ),
            format!(
                "{}, and no owner of them is shown, which may be a matter of permission",
                lacking(tables, Fact::Inode)
            ),
            BEST,
        )
    })
}

fn ages(analysis: &Analysis, tables: &[TableSummary]) -> Option<BlindSpot> {
    let ageless = closed_by_peer(analysis).any(|(connection, _)| connection.ages.is_none());
    let queued = waiting_at(analysis, |index| analysis.queues[index].oldest.is_none());
    (ageless || queued.is_some()).then(|| {
        spot(
            "how long connections have been in CLOSE_WAIT or in an accept queue".to_owned(),
            lacking(tables, Fact::Age),
            "ss -tanpoie; or the same again some seconds later: what is still there is stuck",
        )
    })
}

fn limits(analysis: &Analysis, tables: &[TableSummary]) -> Option<BlindSpot> {
    let listeners = &analysis.snapshot.sockets.listeners;
    let unlimited = |index: usize| listeners[index].accept_queue_limit.known().is_none();
    waiting_at(analysis, unlimited).map(|names| {
        spot(
            format!("whether the accept queue of {names} is full"),
            lacking(tables, Fact::Limit),
            "ss -ltn (Send-Q of a listener is its limit)",
        )
    })
}

fn owners(analysis: &Analysis, tables: &[TableSummary]) -> Option<BlindSpot> {
    let leaked: usize = analysis
        .leaks()
        .iter()
        .filter(|leak| leak.pids.is_empty())
        .map(|leak| leak.connections.len())
        .sum();
    let holders = &analysis.snapshot.holders;
    let listeners = &analysis.snapshot.sockets.listeners;
    let unheld = waiting_at(analysis, |index| {
        !holders
            .iter()
            .any(|holder| Some(holder.inode) == listeners[index].inode)
    });
    let what = match (unheld, leaked) {
        (None, 0) => return None,
        (Some(names), 0) => format!("which process holds the listener {names}"),
        (None, leaked) => format!("which process holds {}", plural(leaked, "connection")),
        (Some(names), leaked) => format!(
            "which process holds the listener {names} and {}",
            plural(leaked, "connection")
        ),
    };
    let why = if tables
        .iter()
        .any(|table| table.lacks.contains(&Fact::Owner))
    {
        lacking(tables, Fact::Owner)
    } else {
        "processes of other users are shown to root only".to_owned()
    };
    Some(spot(what, why, BEST))
}

/// No table shows why a process does not accept or read.
fn threads(analysis: &Analysis) -> Option<BlindSpot> {
    let stuck = analysis
        .stuck_listeners()
        .any(|stuck| stuck.waiting != Waiting::Briefly);
    let undecided = closed_by_peer(analysis).any(|(_, place)| place == Place::Undecided);
    (stuck || undecided || !analysis.leaks().is_empty()).then(|| {
        spot(
            "what threads wait for, epoll sets, and descriptor limits".to_owned(),
            "no table of sockets has them, and they show why connections are not accepted or read",
            "as root on that host: closewait-doctor scan, or record -o FILE and send the file",
        )
    })
}

fn listeners(analysis: &Analysis) -> Option<BlindSpot> {
    let sockets = &analysis.snapshot.sockets;
    sockets.listeners.is_empty().then(|| {
        spot(
            "accept queues".to_owned(),
            "the text has no listener in scope",
            "ss -ltnp",
        )
    })
}

/// Where the text is a part, what it does not show may be stuck.
fn connections(analysis: &Analysis) -> Option<BlindSpot> {
    let coverage = analysis.snapshot.coverage;
    if coverage.sockets.is_whole() && coverage.close_wait.is_whole() {
        return None;
    }
    let what = if coverage.close_wait.is_whole() {
        "other sockets"
    } else {
        "other connections in CLOSE_WAIT"
    };
    Some(spot(
        what.to_owned(),
        "the text is a part of what the host has: options, a filter, a cut, a missing header, or \
         rows that cannot be read left them out",
        BEST,
    ))
}

fn moments(tables: &[TableSummary]) -> Option<BlindSpot> {
    let number = tables
        .iter()
        .filter(|table| table.kind != Kind::NetTcp6)
        .count();
    (number > 1).then(|| BlindSpot {
        what: format!("whether the {number} tables show the same moment"),
        why: "they do not say when they were taken; the last word on a socket is the last table's"
            .to_owned(),
        remedy: "one table with everything: ss -tanpoie".to_owned(),
        hides_findings: false,
    })
}

fn replaced(tables: usize) -> Option<BlindSpot> {
    (tables > 0).then(|| {
        spot(
            plural(tables, "earlier table"),
            "a later table shows the same again, at another moment; the later one is used",
            "one table at a time",
        )
    })
}

fn places(number: usize) -> Option<BlindSpot> {
    (number > 1).then(|| BlindSpot {
        what: format!(
            "what the {number} hosts or namespaces of the text have to do with each other"
        ),
        why: "each of their tables is read for itself".to_owned(),
        remedy: "one host at a time".to_owned(),
        hides_findings: false,
    })
}

fn unreadable(lines: usize) -> Option<BlindSpot> {
    (lines > 0).then(|| {
        spot(
            plural(lines, "line"),
            "they begin like rows of a table and cannot be read: names instead of numbers, or \
             addresses that were cut",
            "ss -n, netstat -nW",
        )
    })
}

fn without_state(rows: usize) -> Option<BlindSpot> {
    (rows > 0).then(|| {
        spot(
            plural(rows, "row"),
            "`ss state NAME` does not print the state, and the command is not in the text",
            "copy the line with the command too",
        )
    })
}

fn closed_by_peer(analysis: &Analysis) -> impl Iterator<Item = (&Connection, Place)> {
    let connections = analysis.snapshot.sockets.connections.iter();
    connections
        .zip(analysis.places.iter().copied())
        .filter(|(connection, _)| connection.state == TcpState::CloseWait)
}

/// The addresses of the listeners, by index, of which this is so and where connections wait.
fn waiting_at(analysis: &Analysis, is_so: impl Fn(usize) -> bool) -> Option<String> {
    let listeners: &[Listener] = &analysis.snapshot.sockets.listeners;
    let names: BTreeSet<String> = (0..listeners.len())
        .filter(|index| analysis.queues[*index].length > 0 && is_so(*index))
        .map(|index| listeners[index].local.to_string())
        .collect();
    let names: Vec<String> = names.into_iter().collect();
    (!names.is_empty()).then(|| names.join(", "))
}

/// `netstat and ss without -i do not show it`.
fn lacking(tables: &[TableSummary], fact: Fact) -> String {
    let names: BTreeSet<&str> = tables
        .iter()
        .filter(|table| table.lacks.contains(&fact))
        .map(|table| name_without(table.kind, fact))
        .collect();
    let names: Vec<&str> = names.into_iter().collect();
    match names[..] {
        [] => "the text does not show it".to_owned(),
        [one] => format!("{one} does not show it"),
        _ => format!("{} do not show it", names.join(" and ")),
    }
}

fn name_without(kind: Kind, fact: Fact) -> &'static str {
    match (kind, fact) {
        (Kind::Ss, Fact::Inode) => "ss without -e",
        (Kind::Ss, Fact::Age) => "ss without -i",
        (Kind::Ss, Fact::Owner) => "ss without -p",
        (Kind::Ss, Fact::Limit) => "ss",
        (Kind::Netstat, Fact::Inode) => "netstat without -e",
        (Kind::Netstat, Fact::Owner) => "netstat without -p",
        (Kind::Netstat, Fact::Age | Fact::Limit) => "netstat",
        (Kind::Lsof, Fact::Inode) => "lsof of another system",
        (Kind::Lsof, _) => "lsof",
        (Kind::NetTcp, _) => "/proc/net/tcp",
        (Kind::NetTcp6, _) => "/proc/net/tcp6",
    }
}
