//! `scan`: one look, and the answer.

use std::fs::File;
use std::io::{self, Read};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use jiff::Timestamp;

use super::look::{self, Plan};
use super::options::TargetArgs;
use super::{Manner, output};
use crate::collect::kernel::{Kernel, LiveKernel, RecordedKernel};
use crate::collect::netns;
use crate::correlate::Picture;
use crate::model::Scope;
use crate::render::{self, TableOptions};
use crate::report::{Circumstances, Report};
use crate::rules;

/// Look once: findings with evidence and remedy, listeners with their accept queues, CLOSE_WAIT
/// connections, and who holds them.
#[derive(Args)]
pub(super) struct ScanArgs {
    #[command(flatten)]
    target: TargetArgs,

    /// How to print the answer.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,

    /// Analyse a recording instead of this host; `-` reads standard input.
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
        Some(file) => run_recorded(arguments, file, manner),
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

fn run_recorded(arguments: &ScanArgs, file: &str, manner: Manner) -> Result<()> {
    let target = &arguments.target;
    let mut kernel =
        RecordedKernel::read_from(open(file)?).with_context(|| format!("reading {file}"))?;
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
    let recorded_plan = Plan::from(header.manner);
    let plan = Plan {
        grace: target.min_age.unwrap_or(recorded_plan.grace),
        ..recorded_plan
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
    let picture = Picture::new(&snapshot, plan.grace);
    let findings = rules::diagnose(&picture);
    let report = Report::new(
        &picture,
        findings,
        Circumstances {
            taken_at,
            scope,
            replayed,
        },
    );
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

fn open(file: &str) -> Result<Box<dyn Read>> {
    if file == "-" {
        return Ok(Box::new(io::stdin().lock()));
    }
    let opened = File::open(file).with_context(|| format!("opening {file}"))?;
    Ok(Box::new(opened))
}

/// The time of day, in whole milliseconds.
pub(super) fn now() -> String {
    format!("{:.3}", Timestamp::now())
}
