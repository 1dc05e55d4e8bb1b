//! `explain`: the page of a finding, or of a topic.

use anyhow::{Result, bail};
use clap::Args;

use super::{OutputOptions, output};
use crate::render::page::{self, TOPICS};
use crate::rules::{self, RULES};

/// Explain a finding: what it means, how it is told apart, causes, the cure, what not to do.
#[derive(Args)]
pub(super) struct ExplainArgs {
    /// The finding, or `waits`: how a wait chain is read. Without it, all are listed.
    id: Option<String>,
}

pub(super) fn run(arguments: &ExplainArgs, output_options: OutputOptions) -> Result<()> {
    let Some(id) = &arguments.id else {
        output::with_stdout(output_options.color, |out| page::write_list(out))?;
        return Ok(());
    };
    let Some(text) = find(id) else {
        let ids = RULES.iter().map(|rule| rule.id);
        let known: Vec<&str> = ids.chain(TOPICS.iter().map(|topic| topic.name)).collect();
        bail!("there is no finding `{id}`; there are {}", known.join(", "));
    };
    output::with_stdout(output_options.color, |out| page::write_page(text, out))?;
    Ok(())
}

fn find(id: &str) -> Option<&'static str> {
    let finding = rules::find(id).map(|rule| rule.page);
    finding.or_else(|| {
        let topic = TOPICS.iter().find(|topic| topic.name == id);
        topic.map(|topic| topic.page)
    })
}
