//! `relieve`: first aid for a stuck queue. A plan, unless it is told to carry it out.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};

use super::options::parse_duration;
use super::probe::{ActFormat, WhichListener, about};
use super::{ExitStatus, Manner, output, scan};
use crate::act::relieve::{
    self, Bounds, Deed, Journal, Method, Outcome, Plan, Record, Unplanned, Wishes,
};
use crate::act::{self, Target};
use crate::collect::kernel::LiveKernel;
use crate::correlate::Analysis;
use crate::model::{Scope, TcpState};
use crate::render::{self, ReliefReport, ServerState, TableOptions};
use crate::rules::{self, Finding};

/// Free a stuck accept queue without a restart: prints a plan, and carries it out with --yes.
///
/// Every step is logged with its time, its target and its result; a look before and one after are
/// compared. What is touched is checked just before to be what the plan meant.
#[derive(Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of the command line"
)]
pub(super) struct RelieveArgs {
    #[command(flatten)]
    which: WhichListener,

    /// Only what this process does; with --method close-leaked, whose connections (repeatable).
    #[arg(long = "pid", value_name = "PID")]
    pids: Vec<u32>,

    /// In which way; without it the gentlest that the finding allows.
    #[arg(long, value_enum)]
    method: Option<MethodArg>,

    /// Do it. Without this nothing is changed.
    #[arg(long)]
    yes: bool,

    /// Bring back what an earlier `--method level` changed.
    #[arg(long, conflicts_with_all = ["method", "all", "force"])]
    undo: bool,

    /// Of drain: accept and close live clients as well.
    #[arg(long)]
    all: bool,

    /// Of level: even where the runtime is built on edges (Go, tokio, Netty).
    #[arg(long)]
    force: bool,

    /// Most wake-ups of rearm, most connections of drain.
    #[arg(long, value_name = "NUMBER", default_value = "1000", value_parser = clap::value_parser!(u32).range(1..))]
    max: u32,

    /// Longest time for rearm and drain.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = parse_duration)]
    timeout: Duration,

    /// How long level watches for spinning.
    #[arg(long, value_name = "DURATION", default_value = "3s", value_parser = parse_watch)]
    watch: Duration,

    /// Where to keep what it takes to undo.
    /// [default: /run/closewait-doctor for root, else closewait-doctor in $XDG_RUNTIME_DIR
    /// or, without one, closewait-doctor-UID where temporary files go]
    #[arg(long, value_name = "FOLDER")]
    state: Option<PathBuf>,

    /// How to print the answer.
    #[arg(long, value_enum, default_value = "table")]
    format: ActFormat,
}

/// A way to relieve a server.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum MethodArg {
    /// Register the listener again as it is: the server is woken, and accepts by its own code.
    Rearm,
    /// Register it level-triggered, until the server restarts; rolled back if the server spins.
    Level,
    /// Accept and close those whose client has closed.
    Drain,
    /// Shut down accepted connections that the peer closed long ago; their descriptors stay.
    CloseLeaked,
    /// Let a stopped process continue.
    Continue,
    /// Thaw a frozen cgroup.
    Thaw,
}

impl From<MethodArg> for Method {
    fn from(method: MethodArg) -> Self {
        match method {
            MethodArg::Rearm => Self::Rearm,
            MethodArg::Level => Self::Level,
            MethodArg::Drain => Self::Drain,
            MethodArg::CloseLeaked => Self::CloseLeaked,
            MethodArg::Continue => Self::Continue,
            MethodArg::Thaw => Self::Thaw,
        }
    }
}

/// Spinning is only seen after half a second.
fn parse_watch(text: &str) -> Result<Duration, String> {
    let watch = parse_duration(text)?;
    if watch < Duration::from_secs(1) || watch > Duration::from_secs(600) {
        return Err("between 1s and 10m".to_owned());
    }
    Ok(watch)
}

/// What the hidden command does.
pub(super) fn hand(order: &str) -> Result<()> {
    relieve::lend_a_hand(order).context("lending a hand")
}

