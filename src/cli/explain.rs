//! `explain`: the page of a finding.

use anyhow::{Result, bail};
use clap::Args;

use super::{OutputOptions, output};
use crate::render::page;
use crate::rules::{self, RULES};

/// Explain a finding: what it means, how it is told apart, causes, the cure, what not to do.
#[derive(Args)]
pub(super) struct ExplainArgs {
    /// The finding; without it, all are listed.
    id: Option<String>,
}

pub(super) fn run(arguments: &ExplainArgs, output_options: OutputOptions) -> Result<()> {
    let Some(id) = &arguments.id else {
        output::with_stdout(output_options.color, |out| page::write_list(out))?;
        return Ok(());
    };
    let Some(rule) = rules::find(id) else {
        let known: Vec<&str> = RULES.iter().map(|rule| rule.id).collect();
        bail!("there is no finding `{id}`; there are {}", known.join(", "));
    };
    output::with_stdout(output_options.color, |out| page::write_page(rule, out))?;
    Ok(())
}
