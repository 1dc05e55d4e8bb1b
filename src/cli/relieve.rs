//! `relieve`: first aid for a stuck queue. A plan, unless it is told to carry it out.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};

use super::options::parse_duration;
use super::probe::{ActFormat, WhichListener, about};
use super::{ExitStatus, OutputOptions, output, scan};
use crate::act::relieve::{
    self, Bounds, Folders, Journal, JournalRecord, Method, Relief, ReliefOutcome, ReliefPlan,
    RelieveOptions, Unplanned,
};
use crate::act::{self, Target};
use crate::collect::kernel::LiveKernel;
use crate::correlate::Analysis;
use crate::model::{Scope, TcpState};
use crate::render::{self, ReliefReport, ServerState};
use crate::rules::{self, Finding};

/// Free a stuck accept queue without a restart: prints a plan, and carries it out with --yes.
///
/// Every step is logged with its time, its target and its result; a look before and one after are
/// compared. Right before each step it is checked that what is touched is what was planned. With
/// --yes, a run that changed nothing ends with exit status 3.
#[derive(Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of the command line"
)]
pub(super) struct RelieveArgs {
    #[command(flatten)]
    which: WhichListener,

    /// Only this process; with --method close-leaked, the one that holds the connections (repeatable).
    #[arg(long = "pid", value_name = "PID")]
    pids: Vec<u32>,

    /// The method; without it the gentlest that the finding allows.
    #[arg(long, value_enum)]
    method: Option<MethodArg>,

    /// Do it. Without this nothing is changed.
    #[arg(long)]
    yes: bool,

    /// Bring back what an earlier `--method level` changed.
    #[arg(long, conflicts_with_all = ["method", "all", "force"])]
    undo: bool,

    /// With drain: accept and close live clients as well.
    #[arg(long)]
    all: bool,