pub(super) fn run(arguments: &RelieveArgs, manner: Manner) -> Result<ExitStatus> {
    let which = &arguments.which;
    let wanted = which.wanted();
    if wanted.is_none() && arguments.pids.is_empty() {
        bail!("which listener? Name its port (--port 8080) or its address (127.0.0.1:8080)");
    }
    expect_own_procfs(&which.procfs)?;
    let journal = Journal::new(state_folder(arguments.state.as_deref()));
    which.enter()?;
    let taken_at = scan::now();
    let started = Instant::now();
    let mut kernel = LiveKernel::new(&which.procfs);
    let scope = Scope {
        ports: wanted
            .map(|wanted| wanted.port().into())
            .into_iter()
            .collect(),
        // A listener is looked at with all who hold it.
        pids: if wanted.is_none() {
            arguments.pids.clone()
        } else {
            Vec::new()
        },
        netns: which.netns.clone(),
        ..Scope::default()
    };
    let before = which.look(&mut kernel, &scope)?;
    let target = wanted
        .map(|wanted| act::target(&before.snapshot.sockets.listeners, wanted))
        .transpose()?;
    let run = Run {
        arguments,
        target: target.as_ref(),
        journal: &journal,
    };
    let left_in_force = run.left_in_force()?;
    let (plan, deed) = if arguments.undo {
        (None, run.undo(&mut kernel, &left_in_force))
    } else {
        run.treat(&mut kernel, &before, &left_in_force)
    };
    let acted = !deed.log.is_empty();
    let after = acted.then(|| which.look(&mut kernel, &scope)).transpose()?;
    let report = ReliefReport {
        taken_at,
        netns: &before.snapshot.namespace.name,
        local: target.as_ref().map(|target| target.local),
        plan: plan.as_ref(),
        undo: arguments.undo,
        deed: &deed,
        before: run.state(&before),
        after: after.as_ref().map(|after| run.state(after)),
        elapsed: started.elapsed(),
    };
    output::with_stdout(manner.color, |out| match arguments.format {
        ActFormat::Json => render::write_relieve_json(&report, out),
        ActFormat::Table => {
            let options = TableOptions {
                width: output::terminal_width(),
                all: manner.verbose,
                limit: None,
            };
            render::write_relief_table(&report, options, out)
        }
    })
    .context("writing the answer")?;
    Ok(match deed.outcome {
        Outcome::Failed => ExitStatus::CouldNotLook,
        Outcome::Planned
        | Outcome::NothingToDo
        | Outcome::Relieved
        | Outcome::Improved
        | Outcome::Unchanged
        | Outcome::RolledBack
        | Outcome::Undone => ExitStatus::Success,
    })
}

struct Run<'a> {
    arguments: &'a RelieveArgs,
    target: Option<&'a Target>,
    journal: &'a Journal,
}

