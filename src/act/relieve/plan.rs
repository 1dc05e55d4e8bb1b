//! What to do, decided on a look: reads what it takes to find a registration again, touches nothing.

use std::fmt;
use std::path::Path;

use super::Method;
use super::ground::Ground;
use super::leaked::Leaked;
use super::registration::{Grip, read_start};
use super::wake::{Freezer, Stopped};
use crate::act::queue::Target;
use crate::correlate::acceptor::{Acceptor, AcceptorState, Halt, division};
use crate::correlate::{Analysis, LeakKind};
use crate::model::{Listener, Pid, TcpState};
use crate::rules::Finding;

/// What the user wants.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wishes {
    /// In this way, rather than in the gentlest that the finding allows.
    pub method: Option<Method>,
    /// Live clients may be closed as well.
    pub all: bool,
    /// Level-triggered even where the runtime is built on edges.
    pub force: bool,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// In which way.
    pub method: Method,
    /// Why in this way.
    pub why: String,
    /// Step by step: what, and to what.
    pub steps: Vec<(String, String)>,
    /// What to know before.
    pub notes: Vec<String>,
    /// What it takes.
    pub action: Action,
}

/// What it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Registrations to make again as they are.
    Rearm(Vec<Grip>),
    /// Registrations to make level-triggered.
    Level(Vec<Grip>),
    /// A listener to accept from.
    Drain {
        /// How to get hold of it; what it says of an epoll set means nothing.
        grip: Grip,
        /// Whether live clients are accepted and closed as well.
        all: bool,
    },
    /// Connections to shut down.
    CloseLeaked(Vec<Leaked>),
    /// Processes to continue.
    Continue(Vec<Stopped>),
    /// Cgroups to thaw.
    Thaw(Vec<Freezer>),
}

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unplanned {
    /// Nothing is wrong that could be relieved.
    Nothing(String),
    /// It cannot be done, or not in the way that was asked for.
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

pub(super) fn impossible(why: impl Into<String>) -> Unplanned {
    Unplanned::Impossible(why.into())
}

/// Plans. `target` is the listener, where one was named; `pids` are the processes that were named.
///
/// # Errors
///
/// When there is nothing to do, or it cannot be done: in words.
pub fn plan(
    analysis: &Analysis,
    target: Option<&Target>,
    findings: &[Finding],
    pids: &[Pid],
    wishes: Wishes,
    procfs: &Path,
) -> Result<Plan, Unplanned> {
    if wishes.method == Some(Method::CloseLeaked) || (target.is_none() && wishes.method.is_none()) {
        return close_leaked(analysis, target, pids, procfs);
    }
    let Some(target) = target else {
        return Err(impossible("which listener? Name its port with --port"));
    };
    let listeners: Vec<&Listener> = analysis
        .snapshot
        .sockets
        .listeners
        .iter()
        .filter(|one| {
            one.inode
                .is_some_and(|inode| target.inodes.contains(&inode))
        })
        .collect();
    if listeners.iter().all(|one| one.accept_queue_len == 0) {
        return Err(Unplanned::Nothing(format!(
            "nobody waits in the accept queue of {}",
            target.local
        )));
    }
    let facts = analysis.facts();
    let acceptors: Vec<Acceptor> = listeners
        .iter()
        .filter(|one| one.accept_queue_len > 0)
        .flat_map(|one| division(&facts, one).acceptors)
        .filter(|acceptor| pids.is_empty() || pids.contains(&acceptor.process.pid))
        .collect();
    if acceptors.is_empty() && !pids.is_empty() {
        let names: Vec<String> = pids.iter().map(ToString::to_string).collect();
        return Err(impossible(format!(
            "process {} is not seen to hold {}",
            names.join(", "),
            target.local
        )));
    }
    if acceptors.is_empty() {
        return Err(impossible(format!(
            "no process is seen that holds {}: run as root, or with CAP_SYS_PTRACE and \
             CAP_DAC_READ_SEARCH, and in the pid namespace of its owner (on the host, not in a \
             container)",
            target.local
        )));
    }
    if findings.is_empty() {
        return Err(Unplanned::Nothing(format!(
            "connections wait at {}, and none of them too long (--min-age)",
            target.local
        )));
    }
    let method = match wishes.method {
        Some(method) => method,
        None => gentlest(&acceptors, findings)?,
    };
    let stuck = Ground {
        target,
        acceptors,
        procfs,
        wishes,
    };
    match method {
        Method::Rearm => stuck.rearm(),
        Method::Level => stuck.level(),
        Method::Drain => stuck.drain(),
        Method::Continue => stuck.continue_stopped(),
        Method::Thaw => stuck.thaw(),
        Method::CloseLeaked => close_leaked(analysis, Some(target), pids, procfs),
    }
}

/// The gentlest way that a finding allows.
fn gentlest(acceptors: &[Acceptor], findings: &[Finding]) -> Result<Method, Unplanned> {
    let found = |id: &str| findings.iter().any(|finding| finding.id == id);
    if found("edge-triggered-stall") {
        return Ok(Method::Rearm);
    }
    if found("acceptor-stopped") {
        let halted = |halt: Halt| {
            acceptors
                .iter()
                .any(|acceptor| acceptor.state == AcceptorState::Halted(halt))
        };
        return if halted(Halt::Frozen) {
            Ok(Method::Thaw)
        } else if halted(Halt::Stopped) {
            Ok(Method::Continue)
        } else {
            Err(impossible(
                "a debugger holds the server: let it continue there, or detach it",
            ))
        };
    }
    Ok(Method::Drain)
}

fn close_leaked(
    analysis: &Analysis,
    target: Option<&Target>,
    pids: &[Pid],
    procfs: &Path,
) -> Result<Plan, Unplanned> {
    let [pid] = pids else {
        return Err(impossible(
            "whose connections? Name the process with --pid, or a listener with --port",
        ));
    };
    let started = read_start(procfs, *pid).map_err(|error| unreadable(*pid, &error))?;
    let mut leaked = Vec::new();
    for leak in analysis.leaks() {
        let wanted = matches!(
            leak.kind,
            LeakKind::NotClosed(_) | LeakKind::IdlePool | LeakKind::Relay { .. }
        );
        if !wanted || leak.pids != [*pid] {
            continue;
        }
        for connection in leak.connections {
            let here = target.is_none_or(|target| connection.local.port() == target.local.port());
            let Some(inode) = connection.inode.filter(|_| here) else {
                continue;
            };
            let mut holders = analysis.owners.of(inode).iter();
            let holder = holders.find(|holder| holder.pid == *pid);
            if connection.state == TcpState::CloseWait
                && !connection.layer.is_mptcp()
                && let Some(fd) = holder.and_then(|holder| holder.fd)
                && let Some(inode) = inode.number()
            {
                leaked.push(Leaked {
                    pid: *pid,
                    started,
                    fd,
                    inode,
                    remote: connection.remote,
                });
            }
        }
    }
    if leaked.is_empty() {
        return Err(Unplanned::Nothing(format!(
            "process {pid} alone holds no connection that its peer closed long ago"
        )));
    }
    leaked.sort_by_key(|one| one.fd);
    Ok(Plan {
        method: Method::CloseLeaked,
        why: "their peers have closed, and the process does not".to_owned(),
        steps: leaked
            .iter()
            .map(|one| {
                let target = format!("process {pid}: fd {}, {}", one.fd, one.remote);
                ("shut it down through a duplicate".to_owned(), target)
            })
            .collect(),
        notes: vec![
            "memory and ports are freed; the descriptors stay leaked in the process until it closes \
             them or ends"
                .to_owned(),
            "a process that still means to answer on one of them cannot any more".to_owned(),
        ],
        action: Action::CloseLeaked(leaked),
    })
}

pub(super) fn unreadable(pid: Pid, error: &std::io::Error) -> Unplanned {
    match error.kind() {
        std::io::ErrorKind::NotFound => impossible(format!("process {pid} has ended")),
        std::io::ErrorKind::PermissionDenied => impossible(format!(
            "reading the descriptors of process {pid} is not permitted: run as root, or with \
             CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH"
        )),
        _ => impossible(format!("process {pid}: {error}")),
    }
}
