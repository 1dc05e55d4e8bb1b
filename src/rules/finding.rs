//! What a rule reports.

use std::net::SocketAddr;

pub use crate::model::Confidence;
use crate::model::Pid;

/// How bad it is. Ordered: the worst is the greatest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Something is wrong; no client is affected yet.
    Warning,
    /// Clients are affected now.
    Critical,
}

/// What a finding is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubjectKind {
    /// A listener and its queue.
    Listener,
    /// A process and the connections it holds.
    Process,
    /// Connections whose owner is not known.
    Connection,
}

/// What a finding is about, and where to find it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// The network namespace, by the name that reports use.
    pub netns: String,
    /// What it is.
    pub kind: SubjectKind,
    /// The local address, of a listener or of the connections that came in there.
    pub local: Option<SocketAddr>,
    /// The remote service, of connections that we opened.
    pub remote: Option<SocketAddr>,
    /// The processes that should do something.
    pub pids: Vec<Pid>,
}

/// What is wrong, how it is known, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The rule's id.
    pub id: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// How sure the rule is.
    pub confidence: Confidence,
    /// What it is about.
    pub subject: Subject,
    /// What is wrong, in one sentence.
    pub headline: String,
    /// What was seen, with numbers.
    pub evidence: Vec<String>,
    /// What follows from it, where the headline does not say all.
    pub conclusion: Option<String>,
    /// What to do.
    pub remedies: Vec<String>,
    /// How many connections it covers.
    pub connections: usize,
}
