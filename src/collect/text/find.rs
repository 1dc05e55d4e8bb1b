//! Finds the row in a line: at its beginning, or behind what a log, `grep`, `cat -n`, a chat or a
//! prompt put in front.

use super::command::parse_command;
use super::endpoint::parse_endpoint;
use super::kind::Kind;
use super::row::{Read, Row};
use super::state::{parse_state, speaks_of_close_wait};
use super::{lsof, net_tcp, netstat, ss};
use crate::model::TcpState;

/// A line taken for itself.
pub(super) enum Line {
    Ss(Box<ss::Unfinished>),
    Netstat(Box<Row>),
    Lsof(Box<Row>),
    NetTcp(Kind, String),
    /// It begins like a row and cannot be read.
    Odd,
    RowWithoutState,
    /// A row about something else than TCP: it neither counts nor ends a table.
    OtherProtocol,
    NoRow,
}

impl Line {
    fn of<T>(read: Read<T>, row: impl FnOnce(T) -> Self) -> Self {
        match read {
            Read::Row(read) => row(read),
            Read::Odd => Self::Odd,
            Read::WithoutState => Self::RowWithoutState,
            Read::OtherProtocol => Self::OtherProtocol,
            Read::NoRow => Self::NoRow,
        }
    }

    /// Whether it is a row that can be read.
    pub(super) fn is_row(&self) -> bool {
        match self {
            Self::Ss(_) | Self::Netstat(_) | Self::Lsof(_) | Self::NetTcp(..) => true,
            Self::Odd | Self::RowWithoutState | Self::OtherProtocol | Self::NoRow => false,
        }
    }
}

/// A prefix has at most this many words, and this many bytes.
const MOST_WORDS: usize = 16;
const MOST_BYTES: usize = 240;

/// Takes a line for itself.
pub(super) fn recognise(line: &str, asked_for: Option<TcpState>) -> Line {
    match recognise_any(line, asked_for) {
        // No other protocol has this state.
        Line::OtherProtocol if speaks_of_close_wait(line) => Line::Odd,
        recognised => recognised,
    }
}

fn recognise_any(line: &str, asked_for: Option<TcpState>) -> Line {
    let at_start = at_word(line, asked_for);
    if !matches!(at_start, Line::NoRow | Line::Odd | Line::RowWithoutState)
        || ss::begins_with_detail(line)
    {
        return at_start;
    }
    for start in later_starts(line) {
        let found = at_word(&line[start..], None);
        // Behind a prefix nothing but a row that can be read is taken for one.
        if found.is_row() {
            return found;
        }
    }
    match at_start {
        Line::NoRow if looks_like_row(line) && parse_command(line).is_none() => {
            Some(recognise_respaced(line))
                .filter(Line::is_row)
                .unwrap_or(Line::Odd)
        }
        other => other,
    }
}

/// Takes a line with other signs than blanks between its columns.
fn recognise_respaced(line: &str) -> Line {
    let respaced = separated(line).collect::<Vec<_>>().join(" ");
    if respaced == line {
        return Line::NoRow;
    }
    at_word(&respaced, None)
}

/// The columns of a line, whatever stands between them: not within `users:((...))`.
fn separated(line: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_usize;
    line.split(move |c: char| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c.is_whitespace() || (depth == 0 && matches!(c, ',' | ';' | '|'))
    })
    .map(|word| word.trim_matches(['"', '\'', '`']))
    .flat_map(|word| word.split("<->"))
    .filter(|word| !word.is_empty())
}

fn at_word(line: &str, asked_for: Option<TcpState>) -> Line {
    if let Some(kind) = net_tcp::kind_of_row(line) {
        // One that ends before the inode goes on in the next line, or was cut.
        return if net_tcp::is_whole(line) {
            Line::NetTcp(kind, line.to_owned())
        } else {
            Line::Odd
        };
    }
    if is_of_another_system(line) {
        return Line::Odd;
    }
    if let Some(row) = lsof::recognise(line) {
        return row.map_or(Line::Odd, |row| Line::Lsof(Box::new(row)));
    }
    let of_netstat = Line::of(netstat::recognise(line), |row| Line::Netstat(Box::new(row)));
    match of_netstat {
        Line::NoRow => Line::of(ss::recognise(line, asked_for), |row| {
            Line::Ss(Box::new(row))
        }),
        recognised => recognised,
    }
}

/// Windows writes the protocol in capitals and no queues, macOS addresses of the kernel.
fn is_of_another_system(line: &str) -> bool {
    let words: Vec<&str> = line.split_whitespace().take(6).collect();
    let windows = match words[..] {
        ["TCP", local, _, _] => parse_endpoint(local).is_some(),
        ["TCP", local, _, _, pid, ..] => {
            parse_endpoint(local).is_some() && pid.parse::<u32>().is_ok()
        }
        _ => false,
    };
    windows || lsof::is_of_another_system(line)
}

/// Where a row may begin behind a prefix: at a protocol, a state, or a row number of
/// `/proc/net/tcp`.
fn later_starts(line: &str) -> impl Iterator<Item = usize> + '_ {
    words(line)
        .take_while(|(at, _)| *at < MOST_BYTES)
        .take(MOST_WORDS)
        .filter_map(|(at, word)| {
            let start = at + glued_prefix(word);
            (start > 0 && begins_row(&line[start..])).then_some(start)
        })
}

fn words(line: &str) -> impl Iterator<Item = (usize, &str)> {
    let base = line.as_ptr() as usize;
    line.split_whitespace()
        .map(move |word| (word.as_ptr() as usize - base, word))
}

/// Returns the length of a prefix that is attached to a row, as in `12:LISTEN` and `file.txt:tcp`.
fn glued_prefix(word: &str) -> usize {
    if net_tcp::is_number_of_row(word) {
        return 0;
    }
    match word.rfind([':', '>', ']', '|', '=', ')']) {
        Some(sign) if sign + 1 < word.len() => sign + 1,
        _ => 0,
    }
}

fn begins_row(text: &str) -> bool {
    let word = text.split_whitespace().next().unwrap_or("");
    netstat::is_protocol(word) || net_tcp::is_number_of_row(word) || parse_state(word).is_some()
}

/// Returns whether a line has what only rows have: two addresses with ports, one and a state, or a
/// state and nothing else.
pub(super) fn looks_like_row(line: &str) -> bool {
    let mut addresses = 0;
    let mut states = 0;
    let words = separated(line).flat_map(|word| word.split("->"));
    for word in words {
        let word = word.trim_matches([',', ';', '(', ')', '|', '-', '>']);
        addresses += usize::from(is_address(word));
        states += usize::from(parse_state(word).is_some());
    }
    addresses >= 2 || (addresses == 1 && states > 0) || is_state_alone(line)
}

/// `CLOSE-WAIT` in a line of its own, as a table has it: not `Closed`.
fn is_state_alone(line: &str) -> bool {
    let is_written_so = |c: char| c.is_ascii_uppercase() || matches!(c, '_' | '-' | '1' | '2');
    line.chars().all(is_written_so) && parse_state(line).is_some()
}

/// An address with a port, or what clearly stands for one: `rtt:9` is a name and a number, too.
fn is_address(word: &str) -> bool {
    let host = word.rsplit_once(':').map_or("", |(host, _)| host);
    let is_clear = host == "*" || host == "localhost" || host.contains(['.', ':', '<', '#']);
    is_clear && parse_endpoint(word).is_some()
}
