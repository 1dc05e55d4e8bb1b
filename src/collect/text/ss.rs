//! Rows of `ss -t`, with or without `-n`, `-p`, `-e`, `-o`, `-i`, `-m`, `-O` and `-H`.

use std::time::Duration;

use super::endpoint::{Endpoint, parse_endpoint};
use super::row::{Columns, Details, Owner, Read, Row, leading_number};
use super::state::parse_state_of;
use crate::model::{Gap, Layer, Reading, TcpAges, TcpState, Timer};

/// Protocols that `ss` also lists, in its column Netid.
const OTHER_PROTOCOLS: [&str; 15] = [
    "udp", "raw", "icmp6", "u_str", "u_dgr", "u_seq", "p_raw", "p_dgr", "nl", "v_str", "v_dgr",
    "sctp", "tipc", "xdp", "mptcp",
];

/// What begins a detail that options print, after the addresses or in a line of its own.
const DETAILS: [&str; 20] = [
    "users:((", "timer:(", "ino:", "sk:", "cgroup:", "v6only:", "skmem:(", "wscale:", "rto:",
    "rtt:", "mss:", "cwnd:", "bytes_", "segs_", "lastsnd:", "lastrcv:", "lastack:", "unacked:",
    "rcv_", "minrtt:",
];

/// A row that may go on in the next line.
#[derive(Debug)]
pub(super) struct Unfinished {
    columns: Columns,
    details: String,
}

/// Reads a line that begins with a state, or with the queues where a state was asked for.
pub(super) fn recognise(line: &str, asked_for: Option<TcpState>) -> Read<Unfinished> {
    let mut rest = line;
    let mut word = next_word(&mut rest);
    if OTHER_PROTOCOLS.contains(&word) {
        return Read::OtherProtocol;
    }
    if word.eq_ignore_ascii_case("tcp") {
        word = next_word(&mut rest);
    }
    let second = rest.split_whitespace().next().unwrap_or("");
    let shown = parse_state_of(&[word, second]);
    for _ in 0..shown.map_or(0, |(_, words)| words) {
        word = next_word(&mut rest);
    }
    let shown = shown.map(|(state, _)| state);
    let Ok(recv_q) = word.parse() else {
        return without_queues(shown, word, rest);
    };
    let Some((send_q, local, remote)) = queue_and_addresses(&mut rest) else {
        return if shown.is_some() && !is_count(line) {
            Read::Odd
        } else {
            Read::NoRow
        };
    };
    let Some(state) = shown.or(asked_for) else {
        return Read::WithoutState;
    };
    Read::Row(Unfinished {
        columns: Columns {
            state,
            queues: Some((recv_q, send_q)),
            local,
            remote,
        },
        details: rest.to_owned(),
    })
}

/// `CLOSE_WAIT 41`: how many there are.
fn is_count(line: &str) -> bool {
    line.split_whitespace().count() == 2
}

/// Reads the rest of a row of `ss -Q`, which has no queues.
fn without_queues(state: Option<TcpState>, local: &str, mut rest: &str) -> Read<Unfinished> {
    let Some(state) = state else {
        return Read::NoRow;
    };
    let remote = parse_endpoint(next_word(&mut rest));
    let (Some(local), Some(remote)) = (parse_endpoint(local), remote) else {
        return Read::NoRow;
    };
    Read::Row(Unfinished {
        columns: Columns {
            state,
            queues: None,
            local,
            remote,
        },
        details: rest.to_owned(),
    })
}

/// Returns whether a line begins with a detail that belongs to the row above.
pub(super) fn begins_with_detail(line: &str) -> bool {
    let word = line.split_whitespace().next().unwrap_or("");
    DETAILS.iter().any(|name| word.starts_with(name))
}

fn queue_and_addresses(rest: &mut &str) -> Option<(u32, Endpoint, Endpoint)> {
    let send_q = next_word(rest).parse().ok()?;
    let local = parse_endpoint(next_word(rest))?;
    let remote = parse_endpoint(next_word(rest))?;
    Some((send_q, local, remote))
}

fn next_word<'a>(rest: &mut &'a str) -> &'a str {
    let text = rest.trim_start();
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    let (word, after) = text.split_at(end);
    *rest = after;
    word
}

impl Unfinished {
    /// Takes another line for more of this row, if it looks like that.
    pub(super) fn add_details(&mut self, line: &str) -> bool {
        let is_detail = |word: &str| DETAILS.iter().any(|name| word.starts_with(name));
        if !line.split_whitespace().any(is_detail) {
            return false;
        }
        self.details.push(' ');
        self.details.push_str(line);
        true
    }

    /// Reads the details.
    pub(super) fn into_row(self) -> Row {
        let mut details = parse_details(&self.details);
        // Where ss has to fall back to /proc/net/tcp it prints 0 for a limit it does not know.
        if let Some((_, limit)) = self.columns.queues.filter(|(_, limit)| *limit > 0) {
            details.limit = Reading::Known(limit);
        }
        Row::new(self.columns, details)
    }
}

