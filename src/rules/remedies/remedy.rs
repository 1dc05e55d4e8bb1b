//! A remedy as data: what it says of itself, and how one is written down.

use super::facts::{Cause, Claim, Facts};
use crate::model::{Library, Runtime, Server, Software};

/// The topic of a remedy. Remedies are printed in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Topic {
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
pub(super) enum Whom {
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
pub(super) struct Remedy {
    pub(super) topic: Topic,
    /// The findings it is for.
    pub(super) findings: &'static [&'static str],
    /// The causes it is for; empty: whatever the cause is, and for code whatever is not special.
    pub(super) causes: &'static [Cause],
    pub(super) whom: Whom,
    /// Facts that must be known to hold.
    pub(super) needs: &'static [Claim],
    /// Facts that refute it.
    pub(super) refuted_by: &'static [Claim],
    /// What to do, and after it a line for each command that does it, beginning with `$ `. `{pid}`, `{tid}`, `{name}`, `{heir}` and `{where}` stand for what the facts say.
    pub(super) text: &'static str,
}

impl Whom {
    /// How closely it fits; none where it does not.
    pub(super) fn fits(self, software: &Software) -> Option<u8> {
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
    pub(super) fn fits(&self, facts: &Facts) -> Option<u8> {
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

pub(super) const BUSY: &str = "acceptor-busy";
pub(super) const UNWATCHED: &str = "listener-unwatched";
pub(super) const EDGE: &str = "edge-triggered-stall";
pub(super) const LIMIT: &str = "fd-limit-reached";
pub(super) const UNREAD: &str = "unread-eof";
pub(super) const UNCLOSED: &str = "unclosed-after-eof";
pub(super) const INHERITED: &str = "inherited-descriptor";
pub(super) const POOL: &str = "idle-pool-connection";
pub(super) const DEAD: &str = "dead-descriptor";

/// A remedy that needs nothing and that nothing refutes.
pub(super) const fn remedy(
    topic: Topic,
    findings: &'static [&'static str],
    causes: &'static [Cause],
    whom: Whom,
    text: &'static str,
) -> Remedy {
    Remedy {
        topic,
        findings,
        causes,
        whom,
        needs: &[],
        refuted_by: &[],
        text,
    }
}

/// What the code of a runtime, library or server has to do, or its configuration, whatever the cause of the
/// finding is.
pub(super) const fn code(
    findings: &'static [&'static str],
    whom: Whom,
    text: &'static str,
) -> Remedy {
    remedy(Topic::Code, findings, &[], whom, text)
}

pub(super) const fn servers(of: &'static [Server]) -> Whom {
    Whom::Servers(of)
}

pub(super) const fn libraries(of: &'static [Library]) -> Whom {
    Whom::Libraries(of)
}

pub(super) const fn runtimes(of: &'static [Runtime]) -> Whom {
    Whom::Runtimes(of)
}

impl Remedy {
    pub(super) const fn needing(mut self, claims: &'static [Claim]) -> Self {
        self.needs = claims;
        self
    }

    pub(super) const fn unless(mut self, claims: &'static [Claim]) -> Self {
        self.refuted_by = claims;
        self
    }
}
