//! The pages of `explain` on a terminal.

use std::io::{self, Write};

use anstyle::Style;

use crate::rules::{RULES, Rule};

/// Writes one line for each rule.
///
/// # Errors
///
/// When the writer fails.
pub fn write_list(out: &mut dyn Write) -> io::Result<()> {
    let bold = Style::new().bold();
    let widest = RULES.iter().map(|rule| rule.id.len()).max().unwrap_or(0);
    for rule in RULES {
        let id = rule.id;
        let gap = widest - id.len();
        writeln!(out, "{bold}{id}{bold:#}{:gap$}  {}", "", rule.summary())?;
    }
    Ok(())
}

/// Writes the page of a rule: its Markdown as it is, with bold headings if colours are on.
///
/// # Errors
///
/// When the writer fails.
pub fn write_page(rule: &Rule, out: &mut dyn Write) -> io::Result<()> {
    let heading = Style::new().bold();
    let mut in_code = false;
    for line in rule.page.lines() {
        in_code ^= line.starts_with("```");
        if line.starts_with('#') && !in_code {
            writeln!(out, "{heading}{line}{heading:#}")?;
        } else {
            writeln!(out, "{line}")?;
        }
    }
    Ok(())
}
