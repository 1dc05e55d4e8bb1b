//! Rows of `netstat -tan`, with or without `-p`, `-e`, `-o` and `-W`, of net-tools and busybox.

use std::time::Duration;

use super::endpoint::{Endpoint, parse_endpoint};
use super::row::{Columns, Details, Owner, Read, Row, leading_number, mapped};
use super::state::parse_state_of;
use crate::model::{Reading, TcpState, Timer};

/// Without `-W` an address is cut so that it fits this width with its port.
const COLUMN_WIDTH: usize = 23;

/// Reads a line that begins with a protocol, or with the queues where the protocol was cut off.
pub(super) fn recognise(line: &str) -> Read<Row> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (ipv6, words) = match words.split_first() {
        Some((word, rest)) if is_protocol(word) => (word.ends_with('6'), rest),
        Some(_) => (false, &words[..]),
        None => return Read::NoRow,
    };
    let has_protocol = words.len() < line.split_whitespace().count();
    let (queues, rest) = take_queues(words);
    let state = rest.get(2..).and_then(parse_state_of);
    if state.is_none() && has_protocol && has_foreign_state(rest) && !is_listener(rest) {
        return Read::Odd;
    }
    if state.is_none() && !(has_protocol && is_listener(rest)) {
        // `ss` too begins so where it was asked for one state: an address follows the other.
        let is_ss =
            has_addresses(rest) || !has_protocol || (queues.is_none() && !is_row_start(rest));
        return if is_ss { Read::NoRow } else { Read::Odd };
    }
    match columns(queues, rest, ipv6) {
        Some(columns) => {
            let details = state.map_or(3, |(_, words)| 2 + words);
            let details = parse_details(rest.get(details..).unwrap_or_default());
            Read::Row(Row::new(columns, details))
        }
        None if has_protocol || has_addresses(rest) => Read::Odd,
        None => Read::NoRow,
    }
}

/// `tcp`, `tcp6`, in any case, and the forms of other systems.
pub(super) fn is_protocol(word: &str) -> bool {
    ["tcp", "tcp4", "tcp6", "tcp46"]
        .iter()
        .any(|name| word.eq_ignore_ascii_case(name))
}

/// Returns whether a line begins a row, whatever of it is missing.
pub(super) fn begins_with_protocol(line: &str) -> bool {
    line.split_whitespace().next().is_some_and(is_protocol)
}

/// Two numbers, where they are shown.
fn take_queues<'w, 'a>(words: &'w [&'a str]) -> (Option<(u32, u32)>, &'w [&'a str]) {
    match words {
        [recv_q, send_q, rest @ ..] => match (recv_q.parse(), send_q.parse()) {
            (Ok(recv_q), Ok(send_q)) => (Some((recv_q, send_q)), rest),
            _ => (None, words),
        },
        _ => (None, words),
    }
}

/// Returns whether one of the first words is an address.
fn is_row_start(rest: &[&str]) -> bool {
    rest.iter()
        .take(3)
        .any(|word| parse_endpoint(word).is_some())
}

/// Returns whether a line can only be the rest of a row that names a process already.
pub(super) fn is_timer_of_row(line: &str) -> bool {
    let words: Vec<&str> = line.split_whitespace().collect();
    matches!(words[..], [values] | [_, values] if is_timer(values))
}

/// Returns whether words are what another line of the row before has: user and inode, a process, or a
/// timer.
pub(super) fn is_rest_of_row(line: &str) -> bool {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (before, timer) = split_timer(&words);
    match before {
        [] => timer.is_some(),
        [values] if is_timer(values) => true,
        ["-"] => true,
        [_user, inode, rest @ ..] if inode.parse::<u32>().is_ok() => {
            rest == ["-"] || parse_owner(rest).is_some()
        }
        _ => parse_owner(before).is_some(),
    }
}