fn parse_details(text: &str) -> Details {
    let mut details = Details::none();
    // Processes have names of their own choice, and are taken out first.
    let (owners, rest) = take_owners(text);
    details.owners = owners;
    let words: Vec<&str> = rest.split_whitespace().collect();
    let value = |name: &str| words.iter().find_map(|word| word.strip_prefix(name));
    details.inode = value("ino:").and_then(|number| number.parse().ok());
    details.v6_only = value("v6only:").map(|flag| flag == "1");
    if words.contains(&"tcp-ulp-mptcp") {
        details.layer = Layer::Subflow;
    }
    details.timer = match value("timer:(") {
        Some(timer) => parse_timer(timer).map_or(Reading::Unknown(Gap::Malformed), Reading::Known),
        // With -e timers are printed too, and of a socket that has none nothing.
        None if details.inode.is_some() => Reading::Known(Timer::Off),
        None => Reading::Unknown(Gap::NotShown),
    };
    details.ages = parse_ages(&value);
    details
}

/// A clock at 0 is left out; a connection on which all are at 0 cannot be told from a line that was
/// cut off.
fn parse_ages<'a>(value: &impl Fn(&str) -> Option<&'a str>) -> Option<TcpAges> {
    let clock = |name| value(name)?.parse().ok();
    let [sent, received, acked] = ["lastsnd:", "lastrcv:", "lastack:"].map(clock);
    sent.or(received).or(acked)?;
    Some(TcpAges::from_millis(
        sent.unwrap_or_default(),
        received.unwrap_or_default(),
        acked.unwrap_or_default(),
    ))
}

/// `users:(("nginx",pid=12,fd=6),("nginx",pid=13,fd=6))`, before 2014 `users:(("nginx",12,6))`;
/// returns the owners, and the text without them.
fn take_owners(text: &str) -> (Vec<Owner>, String) {
    const START: &str = "users:((";
    let mut owners = Vec::new();
    let Some((before, mut rest)) = text.split_once(START) else {
        return (owners, text.to_owned());
    };
    while let Some((owner, after)) = parse_owner(rest) {
        owners.push(owner);
        rest = after;
        let Some(next) = after.strip_prefix(",(") else {
            break;
        };
        rest = next;
    }
    let rest = rest.strip_prefix(')').unwrap_or(rest);
    (owners, format!("{before} {rest}"))
}

/// `"nginx",pid=12,fd=6)`
fn parse_owner(text: &str) -> Option<(Owner, &str)> {
    let (command, fields) = split_command(text)?;
    let (fields, after) = fields.split_once(')')?;
    let mut fields = fields.split(',');
    let (pid, _) = leading_number(fields.next()?)?;
    let fd = fields.find_map(|field| field.strip_prefix("fd=").unwrap_or(field).parse().ok());
    let owner = Owner {
        pid,
        fd,
        command: command.to_owned(),
    };
    Some((owner, after))
}

/// The name and the fields behind it. A shell, JSON or a sheet may have changed the quotes, or taken
/// them off.
fn split_command(text: &str) -> Option<(&str, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let (command, fields) = text
            .split_once(",pid=")
            .or_else(|| text.split_once(','))
            .filter(|(command, _)| !command.contains(['(', ')', '"']) || text.starts_with('\\'))?;
        return Some((command.trim_matches(['\\', '"', '\'']), fields));
    };
    let (command, fields) = quoted
        .split_once("\",pid=")
        .filter(|(command, _)| !command.contains("\","))
        .or_else(|| quoted.split_once("\","))?;
    // A sheet doubles quotes.
    let doubled = command
        .strip_prefix('"')
        .and_then(|name| name.strip_suffix('"'));
    Some((doubled.unwrap_or(command), fields))
}

/// `keepalive,119min,0)`: a name, a time, and how often it went off.
fn parse_timer(text: &str) -> Option<Timer> {
    let mut fields = text.trim_end_matches(')').split(',');
    let name = fields.next()?;
    let left = parse_time(fields.next()?)?;
    Some(match name {
        "on" => Timer::Retransmit,
        "keepalive" => Timer::KeepAlive(left),
        "timewait" => Timer::TimeWait(left),
        "persist" => Timer::ZeroWindowProbe,
        _ => return None,
    })
}

/// `119min`, `1min59sec`, `58sec`, `4.512ms` (which is 4512 ms), `200ms`.
fn parse_time(mut text: &str) -> Option<Duration> {
    let mut time = Duration::ZERO;
    while !text.is_empty() {
        let (number, rest) = leading_number(text)?;
        let (unit, rest) = ["min", "sec", "ms", "."]
            .iter()
            .find_map(|unit| Some((*unit, rest.strip_prefix(unit)?)))?;
        time += match unit {
            "min" => Duration::from_secs(u64::from(number) * 60),
            "ms" => Duration::from_millis(number.into()),
            _ => Duration::from_secs(number.into()),
        };
        text = rest;
    }
    Some(time)
}
