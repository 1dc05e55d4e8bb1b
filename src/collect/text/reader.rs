//! The lines of a text to tables.

use std::collections::HashMap;
use std::collections::hash_map::Entry::{Occupied, Vacant};

use super::answer::{NoTable, Part, Text};
use super::command::{Evidence, headline, is_ellipsis, is_header, parse_command};
use super::find::Line;
use super::kind::Kind;
use super::ledger::{Entry, TakenFor};
use super::place::{self, Place};
use super::table::{Later, Shown, Table, coverage};
use super::{find, groups, lsof, merge, netstat, state};

#[derive(Default)]
pub(super) struct Reader {
    tables: Vec<Table>,
    /// Whether the next row of the same kind belongs to the last table.
    open: bool,
    /// What the lines since the last table tell of the next.
    evidence: Evidence,
    /// Where the next table is taken.
    place: Place,
    odd_lines: usize,
    rows_without_state: usize,
    /// A row that ended too early.
    broken: Option<Broken>,
    /// The last row of `netstat`.
    last_row: Option<String>,
    /// What `lsof -F` printed of the socket it is at.
    fields: lsof::Fields,
    ledger: Vec<Entry>,
    /// How many commands were run so far.
    runs: usize,
    /// Whether a line speaks of CLOSE_WAIT, as a row or in words.
    speaks_of_close_wait: bool,
}

/// A row that may go on in the next lines.
struct Broken {
    text: String,
    lines: usize,
    has_state: bool,
    /// Its first line in the ledger.
    entry: usize,
}

/// A mail program breaks a row into at most this many lines.
const MOST_LINES_OF_ROW: usize = 4;

impl Reader {
    /// Takes the next line, trimmed; it is line `number` of the text, and `lines` of it.
    pub(super) fn line(&mut self, line: &str, number: usize, lines: usize) {
        if line.is_empty() {
            return;
        }
        self.ledger.push(Entry {
            line: number,
            lines,
            taken_for: TakenFor::Row,
        });
        self.take(line);
    }

    /// Corrects what the last line was taken for.
    fn note(&mut self, taken_for: TakenFor) {
        if let Some(last) = self.ledger.last_mut() {
            last.taken_for = taken_for;
        }
    }

    fn take(&mut self, line: &str) {
        let recognised = find::recognise(line, self.evidence.state());
        if parse_command(line).is_none() {
            self.speaks_of_close_wait |= state::speaks_of_close_wait(line);
        }
        if self.takes_field(line, &recognised) {
            return;
        }
        if self.joins_broken_row(line, &recognised) || self.ends_last_row(line, &recognised) {
            return;
        }
        match recognised {
            Line::NoRow if self.continues_row(line) => return,
            _ => self.finish_row(),
        }
        match recognised {
            Line::Odd | Line::RowWithoutState => {
                self.broken = Some(Broken {
                    text: line.to_owned(),
                    lines: 1,
                    has_state: matches!(recognised, Line::Odd),
                    entry: self.ledger.len().saturating_sub(1),
                });
            }
            Line::OtherProtocol => self.note(TakenFor::OtherProtocol),
            Line::NoRow => self.end_table(line),
            row => self.row(row, line),
        }
    }

    fn row(&mut self, row: Line, line: &str) {
        self.last_row = None;
        match row {
            Line::Ss(row) => self.table(Kind::Ss).unfinished = Some(*row),
            Line::Netstat(row) => {
                self.last_row = Some(line.to_owned());
                self.table(Kind::Netstat).push(*row);
            }
            Line::Lsof(row) => self.table(Kind::Lsof).push_held(*row),
            Line::NetTcp(kind, text) => self.table(kind).lines.push(text),
            Line::Odd | Line::RowWithoutState | Line::OtherProtocol | Line::NoRow => {}
        }
    }

    /// Puts a line behind a row that ended too early, if that makes a row of it.
    fn joins_broken_row(&mut self, line: &str, recognised: &Line) -> bool {
        let Some(mut broken) = self.broken.take() else {
            return false;
        };
        let begins_row = matches!(recognised, Line::Odd) && netstat::begins_with_protocol(line);
        let may_go_on = !recognised.is_row()
            && !begins_row
            && !begins_table(line)
            && broken.lines < MOST_LINES_OF_ROW;
        if may_go_on {
            let alone = broken.text.len();
            broken.text.push(' ');
            broken.text.push_str(line);
            let joined = find::recognise(&broken.text, self.evidence.state());
            if joined.is_row() {
                self.row(joined, &broken.text);
                return true;
            }
            if matches!(recognised, Line::NoRow) && broken.lines == 1 && line.contains(':') {
                broken.lines += 1;
                self.broken = Some(broken);
                return true;
            }
            broken.text.truncate(alone);
        }
        self.give_up(&broken);
        false
    }

    /// Counts a row that could not be read.
    fn give_up(&mut self, broken: &Broken) {
        let entries = self.ledger.iter_mut().skip(broken.entry);
        for entry in entries.take(broken.lines) {
            entry.taken_for = TakenFor::Unread;
        }
        let last = self.tables.last();
        let of_netstat =
            self.evidence.of_netstat || last.is_some_and(|last| last.kind == Kind::Netstat);
        if broken.has_state || of_netstat {
            self.odd_lines += 1;
        } else {
            self.rows_without_state += 1;
        }
    }

