//! How text is laid out on a terminal.

/// Beyond this width lines are hard to read.
const WIDEST_TEXT: usize = 110;
/// Narrower than this, lines are left to the terminal to break.
const NARROWEST_TEXT: usize = 20;

/// Breaks text between words to fit a width, less what is set before each line. A word is never cut: somebody may
/// copy it. Without a width the text stays one line.
pub(super) fn wrap(text: &str, width: Option<u16>, before: usize) -> Vec<String> {
    let Some(width) = width else {
        return vec![text.to_owned()];
    };
    let room = usize::from(width).min(WIDEST_TEXT);
    let room = room.saturating_sub(before).max(NARROWEST_TEXT);
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut used = 0;
    for word in text.split(' ') {
        let length = word.chars().count();
        if used > 0 && used + 1 + length > room {
            lines.push(std::mem::take(&mut line).trim_end().to_owned());
            used = 0;
        } else if used > 0 {
            line.push(' ');
            used += 1;
        }
        line.push_str(word);
        used += length;
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_broken_between_words_and_words_stay_whole() {
        let text = "one two three /a/path/that/is/longer/than/a/line four";
        assert_eq!(
            wrap(text, Some(24), 4),
            [
                "one two three",
                "/a/path/that/is/longer/than/a/line",
                "four"
            ]
        );
        assert_eq!(wrap(text, None, 4), [text]);
        assert_eq!(wrap("", Some(80), 0), [""]);
    }
}
