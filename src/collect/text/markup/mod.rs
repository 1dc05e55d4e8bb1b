//! Takes off what stands around a table and is no part of it: escape codes, markup, quotes.
//!
//! The first steps change the text as a whole, because they make and remove line ends; the last
//! one works on each line. What is left are lines as the command printed them, as far as that
//! can be had back.

mod escaped;
mod html;
mod json;
mod line;
mod mail;
mod rows;
mod terminal;
mod wrap;

use std::borrow::Cow;

pub(super) use json::is_json;
pub(super) use wrap::PlainLine;

/// Decodes bytes: UTF-8, UTF-16 (as Windows consoles write it) with or without a byte-order mark,
/// and bytes that are neither as Latin-1, in which old message catalogues are.
pub fn decode(bytes: &[u8]) -> Cow<'_, str> {
    match bytes {
        [0xff, 0xfe, rest @ ..] => Cow::Owned(utf16(rest, u16::from_le_bytes)),
        [0xfe, 0xff, rest @ ..] => Cow::Owned(utf16(rest, u16::from_be_bytes)),
        _ if has_zeros_at(bytes, 1) => Cow::Owned(utf16(bytes, u16::from_le_bytes)),
        _ if has_zeros_at(bytes, 0) => Cow::Owned(utf16(bytes, u16::from_be_bytes)),
        _ => utf8_or_latin1(bytes),
    }
}

/// So much of a text tells how it is coded.
const BEGINNING: usize = 4096;

/// Returns whether nearly every second byte is zero and hardly any other: Latin letters in UTF-16.
fn has_zeros_at(bytes: &[u8], parity: usize) -> bool {
    const NEARLY_ALL_PERCENT: usize = 90;
    const HARDLY_ANY_PERCENT: usize = 5;
    let beginning = &bytes[..bytes.len().min(BEGINNING)];
    let pairs = beginning.len() / 2;
    let zeros = |parity: usize| {
        let chosen = beginning.iter().skip(parity).step_by(2);
        chosen.filter(|byte| **byte == 0).count() * 100
    };
    pairs > 0
        && zeros(parity) >= pairs * NEARLY_ALL_PERCENT
        && zeros(1 - parity) <= pairs * HARDLY_ANY_PERCENT
}

/// Whether bytes are a program, an archive or the like rather than text.
pub fn is_binary(bytes: &[u8]) -> bool {
    /// A terminal's log may hold a few, and `lsof -F0` prints one a line.
    const MOST_ZEROS_IN_TEXT: usize = 8;
    const MOST_CONTROLS_PERCENT: usize = 10;
    let marked = bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]);
    if marked || has_zeros_at(bytes, 0) || has_zeros_at(bytes, 1) {
        return false;
    }
    let beginning = &bytes[..bytes.len().min(BEGINNING)];
    let zeros = beginning.split(|byte| *byte == 0).count() - 1;
    let controls = beginning.iter().filter(|byte| **byte < b'\t').count();
    zeros > MOST_ZEROS_IN_TEXT && controls * 100 > beginning.len() * MOST_CONTROLS_PERCENT
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> String {
    let units = bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]]));
    char::decode_utf16(units)
        .map(|character| character.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect()
}

fn utf8_or_latin1(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Cow::Borrowed(text);
    }
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().copied().map(char::from));
    }
    Cow::Owned(text)
}

