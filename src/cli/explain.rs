//! `explain`: the page of a finding, or of a topic.

use std::io::{self, IsTerminal};

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};

use super::{OutputOptions, output, pager};
use crate::model::similar;
use crate::render::page::{self, TOPICS};
use crate::rules::RULES;

/// Explain a finding: what it means, how it is told apart, causes, the cure, what not to do.
#[derive(Args)]
pub(super) struct ExplainArgs {
    /// The finding, or `waits`: how a wait chain is read; the beginning of the name will do. Without it, all
    /// are listed.
    #[arg(value_name = "ID")]
    id: Option<String>,

    /// How to print the page [default: terminal on a terminal, else markdown].
    #[arg(long, value_enum)]
    format: Option<Format>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For reading, through $PAGER or less.
    Terminal,
    /// The page as it is kept.
    Markdown,
}

/// The most names that are suggested.
const SUGGESTED: usize = 3;

pub(super) fn run(arguments: &ExplainArgs, output_options: OutputOptions) -> Result<()> {
    output::expect_no_json(output_options, "explain")?;
    let Some(id) = &arguments.id else {
        output::with_stdout(output_options.color, |out| page::write_list(out))?;
        return Ok(());
    };
    let text = find(id)?;
    let on_terminal = io::stdout().is_terminal();
    let format = arguments.format.unwrap_or(if on_terminal {
        Format::Terminal
    } else {
        Format::Markdown
    });
    match format {
        Format::Markdown => {
            output::with_stdout(output_options.color, |out| page::write_markdown(text, out))?;
        }
        Format::Terminal => pager::page(output_options.color, |out| {
            page::write_page(text, output::table_options(output_options).width, out)
        })?,
    }
    Ok(())
}

/// Every name that has a page.
fn pages() -> impl Iterator<Item = (&'static str, &'static str)> {
    let findings = RULES.iter().map(|rule| (rule.id, rule.page));
    findings.chain(TOPICS.iter().map(|topic| (topic.name, topic.page)))
}

/// Finds the page by its name, or by the beginning of one name.
fn find(id: &str) -> Result<&'static str> {
    if let Some((_, page)) = pages().find(|(name, _)| *name == id) {
        return Ok(page);
    }
    let begins: Vec<_> = pages().filter(|(name, _)| name.starts_with(id)).collect();
    if let [(_, page)] = begins[..] {
        return Ok(page);
    }
    let names = |of: &[(&str, &str)]| {
        let names: Vec<&str> = of.iter().map(|(name, _)| *name).collect();
        names.join(", ")
    };
    if begins.len() > 1 && !id.is_empty() {
        bail!("`{id}` begins several: {}", names(&begins));
    }
    let near = similar::closest(id, pages().map(|(name, _)| name), SUGGESTED);
    if near.is_empty() {
        let all: Vec<_> = pages().collect();
        bail!("there is no finding `{id}`; there are {}", names(&all));
    }
    bail!(
        "there is no finding `{id}`; did you mean {}?",
        near.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(id: &str) -> String {
        find(id).expect_err("there is no such page").to_string()
    }

    #[test]
    fn a_page_is_found_by_its_name_and_by_the_beginning_of_one_name() {
        for (name, page) in pages() {
            assert_eq!(find(name).unwrap(), page, "{name}");
        }
        assert_eq!(find("edge").unwrap(), find("edge-triggered-stall").unwrap());
        // A whole name is itself, though it may begin another.
        assert_eq!(find("wai").unwrap(), find("waits").unwrap());
    }

    #[test]
    fn a_beginning_of_several_and_a_slip_name_those_that_are_near() {
        assert!(refusal("unclosed-after-e0f").contains("did you mean unclosed-after-eof"));
        let several = refusal("acceptor");
        assert!(
            several.contains("acceptor-busy, acceptor-stopped"),
            "{several}"
        );
        assert!(refusal("xyz").contains("there are accept-queue-overflow"));
    }
}
