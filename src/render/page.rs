//! The pages of `explain` on a terminal.

use std::fmt::Write as _;
use std::io::{self, Write};

use anstyle::{AnsiColor, Style};

use super::layout::wrap;

use crate::rules::{RULES, summary_of};

/// A page that is about no single finding.
pub struct Topic {
    /// The name by which `explain` finds it.
    pub name: &'static str,
    /// The page, in Markdown.
    pub page: &'static str,
}

/// All topics, in the order of their names.
pub const TOPICS: &[Topic] = &[
    Topic {
        name: "trace",
        page: include_str!("../../docs/trace.md"),
    },
    Topic {
        name: "waits",
        page: include_str!("../../docs/waits.md"),
    },
];

/// Writes one line for each rule, and one for each topic.
///
/// # Errors
///
/// When the writer fails.
pub fn write_list(out: &mut dyn Write) -> io::Result<()> {
    let rules: Vec<(&str, &str)> = RULES.iter().map(|rule| (rule.id, rule.page)).collect();
    let topics: Vec<(&str, &str)> = TOPICS
        .iter()
        .map(|topic| (topic.name, topic.page))
        .collect();
    let widest = rules.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    write_rows(&rules, widest, out)?;
    writeln!(out)?;
    write_rows(&topics, widest, out)
}

fn write_rows(pages: &[(&str, &str)], widest: usize, out: &mut dyn Write) -> io::Result<()> {
    let bold = Style::new().bold();
    for (name, page) in pages {
        let summary = summary_of(page);
        writeln!(
            out,
            "{bold}{name}{bold:#}{:gap$}  {summary}",
            "",
            gap = widest.saturating_sub(name.len())
        )?;
    }
    Ok(())
}

/// Writes a page as it is kept: Markdown, with bold headings if colours are on.
///
/// # Errors
///
/// When the writer fails.
pub fn write_markdown(page: &str, out: &mut dyn Write) -> io::Result<()> {
    let heading = Style::new().bold();
    let mut in_code = false;
    for line in page.lines() {
        in_code ^= line.starts_with(FENCE);
        if line.starts_with('#') && !in_code {
            writeln!(out, "{heading}{line}{heading:#}")?;
        } else {
            writeln!(out, "{line}")?;
        }
    }
    Ok(())
}

/// Begins and ends a block of code in Markdown.
const FENCE: &str = "```";

/// Writes a page for reading on a terminal: without the marks of Markdown, code set in.
///
/// # Errors
///
/// When the writer fails.
pub fn write_page(page: &str, width: Option<u16>, out: &mut dyn Write) -> io::Result<()> {
    let heading = Style::new().bold().underline();
    let code = AnsiColor::Cyan.on_default();
    let mut in_code = false;
    for line in page.lines() {
        if line.starts_with(FENCE) {
            in_code = !in_code;
        } else if in_code {
            writeln!(out, "    {code}{line}{code:#}")?;
        } else if let Some(title) = line.strip_prefix('#') {
            let title = title.trim_start_matches('#').trim_start();
            writeln!(out, "{heading}{title}{heading:#}")?;
        } else if line.starts_with('|') {
            write_table_row(line, width, out)?;
        } else {
            write_wrapped("", line, width, out)?;
        }
    }
    Ok(())
}

/// A row of a table: its first cell, and the others below it, set in.
fn write_table_row(row: &str, width: Option<u16>, out: &mut dyn Write) -> io::Result<()> {
    if row.chars().all(|mark| "|-: ".contains(mark)) {
        return Ok(());
    }
    for (column, cell) in row.trim_matches('|').split(" | ").enumerate() {
        write_wrapped(
            if column == 0 { "" } else { "    " },
            cell.trim(),
            width,
            out,
        )?;
    }
    Ok(())
}

fn write_wrapped(
    before: &str,
    text: &str,
    width: Option<u16>,
    out: &mut dyn Write,
) -> io::Result<()> {
    for line in wrap(text, width, before.len()) {
        writeln!(out, "{before}{}", inline(&line))?;
    }
    Ok(())
}

/// Text without the marks of inline code, emphasis and links.
fn inline(line: &str) -> String {
    let bold = Style::new().bold();
    let mut text = String::new();
    let mut marked = false;
    for part in without_links(line).split('`') {
        if marked {
            let _ = write!(text, "{bold}{part}{bold:#}");
        } else {
            text.push_str(&part.replace("**", ""));
        }
        marked = !marked;
    }
    text
}

/// `[text](target)` to `text`.
fn without_links(markdown: &str) -> String {
    let mut text = String::new();
    let mut rest = markdown;
    while let Some((before, after)) = rest.split_once('[') {
        text.push_str(before);
        if let Some((words, following)) = split_link(after) {
            text.push_str(words);
            rest = following;
        } else {
            text.push('[');
            rest = after;
        }
    }
    text + rest
}

/// The words of a link whose first bracket is taken off, and what follows it.
fn split_link(text: &str) -> Option<(&str, &str)> {
    let (words, target) = text.split_once("](")?;
    let (_, following) = target.split_once(')')?;
    (!words.contains(['[', ']'])).then_some((words, following))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(page: &str, width: Option<u16>) -> String {
        let mut bytes = Vec::new();
        write_page(page, width, &mut bytes).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        anstream::adapter::strip_str(&text).to_string()
    }

    #[test]
    fn no_mark_of_markdown_is_left() {
        let page = "# Title\n\nSee [`waits`](../waits.md) and **this** [1].\n\n```sh\n# ss\n```\n";
        assert_eq!(
            rendered(page, None),
            "Title\n\nSee waits and this [1].\n\n    # ss\n"
        );
    }

    #[test]
    fn pages_fit_a_terminal() {
        for rule in RULES {
            let text = rendered(rule.page, Some(80));
            let code = |line: &&str| !line.starts_with("    ");
            let widest = text
                .lines()
                .filter(code)
                .map(|line| line.chars().count())
                .max();
            assert!(widest <= Some(80), "{}: {widest:?}", rule.id);
            assert!(!text.contains(FENCE), "{}", rule.id);
        }
    }
}
