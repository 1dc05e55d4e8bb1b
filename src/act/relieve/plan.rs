//! What to do, decided on a look: reads what it takes to find a registration again, touches nothing.

use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::Method;
use super::leaked::Leaked;
use super::registration::{
    Grip, Registration, WAKEUP, living_thread, read_registrations, read_start,
};
use super::wake::{Freezer, Stopped, find_freezer};
use crate::act::queue::Target;
use crate::correlate::acceptor::{self, Acceptor, Halt, Standing};
use crate::correlate::{Picture, Trouble};
use crate::model::{Listener, Pid, Process, Reading, RunState, Runtime, TcpState};
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

fn impossible(why: impl Into<String>) -> Unplanned {
    Unplanned::Impossible(why.into())
}

/// Plans. `target` is the listener, where one was named; `pids` are the processes that were named.
///
/// # Errors
///
/// When there is nothing to do, or it cannot be done: in words.
pub fn plan(
    picture: &Picture,
    target: Option<&Target>,
    findings: &[Finding],
    pids: &[Pid],
    wishes: Wishes,
    procfs: &Path,
) -> Result<Plan, Unplanned> {
    if wishes.method == Some(Method::CloseLeaked) || (target.is_none() && wishes.method.is_none()) {
        return close_leaked(picture, target, pids, procfs);
    }
    let Some(target) = target else {
        return Err(impossible("which listener? Name its port with --port"));
    };
    let listeners: Vec<&Listener> = picture
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
    let acceptors: Vec<Acceptor> = listeners
        .iter()
        .filter(|one| one.accept_queue_len > 0)
        .flat_map(|one| acceptor::acceptors(picture.snapshot, one).0)
        .filter(|acceptor| pids.is_empty() || pids.contains(&acceptor.process.pid))
        .collect();
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
    let case = Ground {
        target,
        acceptors,
        procfs,
        wishes,
    };
    match method {
        Method::Rearm => case.rearm(),
        Method::Level => case.level(),
        Method::Drain => case.drain(),
        Method::Continue => case.continue_stopped(),
        Method::Thaw => case.thaw(),
        Method::CloseLeaked => close_leaked(picture, Some(target), pids, procfs),
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
                .any(|acceptor| acceptor.standing == Standing::Halted(halt))
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

struct Ground<'a> {
    target: &'a Target,
    acceptors: Vec<Acceptor<'a>>,
    procfs: &'a Path,
    wishes: Wishes,
}

impl Ground<'_> {
    fn rearm(&self) -> Result<Plan, Unplanned> {
        self.refuse_halted()?;
        let grips = self.edge_triggered()?;
        let mut notes = vec![
            "the server accepts by its own code; no connection is touched from here".to_owned(),
        ];
        if grips.iter().any(Grip::is_exclusive) {
            notes.push(
                "EPOLLEXCLUSIVE cannot be modified: it is removed and added, and a second \
                 registration keeps the listener in the set meanwhile"
                    .to_owned(),
            );
        }
        Ok(Plan {
            method: Method::Rearm,
            why:
                "an edge is missing: registering the listener again, as it is, gives the server one"
                    .to_owned(),
            steps: grips
                .iter()
                .map(|grip| {
                    let what = format!(
                        "register it again with the same mask {:x} and data {:x}, as long as that \
                         makes the queue shorter",
                        grip.events, grip.data
                    );
                    (what, grip.name())
                })
                .collect(),
            notes,
            action: Action::Rearm(grips),
        })
    }

    fn level(&self) -> Result<Plan, Unplanned> {
        self.refuse_halted()?;
        let edge_runtime = self.acceptors.iter().find(|acceptor| {
            runtime(acceptor.process).is_some_and(Runtime::registers_edge_triggered)
        });
        if let Some(acceptor) = edge_runtime.filter(|_| !self.wishes.force) {
            return Err(impossible(format!(
                "{} is built on edges ({}): level-triggered, its poller would spin while its accept \
                 loop waits (--force does it all the same)",
                name(acceptor.process),
                runtime(acceptor.process)
                    .and_then(Runtime::name)
                    .unwrap_or_default()
            )));
        }
        let grips = self.edge_triggered()?;
        Ok(Plan {
            method: Method::Level,
            why: "without EPOLLET the listener is reported for as long as somebody waits".to_owned(),
            steps: grips
                .iter()
                .map(|grip| {
                    let what = format!(
                        "change the mask from {:x} to {:x}, watch, and change it back if the server \
                         spins",
                        grip.events,
                        grip.level()
                    );
                    (what, grip.name())
                })
                .collect(),
            notes: vec![
                "it lasts until the server restarts or registers its listener anew; `relieve --undo` \
                 ends it before"
                    .to_owned(),
                "a server that does not accept while it is full spins whenever it is full, also \
                 after the watch"
                    .to_owned(),
            ],
            action: Action::Level(grips),
        })
    }

    fn drain(&self) -> Result<Plan, Unplanned> {
        if self.target.inodes.len() > 1 {
            return Err(impossible(
                "several listeners share this address, and it cannot be told whose queue a \
                 connection waits in",
            ));
        }
        let grip = self
            .acceptors
            .iter()
            .find_map(|acceptor| self.hold(acceptor))
            .ok_or_else(|| impossible("no descriptor of the listener is seen"))??;
        let all = self.wishes.all;
        Ok(Plan {
            method: Method::Drain,
            why:
                "the server does not accept, and waking it does not help: places in the queue can \
                  be freed"
                    .to_owned(),
            steps: vec![(
                if all {
                    "accept and close whoever waits".to_owned()
                } else {
                    "accept and close those whose client has closed, as long as no live one may be \
                     next"
                        .to_owned()
                },
                format!("process {}: listener fd {}", grip.pid, grip.through_fd),
            )],
            notes: vec![
                if all {
                    "--all: live clients are closed as well"
                } else {
                    "a client that has closed its direction only, and still waits for an answer, \
                     looks like one that has gone"
                }
                .to_owned(),
                "the cause stays: the queue fills again".to_owned(),
            ],
            action: Action::Drain { grip, all },
        })
    }

    fn continue_stopped(&self) -> Result<Plan, Unplanned> {
        let mut stopped = Vec::new();
        for acceptor in &self.acceptors {
            if acceptor.process.state == Reading::Known(RunState::Stopped) {
                let pid = acceptor.process.pid;
                let started =
                    read_start(self.procfs, pid).map_err(|error| unreadable(pid, &error))?;
                stopped.push(Stopped { pid, started });
            }
        }
        if stopped.is_empty() {
            return Err(impossible("no process is stopped by a signal"));
        }
        Ok(Plan {
            method: Method::Continue,
            why: "a stopped process accepts nobody".to_owned(),
            steps: stopped
                .iter()
                .map(|one| {
                    (
                        format!("kill -CONT {}", one.pid),
                        format!("process {}", one.pid),
                    )
                })
                .collect(),
            notes: vec!["find out who stopped it, and why".to_owned()],
            action: Action::Continue(stopped),
        })
    }

    fn thaw(&self) -> Result<Plan, Unplanned> {
        let mut freezers: Vec<Freezer> = self
            .acceptors
            .iter()
            .filter_map(|acceptor| find_freezer(self.procfs, acceptor.process.pid))
            .collect();
        freezers.dedup();
        if freezers.is_empty() {
            return Err(impossible(
                "no frozen cgroup is seen: thaw it on the host (docker unpause, systemctl thaw)",
            ));
        }
        Ok(Plan {
            method: Method::Thaw,
            why: "a frozen process accepts nobody".to_owned(),
            steps: freezers
                .iter()
                .map(|one| {
                    let switch = one.switch.display();
                    (
                        format!("echo {} > {switch}", one.thawed),
                        switch.to_string(),
                    )
                })
                .collect(),
            notes: vec![
                "everything in that cgroup is thawed; what froze it (docker pause, systemctl \
                 freeze) is not told"
                    .to_owned(),
            ],
            action: Action::Thaw(freezers),
        })
    }

    /// Waking a process that does not run wakes nobody.
    fn refuse_halted(&self) -> Result<(), Unplanned> {
        let halts = self
            .acceptors
            .iter()
            .map(|acceptor| match acceptor.standing {
                Standing::Halted(halt) => Some((halt, acceptor.process)),
                _ => None,
            });
        let Some(Some((halt, process))) =
            halts.reduce(|one, other| one.zip(other).map(|(one, _)| one))
        else {
            return Ok(());
        };
        let (how, what) = match halt {
            Halt::Stopped => ("stopped by a signal", "relieve --method continue"),
            Halt::Frozen => ("in a frozen cgroup", "relieve --method thaw"),
            Halt::Traced => ("held by a debugger", "detach the debugger"),
        };
        Err(impossible(format!(
            "{} is {how}: nothing can happen until it continues ({what})",
            name(process)
        )))
    }

    /// The edge-triggered registrations of the listener.
    fn edge_triggered(&self) -> Result<Vec<Grip>, Unplanned> {
        let mut grips: Vec<Grip> = Vec::new();
        let mut others = Vec::new();
        for acceptor in &self.acceptors {
            for watch in &acceptor.watches {
                let registration = watch.registration;
                if !registration.edge_triggered() || !registration.wants_input() {
                    others.push(format!(
                        "epoll fd {} has it as {}",
                        watch.epoll_fd,
                        registration.events_text()
                    ));
                    continue;
                }
                let grip = self.grip(acceptor, watch.epoll_fd, registration.target_fd)?;
                grips.push(grip);
            }
        }
        if grips.is_empty() {
            let seen = if others.is_empty() {
                "no epoll set that could be read holds it".to_owned()
            } else {
                others.join("; ")
            };
            return Err(impossible(format!(
                "there is no edge-triggered registration of {} to work on: {seen}",
                self.target.local
            )));
        }
        Ok(grips)
    }

    fn grip(&self, acceptor: &Acceptor, epoll_fd: u32, target_fd: u32) -> Result<Grip, Unplanned> {
        let held = self
            .hold(acceptor)
            .ok_or_else(|| impossible("no descriptor of the listener is seen"))??;
        let pid = held.pid;
        let found = read_registrations(self.procfs, pid, held.tid, epoll_fd)
            .map_err(|error| unreadable(pid, &error))?;
        let same = |one: &&Registration| one.target_fd == target_fd && one.inode == held.inode;
        let registration = found.iter().find(same).ok_or_else(|| {
            impossible(format!(
                "{} changed its epoll set meanwhile: look again",
                name(acceptor.process)
            ))
        })?;
        if registration.events & WAKEUP != 0 {
            return Err(impossible(
                "the registration has EPOLLWAKEUP, which cannot be kept: it is left alone",
            ));
        }
        Ok(Grip {
            epoll_fd,
            target_fd,
            events: registration.events,
            data: registration.data,
            device: registration.device,
            spare: spare_number(target_fd, &found),
            ..held
        })
    }

    /// How to get hold of the listener; nothing where the process shows no descriptor of it.
    fn hold(&self, acceptor: &Acceptor) -> Option<Result<Grip, Unplanned>> {
        let through_fd = *acceptor.fds.first()?;
        let pid = acceptor.process.pid;
        let read = || -> std::io::Result<Grip> {
            let tid = living_thread(self.procfs, pid)?;
            let path = format!("{pid}/task/{tid}/fd/{through_fd}");
            let listener = std::fs::metadata(self.procfs.join(path))?;
            let device = listener.dev();
            let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
            Ok(Grip {
                pid,
                tid,
                started: read_start(self.procfs, pid)?,
                epoll_fd: 0,
                target_fd: through_fd,
                through_fd,
                events: 0,
                data: 0,
                inode: listener.ino(),
                device: u64::from(major) << 20 | u64::from(minor),
                spare: 0,
            })
        };
        let grip = read().map_err(|error| unreadable(pid, &error));
        if let Ok(grip) = &grip
            && !self
                .target
                .inodes
                .iter()
                .any(|inode| inode.number().is_some_and(|n| u64::from(n) == grip.inode))
        {
            return Some(Err(impossible(format!(
                "descriptor {through_fd} of {} is not the listener any more: look again",
                name(acceptor.process)
            ))));
        }
        Some(grip)
    }
}

