//! Rows that lost the ends of their lines: a web page without a fence shows a table as one paragraph.

use super::super::endpoint::parse_endpoint;
use super::super::state::parse_state;
use super::super::{lsof, net_tcp, netstat};
use super::PlainLine;

/// Puts each row on a line of its own.
pub(super) fn apart(lines: Vec<PlainLine>) -> Vec<PlainLine> {
    let mut rows = Vec::with_capacity(lines.len());
    for line in lines {
        let starts = starts(&line.text);
        if starts.len() < 2 {
            rows.push(line);
        } else {
            rows.extend(cut(&line, &starts));
        }
    }
    rows
}

/// The pieces of a line; the first stands for the line in the text.
fn cut(line: &PlainLine, starts: &[usize]) -> Vec<PlainLine> {
    let mut cuts = vec![0];
    cuts.extend(starts.iter().copied().filter(|start| *start > 0));
    cuts.push(line.text.len());
    let pieces = cuts.windows(2).enumerate();
    pieces
        .map(|(index, piece)| PlainLine {
            parts: if index == 0 { line.parts } else { 0 },
            text: line.text[piece[0]..piece[1]].trim().to_owned(),
        })
        .collect()
}

/// Where a row begins in a line: at a protocol or a state with two queues and an address behind it, at a row
/// number of `/proc/net/tcp`, at a command of `lsof`.
fn starts(line: &str) -> Vec<usize> {
    let base = line.as_ptr() as usize;
    let words: Vec<&str> = line.split_whitespace().collect();
    let place = |index: usize| words[index].as_ptr() as usize - base;
    (0..words.len())
        .filter(|index| begins_row(&words[*index..]))
        .map(place)
        .collect()
}

fn begins_row(words: &[&str]) -> bool {
    match words {
        [first, recv_q, send_q, address, ..]
            if netstat::is_protocol(first) || parse_state(first).is_some() =>
        {
            let are_numbers = [recv_q, send_q]
                .iter()
                .all(|word| word.parse::<u32>().is_ok());
            are_numbers && parse_endpoint(address).is_some()
        }
        [first, local, remote, ..] if net_tcp::is_number_of_row(first) => {
            net_tcp::is_address(local) && net_tcp::is_address(remote)
        }
        [_, pid, _, descriptor, kind, ..] => {
            pid.parse::<u32>().is_ok() && lsof::is_socket(descriptor, kind)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(text: &str) -> Vec<String> {
        let line = PlainLine {
            parts: 1,
            text: text.to_owned(),
        };
        apart(vec![line])
            .into_iter()
            .map(|line| line.text)
            .collect()
    }

    #[test]
    fn rows_of_every_tool_are_taken_apart() {
        for row in [
            "tcp 1 0 10.0.0.1:80 10.0.0.2:5 CLOSE_WAIT 7/web",
            "tcp6 1 0 10.0.0.1:80 10.0.0.2:5 CLOSE_WAIT 1001 350540 7/web",
            "CLOSE-WAIT 1 0 10.0.0.1:80 10.0.0.2:5 users:((\"web\",pid=7,fd=3))",
            "0: 0100007F:1F90 00000000:0000 0A 00000000:00000005 00:00000000 00000000 0 0 350540",
            "web 77 root 9u IPv6 350541 0t0 TCP 10.0.0.1:8080->10.0.0.2:5 (CLOSE_WAIT)",
        ] {
            assert_eq!(pieces(&format!("Head {row} {row}")), ["Head", row, row]);
            assert_eq!(pieces(row), [row]);
        }
    }

    #[test]
    fn a_row_and_words_stay_one_line() {
        for line in [
            "tcp LISTEN 0 128 0.0.0.0:80 0.0.0.0:*",
            "Jan 5 10:11:12 web: tcp 1 0 10.0.0.1:80 10.0.0.2:5 CLOSE_WAIT -",
            "12 34 56",
            "",
        ] {
            assert_eq!(pieces(line), [line]);
        }
    }
}
