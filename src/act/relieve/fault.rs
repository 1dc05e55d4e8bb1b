//! Why a step was not done.

use std::io;

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::collect::kernel::{KernelError, Kind};

/// Why a step was not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The process has ended.
    Gone,
    /// A privilege is missing.
    NotPermitted,
    /// What was found is not what was planned.
    Changed(String),
    /// The descriptor number that is needed is in use in the helper process.
    NumberTaken(u32),
    /// Something else, in the system's words.
    Failed(String),
}

impl Fault {
    /// Returns it in words.
    pub fn describe(&self) -> String {
        match self {
            Self::Gone => "the process has ended".to_owned(),
            Self::NotPermitted => {
                "not permitted: to duplicate a descriptor of another process takes CAP_SYS_PTRACE, or \
                 the same user where /proc/sys/kernel/yama/ptrace_scope is 0"
                    .to_owned()
            }
            Self::Changed(what) => format!("not what was planned, left alone: {what}"),
            Self::NumberTaken(number) => format!(
                "descriptor number {number}, which is needed, is in use: start this program from a \
                 new shell"
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

impl From<KernelError> for Fault {
    fn from(error: KernelError) -> Self {
        match error.kind {
            Kind::NotFound => Self::Gone,
            Kind::NotPermitted => Self::NotPermitted,
            Kind::NotSupported | Kind::Malformed | Kind::NotRecorded | Kind::Failed => {
                Self::Failed(error.to_string())
            }
        }
    }
}