    /// With level: even where the runtime depends on edges (Go, tokio, Netty).
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
    /// [default: /run/closewait-doctor for root, else closewait-doctor in $XDG_RUNTIME_DIR]
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

/// Why nothing can be changed without a folder to record changes in.
const NO_STATE: &str = "there is no runtime folder ($XDG_RUNTIME_DIR) to record changes in: name a \
     folder of yours with --state";

/// Spinning is only seen after half a second.
fn parse_watch(text: &str) -> Result<Duration, String> {
    let watch = parse_duration(text)?;
    if watch < Duration::from_secs(1) || watch > Duration::from_secs(600) {
        return Err("between 1s and 10m".to_owned());
    }
    Ok(watch)
}

/// What the hidden command does.
pub(super) fn helper(procfs: &Path, task: &str) -> Result<()> {
    relieve::run_helper(procfs, task).context("the helper process")
}

pub(super) fn run(arguments: &RelieveArgs, output_options: OutputOptions) -> Result<ExitStatus> {
    let which = &arguments.which;
    let wanted = which.wanted();
    if wanted.is_none() && arguments.pids.is_empty() {
        bail!("which listener? Name its port (--port 8080) or its address (127.0.0.1:8080)");
    }
    expect_own_procfs(&which.procfs)?;
    let folder = state_folder(arguments.state.as_deref());
    if folder.is_none() && arguments.undo {
        bail!(NO_STATE);
    }
    // An empty path names no folder: a plan reads nothing there, and nothing is carried out.
    let journal = Journal::new(folder.unwrap_or_default());
    which.enter()?;
    let taken_at = scan::now();
    let started = Instant::now();
    let mut kernel = LiveKernel::new(&which.procfs);
    let scope = Scope {
        ports: wanted
            .map(|wanted| wanted.port().into())
            .into_iter()
            .collect(),
        // A look at a listener needs all its holders.
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
    let left_in_force = run.left_in_force(&mut kernel)?;
    let (plan, relief) = if arguments.undo {
        (None, run.undo(&mut kernel, &left_in_force))
    } else {
        run.treat(&mut kernel, &before, &left_in_force)
    };
    let acted = !relief.log.is_empty();
    let after = acted.then(|| which.look(&mut kernel, &scope)).transpose()?;
    let report = ReliefReport {
        taken_at,
        netns: &before.snapshot.namespace.name,
        local: target.as_ref().map(|target| target.local),
        plan: plan.as_ref(),
        undo: arguments.undo,
        relief: &relief,
        instead: run.instead(&relief, plan.as_ref()),
        before: run.state(&before),
        after: after.as_ref().map(|after| run.state(after)),
        elapsed: started.elapsed(),
    };
    output::with_stdout(output_options.color, |out| {
        match arguments.format.or_json(output_options) {
            ActFormat::Json => render::write_relieve_json(&report, out),
            ActFormat::Table => {
                let options = output::table_options(output_options);
                render::write_relief_table(&report, options, out)
            }
        }
    })
    .context("writing the answer")?;
    Ok(if relief.outcome.changed_nothing() {
        ExitStatus::CouldNotLook
    } else {
        ExitStatus::Success
    })
}

struct Run<'a> {
    arguments: &'a RelieveArgs,
    target: Option<&'a Target>,
    journal: &'a Journal,
}

impl Run<'_> {
    fn folders(&self) -> Folders<'_> {
        Folders {
            procfs: &self.arguments.which.procfs,
            journal: self.journal,
        }
    }

    /// What to do instead of a method that changed nothing.
    fn instead(&self, relief: &Relief, plan: Option<&ReliefPlan>) -> Vec<String> {
        let which = self.target.map_or(String::new(), |target| {
            // The brackets of an IPv6 address mean something to a shell.
            if target.local.is_ipv6() {
                format!("'{}'", target.address)
            } else {
                target.address.to_string()
            }
        });
        relieve::instead(relief.outcome, plan.map(|plan| plan.method), &which)
    }

    fn left_in_force(&self, kernel: &mut LiveKernel) -> Result<Vec<JournalRecord>> {
        let inodes = self.target.map_or(&[][..], |target| &target.inodes);
        let tidied = if self.arguments.yes {
            relieve::tidy(kernel, self.journal)
        } else {
            Ok(())
        };
        tidied
            .and_then(|()| relieve::pending(kernel, self.journal, inodes, &self.arguments.pids))
            .map_err(|fault| {
                let folder = self.journal.path().display();
                anyhow::anyhow!("the journal in {folder}: {}", fault.describe())
            })
    }

    fn undo(&self, kernel: &mut LiveKernel, records: &[JournalRecord]) -> Relief {
        if records.is_empty() {
            return Relief::without_steps(
                ReliefOutcome::NothingToDo,
                format!(
                    "nothing that `relieve` changed is in force, by the journal in {}",
                    self.journal.path().display()
                ),
            );
        }
        if !self.arguments.yes {
            let masks: Vec<String> = records
                .iter()
                .map(|record| {
                    format!(
                        "process {}: epoll fd {}, mask {:x} back to {:x}",
                        record.registration.listener.pid,
                        record.registration.epoll_fd,
                        record.in_force,
                        record.registration.events
                    )
                })
                .collect();
            return planned(format!("would bring back: {}", masks.join("; ")));
        }
        relieve::undo(kernel, records, self.folders())
    }

    fn treat(
        &self,
        kernel: &mut LiveKernel,
        before: &Analysis,
        left_in_force: &[JournalRecord],
    ) -> (Option<ReliefPlan>, Relief) {
        let arguments = self.arguments;
        if let Some(record) = left_in_force.first() {
            return (None, refuse_on_top(record));
        }
        let options = RelieveOptions {
            method: arguments.method.map(Into::into),
            all: arguments.all,
            force: arguments.force,
        };
        let planned_as = relieve::plan(
            kernel,
            before,
            self.target,
            &self.findings(before),
            &arguments.pids,
            options,
        );
        let plan = match planned_as {
            Ok(plan) => plan,
            Err(unplanned) => {
                let outcome = match unplanned {
                    Unplanned::Nothing(_) => ReliefOutcome::NothingToDo,
                    Unplanned::Impossible(_) => ReliefOutcome::Failed,
                };
                return (None, Relief::without_steps(outcome, unplanned.to_string()));
            }
        };
        let relief = if arguments.yes && self.journal.path().as_os_str().is_empty() {
            Relief::without_steps(ReliefOutcome::Failed, NO_STATE)
        } else if arguments.yes {
            let bounds = Bounds {
                max: arguments.max,
                timeout: arguments.timeout,
                watch: arguments.watch,
            };
            relieve::carry_out(kernel, &plan, self.target, bounds, self.folders())
        } else {
            planned("nothing was changed: --yes carries it out".to_owned())
        };
        (Some(plan), relief)
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

fn planned(headline: String) -> Relief {
    Relief::without_steps(ReliefOutcome::Planned, headline)
}

/// What was changed before is undone before anything else is changed.
fn refuse_on_top(record: &JournalRecord) -> Relief {
    Relief::without_steps(
        ReliefOutcome::Failed,
        format!(
            "an earlier run left a change in force at {} (process {}, mask {:x} instead of {:x}): \
             bring it back with `relieve --undo --yes` first",
            record.local,
            record.registration.listener.pid,
            record.in_force,
            record.registration.events
        ),
    )
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

/// Returns the folder for what must outlive this program and no restart; nothing where the user has
/// none that is private.
fn state_folder(asked: Option<&Path>) -> Option<PathBuf> {
    const NAME: &str = "closewait-doctor";
    if let Some(folder) = asked {
        return Some(folder.to_owned());
    }
    if rustix::process::geteuid().is_root() {
        return Some(Path::new("/run").join(NAME));
    }
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").filter(|folder| !folder.is_empty());
    runtime.map(|folder| PathBuf::from(folder).join(NAME))
}
