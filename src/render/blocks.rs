//! Findings in blocks: one disease is one block, its worst finding with the effects below it.

use std::io::{self, Write};

use super::cells::TableOptions;
use super::disease::Block;
use super::escape::escape;
use super::paragraphs::{write_commands, write_line, write_text};
use super::verdict::{finding_line, severity as severity_word};
use super::who::who;
use crate::report::Report;
use crate::rules::{Advice, Evidence, Finding, Severity, Weight};

/// How much of a block is shown where not everything is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Budget {
    /// The most sentences of evidence.
    evidence: usize,
    /// The most things to do.
    remedies: usize,
    /// Whether the processes are described.
    who: bool,
}

impl Budget {
    /// From the largest to the smallest: the first with which a report fits its screen is taken.
    pub(super) const ALL: [Self; 6] = [
        Self::new(4, 4, true),
        Self::new(3, 3, true),
        Self::new(2, 3, true),
        Self::new(1, 3, true),
        Self::new(1, 3, false),
        Self::new(1, 2, false),
    ];

    const fn new(evidence: usize, remedies: usize, who: bool) -> Self {
        Self {
            evidence,
            remedies,
            who,
        }
    }
}

/// Writes a block. Of the first the line that begins it is the first line of the report, and is not repeated.
pub(super) fn write_block(
    report: &Report,
    block: &Block,
    is_first: bool,
    budget: Budget,
    options: TableOptions,
    out: &mut dyn Write,
) -> io::Result<()> {
    if !is_first {
        write_line(&finding_line(report, block.cause), options, out)?;
    }
    if block.cause.severity == Severity::Info && !options.is_full() {
        return Ok(());
    }
    write_details(report, block.cause, budget, options, out)?;
    if !options.is_full() {
        write_text("also", &effects(&block.effects), options, out)?;
        return write_commands("more", &[explain(block.cause)], out);
    }
    write_commands("more", &[explain(block.cause)], out)?;
    for effect in &block.effects {
        writeln!(out)?;
        write_line(&finding_line(report, effect), options, out)?;
        write_details(report, effect, budget, options, out)?;
        write_commands("more", &[explain(effect)], out)?;
    }
    Ok(())
}

fn explain(finding: &Finding) -> String {
    format!("closewait-doctor explain {}", finding.id)
}

/// The effects by their kinds, in one sentence: `WARNING unread-eof: 20 connections`.
fn effects(effects: &[&Finding]) -> Option<String> {
    let mut kinds: Vec<(Severity, &str, usize)> = Vec::new();
    for effect in effects {
        match kinds.iter_mut().find(|(_, id, _)| *id == effect.id) {
            Some((_, _, connections)) => *connections += effect.connections,
            None => kinds.push((effect.severity, effect.id, effect.connections)),
        }
    }
    let kinds: Vec<String> = kinds
        .into_iter()
        .map(|(severity, id, connections)| {
            let (_, word) = severity_word(severity);
            let s = if connections == 1 { "" } else { "s" };
            format!("{word} {id}: {connections} connection{s}")
        })
        .collect();
    (!kinds.is_empty()).then(|| format!("{} (-v)", kinds.join("; ")))
}

fn write_details(
    report: &Report,
    finding: &Finding,
    budget: Budget,
    options: TableOptions,
    out: &mut dyn Write,
) -> io::Result<()> {
    if budget.who || options.is_full() {
        let who = who(report, &finding.subject.pids, options);
        write_text("who", &who, options, out)?;
    }
    write_text("seen", &evidence(finding, budget, options), options, out)?;
    write_text("so", &finding.conclusion, options, out)?;
    let most = if options.is_full() {
        finding.remedies.len()
    } else {
        budget.remedies
    };
    let mut label = "do";
    for advice in first(&finding.remedies, most) {
        write_advice(label, advice, options, out)?;
        label = "";
    }
    Ok(())
}

/// The first things to do, and of those that are left out the first that has a command.
fn first(remedies: &[Advice], most: usize) -> Vec<&Advice> {
    if remedies.len() <= most {
        return remedies.iter().collect();
    }
    let (shown, left) = remedies.split_at(most.saturating_sub(1));
    let next = left.iter().find(|advice| !advice.commands.is_empty());
    shown.iter().chain(next.or(left.first())).collect()
}

/// The sentences on which the finding rests, without those that its headline contains; of a finding without such
/// sentences, the first of the others.
fn evidence(finding: &Finding, budget: Budget, options: TableOptions) -> Vec<String> {
    let has_key = finding.evidence.iter().any(|one| one.weight == Weight::Key);
    let is_shown = |one: &&Evidence| {
        let is_new = !finding.headline.contains(&one.text);
        options.is_full() || (is_new && (one.weight == Weight::Key || !has_key))
    };
    let most = if options.is_full() {
        usize::MAX
    } else {
        budget.evidence
    };
    let shown = finding.evidence.iter().filter(is_shown).take(most);
    shown.map(|one| one.text.clone()).collect()
}

/// What to do in words, and its commands below it, each whole and on its own line.
fn write_advice(
    label: &str,
    advice: &Advice,
    options: TableOptions,
    out: &mut dyn Write,
) -> io::Result<()> {
    let text = if advice.commands.is_empty() {
        advice.text.clone()
    } else {
        format!("{}:", advice.text)
    };
    write_text(label, [&text], options, out)?;
    let commands: Vec<String> = advice
        .commands
        .iter()
        .map(|one| escape(one).into_owned())
        .collect();
    write_commands("", &commands, out)
}
