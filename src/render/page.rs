//! The pages of `explain` on a terminal.

use std::io::{self, Write};

use anstyle::Style;

use crate::rules::{RULES, summary_of};

/// A page that is about no single finding.
pub struct Topic {
    /// The name by which `explain` finds it.
    pub name: &'static str,
    /// The page, in Markdown.
    pub page: &'static str,
}

/// All topics, in the order of their names.
pub const TOPICS: &[Topic] = &[Topic {
    name: "waits",
    page: include_str!("../../docs/waits.md"),
}];

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

/// Writes a page: its Markdown as it is, with bold headings if colours are on.
///
/// # Errors
///
/// When the writer fails.
pub fn write_page(page: &str, out: &mut dyn Write) -> io::Result<()> {
    let heading = Style::new().bold();
    let mut in_code = false;
    for line in page.lines() {
        in_code ^= line.starts_with("```");
        if line.starts_with('#') && !in_code {
            writeln!(out, "{heading}{line}{heading:#}")?;
        } else {
            writeln!(out, "{line}")?;
        }
    }
    Ok(())
}