/// Returns the lines of a text without markup.
pub(super) fn plain_lines(text: &str) -> Vec<PlainLine> {
    let unwrapped = json::table_within(text);
    let text = unwrapped.as_deref().unwrap_or(text);
    let text = escaped::plain(text);
    let text = mail::plain(&text);
    let text = terminal::plain(&text);
    let text = html::plain(&text);
    let lines = text.split('\n').map(line::plain);
    rows::apart(wrap::join(lines))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn texts(text: &str) -> Vec<String> {
        let lines = plain_lines(text).into_iter();
        lines
            .map(|line| line.text)
            .filter(|line| !line.is_empty())
            .collect()
    }

    #[test]
    fn old_code_pages_and_wide_characters_are_decoded() {
        assert_eq!(decode(b"OU\xc7A"), "OU\u{c7}A");
        assert_eq!(decode("OUÇA".as_bytes()), "OUÇA");
        assert_eq!(decode(b"\xff\xfet\0c\0p\0"), "tcp");
        assert_eq!(decode(b"\xfe\xff\0t\0c\0p"), "tcp");
        assert_eq!(decode(b"t\0c\0p\0"), "tcp");
        assert_eq!(decode(b"\0t\0c\0p"), "tcp");
    }

    #[test]
    fn a_program_is_no_text_and_wide_characters_are() {
        assert!(is_binary(&[b"\x7fELF".as_slice(), &[0; 60]].concat()));
        assert!(!is_binary(
            &[b"\xff\xfe".as_slice(), &b"a\0".repeat(60)].concat()
        ));
        assert!(!is_binary(b"tcp 1 0\0"));
        assert!(!is_binary(
            &b"TST=CLOSE_WAIT\0PTCP\0n10.0.0.1:8080->10.0.0.2:5\0\n".repeat(9)
        ));
    }

    #[test]
    fn one_row_in_every_markup_is_the_same_row() {
        const ROW: &str = "tcp 1 0 10.0.0.1:80 10.0.0.2:5 CLOSE_WAIT 7/web";
        for marked in [
            "\u{feff}tcp 1 0 10.0.0.1:80 10.0.0.2:5 CLOSE_WAIT 7/web\r\n",
            "\x1b[1mtcp 1 0 10.0.0.1:80 10.0.0.2:5 \x1b[01;31m\x1b[KCLOSE_WAIT\x1b[m\x1b[K 7/web",
            "tcp 1 0 10.0.0.1:80 10.0.0.2:5 [01;31m[KCLOSE_WAIT[m[K 7/web",
            "> > tcp 1 0 10.0.0.1:80 10.0.0.2:5 CLOSE_WAIT 7/web",
            "- tcp 1 0 10.0.0.1:80 10.0.0.2:5 CLOSE_WAIT 7/web",
            "`tcp 1 0 10.0.0.1:80 10.0.0.2:5 CLOSE_WAIT 7/web`",
            "**tcp 1 0 10.0.0.1:80 10.0.0.2:5 CLOSE\\_WAIT 7/web**",
            "<p>tcp 1 0 10.0.0.1:80 10.0.0.2:5 <b>CLOSE_WAIT</b> 7/web</p>",
            "| tcp | 1 | 0 | 10.0.0.1:80 | 10.0.0.2:5 | CLOSE_WAIT | 7/web |",
            "<tr><td>tcp</td><td>1</td><td>0</td><td>10.0.0.1:80</td><td>10.0.0.2:5</td><td>CLOSE_WAIT</td><td>7/web</td></tr>",
            "│ tcp │ 1 │ 0 │ 10.0.0.1:80 │ 10.0.0.2:5 │ CLOSE_WAIT │ 7/web │",
            "*tcp 1 0 10.0.0.1:80 10.0.0.2:5 CLOSE_WAIT 7/web*",
            "[code]tcp 1 0 10.0.0.1:80 10.0.0.2:5 CLOSE_WAIT 7/web[/code]",
            "<tr>\n<td>tcp</td>\n<td>1</td>\n<td>0</td>\n<td>10.0.0.1:80</td>\n<td>10.0.0.2:5</td>\n<td>CLOSE_WAIT</td>\n<td>7/web</td>\n</tr>",
            "{{tcp 1 0 10.0.0.1:80 10.0.0.2:5 CLOSE_WAIT 7/web}}",
            "tcp 1 0 10.0.0.1:80 10.0.0.2:5 {color:red}CLOSE_WAIT{color} 7/web",
            "__tcp 1 0 10.0.0.1:80 10.0.0.2:5 CLOSE_WAIT 7/web__",
            "\"tcp 1 0 10.0.0.1:80 10.0.0.2:5 CLOSE_WAIT 7/web\",",
            "- 'tcp 1 0 10.0.0.1:80 10.0.0.2:5 CLOSE_WAIT 7/web'",
            "tcp 1 0 10.0.0.1:80 10.0.0.2:5 CLOSE_WAIT 7/web \\",
        ] {
            let lines = texts(marked);
            let words: Vec<&str> = lines
                .iter()
                .flat_map(|line| line.split_whitespace())
                .collect();
            assert_eq!(words.join(" "), ROW, "{marked}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in any::<String>()) {
            let _ = plain_lines(&text);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in any::<Vec<u8>>()) {
            let _ = plain_lines(&decode(&bytes));
        }

        #[test]
        fn marks_in_any_order_never_panic(
            marks in prop::collection::vec(prop::sample::select(vec![
                "\x1b[", "\x1b]", "\x07", "^[[", "1m", "[", "m", "K", "\x08", "\r", "\n", "<", ">", "<b", "</", "&", "&lt;", ";", "&#",
                "x", "12", "|", "`", "*", "**", "\\", "_", "- ", "{", "}", "\"", "\\n", ":", "[code]", "é",
            ]), 0..40),
        ) {
            let _ = plain_lines(&marks.concat());
        }
    }
}
