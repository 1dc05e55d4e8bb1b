//! The remedies themselves, by what they speak of.

mod anyone;
mod limits;
mod looks;
mod products;
mod runtimes;
mod servers;

use super::{Cause, Claim, Remedy, Topic, Whom};
use crate::model::{Library, Runtime, Server};

/// All of them. Where several of one topic fit equally well, they are printed in this order.
pub(super) fn all() -> impl Iterator<Item = &'static Remedy> {
    [
        anyone::REMEDIES,
        limits::REMEDIES,
        looks::REMEDIES,
        products::REMEDIES,
        runtimes::REMEDIES,
        servers::REMEDIES,
    ]
    .into_iter()
    .flatten()
}

const BUSY: &str = "acceptor-busy";
const UNWATCHED: &str = "listener-unwatched";
const EDGE: &str = "edge-triggered-stall";
const LIMIT: &str = "fd-limit-reached";
const UNREAD: &str = "unread-eof";
const UNCLOSED: &str = "unclosed-after-eof";
const INHERITED: &str = "inherited-descriptor";
const POOL: &str = "idle-pool-connection";
const DEAD: &str = "dead-descriptor";

/// A remedy that needs nothing and that nothing refutes.
const fn remedy(
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
const fn code(findings: &'static [&'static str], whom: Whom, text: &'static str) -> Remedy {
    remedy(Topic::Code, findings, &[], whom, text)
}

const fn servers(of: &'static [Server]) -> Whom {
    Whom::Servers(of)
}

const fn libraries(of: &'static [Library]) -> Whom {
    Whom::Libraries(of)
}

const fn runtimes(of: &'static [Runtime]) -> Whom {
    Whom::Runtimes(of)
}

impl Remedy {
    const fn needing(mut self, claims: &'static [Claim]) -> Self {
        self.needs = claims;
        self
    }

    const fn unless(mut self, claims: &'static [Claim]) -> Self {
        self.refuted_by = claims;
        self
    }
}
