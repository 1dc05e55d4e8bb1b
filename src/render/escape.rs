//! Text that came from a process, made harmless for a terminal.

use std::borrow::Cow;
use std::fmt::Write;

/// Replaces control characters, and those that reorder or hide text, by their escapes.
pub fn escape(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_dangerous) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        if is_dangerous(character) {
            match character {
                '\n' => escaped.push_str("\\n"),
                '\r' => escaped.push_str("\\r"),
                '\t' => escaped.push_str("\\t"),
                other => {
                    write!(escaped, "\\u{{{:x}}}", u32::from(other))
                        .expect("writing to a string cannot fail");
                }
            }
        } else {
            escaped.push(character);
        }
    }
    Cow::Owned(escaped)
}

/// Control characters drive terminals; the others change the order of text or take no room in it.
pub(super) fn is_dangerous(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{2069}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn plain_text_is_untouched() {
        assert!(matches!(escape("nginx: worker é"), Cow::Borrowed(_)));
    }

    #[test]
    fn escape_sequences_line_breaks_and_overrides_are_shown() {
        assert_eq!(escape("\x1b[31mred"), "\\u{1b}[31mred");
        assert_eq!(escape("a\nb\u{9b}c\u{202e}d"), "a\\nb\\u{9b}c\\u{202e}d");
    }

    proptest! {
        #[test]
        fn nothing_dangerous_is_left(text in any::<String>()) {
            prop_assert!(!escape(&text).chars().any(is_dangerous));
        }
    }
}
