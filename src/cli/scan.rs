//! `scan`: one look, and the answer.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use jiff::Timestamp;

use super::look::{self, Plan};
use super::offline::{self, Offline};
use super::options::TargetArgs;
use super::{Manner, output};
use crate::collect::kernel::{Kernel, LiveKernel, RecordedKernel};
use crate::collect::netns;
use crate::collect::text::Text;
use crate::correlate::Picture;
use crate::model::{Scope, Snapshot};
use crate::render::{self, TableOptions};
use crate::report::{Circumstances, Report};
use crate::rules::{self, thresholds};

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
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Table,
    /// For programs: closewait-doctor.report/v1.
    Json,
}

pub(super) fn run(arguments: &ScanArgs, manner: Manner) -> Result<()> {
    match &arguments.from {
        None => run_live(arguments, manner),
        Some(file) => match offline::read(file)? {
            Offline::Recording(kernel) => run_recorded(arguments, file, *kernel, manner),
            Offline::Text(text) => run_text(arguments, *text, manner),
        },
    }
}

fn run_live(arguments: &ScanArgs, manner: Manner) -> Result<()> {
    let target = &arguments.target;
    if let Some(name) = &target.netns {
        netns::enter(name, &target.procfs)
            .with_context(|| format!("entering the network namespace {name}"))?;
    }
    let plan = target.plan(arguments.format == Format::Json || manner.verbose);
    let taken_at = now();
    let mut kernel = LiveKernel::new(&target.procfs);
    answer(
        &mut kernel,
        &target.scope(),
        &plan,
        taken_at,
        false,
        arguments.format,
        manner,
    )
}

fn run_text(arguments: &ScanArgs, text: Text, manner: Manner) -> Result<()> {
    let target = &arguments.target;
    let grace = target.min_age.unwrap_or(thresholds::GRACE);
    let scope = target.scope();
    let snapshot = offline::snapshot(text, &scope, grace)?;
    let circumstances = Circumstances {
        // The text does not say when it was copied.
        taken_at: now(),
        scope: &scope,
        replayed: true,
    };
    report(&snapshot, grace, circumstances, arguments.format, manner)
}

fn run_recorded(
    arguments: &ScanArgs,
    file: &str,
    mut kernel: RecordedKernel,
    manner: Manner,
) -> Result<()> {
    let target = &arguments.target;
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
    };
    let plan = Plan {
        grace: target.min_age.unwrap_or(header.grace()),
        observe: header.observe(),
        inventory: true,
        procfs: header.procfs_source,
    };
    answer(
        &mut kernel,
        &scope,
        &plan,
        header.taken_at,
        true,
        arguments.format,
        manner,
    )
}

fn answer(
    kernel: &mut dyn Kernel,
    scope: &Scope,
    plan: &Plan,
    taken_at: String,
    replayed: bool,
    format: Format,
    manner: Manner,
) -> Result<()> {
    let snapshot = look::look(kernel, scope, plan)?;
    let circumstances = Circumstances {
        taken_at,
        scope,
        replayed,
    };
    report(&snapshot, plan.grace, circumstances, format, manner)
}

fn report(
    snapshot: &Snapshot,
    grace: Duration,
    circumstances: Circumstances,
    format: Format,
    manner: Manner,
) -> Result<()> {
    let picture = Picture::new(snapshot, grace);
    let findings = rules::diagnose(&picture);
    let report = Report::new(&picture, findings, circumstances);
    output::with_stdout(manner.color, |out| match format {
        Format::Json => render::write_json(&report, out),
        Format::Table => {
            let options = TableOptions {
                width: output::terminal_width(),
                all: manner.verbose,
            };
            render::write_table(&report, options, out)
        }
    })
    .context("writing the answer")
}

/// The time of day, in whole milliseconds.
pub(super) fn now() -> String {
    format!("{:.3}", Timestamp::now())
}
