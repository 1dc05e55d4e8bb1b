//! What is read from a text, or why nothing is.

use std::collections::BTreeMap;
use std::fmt;

use super::kind::TableSummary;
use super::ledger::Entry;
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