/// Returns whether a state in a language that is not known stands behind the addresses: `ss` has
/// details there, or nothing.
fn has_foreign_state(rest: &[&str]) -> bool {
    let is_name = |word: &&str| {
        word.starts_with(char::is_alphabetic)
            && word
                .chars()
                .all(|c| c.is_alphanumeric() || matches!(c, '_' | '-'))
    };
    has_addresses(rest) && rest.get(2).is_some_and(is_name)
}

/// Returns whether a row is about a listener, whatever language its state is in: no other TCP socket
/// in the table is without a peer.
fn is_listener(rest: &[&str]) -> bool {
    has_foreign_state(rest) && rest[1].ends_with(":*")
}

fn has_addresses(rest: &[&str]) -> bool {
    let addresses = rest.get(..2).unwrap_or_default();
    addresses.len() == 2 && addresses.iter().all(|word| parse_endpoint(word).is_some())
}

fn columns(queues: Option<(u32, u32)>, rest: &[&str], ipv6: bool) -> Option<Columns> {
    let [local, remote, state @ ..] = rest else {
        return None;
    };
    let state = parse_state_of(state).map(|(state, _)| state);
    Some(Columns {
        state: state.or_else(|| is_listener(rest).then_some(TcpState::Listen))?,
        queues,
        local: parse_address(local, ipv6)?,
        remote: parse_address(remote, ipv6)?,
    })
}

fn parse_address(text: &str, ipv6: bool) -> Option<Endpoint> {
    let mut endpoint = parse_endpoint(text)?;
    if ipv6 {
        let is_ipv4 = endpoint.host.is_some_and(|host| host.is_ipv4());
        // What fills the column may have been cut, and still be an address: another one.
        if !is_ipv4 && text.len() == COLUMN_WIDTH {
            return None;
        }
        endpoint.host = endpoint.host.map(mapped);
    }
    Some(endpoint)
}

/// Reads `[USER INODE] [PID/PROGRAM|-] [TIMER (TIME/RETRANSMITS/PROBES)]`.
fn parse_details(words: &[&str]) -> Details {
    let mut details = Details::none();
    let (words, timer) = split_timer(words);
    if let Some(timer) = timer {
        details.timer = timer;
    }
    let words = match words {
        [_user, inode, rest @ ..] if inode.parse::<u32>().is_ok() => {
            details.inode = inode.parse().ok();
            rest
        }
        words => words,
    };
    details.owners.extend(parse_owner(words));
    details
}

/// `13632/nginx: worker`; the name is cut at 20 bytes and may have blanks.
fn parse_owner(words: &[&str]) -> Option<Owner> {
    let (pid, name) = leading_number(words.first()?)?;
    let mut command = name.strip_prefix('/')?.to_owned();
    for word in &words[1..] {
        command.push(' ');
        command.push_str(word);
    }
    Some(Owner {
        pid,
        fd: None,
        command,
    })
}

fn split_timer<'w, 'a>(words: &'w [&'a str]) -> (&'w [&'a str], Option<Reading<Timer>>) {
    match words {
        [before @ .., name, values] if is_timer(values) => {
            (before, parse_timer(name, values).map(Reading::Known))
        }
        _ => (words, None),
    }
}

/// `(0.00/0/0)`.
fn is_timer(values: &str) -> bool {
    values.starts_with('(') && values.ends_with(')') && values.contains('/')
}

fn parse_timer(name: &str, values: &str) -> Option<Timer> {
    let seconds = values.trim_start_matches('(').split('/').next()?;
    let left = seconds
        .parse::<f64>()
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())?;
    Some(match name {
        "off" => Timer::Off,
        "on" => Timer::Retransmit,
        "keepalive" => Timer::KeepAlive(left),
        "timewait" => Timer::TimeWait(left),
        // net-tools knows no name for the number of this timer.
        "probe" | "unkn-4" => Timer::ZeroWindowProbe,
        _ => return None,
    })
}
