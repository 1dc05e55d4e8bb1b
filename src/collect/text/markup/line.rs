//! Marks on one line: quotes, bullets, code, bold, bars of a table.

use std::borrow::Cow;

/// The line without marks. Blanks at its end stay: they may tell where a terminal broke it.
pub(super) fn plain(line: &str) -> Cow<'_, str> {
    let line = without_leading_marks(line);
    let line = without_quotes(without_braces(line));
    let line = without_emphasis(line);
    match without_bars(&line) {
        Some(cells) => Cow::Owned(cells),
        None => line,
    }
}

/// Takes off `> > `, `- `, `1. `, in any order.
fn without_leading_marks(mut line: &str) -> &str {
    loop {
        let trimmed = line.trim_start();
        let Some(rest) = after_mark(trimmed) else {
            // Blanks in front are kept where nothing was marked.
            return line;
        };
        line = rest;
    }
}

fn after_mark(line: &str) -> Option<&str> {
    const BULLETS: [&str; 7] = [
        "- ",
        "* ",
        "+ ",
        "\u{2022} ",
        "\u{b7} ",
        "\u{25e6} ",
        "\u{2023} ",
    ];
    if let Some(rest) = line.strip_prefix('>') {
        return Some(rest);
    }
    if let Some(rest) = BULLETS.iter().find_map(|bullet| line.strip_prefix(bullet)) {
        return Some(rest);
    }
    after_number(line).or_else(|| after_glued_mark(line))
}

/// `1. ` or `2) `, before a word.
fn after_number(line: &str) -> Option<&str> {
    let digits = line.bytes().take_while(u8::is_ascii_digit).count();
    let rest = &line[digits..];
    let rest = rest
        .strip_prefix(". ")
        .or_else(|| rest.strip_prefix(") "))?;
    let before_word = rest.trim_start().starts_with(|c: char| !c.is_ascii_digit());
    ((1..=3).contains(&digits) && before_word).then_some(rest)
}

/// `+tcp`, `-tcp` of a difference, `*CLOSE-WAIT ...*` of a chat.
fn after_glued_mark(line: &str) -> Option<&str> {
    const ROWS: [&str; 6] = ["tcp", "TCP", "LISTEN", "ESTAB", "CLOSE", "FIN"];
    // `--` and `-->` are no marks, nor are options.
    let rest = line.strip_prefix(['+', '*', '-', '_', '~'])?;
    ROWS.iter().any(|row| rest.starts_with(row)).then_some(rest)
}

/// Takes off the braces with which a wiki sets text in one width; they may end on another line.
fn without_braces(line: &str) -> &str {
    let line = line.trim_start().strip_prefix("{{").unwrap_or(line);
    line.trim_end().strip_suffix("}}").unwrap_or(line)
}

/// Takes off what a list of texts and the like put around the whole line.
fn without_quotes(line: &str) -> &str {
    const AROUND: [(&str, &str); 3] = [("\"", "\""), ("'", "'"), ("__", "__")];
    let bare = line.trim().trim_end_matches([',', ' ']);
    let inside = AROUND.iter().find_map(|(start, end)| {
        let inside = bare.strip_prefix(start)?.strip_suffix(end)?;
        (!inside.is_empty()).then_some(inside)
    });
    // A shell's line goes on behind a backslash.
    inside.unwrap_or_else(|| line.strip_suffix(" \\").unwrap_or(line))
}

fn without_emphasis(line: &str) -> Cow<'_, str> {
    let has_marks = line.contains(['`', '\\']) || line.contains("**") || line.contains("~~");
    let ends_bold = ends_with_mark(line);
    if !has_marks && !ends_bold {
        return Cow::Borrowed(line);
    }
    let mut plain = without_bold(&line.replace('`', "").replace("~~", ""));
    if plain.contains('\\') {
        plain = without_escapes(&plain);
    }
    if ends_with_mark(&plain) {
        plain.pop();
    }
    Cow::Owned(plain)
}

/// Takes off `**`, but where it stands for a part of an address: `10.0.0.**:80`.
fn without_bold(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("**") {
        plain.push_str(before);
        let is_hidden = before.ends_with('.') || after.starts_with(['.', ':']);
        if is_hidden {
            plain.push_str("**");
        }
        rest = after;
    }
    plain.push_str(rest);
    plain
}

/// A star that closes what one opened: not the star of an address.
fn ends_with_mark(line: &str) -> bool {
    let Some(before) = line.strip_suffix('*') else {
        return false;
    };
    before.ends_with(|c: char| c.is_alphanumeric() || matches!(c, ')' | '-'))
}

/// Markdown escapes characters that mean something to it.
fn without_escapes(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        let is_escape = character == '\\'
            && characters
                .peek()
                .is_some_and(|next| "_*|[]<>#-.`()".contains(*next));
        if !is_escape {
            plain.push(character);
        }
    }
    plain
}

/// The cells of a row of a table, as words.
fn without_bars(line: &str) -> Option<String> {
    const BARS: [char; 5] = ['|', '\u{2502}', '\u{2503}', '\u{2551}', '\u{a6}'];
    let trimmed = line.trim_start();
    let is_drawn = line.contains(&BARS[1..]);
    let is_framed = trimmed.starts_with('|') && trimmed.len() > 1;
    // A table without a frame; a command line has bars, too, but does not begin like a row.
    let is_open = line.matches(" | ").count() >= 3
        && ["tcp", "State", "Proto", "LISTEN", "ESTAB", "CLOSE", "Netid"]
            .iter()
            .any(|start| trimmed.starts_with(start));
    (is_drawn || is_framed || is_open).then(|| line.replace(BARS, " "))
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn marks_go_and_what_looks_like_one_stays() {
        for (marked, expected) in [
            ("> > tcp 1", " tcp 1"),
            (">> tcp 1", " tcp 1"),
            ("- tcp 1", "tcp 1"),
            ("1. tcp 1", "tcp 1"),
            ("+tcp 1", "tcp 1"),
            ("*:80 *:*", "*:80 *:*"),
            ("*LISTEN 0*", "LISTEN 0"),
            ("LISTEN 0 1 *:80 *:*", "LISTEN 0 1 *:80 *:*"),
            ("   0: 0100007F:1F90", "   0: 0100007F:1F90"),
            ("12 CLOSE_WAIT", "12 CLOSE_WAIT"),
            ("| a | b |", "  a   b  "),
            ("ss -tan | grep x | wc | y", "ss -tan | grep x | wc | y"),
            ("C:\\Users> dir", "C:\\Users> dir"),
            ("--> x", "--> x"),
        ] {
            assert_eq!(plain(marked), expected, "{marked}");
        }
    }
}
