//! One table: its rows, and what it shows in full.

use std::collections::HashMap;

use super::command::{Evidence, Part};
use super::kind::{Fact, Kind, TableSummary};
use super::place::Place;
use super::row::Row;
use super::{net_tcp, ss};
use crate::model::{Coverage, Extent, Gap, Inode, TcpState};

/// The rows of one table, as far as they were read.
pub(super) struct Table {
    pub(super) kind: Kind,
    pub(super) rows: Vec<Row>,
    /// The last row of `ss`, which may go on in the next line.
    pub(super) unfinished: Option<ss::Unfinished>,
    /// Lines of `/proc/net/tcp`.
    pub(super) lines: Vec<String>,
    /// Whether an ESTABLISHED connection was in it, kept or not.
    has_established: bool,
    /// Where and when it was taken.
    pub(super) place: Place,
    /// What stands above it.
    pub(super) evidence: Evidence,
    /// Which row is about an inode, where one socket may have several.
    held: HashMap<Inode, usize>,
}

/// What a table shows: two of the same kind, of the same command, show the same at two moments.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Shown {
    kind: Kind,
    part: Option<Part>,
    command: Option<String>,
}

/// The tables below that show the same.
pub(super) struct Later {
    /// Whether one of them has a header.
    pub(super) header: bool,
    /// Which run of a command the last of them belongs to.
    run: usize,
    /// The moment of the last of them.
    moment: usize,
}

impl Later {
    pub(super) fn new(last: &Table) -> Self {
        Self {
            header: last.evidence.header,
            run: last.evidence.run,
            moment: last.place.moment,
        }
    }

    /// Returns whether a table above them was shown again by one of them: the command was run again,
    /// the header was printed again, or a time is told between. Words alone may interrupt a table.
    pub(super) fn replaces(&self, table: &Table) -> bool {
        (self.header && table.evidence.header)
            || self.run != table.evidence.run
            || self.moment != table.place.moment
    }
}

/// What the tables show in full. Where there are several, none is known to show the moment of
/// another, and where a row could not be read it may be about any socket.
pub(super) fn coverage(tables: &[&Table], unread: bool) -> Coverage {
    let extent = |shown: bool| Extent::up_to((!shown).then_some(Gap::NotShown));
    let no_process = Extent::Partly(Gap::NotShown);
    if unread {
        return Coverage {
            holders: no_process,
            ..Coverage::of_sockets(extent(false))
        };
    }
    let (whole, both_families) = match tables {
        [only] => (only.is_whole(), only.kind.has_both_families()),
        [v4, v6] if v4.kind == Kind::NetTcp && v6.kind == Kind::NetTcp6 => {
            let complete = v4.evidence.is_complete() && v6.evidence.is_complete();
            let whole = complete && (v4.has_both() || v6.has_both());
            (whole, true)
        }
        _ => (false, false),
    };
    let every = |shown: fn(&Table) -> bool| {
        (whole && both_families)
            || tables
                .iter()
                .any(|table| table.kind.has_both_families() && shown(table))
    };
    Coverage {
        sockets: extent(whole),
        close_wait: extent(every(Table::shows_every_close_wait)),
        listeners: extent(every(Table::shows_every_listener)),
        holders: no_process,
        ..Coverage::default()
    }
}

impl Table {
    pub(super) fn new(kind: Kind, place: Place, evidence: Evidence) -> Self {
        Self {
            kind,
            rows: Vec::new(),
            unfinished: None,
            lines: Vec::new(),
            has_established: false,
            place,
            evidence,
            held: HashMap::new(),
        }
    }

    /// What it shows, as far as that is the same when it is shown again.
    pub(super) fn shown(&self) -> Shown {
        let command = self.evidence.command.as_ref();
        Shown {
            kind: self.kind,
            part: self.evidence.part,
            command: command.map(|command| command.text.clone()),
        }
    }

    /// Returns whether a row is about a connection in CLOSE_WAIT.
    pub(super) fn has_close_wait(&self) -> bool {
        self.rows.iter().any(|row| row.is_in(TcpState::CloseWait))
    }

    fn has_both(&self) -> bool {
        self.has_established && self.rows.iter().any(|row| row.is_in(TcpState::Listen))
    }

    /// It has listeners and connections, and nothing tells that rows are left out.
    fn is_whole(&self) -> bool {
        let evidence = &self.evidence;
        let everything = evidence.part().is_none() && evidence.state().is_none();
        let queues = self.rows.iter().all(Row::has_queues);
        everything && queues && evidence.is_complete() && self.has_both()
    }

    fn shows_every_close_wait(&self) -> bool {
        let evidence = &self.evidence;
        let asked_for = match evidence.state() {
            Some(state) => state == TcpState::CloseWait,
            None => evidence.part() == Some(Part::Connections) && self.has_established,
        };
        self.is_whole() || (asked_for && evidence.is_complete())
    }

    fn shows_every_listener(&self) -> bool {
        let evidence = &self.evidence;
        let asked_for = match evidence.state() {
            Some(state) => state == TcpState::Listen,
            None => evidence.part() == Some(Part::Listeners),
        };
        self.is_whole() || (asked_for && evidence.is_complete())
    }

    /// `lsof` prints a socket for every descriptor of it.
    pub(super) fn push_held(&mut self, row: Row) {
        let Some(inode) = row.inode() else {
            return self.push(row);
        };
        if let Some(index) = self.held.get(&inode) {
            self.rows[*index].owners.extend(row.owners);
            return;
        }
        self.held.insert(inode, self.rows.len());
        self.push(row);
    }

    pub(super) fn push(&mut self, row: Row) {
        self.has_established |= row.is_in(TcpState::Established);
        self.rows.push(row);
    }

    pub(super) fn finish_row(&mut self) {
        if let Some(unfinished) = self.unfinished.take() {
            self.push(unfinished.into_row());
        }
    }

    /// Reads what was left for the end; returns how many lines could not be read.
    pub(super) fn finish(&mut self) -> usize {
        self.finish_row();
        let (rows, odd) = net_tcp::rows(&self.lines);
        self.rows.extend(rows);
        self.has_established |= net_tcp::has_established(&self.lines);
        if odd == self.lines.len() {
            self.lines.clear();
        }
        odd
    }

    /// Nothing in it could be read, not even what is of no interest.
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.lines.is_empty()
    }

    pub(super) fn summary(&self) -> TableSummary {
        let mut lacks = Vec::new();
        let mut note = |fact: Fact, of: fn(&Row) -> bool, shown: fn(&Row) -> bool| {
            if self.rows.iter().any(of) && !self.rows.iter().any(shown) {
                lacks.push(fact);
            }
        };
        note(Fact::Inode, |_| true, |row| row.inode_is_shown);
        note(Fact::Age, |row| !row.is_in(TcpState::Listen), Row::has_ages);
        note(Fact::Owner, |_| true, |row| !row.owners.is_empty());
        note(
            Fact::Limit,
            |row| row.is_in(TcpState::Listen),
            Row::has_limit,
        );
        TableSummary {
            kind: self.kind,
            lacks,
        }
    }
}
