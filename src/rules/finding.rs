//! What a rule reports.

use std::fmt;
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

/// One sentence about what was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// The sentence, with numbers.
    pub text: String,
    /// How much the finding rests on it.
    pub weight: Weight,
}

/// How much a finding rests on a sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// It shows the cause: without it the finding would be another.
    Key,
    /// It completes the picture, or a table of the report shows the same.
    Background,
}

impl Evidence {
    /// A sentence that completes the picture.
    pub(super) fn background(text: String) -> Self {
        Self {
            text,
            weight: Weight::Background,
        }
    }
}

impl From<String> for Evidence {
    fn from(text: String) -> Self {
        Self {
            text,
            weight: Weight::Key,
        }
    }
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advice {
    /// What to do, in words.
    pub text: String,
    /// Commands that do it, one of which will do; each is whole.
    pub commands: Vec<String>,
}

impl Advice {
    /// Something to do, and a command that does it.
    pub(super) fn with_command(text: impl Into<String>, command: String) -> Self {
        Self {
            text: text.into(),
            commands: vec![command],
        }
    }
}

impl From<String> for Advice {
    fn from(text: String) -> Self {
        Self {
            text,
            commands: Vec::new(),
        }
    }
}

impl From<&str> for Advice {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl fmt::Display for Advice {
    /// The words and the commands in one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        for (number, command) in self.commands.iter().enumerate() {
            write!(f, "{}{command}", if number == 0 { ": " } else { ", or " })?;
        }
        Ok(())
    }
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
    pub evidence: Vec<Evidence>,
    /// What follows from it, where the headline does not say all.
    pub conclusion: Option<String>,
    /// What to do.
    pub remedies: Vec<Advice>,
    /// How many connections it covers.
    pub connections: usize,
}
