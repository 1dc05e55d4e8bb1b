//! What the screen shows, and what keys do.

use std::time::Duration;

use super::details::{details, page};
use super::rows::{Row, RowId, Sort, rows};
use crate::follow::History;
use crate::report::Report;

/// A key, as far as the screen knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// A letter or sign.
    Char(char),
    /// Arrow up.
    Up,
    /// Arrow down.
    Down,
    /// Arrow left.
    Left,
    /// Arrow right.
    Right,
    /// A screenful up.
    PageUp,
    /// A screenful down.
    PageDown,
    /// Enter.
    Enter,
    /// Escape.
    Escape,
    /// Backspace.
    Backspace,
}

/// What the screen wants from whoever drives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Nothing but to be drawn.
    Draw,
    /// To end.
    Quit,
    /// The look before, of recordings.
    Back,
    /// The next look, of recordings.
    Forth,
    /// What the next look reads, in a file.
    Record,
}

/// What fills the middle of the screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum View {
    List,
    Details(RowId),
    Explain(RowId),
    Help,
}

/// The screen.
pub struct Screen {
    pub(super) report: Option<Report>,
    pub(super) history: History,
    pub(super) now: Duration,
    pub(super) paused: bool,
    pub(super) sort: Sort,
    pub(super) filter: String,
    /// Whether what is typed goes to the filter.
    pub(super) typing: bool,
    pub(super) selected: Option<RowId>,
    pub(super) view: View,
    pub(super) scroll: u16,
    /// The last line, where there is something to say.
    pub(super) message: Option<String>,
    /// What is looked at, and how often.
    pub(super) title: String,
}

/// What a page up or down moves by.
const PAGE: usize = 10;

impl Screen {
    /// An empty screen; `title` says what is looked at.
    pub fn new(title: String) -> Self {
        Self {
            report: None,
            history: History::default(),
            now: Duration::ZERO,
            paused: false,
            sort: Sort::default(),
            filter: String::new(),
            typing: false,
            selected: None,
            view: View::List,
            scroll: 0,
            message: None,
            title,
        }
    }

    /// Shows one more look, unless the screen is paused. `at` is the time since the following began.
    pub fn show(&mut self, report: Report, at: Duration) {
        if self.paused {
            return;
        }
        self.history.take(&report, at);
        self.now = at;
        self.report = Some(report);
    }

    /// Forgets the looks before: what comes next is not their sequel.
    pub fn forget(&mut self) {
        self.history = History::default();
    }

    /// Says something in the last line.
    pub fn say(&mut self, message: String) {
        self.message = Some(message);
    }

    /// Does what a key says.
    pub fn press(&mut self, key: Key) -> Wish {
        self.message = None;
        if self.typing {
            self.type_filter(key);
            return Wish::Draw;
        }
        match (&self.view, key) {
            (_, Key::Char('q')) => return Wish::Quit,
            (_, Key::Char('r')) => return Wish::Record,
            (_, Key::Left) => return Wish::Back,
            (_, Key::Right) => return Wish::Forth,
            (_, Key::Char('p' | 'f' | ' ')) => self.paused = !self.paused,
            (View::List, Key::Char('?')) => self.open(View::Help),
            (View::List, Key::Char('s')) => self.sort = self.sort.next(),
            (View::List, Key::Char('/')) => self.typing = true,
            (View::List, Key::Escape) => self.filter.clear(),
            (View::List, Key::Enter | Key::Char('e')) => self.open_selected(key),
            (View::List, Key::Up | Key::Char('k')) => self.select(|at| at.saturating_sub(1)),
            (View::List, Key::Down | Key::Char('j')) => self.select(|at| at + 1),
            (View::List, Key::PageUp) => self.select(|at| at.saturating_sub(PAGE)),
            (View::List, Key::PageDown) => self.select(|at| at + PAGE),
            (View::Details(row), Key::Char('e')) => self.open(View::Explain(row.clone())),
            (View::Explain(row), Key::Escape) => self.open(View::Details(row.clone())),
            (_, Key::Escape | Key::Enter | Key::Char('?')) => self.open(View::List),
            (_, Key::Up | Key::Char('k')) => self.scroll = self.scroll.saturating_sub(1),
            (_, Key::Down | Key::Char('j')) => self.scroll = self.scroll.saturating_add(1),
            (_, Key::PageUp) => self.scroll = self.scroll.saturating_sub(10),
            (_, Key::PageDown) => self.scroll = self.scroll.saturating_add(10),
            (_, Key::Char(_) | Key::Backspace) => {}
        }
        Wish::Draw
    }

    fn open(&mut self, view: View) {
        self.view = view;
        self.scroll = 0;
    }

    fn open_selected(&mut self, key: Key) {
        let Some(row) = self.selected_row() else {
            return;
        };
        self.open(if key == Key::Enter {
            View::Details(row)
        } else {
            View::Explain(row)
        });
    }

    fn type_filter(&mut self, key: Key) {
        match key {
            Key::Char(character) => self.filter.push(character),
            Key::Backspace => {
                self.filter.pop();
            }
            Key::Escape => {
                self.filter.clear();
                self.typing = false;
            }
            Key::Enter => self.typing = false,
            Key::Up | Key::Down | Key::Left | Key::Right | Key::PageUp | Key::PageDown => {}
        }
    }

    fn select(&mut self, to: impl Fn(usize) -> usize) {
        let rows = self.rows();
        let at = to(self.position(&rows)).min(rows.len().saturating_sub(1));
        self.selected = rows.get(at).map(|row| row.id.clone());
    }

    /// Returns the rows of the list.
    pub(super) fn rows(&self) -> Vec<Row> {
        self.report.as_ref().map_or_else(Vec::new, |report| {
            rows(report, &self.history, self.now, self.sort, &self.filter)
        })
    }

    /// Returns where the selected row is; the first where it is not there.
    pub(super) fn position(&self, rows: &[Row]) -> usize {
        let mut all = rows.iter();
        let selected = all.position(|row| Some(&row.id) == self.selected.as_ref());
        selected.unwrap_or(0)
    }

    fn selected_row(&self) -> Option<RowId> {
        let rows = self.rows();
        rows.get(self.position(&rows)).map(|row| row.id.clone())
    }

    /// Returns the lines of a view that is no list.
    pub(super) fn lines(&self) -> Vec<String> {
        let of = |row: &RowId| {
            let report = self.report.as_ref();
            report.map_or_else(Vec::new, |report| details(report, row))
        };
        match &self.view {
            View::List => Vec::new(),
            View::Details(row) => of(row),
            View::Explain(row) => match page(row) {
                Some(page) => page.lines().map(str::to_owned).collect(),
                None => of(row),
            },
            View::Help => HELP.lines().map(str::to_owned).collect(),
        }
    }
}

const HELP: &str = "\
arrows, j k    select a row; scroll
PgUp, PgDn     ten at once
Enter          evidence, waits, remedies, connections of the row
e              the page of the finding, as `explain` has it
Esc            back; in the list, without a filter
/              only rows that contain what is typed; Enter keeps it
s              sort by severity, connections, age
p, f, space    keep what is on the screen, or go on
r              record the next look to a file
left, right    the look before, the next one (with --from)
?              this help
q, Ctrl-C      end";