/// A number away from the one that is needed, under which the listener is not registered.
fn spare_number(target_fd: u32, found: &[Registration]) -> u32 {
    const HIGH: u32 = 100;
    const LOW: u32 = 40;
    let first = if target_fd < 64 { HIGH } else { LOW };
    (first..)
        .find(|number| *number != target_fd && !found.iter().any(|one| one.target_fd == *number))
        .unwrap_or(first)
}

fn close_leaked(
    picture: &Picture,
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
    for leak in picture.leaks() {
        let wanted = matches!(
            leak.trouble,
            Trouble::NotClosed(_) | Trouble::IdlePool | Trouble::Relay { .. }
        );
        if !wanted || leak.pids != [*pid] {
            continue;
        }
        for connection in leak.connections {
            let here = target.is_none_or(|target| connection.local.port() == target.local.port());
            let Some(inode) = connection.inode.filter(|_| here) else {
                continue;
            };
            let holder = picture
                .snapshot
                .holders
                .iter()
                .find(|holder| holder.inode == inode && holder.pid == *pid);
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

fn runtime(process: &Process) -> Option<Runtime> {
    Some(process.examination.as_ref()?.runtime)
}

fn name(process: &Process) -> String {
    format!("{}[{}]", process.command, process.pid)
}

fn unreadable(pid: Pid, error: &std::io::Error) -> Unplanned {
    match error.kind() {
        std::io::ErrorKind::NotFound => impossible(format!("process {pid} has ended")),
        std::io::ErrorKind::PermissionDenied => impossible(format!(
            "reading the descriptors of process {pid} is not permitted: run as root, or with \
             CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH"
        )),
        _ => impossible(format!("process {pid}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spare_number_is_in_no_registration_and_out_of_the_way() {
        let at = |target_fd| Registration {
            target_fd,
            events: 1,
            data: 0,
            inode: 1,
            device: 9,
        };
        assert_eq!(spare_number(3, &[at(3)]), 100);
        assert_eq!(spare_number(3, &[at(3), at(100)]), 101);
        assert_eq!(spare_number(1000, &[at(1000), at(40)]), 41);
    }
}
