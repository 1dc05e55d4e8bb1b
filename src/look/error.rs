//! Why a look could not be taken.

use std::fmt;

use crate::collect::kernel::KernelError;
use crate::model::Pid;

/// Why a look could not be taken at all. What is missing in a look that was taken is one of its blind
/// spots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LookError {
    /// A process that was asked for is not there.
    NoProcess(Pid),
    /// A process that was asked for is in another network namespace.
    Elsewhere(Pid),
    /// The network namespace that was named cannot be entered.
    Namespace {
        /// The name as the user gave it.
        name: String,
        /// Why not.
        error: KernelError,
    },
    /// The network namespaces of the host cannot be found.
    Namespaces(KernelError),
    /// None of the network namespaces that were found could be looked into.
    NoNamespace {
        /// Why not, of the first of them.
        why: Option<String>,
    },
    /// The sockets can be read neither over `sock_diag` nor from procfs.
    Sockets {
        /// Why not over `sock_diag`; none where procfs was asked for.
        sock_diag: Option<KernelError>,
        /// Why not from procfs.
        procfs: KernelError,
    },
    /// The look was taken in another network namespace, and its thread cannot go back to its own.
    NotBack(KernelError),
}

impl fmt::Display for LookError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoProcess(pid) => write!(f, "there is no process {pid}"),
            Self::Elsewhere(pid) => write!(
                f,
                "process {pid} is in another network namespace: use --netns {pid}"
            ),
            Self::Namespace { name, error } => {
                write!(f, "entering the network namespace {name}: {error}")
            }
            Self::Namespaces(error) => write!(f, "looking for network namespaces: {error}"),
            Self::NoNamespace { why: Some(why) } => f.write_str(why),
            Self::NoNamespace { why: None } => f.write_str("no network namespace was found"),
            Self::Sockets {
                sock_diag: Some(error),
                procfs,
            } => write!(f, "{error}, and the fallback failed: {procfs}"),
            Self::Sockets {
                sock_diag: None,
                procfs,
            } => write!(f, "reading sockets from procfs: {procfs}"),
            Self::NotBack(error) => {
                write!(
                    f,
                    "going back to the network namespace of the caller: {error}"
                )
            }
        }
    }
}

impl std::error::Error for LookError {}
