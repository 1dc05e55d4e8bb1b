//! The source of a mail: quoted-printable (RFC 2045, 6.7), which breaks lines behind `=` and writes
//! `=` itself as `=3D`.

use std::borrow::Cow;

/// The text without that encoding, where it has it.
pub(super) fn plain(text: &str) -> Cow<'_, str> {
    if is_quoted_printable(text) {
        Cow::Owned(decode(text))
    } else {
        Cow::Borrowed(text)
    }
}

/// Returns whether every `=` begins a code or ends a line. `fd=20` looks like a code, too, so one has to
/// be there that only this encoding makes.
fn is_quoted_printable(text: &str) -> bool {
    let mut is_certain = false;
    for (at, _) in text.match_indices('=') {
        let rest = &text[at + 1..];
        let ends_line = ends_line(rest).is_some();
        if !ends_line && code(rest).is_none() {
            return false;
        }
        is_certain |= ends_line || rest.starts_with("3D");
    }
    is_certain
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('=') {
        bytes.extend_from_slice(before.as_bytes());
        rest = match (ends_line(after), code(after)) {
            (Some(next), _) => next,
            (None, Some(byte)) => {
                bytes.push(byte);
                &after[2..]
            }
            (None, None) => after,
        };
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The next line, where a text begins with the end of one.
fn ends_line(text: &str) -> Option<&str> {
    text.strip_prefix("\r\n")
        .or_else(|| text.strip_prefix('\n'))
}

/// The byte that two digits stand for.
fn code(text: &str) -> Option<u8> {
    let digits = text.get(..2)?;
    let is_upper = |byte: u8| byte.is_ascii_digit() || (b'A'..=b'F').contains(&byte);
    digits
        .bytes()
        .all(is_upper)
        .then(|| u8::from_str_radix(digits, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_source_of_a_mail_is_decoded() {
        for (source, expected) in [
            (
                "tcp 1 0 a:1 b:2 =\nCLOSE_WAIT",
                "tcp 1 0 a:1 b:2 CLOSE_WAIT",
            ),
            (
                "users:((\"w\",pid=3D20,fd=\r\n=3D3))",
                "users:((\"w\",pid=20,fd=3))",
            ),
            ("OU=C3=87A =3D", "OUÇA ="),
        ] {
            assert_eq!(plain(source), expected);
        }
    }

    #[test]
    fn a_row_with_equal_signs_is_no_source_of_a_mail() {
        for row in ["users:((\"w\",pid=20,fd=31))", "pid=3D, x=y", "====="] {
            assert_eq!(plain(row), row);
        }
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in any::<String>(), close in "[=\\r\\n0-9A-Fé]{0,30}") {
            let _ = plain(&text);
            let _ = plain(&close);
        }
    }
}
