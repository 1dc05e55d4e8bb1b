//! What makes the findings of two looks the same one.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use crate::report::Report;
use crate::rules::{Finding, SubjectKind};

/// The identity of a finding over many looks. It has no process ids: workers come and go, and the disease stays.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FindingKey {
    /// The rule's id.
    pub id: &'static str,
    /// The network namespace, by the name that reports use.
    pub netns: String,
    /// The local address, of a listener or of connections that came in there.
    pub local: Option<SocketAddr>,
    /// The remote service, of connections that this host opened.
    pub remote: Option<SocketAddr>,
    /// The names of the processes, of a finding about a process.
    pub commands: BTreeSet<String>,
}

impl FindingKey {
    /// Returns the identity of a finding of this report.
    pub fn new(report: &Report, finding: &Finding) -> Self {
        let subject = &finding.subject;
        // A listener is known by its address; who waits at it may change.
        let pids = match subject.kind {
            SubjectKind::Listener => &[][..],
            SubjectKind::Process | SubjectKind::Connection => &subject.pids,
        };
        Self {
            id: finding.id,
            netns: subject.netns.clone(),
            local: subject.local,
            remote: subject.remote,
            commands: pids
                .iter()
                .map(|pid| report.command(*pid).to_owned())
                .collect(),
        }
    }

    /// Returns what it is about, in one word for a label: an address, or the names of processes.
    pub fn place(&self) -> String {
        let address = self.local.or(self.remote);
        address.map_or_else(|| self.command(), |address| address.to_string())
    }

    /// Returns the names of its processes, joined by commas.
    pub fn command(&self) -> String {
        let names: Vec<&str> = self.commands.iter().map(String::as_str).collect();
        names.join(",")
    }
}
