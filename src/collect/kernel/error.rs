//! Errors at the seam, by what the reader can do about them.

use std::fmt;
use std::io;

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::model::Gap;

/// A question the kernel did not answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelError {
    /// What kind of failure.
    pub kind: Kind,
    /// What was asked: a path or an interface.
    pub what: String,
    /// The system's words.
    pub detail: String,
}

/// Kinds of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A privilege is missing.
    NotPermitted,
    /// The file, process or interface does not exist, or does not any more.
    NotFound,
    /// The kernel does not offer it.
    NotSupported,
    /// The answer ended early or made no sense.
    Malformed,
    /// The recording does not hold the answer.
    NotRecorded,
    /// No answer came in time: another process or a file system blocks it.
    TimedOut,
    /// Another failure.
    Failed,
}

impl KernelError {
    /// Names what was asked when the system refused.
    pub fn new(what: impl Into<String>, error: &io::Error) -> Self {
        let kind = match Errno::from_io_error(error) {
            Some(Errno::PERM | Errno::ACCESS) => Kind::NotPermitted,
            Some(Errno::NOENT | Errno::SRCH) => Kind::NotFound,
            Some(
                Errno::OPNOTSUPP
                | Errno::PROTONOSUPPORT
                | Errno::AFNOSUPPORT
                | Errno::INVAL
                | Errno::NOSYS,
            ) => Kind::NotSupported,
            _ if error.kind() == io::ErrorKind::TimedOut => Kind::TimedOut,
            _ => Kind::Failed,
        };
        Self {
            kind,
            what: what.into(),
            detail: error.to_string(),
        }
    }

    /// An answer that ended early or made no sense.
    pub fn malformed(what: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            kind: Kind::Malformed,
            what: what.into(),
            detail: detail.into(),
        }
    }

    /// Something that ended before it could be looked at.
    pub fn gone(what: impl Into<String>) -> Self {
        Self {
            kind: Kind::NotFound,
            what: what.into(),
            detail: "it is gone".to_owned(),
        }
    }

    /// A question that this kernel or this build cannot answer.
    pub fn unsupported(what: impl Into<String>) -> Self {
        Self {
            kind: Kind::NotSupported,
            what: what.into(),
            detail: "not supported".to_owned(),
        }
    }

    /// A question that the recording holds no answer to.
    pub fn not_recorded(what: impl Into<String>) -> Self {
        Self {
            kind: Kind::NotRecorded,
            what: what.into(),
            detail: "not in the recording".to_owned(),
        }
    }

    /// The gap this failure leaves in a fact about a process.
    pub fn gap(&self) -> Gap {
        match self.kind {
            Kind::NotPermitted => Gap::NotPermitted,
            Kind::NotFound => Gap::Vanished,
            Kind::NotSupported => Gap::NotSupported,
            Kind::Malformed => Gap::Malformed,
            Kind::NotRecorded => Gap::NotRecorded,
            Kind::TimedOut => Gap::NoAnswer,
            Kind::Failed => Gap::Failed,
        }
    }
}

impl fmt::Display for KernelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.detail)
    }
}

impl std::error::Error for KernelError {}
