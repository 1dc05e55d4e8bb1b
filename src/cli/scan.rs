//! `scan`: one look, and the answer.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use jiff::Timestamp;

use super::offline::{self, Offline};
use super::options::TargetArgs;
use super::{ExitStatus, Manner, output};
use crate::collect::kernel::{Kernel, LiveKernel, RecordedKernel};
use crate::collect::netns;
use crate::collect::text::Text;
use crate::correlate::Analysis;
use crate::look::{self, Plan};
use crate::model::{Scope, Snapshot};
use crate::render::{self, TableOptions};
use crate::report::{Circumstances, Report};
use crate::rules::{self, Severity, thresholds};

/// Look once: findings with evidence and remedy, listeners with their accept queues, CLOSE_WAIT
/// connections, and who holds them.
#[derive(Args)]
pub(super) struct ScanArgs {
    #[command(flatten)]
    target: TargetArgs,

    /// How to print the answer.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,

    /// Analyse a file instead of this host: a recording, or copied output of ss, netstat or
    /// /proc/net/tcp; `-` reads standard input.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["netns", "source", "observe"])]
    from: Option<String>,

    /// List at most this many connections, the oldest [default: in a table five of each kind, in JSON
    /// all]. Whatever is counted stays counted.
    #[arg(long, value_name = "NUMBER")]
    limit: Option<usize>,

    /// Make an exit code of the findings: 2 for a critical one, with `warning` 1 for a warning,
    /// and 3 where a blind spot could hide one. Without it, 0 whatever was found.
    #[arg(long, value_enum, value_name = "SEVERITY")]
    fail_on: Option<FailOn>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Table,
    /// For programs: closewait-doctor.report/v1.
    Json,
}

/// The least severity that is a failure.
#[derive(Clone, Copy, ValueEnum)]
enum FailOn {
    Warning,
    Critical,
}

impl From<FailOn> for Severity {
    fn from(least: FailOn) -> Self {
        match least {
            FailOn::Warning => Self::Warning,
            FailOn::Critical => Self::Critical,
        }
    }
}

pub(super) fn run(arguments: &ScanArgs, manner: Manner) -> Result<ExitStatus> {
    let format = arguments.format;
    let inventory = format == Format::Json || manner.verbose;
    let answer = |report: &Report| {
        print(report, arguments, manner)?;
        Ok(match arguments.fail_on {
            None => ExitStatus::Success,
            Some(least) => report.status_from(least.into()).into(),
        })
    };
    look(
        &arguments.target,
        arguments.from.as_deref(),
        inventory,
        answer,
    )
}

/// Looks at this host, or into a recording, and has the report answered.
pub(super) fn look(
    target: &TargetArgs,
    from: Option<&str>,
    inventory: bool,
    answer: impl FnOnce(&Report) -> Result<ExitStatus>,
) -> Result<ExitStatus> {
    match from {
        None => look_live(target, inventory, answer),
        Some(file) => match offline::read(file)? {
            Offline::Recording(kernel) => look_recorded(target, file, *kernel, answer),
            Offline::Text(text) => look_at_text(target, *text, answer),
        },
    }
}

fn look_live(
    target: &TargetArgs,
    inventory: bool,
    answer: impl FnOnce(&Report) -> Result<ExitStatus>,
) -> Result<ExitStatus> {
    if let Some(name) = &target.netns {
        netns::enter(name, &target.procfs)
            .with_context(|| format!("entering the network namespace {name}"))?;
    }
    let plan = target.plan(inventory);
    let taken_at = now();
    let mut kernel = LiveKernel::new(&target.procfs);
    report_on(
        &mut kernel,
        &target.scope(),
        &plan,
        &taken_at,
        false,
        answer,
    )
}

fn look_at_text(
    target: &TargetArgs,
    text: Text,
    answer: impl FnOnce(&Report) -> Result<ExitStatus>,
) -> Result<ExitStatus> {
    let scope = target.scope();
    let grace = target.min_age.unwrap_or(thresholds::GRACE);
    let snapshot = look::snapshot_of_text(text, &scope, grace);
    // The text does not say when it was copied.
    conclude(&[snapshot], grace, &scope, &now(), true, answer)
}

fn look_recorded(
    target: &TargetArgs,
    file: &str,
    mut kernel: RecordedKernel,
    answer: impl FnOnce(&Report) -> Result<ExitStatus>,
) -> Result<ExitStatus> {
    let header = kernel.header().clone();
    let recorded: Scope = header.scope.clone().into();
    if !target.ports.is_empty() && !kernel.covers(&target.ports) {
        let ports: Vec<String> = recorded.ports.iter().map(ToString::to_string).collect();
        bail!(
            "reading {file}: the recording holds only port {}",
            ports.join(", ")
        );
    }
    let scope = Scope {
        ports: if target.ports.is_empty() {
            recorded.ports
        } else {
            target.ports.clone()
        },
        pids: if target.pids.is_empty() {
            recorded.pids
        } else {
            target.pids.clone()
        },
        netns: recorded.netns,
        all_netns: recorded.all_netns,
    };
    let recorded_plan = Plan::from(header.manner);
    let plan = Plan {
        grace: target.min_age.unwrap_or(recorded_plan.grace),
        ..recorded_plan
    };
    report_on(&mut kernel, &scope, &plan, &header.taken_at, true, answer)
}

fn report_on(
    kernel: &mut dyn Kernel,
    scope: &Scope,
    plan: &Plan,
    taken_at: &str,
    replayed: bool,
    answer: impl FnOnce(&Report) -> Result<ExitStatus>,
) -> Result<ExitStatus> {
    let snapshots = look::look(kernel, scope, plan)?;
    conclude(&snapshots, plan.grace, scope, taken_at, replayed, answer)
}

/// Judges each namespace by itself, and puts the reports together.
fn conclude(
    snapshots: &[Snapshot],
    grace: Duration,
    scope: &Scope,
    taken_at: &str,
    replayed: bool,
    answer: impl FnOnce(&Report) -> Result<ExitStatus>,
) -> Result<ExitStatus> {
    let analyses: Vec<Analysis> = snapshots
        .iter()
        .map(|snapshot| Analysis::new(snapshot, grace))
        .collect();
    let report = analyses
        .iter()
        .map(|analysis| {
            let circumstances = Circumstances {
                taken_at: taken_at.to_owned(),
                scope,
                replayed,
            };
            Report::new(analysis, rules::diagnose(analysis), circumstances)
        })
        .reduce(Report::merge)
        .context("nothing was looked at")?;
    answer(&report)
}

fn print(report: &Report, arguments: &ScanArgs, manner: Manner) -> Result<()> {
    let limit = arguments.limit;
    output::with_stdout(manner.color, |out| match arguments.format {
        Format::Json => render::write_json(report, limit, out),
        Format::Table => {
            let options = TableOptions {
                width: output::terminal_width(),
                all: manner.verbose,
                limit,
            };
            render::write_table(report, options, out)
        }
    })
    .context("writing the answer")
}

/// The time of day, in whole milliseconds.
pub(super) fn now() -> String {
    format!("{:.3}", Timestamp::now())
}
