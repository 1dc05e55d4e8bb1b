//! Findings that are one disease.

use crate::rules::{Finding, Severity};

/// A finding, and others that come with it.
pub(super) struct Block<'a> {
    /// The worst of them.
    pub(super) cause: &'a Finding,
    /// The others: of the same processes, at the same port.
    pub(super) effects: Vec<&'a Finding>,
}

/// Puts findings together that are one disease. They are sorted, the worst first, and so are the blocks.
pub(super) fn blocks(findings: &[Finding]) -> Vec<Block<'_>> {
    let mut blocks: Vec<Block> = Vec::new();
    for finding in findings {
        match blocks
            .iter_mut()
            .find(|block| belongs(finding, block.cause))
        {
            Some(block) => block.effects.push(finding),
            None => blocks.push(Block {
                cause: finding,
                effects: Vec::new(),
            }),
        }
    }
    blocks
}

/// Returns whether a finding is about the same port, and about a process of the cause. What is only worth knowing
/// belongs to a worse finding about the process wherever it is.
fn belongs(finding: &Finding, cause: &Finding) -> bool {
    let (one, other) = (&finding.subject, &cause.subject);
    let port = |finding: &Finding| finding.subject.local.map(|local| local.port());
    let shares_process = one.pids.iter().any(|pid| other.pids.contains(pid));
    let is_nobodys = one.pids.is_empty() || other.pids.is_empty();
    let same_port = port(finding).is_some() && port(finding) == port(cause);
    let is_aside = finding.severity == Severity::Info && cause.severity > Severity::Info;
    one.netns == other.netns
        && ((same_port && (shares_process || is_nobodys)) || (is_aside && shares_process))
}
