//! The correlated analysis to findings: one file a rule, all of them pure.
//!
//! To add one: write its page, its file, its line in [`RULES`], tests that make it fire and tests
//! that must not, and the changelog line.

mod accept_queue_overflow;
mod accept_queue_stranded;
mod accepted_unserved;
mod acceptor_busy;
mod acceptor_stopped;
#[cfg(test)]
mod cases;
mod dead_descriptor;
mod edge_triggered_stall;
mod evidence;
mod fd_limit_reached;
mod finding;
mod half_closed_active;
mod idle_pool_connection;
mod inherited_descriptor;
mod leaks;
mod listener_unwatched;
mod peer_not_closing;
mod relay_pair;
mod remedies;
mod rule;
mod stuck_writer;
pub mod thresholds;
mod unattributed_close_wait;
mod unclosed_after_eof;
mod unread_eof;
mod wait_chain;
mod waits;
mod words;

use rule::Check;

use crate::correlate::{Analysis, Lack, Outage, StuckListener};

pub use finding::{Advice, Confidence, Evidence, Finding, Severity, Subject, SubjectKind, Weight};
pub use rule::{Rule, summary_of};
pub use wait_chain::{WaitChain, WaitLink, thread_waits, wait_chain};

/// All rules, in the order of their names.
pub static RULES: &[Rule] = &[
    accept_queue_overflow::RULE,
    accept_queue_stranded::RULE,
    accepted_unserved::RULE,
    acceptor_busy::RULE,
    acceptor_stopped::RULE,
    dead_descriptor::RULE,
    edge_triggered_stall::RULE,
    fd_limit_reached::RULE,
    half_closed_active::RULE,
    idle_pool_connection::RULE,
    inherited_descriptor::RULE,
    listener_unwatched::RULE,
    peer_not_closing::RULE,
    relay_pair::RULE,
    stuck_writer::RULE,
    unattributed_close_wait::RULE,
    unclosed_after_eof::RULE,
    unread_eof::RULE,
];

/// Rules that name the cause of a stuck queue, the one that makes the others meaningless first: a
/// stopped process is not busy, and one at its descriptor limit may sleep on an edge or spin.
static CAUSES: &[&Rule] = &[
    &acceptor_stopped::RULE,
    &fd_limit_reached::RULE,
    &edge_triggered_stall::RULE,
    &listener_unwatched::RULE,
    &acceptor_busy::RULE,
    &accept_queue_stranded::RULE,
];

/// Finds the rule with the given id.
pub fn find(id: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.id == id)
}

/// Judges an analysis; the worst comes first.
pub fn diagnose(analysis: &Analysis) -> Vec<Finding> {
    let mut findings = Vec::new();
    for stuck in analysis.stuck_listeners() {
        findings.extend(cause(analysis, &stuck).map(|found| root_first(analysis, &stuck, found)));
        findings.extend(RULES.iter().filter_map(|rule| match rule.check {
            Check::Queue(check) => check(analysis, &stuck),
            Check::Cause(_) | Check::Leak(_) | Check::Dead(_) | Check::Outage(_) => None,
        }));
    }
    for leak in analysis.leaks() {
        let of_leak = RULES.iter().filter_map(|rule| match rule.check {
            Check::Leak(check) => check(analysis, &leak),
            Check::Cause(_) | Check::Queue(_) | Check::Dead(_) | Check::Outage(_) => None,
        });
        findings.extend(of_leak.map(|found| waits::explain_leak(analysis, found)));
    }
    for dead in &analysis.snapshot.dead {
        findings.extend(RULES.iter().filter_map(|rule| match rule.check {
            Check::Dead(check) => check(analysis, dead),
            Check::Cause(_) | Check::Queue(_) | Check::Leak(_) | Check::Outage(_) => None,
        }));
    }
    for outage in analysis.outages() {
        note_outage(analysis, &outage, &mut findings);
    }
    sort(&mut findings);
    findings
}

