//! The lines of a text to tables.

use super::row::Row;
use super::{Fact, Kind, NoTable, TableSummary, Text, merge, net_tcp, netstat, ss};
use crate::model::TcpState;

#[derive(Default)]
pub(super) struct Reader {
    tables: Vec<Table>,
    /// Whether the next row of the same kind belongs to the last table.
    open: bool,
    /// The state that `ss state NAME` was asked for.
    asked_for: Option<TcpState>,
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
    /// Whether only one state was asked for.
    filtered: bool,
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
        let line = recognise(line, self.asked_for);
        match line {
            Line::NoRow(text) if self.continues_row(text) => return,
            _ => self.finish_row(),
        }
        match line {
            Line::Ss(row) => {
                let table = self.table(Kind::Ss);
                table.filtered |= row.state_was_asked_for;
                table.unfinished = Some(row);
            }
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
            self.tables.push(Table::new(kind));
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
        self.open = false;
        if ss::is_command(line) {
            self.asked_for = ss::state_asked_for(line);
        }
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
        let whole = is_whole(&self.tables);
        let merged = merge::merge(self.tables.into_iter().map(|table| table.rows));
        Ok(Text {
            sockets: merged.sockets,
            holders: merged.holders,
            processes: merged.processes,
            tables,
            whole,
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

/// A table that was not filtered by state has listeners and established connections; where there
/// are several, none is known to show the moment of another.
fn is_whole(tables: &[Table]) -> bool {
    let listens = |row: &Row| row.is_in(TcpState::Listen);
    match tables {
        [only] => only.has_established && !only.filtered && only.rows.iter().any(listens),
        _ => false,
    }
}

impl Table {
    fn new(kind: Kind) -> Self {
        Self {
            kind,
            rows: Vec::new(),
            unfinished: None,
            lines: Vec::new(),
            has_established: false,
            filtered: false,
        }
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
