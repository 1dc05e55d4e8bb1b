//! Tables of sockets copied from a terminal: `ss`, `netstat`, `lsof`, `/proc/net/tcp`, several
//! of them in one file, between prompts and other text.
//!
//! A line is recognised by itself, because headers are often cut off by `grep`. What begins like a
//! row and cannot be read is counted; every other line is passed over.

mod command;
mod endpoint;
mod find;
mod foreign;
mod ledger;
mod lsof;
mod markup;
mod merge;
mod net_tcp;
mod netstat;
mod place;
mod reader;
mod row;
mod services;
mod ss;
mod state;
mod table;

pub use ledger::{Entry, TakenFor};
pub use markup::{decode, is_binary};

use std::collections::BTreeMap;
use std::fmt;

use reader::Reader;

use crate::model::{Coverage, Holder, Pid, Process, SocketTable};

/// What a text shows.
#[derive(Debug)]
pub struct Text {
    /// Each place of which it has tables; at least one.
    pub parts: Vec<Part>,
    /// Tables of which a later one shows the same again; they are not used.
    pub replaced: usize,
    /// Lines that begin like a row and could not be read.
    pub odd_lines: usize,
    /// Rows of `ss state NAME`, which do not repeat the state, below no such command.
    pub rows_without_state: usize,
    /// What every line that is not empty was taken for, in the order of the text.
    pub ledger: Vec<Entry>,
}

/// What a text shows of one host, container or network namespace.
#[derive(Debug)]
pub struct Part {
    /// Its name, where the text tells.
    pub name: Option<String>,
    /// The sockets. One whose inode is not shown has a stand-in.
    pub sockets: SocketTable,
    /// Which processes hold them, sorted by inode.
    pub holders: Vec<Holder>,
    /// The processes behind `holders`, of which only names are known.
    pub processes: BTreeMap<Pid, Process>,
    /// The tables, in their order.
    pub tables: Vec<TableSummary>,
    /// What of the sockets it shows in full.
    pub coverage: Coverage,
}

/// One table in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableSummary {
    /// What printed it.
    pub kind: Kind,
    /// What it does not show of the sockets in it.
    pub lacks: Vec<Fact>,
}

/// What a table may or may not show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fact {
    /// The inode of every socket.
    Inode,
    /// Clocks of connections.
    Age,
    /// Processes.
    Owner,
    /// Limits of accept queues.
    Limit,
}

/// What prints tables of sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `ss`.
    Ss,
    /// `netstat` of net-tools or busybox.
    Netstat,
    /// `lsof`, which shows what processes hold, and no queues.
    Lsof,
    /// `/proc/net/tcp`.
    NetTcp,
    /// `/proc/net/tcp6`, which is the other half of `/proc/net/tcp` and no table more.
    NetTcp6,
}

impl Kind {
    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ss => "ss",
            Self::Netstat => "netstat",
            Self::Lsof => "lsof",
            Self::NetTcp => "/proc/net/tcp",
            Self::NetTcp6 => "/proc/net/tcp6",
        }
    }

    /// Whether one table shows IPv4 and IPv6.
    fn has_both_families(self) -> bool {
        match self {
            Self::Ss | Self::Netstat => true,
            Self::Lsof | Self::NetTcp | Self::NetTcp6 => false,
        }
    }
}

/// Why no table could be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoTable {
    /// The text is about something else.
    Foreign,
    /// Every row has names instead of numbers, or was cut.
    Unreadable {
        /// How many there are.
        lines: usize,
    },
    /// Rows of `ss state NAME`, without the command.
    WithoutState,
    /// A table of another system, by its name.
    OtherSystem(&'static str),
    /// Numbers of connections, and no rows.
    Counts,
    /// Unix sockets, which have no CLOSE_WAIT.
    UnixSockets,
    /// The output of `lsof` without one TCP socket.
    LsofWithoutTcp,
    /// JSON in which no single table was found.
    Json,
}

impl fmt::Display for NoTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign => f.write_str(
                "neither a recording made by `closewait-doctor record`, nor the output of ss or \
                 netstat, nor a copy of /proc/net/tcp",
            ),
            Self::Unreadable { lines } => write!(
                f,
                "rows of ss, netstat or /proc/net/tcp that cannot be read ({lines}): names instead \
                 of numbers, or cut; use ss -n, or netstat -nW"
            ),
            Self::Json => f.write_str(
                "JSON in which no single table was found; paste what the command printed, or \
                 closewait-doctor record -o FILE on that host",
            ),
            Self::OtherSystem(name) => write!(
                f,
                "a table of sockets of {name}; this program reads those of Linux: as root, \
                 ss -tanpoie"
            ),
            Self::Counts => f.write_str(
                "counts of connections without the rows that were counted; paste the rows: as \
                 root, ss -tanpoie",
            ),
            Self::UnixSockets => f.write_str(
                "a table of unix sockets, which have no CLOSE_WAIT; for TCP, as root: ss -tanpoie",
            ),
            Self::LsofWithoutTcp => f.write_str(
                "output of lsof without a TCP socket; as root: lsof -nP -iTCP, or ss -tanpoie",
            ),
            Self::WithoutState => f.write_str(
                "rows of `ss state NAME`, which do not say the state; copy the line with the \
                 command too",
            ),
        }
    }
}

impl std::error::Error for NoTable {}

/// Reads the tables in a text.
///
/// # Errors
///
/// When there is none.
pub fn parse_text(text: &str) -> Result<Text, NoTable> {
    let lines = markup::plain_lines(text);
    let mut reader = Reader::default();
    let mut number = 1;
    for line in &lines {
        reader.line(&line.text, number, line.parts);
        number += line.parts;
    }
    reader.finish().map_err(|unreadable| {
        let plain: Vec<&str> = lines.iter().map(|line| line.text.as_str()).collect();
        match foreign::what(&plain) {
            Some(named) => named,
            None if unreadable == NoTable::Foreign && markup::is_json(text) => NoTable::Json,
            None => unreadable,
        }
    })
}

#[cfg(test)]
mod tests;
