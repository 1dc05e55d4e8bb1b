//! What a plan is made of.

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::path::PathBuf;

use super::fault::Fault;
use super::method::Method;
use super::registration::{EpollRegistration, ListenerReference};
use crate::model::{Pid, Process};

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReliefPlan {
    /// The method.
    pub method: Method,
    /// Why this method.
    pub why: String,
    /// The steps: what, and to what.
    pub steps: Vec<(String, String)>,
    /// What to know before it is carried out.
    pub notes: Vec<String>,
    /// What carrying it out needs.
    pub action: Action,
}

/// What carrying out a plan needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Registrations to make again as they are.
    Rearm(Vec<EpollRegistration>),
    /// Registrations to make level-triggered.
    Level(Vec<EpollRegistration>),
    /// A listener to accept from.
    Drain {
        /// The listener.
        listener: ListenerReference,
        /// Whether live clients are accepted and closed as well.
        all: bool,
    },
    /// Connections to shut down.
    CloseLeaked(Vec<LeakedConnection>),
    /// Processes to continue.
    Continue(Vec<StoppedProcess>),
    /// Cgroups to thaw.
    Thaw(Vec<FrozenCgroup>),
}

/// An accepted connection that a process holds and does not close.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeakedConnection {
    /// The process.
    pub pid: Pid,
    /// When it started, in clock ticks since boot.
    pub started: u64,
    /// Its descriptor.
    pub fd: u32,
    /// The socket's inode.
    pub inode: u32,
    /// What identifies the socket for its life (`SO_COOKIE`), where it is known.
    pub cookie: Option<NonZeroU64>,
    /// The peer.
    pub remote: SocketAddr,
}

/// A process that a signal stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoppedProcess {
    /// The process.
    pub pid: Pid,
    /// When it started, in clock ticks since boot.
    pub started: u64,
}

/// A frozen cgroup, and how to thaw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrozenCgroup {
    /// A process in it.
    pub pid: Pid,
    /// When that started, in clock ticks since boot.
    pub started: u64,
    /// The file by which it is thawed.
    pub switch: PathBuf,
    /// What to write into that file.
    pub thawed: &'static str,
}

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unplanned {
    /// Nothing is wrong that can be relieved.
    Nothing(String),
    /// It cannot be done, or not by the method that was asked for.
    Impossible(String),
}

impl fmt::Display for Unplanned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing(why) | Self::Impossible(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Unplanned {}

/// Says why there is no plan.
pub(super) fn impossible(why: impl Into<String>) -> Unplanned {
    Unplanned::Impossible(why.into())
}

/// Returns what messages call a process.
pub(super) fn name(process: &Process) -> String {
    format!("{}[{}]", process.command, process.pid)
}

/// Says that a process could not be read.
pub(super) fn unreadable(pid: Pid, fault: &Fault) -> Unplanned {
    match fault {
        Fault::Gone => impossible(format!("process {pid} has ended")),
        Fault::NotPermitted => impossible(format!(
            "reading the descriptors of process {pid} is not permitted: it takes CAP_SYS_PTRACE and \
             CAP_DAC_READ_SEARCH"
        )),
        other => impossible(format!("process {pid}: {}", other.describe())),
    }
}
