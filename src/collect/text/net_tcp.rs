//! Lines copied from `/proc/net/tcp` and `/proc/net/tcp6`.

use super::kind::Kind;
use super::row::{Row, Socket};
use crate::collect::proc::parse_net_tcp;
use crate::collect::sock_diag::Wanted;
use crate::model::InodeSet;

/// Digits of an address in hexadecimal.
const IPV4_DIGITS: usize = 8;
const IPV6_DIGITS: usize = 32;

/// Returns whether a line begins like a row, `12: 0100007F:1F90`, and of which table.
pub(super) fn kind_of_row(line: &str) -> Option<Kind> {
    let mut words = line.split_whitespace();
    if !is_number_of_row(words.next()?) {
        return None;
    }
    let (address, port) = words.next()?.split_once(':')?;
    let hexadecimal = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if port.len() != 4 || !hexadecimal(port) || !hexadecimal(address) {
        return None;
    }
    match address.len() {
        IPV4_DIGITS => Some(Kind::NetTcp),
        IPV6_DIGITS => Some(Kind::NetTcp6),
        _ => None,
    }
}

/// `12:`.
pub(super) fn is_number_of_row(word: &str) -> bool {
    word.strip_suffix(':')
        .is_some_and(|number| number.parse::<u64>().is_ok())
}

/// Reads rows; also counts those that cannot be read.
pub(super) fn rows(lines: &[String]) -> (Vec<Row>, usize) {
    // The parser takes the first line for the header.
    let table = format!("\n{}", lines.join("\n"));
    let nobody = InodeSet::default();
    let (table, odd) = parse_net_tcp(table.as_bytes(), Wanted::Unaccepted, &nobody);
    let listeners = table.listeners.into_iter().map(Socket::Listener);
    let connections = table.connections.into_iter().map(Socket::Connection);
    let rows = listeners.chain(connections).map(Row::with_inode).collect();
    (rows, odd)
}

/// Returns whether there is an ESTABLISHED connection, which is not kept when it was accepted.
pub(super) fn has_established(lines: &[String]) -> bool {
    lines
        .iter()
        .any(|line| line.split_whitespace().nth(3) == Some("01"))
}
