//! What the tables of a terminal have in common.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::Duration;

use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};

use super::escape::escape;
use crate::model::{Holder, Via};
use crate::report::Report;

/// How the report is laid out.
#[derive(Debug, Clone, Copy, Default)]
pub struct TableOptions {
    /// Width of the terminal; nothing is wrapped where there is none.
    pub width: Option<u16>,
    /// Show every listener, and every connection where there is no limit.
    pub all: bool,
    /// How many connections to list at most; without it a few of each kind, or all.
    pub limit: Option<usize>,
}

pub(super) fn plain_table() -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_content_arrangement(ContentArrangement::Disabled);
    table
}

pub(super) fn lines(table: &Table) -> Vec<String> {
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
        1000..60_000 if millis / 100 % 10 == 0 => format!("{}s", millis / 1000),
        1000..60_000 => format!("{}.{}s", millis / 1000, millis % 1000 / 100),
        60_000..3_600_000 => format!("{}m{:02}s", millis / 60_000, millis / 1000 % 60),
        _ => format!("{}h{:02}m", millis / 3_600_000, millis / 60_000 % 60),
    }
}
