//! A text in which the ends of lines are spelled: what a program's log or a source shows of a string.

use std::borrow::Cow;

/// The text with ends of lines for `\n`, where more are spelled than there are.
pub(super) fn plain(text: &str) -> Cow<'_, str> {
    const FEWEST: usize = 2;
    let spelled = text.matches("\\n").count();
    if spelled < FEWEST || spelled <= text.matches('\n').count() {
        return Cow::Borrowed(text);
    }
    let ends = text.replace("\\r\\n", "\n").replace("\\n", "\n");
    Cow::Owned(ends.replace("\\t", "\t").replace("\\\"", "\""))
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn ends_of_lines_are_made_of_what_spells_them() {
        assert_eq!(plain("b'a\\nb\\r\\nc\\td'"), "b'a\nb\nc\td'");
        for kept in ["a\\nb", "a\\nb\\nc\nd\n", "C:\\new\n", ""] {
            assert_eq!(plain(kept), kept);
        }
    }
}
