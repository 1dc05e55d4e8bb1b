//! The plan of each method, for one listener and the processes that would accept from it.

use super::identify::{hold, identify};
use crate::act::relieve::cgroup::find_frozen;
use crate::act::relieve::method::Method;
use crate::act::relieve::options::RelieveOptions;
use crate::act::relieve::plan::{
    Action, FrozenCgroup, ReliefPlan, StoppedProcess, Unplanned, impossible, name, unreadable,
};
use crate::act::relieve::process::read_start;
use crate::act::relieve::registration::EpollRegistration;
use crate::act::target::Target;
use crate::collect::kernel::Kernel;
use crate::correlate::acceptor::{Acceptor, AcceptorState, Halt};
use crate::model::{Process, Reading, RunState, Software};

/// The processes that would accept from a listener, and what the user asked for.
pub(super) struct ListenerPlanner<'a> {
    pub(super) kernel: &'a mut dyn Kernel,
    pub(super) target: &'a Target,
    pub(super) acceptors: Vec<Acceptor<'a>>,
    pub(super) options: RelieveOptions,
}

impl ListenerPlanner<'_> {
    pub(super) fn rearm(&mut self) -> Result<ReliefPlan, Unplanned> {
        self.refuse_halted()?;
        let registrations = self.edge_triggered()?;
        let mut notes = vec![
            "the server accepts by its own code; no connection is touched from here".to_owned(),
            "a server at its connection limit may close what it accepts, as it would have before"
                .to_owned(),
        ];
        if registrations.iter().any(EpollRegistration::is_exclusive) {
            notes.push(
                "EPOLLEXCLUSIVE cannot be modified: it is removed and added, and a second \
                 registration keeps the listener in the set meanwhile"
                    .to_owned(),
            );
        }
        Ok(ReliefPlan {
            method: Method::Rearm,
            why:
                "an edge is missing: registering the listener again, as it is, gives the server one"
                    .to_owned(),
            steps: registrations
                .iter()
                .map(|registration| {
                    let what = format!(
                        "register it again with the same mask {:x} and data {:x}, as long as that \
                         makes the queue shorter",
                        registration.events, registration.data
                    );
                    (what, registration.name())
                })
                .collect(),
            notes,
            action: Action::Rearm(registrations),
        })
    }

    pub(super) fn level(&mut self) -> Result<ReliefPlan, Unplanned> {
        self.refuse_halted()?;
        let edge_runtime = self.acceptors.iter().find(|acceptor| {
            software(acceptor.process).is_some_and(Software::registers_edge_triggered)
        });
        if let Some(acceptor) = edge_runtime.filter(|_| !self.options.force) {
            return Err(impossible(format!(
                "{} is built on edges ({}): level-triggered, its poller would spin while its accept \
                 loop waits (--force does it all the same)",
                name(acceptor.process),
                software(acceptor.process)
                    .and_then(Software::name)
                    .unwrap_or_default()
            )));
        }
        let registrations = self.edge_triggered()?;
        Ok(ReliefPlan {
            method: Method::Level,
            why: "without EPOLLET the listener is reported for as long as a connection waits".to_owned(),
            steps: registrations
                .iter()
                .map(|registration| {
                    let what = format!(
                        "change the mask from {:x} to {:x}, watch, and change it back if the server \
                         spins",
                        registration.events,
                        registration.level()
                    );
                    (what, registration.name())
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
            action: Action::Level(registrations),
        })
    }

    pub(super) fn drain(&mut self) -> Result<ReliefPlan, Unplanned> {
        if self.target.inodes.len() > 1 {
            return Err(impossible(
                "several listeners share this address, and it cannot be told whose queue a \
                 connection waits in",
            ));
        }
        let acceptor = self.acceptors.iter().find(|one| !one.fds.is_empty());
        let acceptor =
            acceptor.ok_or_else(|| impossible("no descriptor of the listener is seen"))?;
        let listener = hold(self.kernel, self.target, acceptor)?;
        let all = self.options.all;
        Ok(ReliefPlan {
            method: Method::Drain,
            why:
                "the server does not accept, and waking it does not help: places in the queue can \
                  be freed"
                    .to_owned(),
            steps: vec![(
                if all {
                    "accept and close whatever waits".to_owned()
                } else {
                    "accept and close those whose client has closed, as long as no live one may be \
                     next"
                        .to_owned()
                },
                listener.name(),
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
            action: Action::Drain { listener, all },
        })
    }

    pub(super) fn resume(&mut self) -> Result<ReliefPlan, Unplanned> {
        let mut stopped = Vec::new();
        for acceptor in &self.acceptors {
            if acceptor.process.state == Reading::Known(RunState::Stopped) {
                let pid = acceptor.process.pid;
                let started =
                    read_start(self.kernel, pid).map_err(|error| unreadable(pid, &error.into()))?;
                stopped.push(StoppedProcess { pid, started });
            }
        }
        if stopped.is_empty() {
            return Err(impossible("no process is stopped by a signal"));
        }
        Ok(ReliefPlan {
            method: Method::Continue,
            why: "a stopped process accepts nothing".to_owned(),
            steps: stopped
                .iter()
                .map(|one| {
                    (
                        format!("kill -CONT {}", one.pid),
                        format!("process {}", one.pid),
                    )
                })
                .collect(),
            notes: vec!["find out what stopped it, and why".to_owned()],
            action: Action::Continue(stopped),
        })
    }

    pub(super) fn thaw(&mut self) -> Result<ReliefPlan, Unplanned> {
        let mut freezers: Vec<FrozenCgroup> = Vec::new();
        for acceptor in &self.acceptors {
            let found = find_frozen(self.kernel, acceptor.process.pid)
                .map_err(|fault| unreadable(acceptor.process.pid, &fault))?;
            if let Some(found) = found
                && !freezers.iter().any(|one| one.switch == found.switch)
            {
                freezers.push(found);
            }
        }
        if freezers.is_empty() {
            return Err(impossible(
                "no frozen cgroup is seen: thaw it on the host (docker unpause, systemctl thaw)",
            ));
        }
        Ok(ReliefPlan {
            method: Method::Thaw,
            why: "a frozen process accepts nothing".to_owned(),
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
                 freeze) does not learn of it"
                    .to_owned(),
            ],
            action: Action::Thaw(freezers),
        })
    }

    /// Refuses where no acceptor runs: a wake-up would have no effect.
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

    /// Returns the edge-triggered registrations of the listener.
    fn edge_triggered(&mut self) -> Result<Vec<EpollRegistration>, Unplanned> {
        let mut registrations: Vec<EpollRegistration> = Vec::new();
        let mut others = Vec::new();
        for acceptor in &self.acceptors {
            for watch in &acceptor.watches {
                let seen = watch.registration;
                if !seen.edge_triggered() || !seen.wants_input() {
                    let events = seen.events_text();
                    others.push(format!("epoll fd {} has it as {events}", watch.epoll_fd));
                    continue;
                }
                let held = hold(self.kernel, self.target, acceptor)?;
                registrations.push(identify(
                    self.kernel,
                    acceptor,
                    held,
                    watch.epoll_fd,
                    seen.target_fd,
                )?);
            }
        }
        if registrations.is_empty() {
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
        Ok(registrations)
    }
}

fn software(process: &Process) -> Option<&Software> {
    Some(&process.examination.as_ref()?.software)
}
