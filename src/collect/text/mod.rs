//! Tables of sockets that somebody copied from a terminal: `ss`, `netstat`, `/proc/net/tcp`, several
//! of them in one file, between prompts and whatever else was pasted.
//!
//! A line is recognised by itself, because headers are often cut off by `grep`. What begins like a
//! row and cannot be read is counted; every other line is passed over.

mod endpoint;
mod markup;
mod merge;
mod net_tcp;
mod netstat;
mod reader;
mod row;
mod services;
mod ss;
mod state;

pub use markup::{decode, is_binary};

use std::collections::BTreeMap;
use std::fmt;

use reader::Reader;

use crate::model::{Holder, Pid, Process, SocketTable};

/// What a text shows.
#[derive(Debug)]
pub struct Text {
    /// The sockets. One whose inode is not shown has a stand-in.
    pub sockets: SocketTable,
    /// Who holds them, sorted by inode.
    pub holders: Vec<Holder>,
    /// The processes behind `holders`, of which only names are known.
    pub processes: BTreeMap<Pid, Process>,
    /// The tables, in their order.
    pub tables: Vec<TableSummary>,
    /// Whether it is one table, with connections in every state.
    pub whole: bool,
    /// Lines that begin like a row and could not be read.
    pub odd_lines: usize,
    /// Rows of `ss state NAME`, which do not repeat the state, below no such command.
    pub rows_without_state: usize,
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
    /// `/proc/net/tcp`.
    NetTcp,
    /// `/proc/net/tcp6`, which is the other half of `/proc/net/tcp` and no table more.
    NetTcp6,
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
    let mut reader = Reader::default();
    for line in markup::plain_lines(text) {
        reader.line(&line.text);
    }
    match reader.finish() {
        Err(NoTable::Foreign) if markup::is_json(text) => Err(NoTable::Json),
        result => result,
    }
}

#[cfg(test)]
mod tests;
