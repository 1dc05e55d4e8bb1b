//! Lines that a terminal of some width broke in the middle of a word.

use std::borrow::Cow;

use super::super::endpoint::parse_endpoint;
use super::super::{find, lsof, net_tcp, place};

/// A line without markup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct PlainLine {
    /// How many lines of the text it was.
    pub parts: usize,
    /// What it says, trimmed.
    pub text: String,
}

/// No terminal is narrower than this.
const NARROWEST: usize = 40;

/// A broken line goes on in at most this many more.
const MOST_PARTS: usize = 40;

/// Puts together what a terminal broke: lines as wide as the widest, and what follows them where
/// that does not begin like a line of its own.
pub(super) fn join<'a>(lines: impl Iterator<Item = Cow<'a, str>>) -> Vec<PlainLine> {
    let lines: Vec<Cow<str>> = lines.collect();
    // A terminal counts columns, an editor and a mail program count characters.
    let by_columns = Widest::of(&lines, width);
    let by_characters = Widest::of(&lines, |line| line.chars().count());
    let widest = if by_characters.times > by_columns.times {
        by_characters
    } else {
        by_columns
    };
    let broken = widest.width >= NARROWEST && widest.times > 1;
    let mut joined: Vec<PlainLine> = Vec::with_capacity(lines.len());
    let mut goes_on = false;
    for line in lines {
        let is_full = broken && (widest.measure)(&line) == widest.width;
        match joined.last_mut() {
            Some(last) if goes_on && goes_on_in(last, &line) => {
                last.text.push_str(&line);
                last.parts += 1;
            }
            _ => joined.push(PlainLine {
                parts: 1,
                text: line.into_owned(),
            }),
        }
        goes_on = is_full;
    }
    for line in &mut joined {
        line.text = line.text.trim().to_owned();
    }
    joined
}

/// The greatest width of all lines, and how many have it.
struct Widest {
    measure: fn(&str) -> usize,
    width: usize,
    times: usize,
}

impl Widest {
    fn of(lines: &[Cow<str>], measure: fn(&str) -> usize) -> Self {
        let mut widest = Self {
            measure,
            width: 0,
            times: 0,
        };
        for line in lines {
            let width = measure(line);
            if width > widest.width {
                (widest.width, widest.times) = (width, 0);
            }
            widest.times += usize::from(width == widest.width);
        }
        widest
    }
}

/// Width on a screen, where a tabulator goes to the next column of eight.
fn width(line: &str) -> usize {
    line.chars().fold(0, |column, character| match character {
        '\t' => (column / 8 + 1) * 8,
        _ => column + 1,
    })
}

/// Returns whether a line is the rest of the one before: it begins none, and spoils no row.
fn goes_on_in(last: &PlainLine, line: &str) -> bool {
    if last.parts >= MOST_PARTS || !continues(line) || !same_start_is_missing(&last.text, line) {
        return false;
    }
    if net_tcp::ends_with_column(&last.text) || lsof::is_name_field(&last.text) {
        return false;
    }
    let is_row = |text: &str| find::recognise(text.trim(), None).is_row();
    !is_row(&last.text) || is_row(&format!("{}{line}", last.text))
}

/// Rows of one process begin with its name.
fn same_start_is_missing(last: &str, line: &str) -> bool {
    last.split_whitespace().next() != line.split_whitespace().next()
}

/// Returns whether a line can be the rest of another: it does not begin one.
fn continues(line: &str) -> bool {
    const STARTS: [&str; 14] = [
        "tcp", "TCP", "udp", "LISTEN", "ESTAB", "CLOSE", "FIN", "LAST", "TIME", "SYN", "Active",
        "Proto", "State", "Netid",
    ];
    let line = line.trim();
    let is_prompt = line.contains("$ ") || line.contains("# ") || line.contains('@');
    !line.is_empty()
        && !is_prompt
        && !begins_with_columns(line)
        && !lsof::is_file(line)
        && !place::tells_place_or_time(line)
        && !find::recognise(line, None).is_row()
        && !STARTS.iter().any(|start| line.starts_with(start))
}

/// `12: 0100007F:1F90` of `/proc/net/tcp`, `1 0 10.0.0.1:80` of `ss state NAME`.
///
/// Two numbers alone may be the user and the inode of a broken row.
fn begins_with_columns(line: &str) -> bool {
    let mut words = line.split_whitespace();
    let mut word = || words.next().unwrap_or("");
    let is_number = |word: &str| word.parse::<u64>().is_ok();
    let (first, second, third) = (word(), word(), word());
    first.strip_suffix(':').is_some_and(is_number)
        || (is_number(first) && is_number(second) && parse_endpoint(third).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(text: &str) -> Vec<String> {
        let lines = join(text.lines().map(Cow::Borrowed));
        lines.into_iter().map(|line| line.text).collect()
    }

    #[test]
    fn a_word_that_a_terminal_broke_is_whole_again() {
        let text = "LISTEN 5 128 0.0.0.0:8080 0.0.0.0:* users:((\"a\",p\nid=1,fd=3))\n\
                    LISTEN 5 128 0.0.0.0:8081 0.0.0.0:* users:((\"a\",p\nid=1,fd=4))\n";
        assert_eq!(
            joined(text),
            [
                "LISTEN 5 128 0.0.0.0:8080 0.0.0.0:* users:((\"a\",pid=1,fd=3))",
                "LISTEN 5 128 0.0.0.0:8081 0.0.0.0:* users:((\"a\",pid=1,fd=4))",
            ]
        );
    }

    #[test]
    fn rows_of_the_same_width_stay_apart() {
        let text = "LISTEN 5 128 0.0.0.0:8080 0.0.0.0:*              \n\
                    LISTEN 5 128 0.0.0.0:8081 0.0.0.0:*              \n";
        assert_eq!(joined(text).len(), 2);
    }

    #[test]
    fn rows_that_begin_with_numbers_stay_apart() {
        for row in [
            "0: 0100007F:1F90 00000000:0000 0A 00000000:00000000",
            "46     0      127.0.0.1:8080      127.0.0.1:55352",
        ] {
            assert_eq!(joined(&format!("{row}\n{row}\n")), [row, row]);
        }
    }

    #[test]
    fn a_tabulator_is_as_wide_as_it_looks() {
        assert_eq!(width("\t a\tb"), 17);
    }
}