    /// Puts the process that stands on a line of its own behind the row of `netstat` before it.
    fn ends_last_row(&mut self, line: &str, recognised: &Line) -> bool {
        if !matches!(recognised, Line::NoRow) || !netstat::is_rest_of_row(line) {
            return false;
        }
        let rows = self.tables.last().map(|table| &table.rows);
        let last = rows.and_then(|rows| rows.last());
        let names_process = last.is_some_and(|row| !row.owners.is_empty());
        if names_process && !netstat::is_timer_of_row(line) {
            return false;
        }
        let Some(mut row) = self.last_row.take() else {
            return false;
        };
        row.push(' ');
        row.push_str(line);
        let Line::Netstat(joined) = find::recognise(&row, None) else {
            return false;
        };
        let Some(last) = self
            .tables
            .last_mut()
            .and_then(|table| table.rows.last_mut())
        else {
            return false;
        };
        *last = *joined;
        true
    }

    /// Takes a line for a field of `lsof -F`, of which a name may look like a row.
    fn takes_field(&mut self, line: &str, recognised: &Line) -> bool {
        let may_be = matches!(recognised, Line::NoRow | Line::Odd) && self.broken.is_none();
        if !may_be || parse_command(line).is_some() {
            return false;
        }
        match self.fields.take(line) {
            lsof::Field::Ends(row) => {
                self.finish_row();
                self.table(Kind::Lsof).push_held(*row);
                true
            }
            lsof::Field::Taken => true,
            lsof::Field::Other => false,
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
            self.tables
                .push(Table::new(kind, self.place.clone(), self.evidence.clone()));
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
        self.last_row = None;
        self.place.read(line);
        self.note(TakenFor::Heading);
        let headline = headline(line);
        if headline.is_some() || is_header(line) {
            self.evidence.header |= is_header(line);
            self.evidence.of_netstat = headline.is_some() || line.contains("Proto");
            if let Some(headline) = headline {
                self.evidence.part = headline.part;
            }
        } else if place::is_heading(line) {
            self.note(TakenFor::Words);
        } else if let Some(command) = parse_command(line) {
            self.place.run(line);
            self.runs += 1;
            self.evidence = Evidence {
                command: Some(command),
                run: self.runs,
                ..Evidence::default()
            };
        } else if is_ellipsis(line) {
            self.evidence.ellipsis = true;
            if let Some(table) = self.tables.last_mut() {
                table.evidence.ellipsis = true;
            }
        } else {
            self.note(TakenFor::Words);
        }
        self.open = false;
    }

    /// Words about CLOSE_WAIT where no row shows one tell that rows were left out or not told apart.
    fn settle_what_words_say(&mut self) {
        let is_shown = self.tables.iter().any(Table::has_close_wait);
        if !self.speaks_of_close_wait || is_shown {
            return;
        }
        for table in &mut self.tables {
            table.evidence.ellipsis = true;
        }
    }

    /// Puts together what was read.
    pub(super) fn finish(mut self) -> Result<Text, NoTable> {
        if let Some(broken) = self.broken.take() {
            self.give_up(&broken);
        }
        if let Some(row) = self.fields.finish() {
            self.table(Kind::Lsof).push_held(row);
        }
        for table in &mut self.tables {
            self.odd_lines += table.finish();
        }
        self.settle_what_words_say();
        self.tables.retain(|table| !table.is_empty());
        if self.tables.is_empty() {
            return Err(self.no_table());
        }
        let unread = self.odd_lines + self.rows_without_state > 0;
        let mut replaced = 0;
        let mut parts = Vec::new();
        for (name, tables) in groups::of_places(self.tables) {
            let before = tables.len();
            let tables = latest(tables);
            replaced += before - tables.len();
            parts.push(part(name, tables, unread));
        }
        Ok(Text {
            parts,
            replaced,
            odd_lines: self.odd_lines,
            rows_without_state: self.rows_without_state,
            ledger: self.ledger,
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

/// The tables that no later one shows again.
fn latest(tables: Vec<Table>) -> Vec<Table> {
    let mut later: HashMap<Shown, Later> = HashMap::new();
    let mut kept: Vec<Table> = Vec::new();
    for table in tables.into_iter().rev() {
        match later.entry(table.shown()) {
            Occupied(mut known) => {
                let is_replaced = known.get().replaces(&table);
                known.get_mut().header |= table.evidence.header;
                if is_replaced {
                    continue;
                }
            }
            Vacant(first) => {
                first.insert(Later::new(&table));
            }
        }
        kept.push(table);
    }
    kept.reverse();
    kept
}

/// What the tables of one place show.
fn part(name: Option<String>, tables: Vec<Table>, unread: bool) -> Part {
    let summaries = tables.iter().map(Table::summary).collect();
    let coverage = coverage(&tables.iter().collect::<Vec<_>>(), unread);
    let merged = merge::merge(tables.into_iter().map(|table| table.rows));
    Part {
        name,
        sockets: merged.sockets,
        holders: merged.holders,
        processes: merged.processes,
        tables: summaries,
        coverage,
    }
}

/// Returns whether a line stands above a table.
fn begins_table(line: &str) -> bool {
    is_header(line)
        || headline(line).is_some()
        || parse_command(line).is_some()
        || is_ellipsis(line)
}