/// One disease is one finding: where one speaks of the same processes already, that one becomes critical.
fn note_outage(analysis: &Analysis, outage: &Outage, findings: &mut Vec<Finding>) {
    let speaks_of_it = |finding: &&mut Finding| {
        finding.severity > Severity::Info
            && finding
                .subject
                .pids
                .iter()
                .any(|pid| outage.pids.contains(pid))
    };
    if let Some(finding) = findings.iter_mut().find(speaks_of_it) {
        finding.severity = Severity::Critical;
        finding
            .evidence
            .push(accepted_unserved::evidence(outage).into());
        return;
    }
    if outage.lack == Lack::Unanswered {
        return;
    }
    findings.extend(RULES.iter().filter_map(|rule| match rule.check {
        Check::Outage(check) => check(analysis, outage),
        Check::Cause(_) | Check::Queue(_) | Check::Leak(_) | Check::Dead(_) => None,
    }));
}

/// Puts the worst first, and of equals the surest and the largest.
pub fn sort(findings: &mut [Finding]) {
    findings.sort_by(|a, b| {
        let rank = |finding: &Finding| (finding.severity, finding.confidence, finding.connections);
        rank(b).cmp(&rank(a))
    });
}

/// Where the root of what threads wait for is known, the first remedy is about the root.
fn root_first(analysis: &Analysis, stuck: &StuckListener, mut finding: Finding) -> Finding {
    if let Some(remedy) = waits::first_remedy(&stuck.facts, &stuck.waits, analysis.grace) {
        finding.remedies.insert(0, remedy.into());
    }
    finding
}

fn cause(analysis: &Analysis, stuck: &StuckListener) -> Option<Finding> {
    CAUSES.iter().find_map(|rule| match rule.check {
        Check::Cause(check) => check(analysis, stuck),
        Check::Queue(_) | Check::Leak(_) | Check::Dead(_) | Check::Outage(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const HEADINGS: [&str; 5] = [
        "## What it means",
        "## How it is told apart",
        "## Causes",
        "## What to do",
        "## What not to do",
    ];

    #[test]
    fn rules_are_sorted_and_their_ids_unique() {
        let ids: Vec<&str> = RULES.iter().map(|rule| rule.id).collect();
        let sorted: BTreeSet<&str> = ids.iter().copied().collect();
        assert_eq!(ids, sorted.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn every_page_has_its_title_a_summary_and_all_headings() {
        for rule in RULES {
            let mut lines = rule.page.lines();
            assert_eq!(lines.next(), Some(&*format!("# {}", rule.id)));
            assert!(!rule.summary().is_empty(), "{}", rule.id);
            let headings: Vec<&str> = lines.filter(|line| line.starts_with("## ")).collect();
            assert_eq!(headings, HEADINGS, "{}", rule.id);
        }
    }

    #[test]
    fn every_cause_is_ranked() {
        let causes: BTreeSet<&str> = RULES
            .iter()
            .filter(|rule| matches!(rule.check, Check::Cause(_)))
            .map(|rule| rule.id)
            .collect();
        let ranked: BTreeSet<&str> = CAUSES.iter().map(|rule| rule.id).collect();
        assert_eq!(causes, ranked);
        assert_eq!(ranked.len(), CAUSES.len());
    }

    #[test]
    #[expect(
        clippy::disallowed_methods,
        reason = "the catalogue is compared with the folder"
    )]
    fn every_file_and_every_page_is_registered() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let names = |folder: &str, ending: &str| -> BTreeSet<String> {
            std::fs::read_dir(root.join(folder))
                .unwrap()
                .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
                .filter_map(|name| Some(name.strip_suffix(ending)?.replace('_', "-")))
                .collect()
        };
        let ids: BTreeSet<String> = RULES.iter().map(|rule| rule.id.to_owned()).collect();
        let mut files = names("src/rules", ".rs");
        for other in [
            "mod",
            "evidence",
            "finding",
            "leaks",
            "rule",
            "thresholds",
            "wait-chain",
            "waits",
            "words",
        ] {
            assert!(files.remove(other));
        }
        assert_eq!(files, ids);
        let mut pages = names("docs/findings", ".md");
        pages.remove("README");
        assert_eq!(pages, ids);
    }
}
