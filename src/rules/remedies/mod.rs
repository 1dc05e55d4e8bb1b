//! What to do, as data: each remedy declares its findings, its audience, the facts it needs and the facts that
//! refute it.

mod facts;
mod table;

use crate::model::{Library, Runtime, Server, Software};

pub(super) use facts::{Cause, Claim, Facts};

/// The topic of a remedy. Remedies are printed in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Topic {
    /// What to look into first.
    Root,
    /// What the author or the configuration has to change.
    Code,
    /// The limit to raise, and where.
    ForGood,
    /// What helps at once.
    Now,
    /// How to see more.
    Look,
}

/// The programs that a remedy is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whom {
    Anyone,
    /// Programs without a recognised runtime: they make their system calls themselves.
    OwnCalls,
    Runtimes(&'static [Runtime]),
    Libraries(&'static [Library]),
    Servers(&'static [Server]),
    /// Servers whose process waits without an event library.
    BlockingServers(&'static [Server]),
}

/// One line of advice.
#[derive(Debug)]
struct Remedy {
    topic: Topic,
    /// The findings it is for.
    findings: &'static [&'static str],
    /// The causes it is for; empty: whatever the cause is, and for code whatever is not special.
    causes: &'static [Cause],
    whom: Whom,
    /// Facts that must be known to hold.
    needs: &'static [Claim],
    /// Facts that refute it.
    refuted_by: &'static [Claim],
    /// The line. `{pid}`, `{tid}`, `{name}`, `{heir}` and `{where}` stand for what the facts say.
    text: &'static str,
}

impl Whom {
    /// How closely it fits; none where it does not.
    fn fits(self, software: &Software) -> Option<u8> {
        match self {
            Self::Anyone => Some(0),
            Self::OwnCalls => {
                let own = matches!(software.runtime, Runtime::Unknown | Runtime::Native);
                (own && software.library.is_none()).then_some(1)
            }
            Self::Runtimes(of) => of.contains(&software.runtime).then_some(1),
            Self::Libraries(of) => of.contains(&software.library?).then_some(2),
            Self::Servers(of) => of.contains(&software.server?).then_some(3),
            Self::BlockingServers(of) => {
                let blocks = software.library.is_none();
                (blocks && of.contains(&software.server?)).then_some(3)
            }
        }
    }
}

impl Remedy {
    /// How closely it fits; none where it is for something else, or is refuted.
    fn fits(&self, facts: &Facts) -> Option<u8> {
        let is_code = self.topic == Topic::Code;
        let of_cause = if self.causes.is_empty() {
            !(is_code && facts.cause.is_special())
        } else {
            self.causes.contains(&facts.cause)
        };
        let holds = self.needs.iter().all(|claim| facts.knows(*claim))
            && !self.refuted_by.iter().any(|claim| facts.knows(*claim));
        if !self.findings.contains(&facts.finding) || !of_cause || !holds {
            return None;
        }
        // The user cannot change the code of a packaged program.
        let by_author =
            is_code && !matches!(self.whom, Whom::Servers(_) | Whom::BlockingServers(_));
        if by_author && facts.software.is_product() {
            return None;
        }
        self.whom.fits(&facts.software)
    }
}

/// Returns the remedies for these facts, in the order of their topics. Of several on one topic only the
/// closest are returned.
pub(super) fn remedies(facts: &Facts) -> Vec<String> {
    let mut fitting: Vec<(&Remedy, u8)> = table::all()
        .filter_map(|remedy| Some((remedy, remedy.fits(facts)?)))
        .collect();
    let closest = |topic: Topic| {
        let same = fitting.iter().filter(|(remedy, _)| remedy.topic == topic);
        same.map(|(_, rank)| *rank).max()
    };
    let best: Vec<Option<u8>> = fitting
        .iter()
        .map(|(remedy, _)| closest(remedy.topic))
        .collect();
    let mut best = best.into_iter();
    fitting.retain(|(_, rank)| best.next() == Some(Some(*rank)));
    fitting.sort_by_key(|(remedy, _)| remedy.topic);
    fitting
        .into_iter()
        .map(|(remedy, _)| facts.fill(remedy.text))
        .collect()
}

#[cfg(test)]
mod tests;
