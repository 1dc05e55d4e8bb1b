//! What a hand is told, and what it answers.

use std::io;

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

/// What a hand is told, one a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Command {
    /// Give the registration this mask, if it has the one that this hand knows; with the same mask
    /// this re-arms its edge.
    Set {
        /// The mask.
        events: u32,
        /// Restore it when the one who started this hand is gone.
        guard: bool,
    },
    /// Give the registration what it had at first, whatever became of it, and remove the spare one.
    Restore,
    /// Accept one connection and close it.
    Accept,
    /// There is nothing to restore any more.
    Release,
}

/// What a hand answers, one a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer {
    /// It is done; this is the mask now.
    Done(u32),
    /// A connection was accepted and closed.
    Accepted {
        /// Its client.
        client: Option<String>,
        /// Whether the client had gone before.
        gone: bool,
    },
    /// Nobody waited.
    Empty,
    /// It is not done.
    Fault(Fault),
}

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The process has ended.
    Gone,
    /// A privilege is missing.
    NotPermitted,
    /// What was found is not what was meant.
    Changed(String),
    /// The descriptor number that it takes is in use in the hand.
    NumberTaken(u32),
    /// Something else, in the system's words.
    Failed(String),
}

impl Fault {
    /// In words.
    pub fn describe(&self) -> String {
        match self {
            Self::Gone => "the process has ended".to_owned(),
            Self::NotPermitted => {
                "not permitted: duplicating a descriptor of another process takes CAP_SYS_PTRACE, or \
                 the same user where /proc/sys/kernel/yama/ptrace_scope is 0; run it as root"
                    .to_owned()
            }
            Self::Changed(what) => format!("left alone: {what}"),
            Self::NumberTaken(number) => format!(
                "descriptor {number}, which it takes, was inherited from whoever started this \
                 program: start it from a fresh shell"
            ),
            Self::Failed(error) => error.clone(),
        }
    }
}

impl From<Errno> for Fault {
    fn from(error: Errno) -> Self {
        match error {
            Errno::SRCH => Self::Gone,
            Errno::PERM | Errno::ACCESS => Self::NotPermitted,
            other => Self::Failed(other.to_string()),
        }
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Gone,
            io::ErrorKind::PermissionDenied => Self::NotPermitted,
            _ => Self::Failed(error.to_string()),
        }
    }
}
