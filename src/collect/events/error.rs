//! Why nothing can be traced.

use std::fmt;

/// Why no program could be loaded into the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TraceError {
    /// This program was built without it.
    NotBuilt,
    /// There is no program for this machine's architecture.
    Architecture,
    /// The caller may not.
    NotPermitted,
    /// Process ids of the kernel are not those that this process sees.
    PidNamespace,
    /// The kernel has no type information, or it could not be read.
    NoTypes(String),
    /// The kernel, or the loader, refused.
    Refused(String),
}

impl fmt::Display for TraceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotBuilt => f.write_str("this build has no tracing (cargo feature `trace`)"),
            Self::Architecture => f.write_str("tracing is there for x86-64 only"),
            Self::NotPermitted => {
                f.write_str("tracing needs CAP_BPF and CAP_PERFMON, or CAP_SYS_ADMIN")
            }
            Self::PidNamespace => f.write_str(
                "this process is in a pid namespace of its own, where the kernel's process ids mean nothing",
            ),
            Self::NoTypes(why) => write!(f, "the kernel's type information is missing: {why}"),
            Self::Refused(why) => write!(f, "the kernel refused the programs: {why}"),
        }
    }
}

impl std::error::Error for TraceError {}
