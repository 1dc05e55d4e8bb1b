//! Lines that a terminal of some width broke in the middle of a word.

use std::borrow::Cow;

use super::PlainLine;

/// Nobody has a terminal narrower than this.
const NARROWEST: usize = 40;

/// A broken line goes on in at most this many more.
const MOST_PARTS: usize = 40;

/// Puts together what a terminal broke: lines as wide as the widest, and what follows them where
/// that does not begin like a line of its own.
pub(super) fn join<'a>(lines: impl Iterator<Item = Cow<'a, str>>) -> Vec<PlainLine> {
    let lines: Vec<(usize, Cow<str>)> = lines.map(|line| (width(&line), line)).collect();
    let widest = lines.iter().map(|(width, _)| *width).max().unwrap_or(0);
    let is_full = |width: usize| width == widest;
    let full = lines.iter().filter(|(width, _)| is_full(*width)).count();
    let broken = widest >= NARROWEST && full > 1;
    let mut joined: Vec<PlainLine> = Vec::with_capacity(lines.len());
    let mut goes_on = false;
    for (width, line) in lines {
        match joined.last_mut() {
            Some(last) if goes_on && last.parts < MOST_PARTS && continues(&line) => {
                last.text.push_str(&line);
                last.parts += 1;
            }
            _ => joined.push(PlainLine {
                parts: 1,
                text: line.into_owned(),
            }),
        }
        goes_on = broken && is_full(width);
    }
    for line in &mut joined {
        line.text = line.text.trim().to_owned();
    }
    joined
}

/// Width on a screen, where a tabulator goes to the next column of eight.
fn width(line: &str) -> usize {
    line.chars().fold(0, |column, character| match character {
        '\t' => (column / 8 + 1) * 8,
        _ => column + 1,
    })
}

/// Tells whether a line can be the rest of another: it does not begin one.
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
        && !STARTS.iter().any(|start| line.starts_with(start))
}

/// `12: 0100007F:1F90` of `/proc/net/tcp`, `1 0 10.0.0.1:80` of `ss state NAME`.
fn begins_with_columns(line: &str) -> bool {
    let mut words = line.split_whitespace();
    let is_number = |word: &str| word.parse::<u64>().is_ok();
    let (first, second) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    first.strip_suffix(':').is_some_and(is_number) || (is_number(first) && is_number(second))
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
