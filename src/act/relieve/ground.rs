//! The plan of each method, for one listener and those who would accept from it.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::Method;
use super::plan::{Action, Plan, Unplanned, Wishes, impossible, unreadable};
use super::registration::{
    Grip, Registration, WAKEUP, living_thread, read_registrations, read_start,
};
use super::wake::{Freezer, Stopped, find_freezer};
use crate::act::queue::Target;
use crate::correlate::acceptor::{Acceptor, AcceptorState, Halt};
use crate::model::{Process, Reading, RunState, Software};

/// Who would accept from a listener, and what the user wants.
pub(super) struct Ground<'a> {
    pub(super) target: &'a Target,
    pub(super) acceptors: Vec<Acceptor<'a>>,
    pub(super) procfs: &'a Path,
    pub(super) wishes: Wishes,
}

impl Ground<'_> {
    pub(super) fn rearm(&self) -> Result<Plan, Unplanned> {
        self.refuse_halted()?;
        let grips = self.edge_triggered()?;
        let mut notes = vec![
            "the server accepts by its own code; no connection is touched from here".to_owned(),
            "a server at its connection limit may close whom it accepts, as it would have before"
                .to_owned(),
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

    pub(super) fn level(&self) -> Result<Plan, Unplanned> {
        self.refuse_halted()?;
        let edge_runtime = self.acceptors.iter().find(|acceptor| {
            software(acceptor.process).is_some_and(Software::registers_edge_triggered)
        });
        if let Some(acceptor) = edge_runtime.filter(|_| !self.wishes.force) {
            return Err(impossible(format!(
                "{} is built on edges ({}): level-triggered, its poller would spin while its accept \
                 loop waits (--force does it all the same)",
                name(acceptor.process),
                software(acceptor.process)
                    .and_then(Software::name)
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

    pub(super) fn drain(&self) -> Result<Plan, Unplanned> {
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

    pub(super) fn continue_stopped(&self) -> Result<Plan, Unplanned> {
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

    pub(super) fn thaw(&self) -> Result<Plan, Unplanned> {
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
        let halts = self.acceptors.iter().map(|acceptor| match acceptor.state {
            AcceptorState::Halted(halt) => Some((halt, acceptor.process)),
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
                device: major << 20 | minor,
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
    let numbers = first..first + 1000;
    let mut free = numbers
        .filter(|number| *number != target_fd && !found.iter().any(|one| one.target_fd == *number));
    free.next().unwrap_or(first)
}

fn software(process: &Process) -> Option<&Software> {
    Some(&process.examination.as_ref()?.software)
}

fn name(process: &Process) -> String {
    format!("{}[{}]", process.command, process.pid)
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
