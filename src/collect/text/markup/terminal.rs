//! What a terminal obeys and does not show: escape sequences, cursor movement, overstrikes.

use std::iter::Peekable;
use std::str::Chars;

const ESCAPE: char = '\x1b';

/// The text as a terminal would show it, as far as that can be told without its size: what moves
/// to another line ends the line, and what moves within one leaves a blank.
pub(super) fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            // The second is a picture of it.
            ESCAPE | '\u{241b}' => escape_sequence(&mut characters, &mut out),
            '\u{9b}' => control_sequence(&mut characters, &mut out),
            // As `cat -v` and some web pages show it.
            '^' if characters.peek() == Some(&'[') => {
                characters.next();
                escape_sequence(&mut characters, &mut out);
            }
            // As a program's source spells it.
            '\\' => backslash(&mut characters, &mut out),
            '[' => bracket(&mut characters, &mut out),
            '\r' => {
                if characters.peek() != Some(&'\n') {
                    out.push('\n');
                }
            }
            '\x08' => {
                if !out.ends_with('\n') {
                    out.pop();
                }
            }
            '\x0b' | '\x0c' | '\u{85}' | '\u{2028}' | '\u{2029}' => out.push('\n'),
            '\n' | '\t' => out.push(character),
            '\u{a0}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}' => {
                out.push(' ');
            }
            // Without width, and how an editor shows the end of a line.
            '\u{b6}'
            | '\u{21b5}'
            | '\u{23ce}'
            | '\u{240a}'
            | '\u{240d}'
            | '\u{2424}'
            | '\u{ad}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'
            | '\u{feff}' => {}
            '\u{2010}'..='\u{2015}' | '\u{2212}' => out.push('-'),
            '\u{2192}' => out.push_str("->"),
            '\u{201c}' | '\u{201d}' | '\u{201e}' | '\u{ab}' | '\u{bb}' => out.push('"'),
            '\u{ff1a}' => out.push(':'),
            character if character.is_control() => {}
            character => out.push(character),
        }
    }
    out
}

fn escape_sequence(characters: &mut Peekable<Chars>, out: &mut String) {
    match characters.next() {
        Some('[') => control_sequence(characters, out),
        Some(']' | 'P' | '_' | '^') => string_sequence(characters),
        // These choose a character set, and have one character more.
        Some('(' | ')' | '*' | '+' | '#' | '%' | ' ') => {
            characters.next();
        }
        Some('D' | 'E' | 'M') => out.push('\n'),
        Some(_) | None => {}
    }
}

/// `\033[1m`, `\x1b[1m`, `\u001b[1m`, `\e[1m`; any other backslash stays.
fn backslash(characters: &mut Peekable<Chars>, out: &mut String) {
    const SPELLINGS: [&str; 6] = ["033[", "x1b[", "x1B[", "u001b[", "u001B[", "e["];
    let rest = characters.clone();
    let is_next = |spelling: &&&str| rest.clone().take(spelling.len()).eq(spelling.chars());
    let Some(spelling) = SPELLINGS.iter().find(is_next) else {
        out.push('\\');
        return;
    };
    for _ in 0..spelling.len() {
        characters.next();
    }
    control_sequence(characters, out);
}

/// A title or another string for the terminal, up to BEL or `ESC \`.
fn string_sequence(characters: &mut Peekable<Chars>) {
    while let Some(character) = characters.peek() {
        match character {
            '\x07' => {
                characters.next();
                return;
            }
            &ESCAPE => {
                characters.next();
                characters.next_if_eq(&'\\');
                return;
            }
            // It was not ended; what follows is text.
            '\n' => return,
            _ => {
                characters.next();
            }
        }
    }
}

/// Parameters, then the letter that says what to do.
fn control_sequence(characters: &mut Peekable<Chars>, out: &mut String) {
    let mut parameters = String::new();
    while let Some(character) = characters.next_if(|c| ('\x20'..='\x3f').contains(c)) {
        parameters.push(character);
    }
    let Some(action) = characters.next_if(|c| ('\x40'..='\x7e').contains(c)) else {
        return;
    };
    match action {
        'A' | 'B' | 'E' | 'F' | 'H' | 'd' | 'f' | 'J' => end_line(out),
        'C' | 'G' | 'X' | '`' | 'a' => out.push(' '),
        'b' => repeat_last(&parameters, out),
        _ => {}
    }
}

fn end_line(out: &mut String) {
    if !out.is_empty() && !out.ends_with('\n') {
        out.push('\n');
    }
}

/// `ESC [ n b`: curses repeats a character so.
fn repeat_last(parameters: &str, out: &mut String) {
    const WIDEST_LINE: usize = 1000;
    let Some(last) = out.chars().next_back() else {
        return;
    };
    let times = parameters.parse().unwrap_or(1).min(WIDEST_LINE);
    // Blanks are what is repeated in a table; a longer run of them says no more.
    let times = if last == ' ' { times.min(1) } else { times };
    out.extend(std::iter::repeat_n(last, times));
}

/// Colours of which the escape character was lost on the way: `[01;31m`, `[K`, `[m`.
fn bracket(characters: &mut Peekable<Chars>, out: &mut String) {
    let ahead = characters.clone();
    let numbers = ahead
        .take_while(|c| c.is_ascii_digit() || *c == ';')
        .count()
        .min(LONGEST_COLOUR);
    let mut after = characters.clone().skip(numbers);
    let length = match (numbers, after.next(), after.next()) {
        (0, Some('K'), _) | (0, Some('m'), Some('[' | '\n') | None) => 1,
        (1.., Some('m'), _) => numbers + 1,
        _ => {
            out.push('[');
            return;
        }
    };
    for _ in 0..length {
        characters.next();
    }
}

/// `38;2;255;255;255` has 16 characters.
const LONGEST_COLOUR: usize = 20;

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn every_kind_of_sequence_is_taken_off() {
        for (shown, expected) in [
            ("\x1b[1;31mred\x1b[0m", "red"),
            ("\x1b]0;title\x07text", "text"),
            ("\x1b]8;;http://x\x1b\\link", "link"),
            ("\x1b(Btext", "text"),
            ("^[[1mbold^[[0m", "bold"),
            ("a\x1b[3;1Hb", "a\nb"),
            ("a\x1b[10Cb", "a b"),
            ("a\x1b[2K", "a"),
            ("-\x1b[3b", "----"),
            ("b\x08bold", "bold"),
            ("a\rb\r\nc", "a\nb\nc"),
            ("[::1]:80 [m", "[::1]:80 "),
            ("12/[migration]", "12/[migration]"),
            ("[39;49mx", "x"),
            ("CLOSE\u{2011}WAIT", "CLOSE-WAIT"),
            ("CLOSE\u{2014}WAIT", "CLOSE-WAIT"),
            ("CLOSE\u{ad}-WAIT\u{b6}", "CLOSE-WAIT"),
            ("\\033[1;31mred\\033[0m", "red"),
            ("\\x1b[31mred\\u001b[m \\e[1mbold", "red bold"),
            ("\u{241b}[31mred\u{241b}[0m", "red"),
            ("C:\\Users\\eva \\n", "C:\\Users\\eva \\n"),
            ("\x1b", ""),
            ("\x1b[", ""),
        ] {
            assert_eq!(plain(shown), expected, "{shown:?}");
        }
    }
}
