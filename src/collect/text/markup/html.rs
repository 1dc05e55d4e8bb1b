//! Tags and entities of HTML, and the tags of forums.
//!
//! Only tags that are known are taken off: a hidden address may be `<IP>`, a speaker `<kim>`.

/// Tags that stand within a line.
const INLINE: [&str; 29] = [
    "a", "abbr", "b", "big", "code", "del", "em", "font", "i", "ins", "kbd", "mark", "q", "s",
    "samp", "small", "span", "strike", "strong", "sub", "sup", "thead", "tbody", "tt", "u", "var",
    "color", "size", "url",
];

/// Tags that end a line.
const BLOCK: [&str; 25] = [
    "blockquote",
    "body",
    "br",
    "div",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "head",
    "hr",
    "html",
    "li",
    "ol",
    "p",
    "pre",
    "section",
    "table",
    "title",
    "tr",
    "ul",
    "quote",
    "details",
    "summary",
];

/// Tags that end a cell of a table.
const CELL: [&str; 2] = ["td", "th"];

/// The text without tags and with characters for entities.
pub(super) fn plain(text: &str) -> String {
    let text = without_tags(text);
    // What was pasted into a web form is escaped twice.
    let text = if text.contains('&') {
        with_characters(&with_characters(&text))
    } else {
        text
    };
    text.replace(['\u{200b}', '\u{feff}'], "")
}

fn without_tags(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut rows = TableRows::default();
    while let Some(start) = rest.find(['<', '[', '{']) {
        let (before, tag) = rest.split_at(start);
        rows.push(before, &mut out);
        if let Some((replacement, length)) = parse_tag(tag) {
            rows.pass(tag);
            out.push_str(replacement);
            rest = &tag[length..];
        } else {
            out.push_str(&tag[..1]);
            rest = &tag[1..];
        }
    }
    rows.push(rest, &mut out);
    out
}

/// Whether a row of a table is open, in which the end of a line is a blank.
#[derive(Default)]
struct TableRows {
    is_open: bool,
}

impl TableRows {
    fn pass(&mut self, tag: &str) {
        let starts = |name: &str| {
            let start = tag.get(..name.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(name))
        };
        if starts("<td") || starts("<th") {
            self.is_open = true;
        } else if starts("</tr") || starts("<tr") || starts("</table") {
            self.is_open = false;
        }
    }

    fn push(&self, text: &str, out: &mut String) {
        if self.is_open {
            out.extend(text.chars().map(|c| if c == '\n' { ' ' } else { c }));
        } else {
            out.push_str(text);
        }
    }
}

/// What stands for a tag at the start of `text`, and its length.
fn parse_tag(text: &str) -> Option<(&'static str, usize)> {
    const LONGEST_TAG: usize = 400;
    if text.starts_with('{') {
        return parse_wiki_tag(text);
    }
    let is_html = text.starts_with('<');
    let inside = text[1..].trim_start_matches('/');
    let name_length = inside
        .bytes()
        .take_while(u8::is_ascii_alphanumeric)
        .take(LONGEST_TAG)
        .count();
    let name = inside[..name_length].to_ascii_lowercase();
    let after_name = inside[name_length..].chars().next()?;
    let closing = if is_html { '>' } else { ']' };
    let may_follow = [closing, ' ', '/', '=', '\n'];
    if !may_follow.contains(&after_name) || (!is_html && !is_forum_tag(&name)) {
        return None;
    }
    let replacement = if CELL.contains(&name.as_str()) {
        " "
    } else if BLOCK.contains(&name.as_str()) && is_html {
        "\n"
    } else if INLINE.contains(&name.as_str()) || !is_html {
        ""
    } else {
        return None;
    };
    let end = text
        .bytes()
        .take(LONGEST_TAG)
        .position(|byte| byte == closing as u8)?;
    Some((replacement, end + 1))
}

/// `{color:red}`, `{noformat}` of a wiki, and the braces around what is set in one width.
fn parse_wiki_tag(text: &str) -> Option<(&'static str, usize)> {
    const TAGS: [&str; 5] = ["color", "noformat", "code", "quote", "panel"];
    const LONGEST_TAG: usize = 80;
    let inside = &text[1..];
    let name_length = inside.bytes().take_while(u8::is_ascii_lowercase).count();
    let is_tag =
        TAGS.contains(&&inside[..name_length]) && inside[name_length..].starts_with(['}', ':']);
    let end = text
        .bytes()
        .take(LONGEST_TAG)
        .position(|byte| byte == b'}')?;
    is_tag.then_some(("", end + 1))
}

/// `[code]`, `[b]`: of one letter, or a word that is no host.
fn is_forum_tag(name: &str) -> bool {
    matches!(
        name,
        "b" | "i" | "u" | "code" | "quote" | "pre" | "color" | "size" | "url"
    )
}

fn with_characters(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('&') {
        let (before, entity) = rest.split_at(start);
        out.push_str(before);
        if let Some((character, length)) = parse_entity(entity) {
            out.push(character);
            rest = &entity[length..];
        } else {
            out.push_str(&entity[..1]);
            rest = &entity[1..];
        }
    }
    out.push_str(rest);
    out
}

fn parse_entity(text: &str) -> Option<(char, usize)> {
    const LONGEST_ENTITY: usize = 10;
    let end = text
        .bytes()
        .take(LONGEST_ENTITY)
        .position(|byte| byte == b';')?;
    let character = match &text[1..end] {
        "lt" => '<',
        "gt" | "rarr" => '>',
        "amp" => '&',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => ' ',
        "hellip" => '\u{2026}',
        "lowbar" => '_',
        "colon" => ':',
        "lsqb" | "lbrack" => '[',
        "rsqb" | "rbrack" => ']',
        number => numbered(number)?,
    };
    Some((character, end + 1))
}

fn numbered(entity: &str) -> Option<char> {
    let number = entity.strip_prefix('#')?;
    let code = match number.strip_prefix(['x', 'X']) {
        Some(hexadecimal) => u32::from_str_radix(hexadecimal, 16).ok()?,
        None => number.parse().ok()?,
    };
    let character = char::from_u32(code)?;
    match character {
        '\u{a0}' => Some(' '),
        // These would come after the step that takes them off.
        '\n' | '\t' => Some(character),
        character => (!character.is_control()).then_some(character),
    }
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn known_tags_go_and_everything_else_in_brackets_stays() {
        for (marked, expected) in [
            ("<b>x</b>", "x"),
            ("<span style=\"color:red\">x</span>", "x"),
            ("a<br/>b", "a\nb"),
            ("<td>1</td><td>2</td>", " 1  2 "),
            ("<IP>:80 <kim> <->", "<IP>:80 <kim> <->"),
            ("[code]x[/code] [::1]:80 [b]", "x [::1]:80 "),
            ("[sudo] password", "[sudo] password"),
            ("&lt;IP&gt;:80", "<IP>:80"),
            ("users:((&quot;web&quot;,pid=7))", "users:((\"web\",pid=7))"),
            ("&amp;quot;x&#39;&#x27;", "\"x''"),
            ("a & b; &unknown; &", "a & b; &unknown; &"),
            ("{color:#ff0000}x{color} {noformat} {x} {", "x  {x} {"),
            (
                "<tr>\n<td>1</td>\n<td>2</td>\n</tr>\nx",
                "\n\n 1   2  \n\nx",
            ),
            ("<", "<"),
            ("<b", "<b"),
        ] {
            assert_eq!(plain(marked), expected, "{marked}");
        }
    }
}