impl Run<'_> {
    fn left_in_force(&self) -> Result<Vec<Record>> {
        let inodes = self.target.map_or(&[][..], |target| &target.inodes);
        let tidied = if self.arguments.yes {
            relieve::tidy(self.journal)
        } else {
            Ok(())
        };
        tidied
            .and_then(|()| relieve::pending(self.journal, inodes, &self.arguments.pids))
            .with_context(|| format!("the journal in {}", self.journal.folder().display()))
    }

    fn undo(&self, kernel: &mut LiveKernel, records: &[Record]) -> Deed {
        if records.is_empty() {
            return Deed {
                outcome: Outcome::NothingToDo,
                headline: format!(
                    "nothing that `relieve` changed is in force, by the journal in {}",
                    self.journal.folder().display()
                ),
                log: Vec::new(),
            };
        }
        if !self.arguments.yes {
            let masks: Vec<String> = records
                .iter()
                .map(|record| {
                    format!(
                        "process {}: epoll fd {}, mask {:x} back to {:x}",
                        record.grip.pid, record.grip.epoll_fd, record.in_force, record.grip.events
                    )
                })
                .collect();
            return planned(format!("would bring back: {}", masks.join("; ")));
        }
        relieve::undo(kernel, records, self.journal)
    }

    fn treat(
        &self,
        kernel: &mut LiveKernel,
        before: &Analysis,
        left_in_force: &[Record],
    ) -> (Option<Plan>, Deed) {
        let arguments = self.arguments;
        if let Some(record) = left_in_force.first() {
            return (None, refuse_on_top(record));
        }
        let wishes = Wishes {
            method: arguments.method.map(Into::into),
            all: arguments.all,
            force: arguments.force,
        };
        let planned_as = relieve::plan(
            before,
            self.target,
            &self.findings(before),
            &arguments.pids,
            wishes,
            &arguments.which.procfs,
        );
        let plan = match planned_as {
            Ok(plan) => plan,
            Err(unplanned) => {
                let outcome = match unplanned {
                    Unplanned::Nothing(_) => Outcome::NothingToDo,
                    Unplanned::Impossible(_) => Outcome::Failed,
                };
                let headline = unplanned.to_string();
                return (
                    None,
                    Deed {
                        outcome,
                        headline,
                        log: Vec::new(),
                    },
                );
            }
        };
        let deed = if arguments.yes {
            let bounds = Bounds {
                max: arguments.max,
                timeout: arguments.timeout,
                watch: arguments.watch,
            };
            relieve::carry_out(kernel, &plan, self.target, bounds, self.journal)
        } else {
            planned("nothing was changed: --yes carries it out".to_owned())
        };
        (Some(plan), deed)
    }

    /// On the same port others may listen, on other addresses.
    fn is_at_target(&self, local: SocketAddr) -> bool {
        self.target.is_none_or(|target| {
            let bound = target.local.ip();
            bound.is_unspecified() || bound.to_canonical() == local.ip().to_canonical()
        })
    }

    fn findings(&self, analysis: &Analysis) -> Vec<Finding> {
        let findings = rules::diagnose(analysis);
        match self.target {
            Some(target) => about(findings, target),
            None => findings,
        }
    }

    /// What a look says about the server.
    fn state(&self, analysis: &Analysis) -> ServerState {
        let snapshot = &analysis.snapshot;
        let is_meant = |inode| {
            self.target
                .is_none_or(|target| target.inodes.contains(&inode))
        };
        let listeners = snapshot.sockets.listeners.iter();
        let connections = snapshot.sockets.connections.iter();
        let findings = match self.target {
            Some(target) => rules::diagnose(analysis)
                .into_iter()
                .filter(|finding| finding.subject.local == Some(target.local))
                .collect(),
            None => rules::diagnose(analysis),
        };
        ServerState {
            queue: listeners
                .filter(|listener| listener.inode.is_some_and(is_meant))
                .map(|listener| listener.accept_queue_len)
                .sum(),
            close_wait: connections
                .filter(|connection| connection.state == TcpState::CloseWait)
                .filter(|connection| self.is_at_target(connection.local))
                .count(),
            findings,
        }
    }
}

fn planned(headline: String) -> Deed {
    Deed {
        outcome: Outcome::Planned,
        headline,
        log: Vec::new(),
    }
}

/// What was changed before is undone before anything else is changed.
fn refuse_on_top(record: &Record) -> Deed {
    Deed {
        outcome: Outcome::Failed,
        headline: format!(
            "an earlier run left a change in force at {} (process {}, mask {:x} instead of {:x}): \
             bring it back with `relieve --undo --yes` first",
            record.local, record.grip.pid, record.in_force, record.grip.events
        ),
        log: Vec::new(),
    }
}

/// Process ids mean something in the pid namespace of their procfs only.
fn expect_own_procfs(procfs: &Path) -> Result<()> {
    let own = std::fs::read_link(procfs.join("self"))
        .with_context(|| format!("reading {}", procfs.display()))?;
    if own.to_str().and_then(|pid| pid.parse().ok()) != Some(std::process::id()) {
        bail!(
            "{} shows another pid namespace than this program is in: run it there (nsenter --pid, or \
             on the host)",
            procfs.display()
        );
    }
    Ok(())
}

fn state_folder(asked: Option<&Path>) -> PathBuf {
    const NAME: &str = "closewait-doctor";
    if let Some(folder) = asked {
        return folder.to_owned();
    }
    let user = rustix::process::geteuid();
    if user.is_root() {
        return Path::new("/run").join(NAME);
    }
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").filter(|folder| !folder.is_empty());
    runtime.map_or_else(
        || std::env::temp_dir().join(format!("{NAME}-{}", user.as_raw())),
        |folder| PathBuf::from(folder).join(NAME),
    )
}
