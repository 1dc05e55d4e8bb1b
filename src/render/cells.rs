//! What the tables of a terminal have in common.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::Duration;

use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};

use super::escape::escape;
use crate::model::{Holder, Via};
use crate::report::Report;

/// How much is said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Detail {
    /// The first line.
    FirstLine,
    /// What a person needs first.
    #[default]
    Usual,
    /// Everything.
    Full,
}

/// How the report is laid out.
#[derive(Debug, Clone, Copy, Default)]
pub struct TableOptions {
    /// Width of the terminal; nothing is wrapped where there is none.
    pub width: Option<u16>,
    /// Height of the terminal: where the report is longer, it ends with its first line.
    pub height: Option<u16>,
    /// How much is said.
    pub detail: Detail,
    /// List every connection on its own line, instead of groups.
    pub each: bool,
    /// How many connections to list at most, each on its own line.
    pub limit: Option<usize>,
}

impl TableOptions {
    pub(super) fn is_first_line(self) -> bool {
        self.detail == Detail::FirstLine
    }

    /// Returns whether everything is shown.
    pub(super) fn is_full(self) -> bool {
        self.detail == Detail::Full
    }

    /// Returns whether connections are listed one by one.
    pub(super) fn lists_each(self) -> bool {
        self.each || self.is_full() || self.limit.is_some()
    }
}

pub(super) fn plain_table() -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_content_arrangement(ContentArrangement::Disabled);
    table
}

fn lines(table: &Table) -> Vec<String> {
    table
        .lines()
        .map(|line| line.trim_end().to_owned())
        .collect()
}

/// Writes a table without borders, columns two blanks apart, never cut.
pub(super) fn write_rows(table: &mut Table, out: &mut dyn Write) -> io::Result<()> {
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    for line in lines(table) {
        writeln!(out, "{line}")?;
    }
    writeln!(out)
}

/// An address, with its network namespace where there are several.
pub(super) fn address(report: &Report, netns: &str, local: SocketAddr) -> String {
    if report.namespaces.len() > 1 {
        format!("[{}] {local}", escape(netns))
    } else {
        local.to_string()
    }
}

pub(super) fn owners(report: &Report, owners: &[Holder]) -> String {
    const SHOWN: usize = 2;
    if owners.is_empty() {
        return "?".to_owned();
    }
    let mut names: Vec<String> = owners
        .iter()
        .take(SHOWN)
        .map(|owner| {
            let via = match owner.via {
                Via::Table => String::new(),
                Via::Thread(tid) => format!(" of thread {tid}"),
                Via::Ring => " (io_uring)".to_owned(),
            };
            let fd = owner.fd.map_or(String::new(), |fd| format!(" fd {fd}"));
            let command = escape(report.command(owner.pid));
            format!("{command}[{}]{fd}{via}", owner.pid)
        })
        .collect();
    if owners.len() > SHOWN {
        names.push(format!("and {} more", owners.len() - SHOWN));
    }
    names.join(", ")
}

/// Short enough for a column.
pub(super) fn duration(time: Duration) -> String {
    let millis = time.as_millis();
    match millis {
        0..1000 => format!("{millis}ms"),
        1000..60_000 if (millis / 100).is_multiple_of(10) => format!("{}s", millis / 1000),
        1000..60_000 => format!("{}.{}s", millis / 1000, millis % 1000 / 100),
        60_000..3_600_000 => format!("{}m{:02}s", millis / 60_000, millis / 1000 % 60),
        _ => format!("{}h{:02}m", millis / 3_600_000, millis / 60_000 % 60),
    }
}
