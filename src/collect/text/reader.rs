//! The lines of a text to tables.

use super::command::{Evidence, Part, headline, is_ellipsis, is_header, parse_command};
use super::row::Row;
use super::{Fact, Kind, NoTable, TableSummary, Text, merge, net_tcp, netstat, ss};
use crate::model::{Coverage, TcpState};

#[derive(Default)]
pub(super) struct Reader {
    tables: Vec<Table>,
    /// Whether the next row of the same kind belongs to the last table.
    open: bool,
    /// What the lines since the last table tell of the next.
    evidence: Evidence,
    odd_lines: usize,
    rows_without_state: usize,
}

/// The rows of one table, as far as they were read.
struct Table {
    kind: Kind,
    rows: Vec<Row>,
    /// The last row of `ss`, which may go on in the next line.
    unfinished: Option<ss::Unfinished>,
    /// Lines of `/proc/net/tcp`.
    lines: Vec<String>,
    /// Whether an ESTABLISHED connection was in it, kept or not.
    has_established: bool,
    /// What stands above it.
    evidence: Evidence,
}

/// A line taken for itself.
pub(super) enum Line<'a> {
    Ss(ss::Unfinished),
    Netstat(Row),
    NetTcp(Kind, &'a str),
    /// It begins like a row and cannot be read.
    Odd,
    RowWithoutState,
    /// A row about something else than TCP: it neither counts nor ends a table.
    OtherProtocol,
    NoRow(&'a str),
}

fn recognise(line: &str, asked_for: Option<TcpState>) -> Line<'_> {
    if let Some(kind) = net_tcp::kind_of_row(line) {
        return Line::NetTcp(kind, line);
    }
    match netstat::recognise(line) {
        Line::NoRow(line) => ss::recognise(line, asked_for),
        recognised => recognised,
    }
}

impl Reader {
    /// Takes the next line, trimmed.
    pub(super) fn line(&mut self, line: &str) {
        if line.is_empty() {
            return;
        }
        let line = recognise(line, self.evidence.state());
        match line {
            Line::NoRow(text) if self.continues_row(text) => return,
            _ => self.finish_row(),
        }
        match line {
            Line::Ss(row) => self.table(Kind::Ss).unfinished = Some(row),
            Line::Netstat(row) => self.table(Kind::Netstat).push(row),
            Line::NetTcp(kind, text) => self.table(kind).lines.push(text.to_owned()),
            Line::Odd => self.odd_lines += 1,
            Line::RowWithoutState => self.rows_without_state += 1,
            Line::OtherProtocol => {}
            Line::NoRow(text) => self.end_table(text),
        }
    }

    /// The next line is no detail of the last row.
    fn finish_row(&mut self) {
        if let Some(table) = self.tables.last_mut() {
            table.finish_row();
        }
    }

    /// The table that a row of this kind belongs to.
    fn table(&mut self, kind: Kind) -> &mut Table {
        let same = self.tables.last().is_some_and(|last| last.kind == kind);
        if !(self.open && same) {
            self.tables.push(Table::new(kind, self.evidence.clone()));
            // The next table has a header of its own.
            self.evidence.header = false;
            self.open = true;
        }
        self.tables.last_mut().expect("one was just pushed")
    }

    /// Takes a line for the details of the `ss` row above it, where it looks like them.
    fn continues_row(&mut self, line: &str) -> bool {
        let table = self.tables.last_mut().filter(|_| self.open);
        let row = table.and_then(|table| table.unfinished.as_mut());
        row.is_some_and(|row| row.add_details(line))
    }

    /// A prompt, a header or any other words stand between two tables.
    fn end_table(&mut self, line: &str) {
        if is_header(line) {
            self.evidence.header = true;
        } else if let Some(part) = headline(line) {
            self.evidence.part = part;
        } else if let Some(command) = parse_command(line) {
            self.evidence = Evidence {
                command: Some(command),
                ..Evidence::default()
            };
        } else if is_ellipsis(line) {
            self.evidence.ellipsis = true;
            if let Some(table) = self.tables.last_mut() {
                table.evidence.ellipsis = true;
            }
        }
        self.open = false;
    }

    /// Puts together what was read.
    pub(super) fn finish(mut self) -> Result<Text, NoTable> {
        for table in &mut self.tables {
            self.odd_lines += table.finish();
        }
        self.tables.retain(|table| !table.is_empty());
        if self.tables.is_empty() {
            return Err(self.no_table());
        }
        let tables: Vec<TableSummary> = self.tables.iter().map(Table::summary).collect();
        let unread = self.odd_lines + self.rows_without_state > 0;
        let coverage = coverage(&self.tables, unread);
        let merged = merge::merge(self.tables.into_iter().map(|table| table.rows));
        Ok(Text {
            sockets: merged.sockets,
            holders: merged.holders,
            processes: merged.processes,
            tables,
            coverage,
            odd_lines: self.odd_lines,
            rows_without_state: self.rows_without_state,
        })
    }

    fn no_table(&self) -> NoTable {
        match (self.odd_lines, self.rows_without_state) {
            (0, 0) => NoTable::Foreign,
            (0, _) => NoTable::WithoutState,
            (lines, _) => NoTable::Unreadable { lines },
        }
    }
}

/// What the tables show in full. Where there are several, none is known to show the moment of
/// another, and where a row could not be read it may be about any socket.
fn coverage(tables: &[Table], unread: bool) -> Coverage {
    if unread {
        return Coverage::default();
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
        whole
            || tables
                .iter()
                .any(|table| table.kind.has_both_families() && shown(table))
    };
    Coverage {
        whole,
        close_wait: every(Table::shows_every_close_wait),
        listeners: every(Table::shows_every_listener),
    }
}

impl Table {
    fn new(kind: Kind, evidence: Evidence) -> Self {
        Self {
            kind,
            rows: Vec::new(),
            unfinished: None,
            lines: Vec::new(),
            has_established: false,
            evidence,
        }
    }

    fn has_both(&self) -> bool {
        self.has_established && self.rows.iter().any(|row| row.is_in(TcpState::Listen))
    }

    /// It has listeners and connections, and nothing tells that rows are left out.
    fn is_whole(&self) -> bool {
        let evidence = &self.evidence;
        let everything = evidence.part().is_none() && evidence.state().is_none();
        everything && evidence.is_complete() && self.has_both()
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

    fn push(&mut self, row: Row) {
        self.has_established |= row.is_in(TcpState::Established);
        self.rows.push(row);
    }

    fn finish_row(&mut self) {
        if let Some(unfinished) = self.unfinished.take() {
            self.push(unfinished.into_row());
        }
    }

    /// Reads what was left for the end; returns how many lines could not be read.
    fn finish(&mut self) -> usize {
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
    fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.lines.is_empty()
    }

    fn summary(&self) -> TableSummary {
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
