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
    kind_of_address(words.next()?)
}

/// Returns whether a word is an address as the table has it: `0100007F:1F90`.
pub(super) fn is_address(word: &str) -> bool {
    kind_of_address(word).is_some()
}

fn kind_of_address(word: &str) -> Option<Kind> {
    if is_hexadecimal(word, &[IPV4_DIGITS, 4]) {
        return Some(Kind::NetTcp);
    }
    is_hexadecimal(word, &[IPV6_DIGITS, 4]).then_some(Kind::NetTcp6)
}

/// Returns whether a row has its columns as far as the inode, the last that is of interest.
pub(super) fn is_whole(line: &str) -> bool {
    let mut words = line.split_whitespace().skip(FIRST_NUMBERS_COLUMN);
    let mut has = |digits: &[usize]| {
        words
            .next()
            .is_some_and(|word| is_hexadecimal(word, digits))
    };
    let numbers = has(&[2]) && has(&[8, 8]) && has(&[2, 8]) && has(&[8]);
    let mut decimals = words.take(3).map(|word| word.parse::<u64>().is_ok());
    numbers && [decimals.next(), decimals.next(), decimals.next()] == [Some(true); 3]
}

/// Returns whether a line ends with a whole column of addresses, queues or timers: a row that goes on in the next line
/// was broken between words.
pub(super) fn ends_with_column(line: &str) -> bool {
    /// The last column in hexadecimal digits, of which nothing else tells that it is whole.
    const RETRANSMITS: usize = 6;
    let words: Vec<&str> = line.split_whitespace().take(RETRANSMITS + 2).collect();
    let Some((last, before)) = words.split_last() else {
        return false;
    };
    match before.len() {
        ..FIRST_NUMBERS_COLUMN => is_address(last),
        RETRANSMITS => is_hexadecimal(last, &[8]),
        _ => is_hexadecimal(last, &[8, 8]) || is_hexadecimal(last, &[2, 8]),
    }
}

/// Where the state is, behind the number and the two addresses.
const FIRST_NUMBERS_COLUMN: usize = 3;

/// Numbers of so many digits, with colons between.
fn is_hexadecimal(word: &str, digits: &[usize]) -> bool {
    let mut numbers = word.split(':');
    let fits = digits.iter().all(|digits| {
        numbers.next().is_some_and(|number| {
            number.len() == *digits && number.bytes().all(|byte| byte.is_ascii_hexdigit())
        })
    });
    fits && numbers.next().is_none()
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

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: &str =
        "0: 0100007F:1F90 00000000:0000 0A 00000000:00000005 00:00000000 00000000  0  0 350540 1 0";

    #[test]
    fn a_row_is_whole_where_every_column_up_to_the_inode_has_its_form() {
        assert_eq!(kind_of_row(ROW), Some(Kind::NetTcp));
        assert!(is_whole(ROW));
        for broken in [
            "0: 0100007F:1F90 00000000:0000 0A 00000000:00000005 00:00000000 00000000 0 0",
            "0: 0100007F:1F90 00000000:0000 0A 00000000:00000005 00:0000000000000000 0 0 350540 1 0",
            "0: 0100007F:1F90 00000000:0000 00000000:00000005 00:00000000 00000000 0 0 350540 1",
        ] {
            assert!(!is_whole(broken), "{broken}");
        }
    }

    #[test]
    fn the_end_of_a_column_is_told_from_the_middle_of_one() {
        assert!(ends_with_column(
            "0: 0100007F:1F90 00000000:0000 0A 00000000:00000005 00:00000000"
        ));
        assert!(ends_with_column("0: 0100007F:1F90"));
        assert!(ends_with_column(&ROW[..ROW.find("  0").unwrap()]));
        assert!(!ends_with_column(
            "0: 0100007F:1F90 00000000:0000 0A 00000000:0000"
        ));
        assert!(!ends_with_column(""));
    }
}
