//! `scan`: one look, and the answer.

use std::path::{Path, PathBuf};

use anstream::ColorChoice;
use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use jiff::Timestamp;

use super::offline::{self, Offline};
use super::options::TargetArgs;
use super::waiting::Waiting;
use super::{ExitStatus, OutputOptions, output};
use crate::collect::kernel::{LiveKernel, RecordedKernel, WatchedKernel};
use crate::collect::read_user_names;
use crate::look::{self, LookOptions};
use crate::render::{self, TableOptions};
use crate::report::Report;
use crate::rules::Severity;

/// Look once: findings with evidence and remedy, listeners with their accept queues, CLOSE_WAIT
/// connections, and the processes that hold them.
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
    from: Option<PathBuf>,

    /// Print one line for each finding.
    #[arg(long, conflicts_with_all = ["quiet", "verbose"])]
    brief: bool,

    /// List every connection on its own line; without it a table has one line for each kind.
    #[arg(long)]
    connections: bool,

    /// List at most this many connections, the oldest, each on its own line [default in JSON: all]. Totals
    /// count all of them.
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

pub(super) fn run(arguments: &ScanArgs, output_options: OutputOptions) -> Result<ExitStatus> {
    let format = if output_options.json {
        Format::Json
    } else {
        arguments.format
    };
    let inventory = format == Format::Json || output_options.verbose();
    let waiting = Waiting::begin()?;
    let report = report(
        &arguments.target,
        arguments.from.as_deref(),
        inventory,
        &waiting,
    )?;
    let interrupted = waiting.was_interrupted();
    drop(waiting);
    print(&report, format, arguments, output_options)?;
    if interrupted {
        return Ok(ExitStatus::Interrupted);
    }
    Ok(match arguments.fail_on {
        None => ExitStatus::Success,
        Some(least) => report.status_from(least.into()).into(),
    })
}

/// Looks at this host, or into a file, and reports; `inventory` also reads the owners of healthy sockets.
pub(super) fn report(
    target: &TargetArgs,
    from: Option<&Path>,
    inventory: bool,
    waiting: &Waiting,
) -> Result<Report> {
    let Some(file) = from else {
        let taken_at = now();
        let mut kernel = LiveKernel::new(&target.procfs);
        let mut kernel = WatchedKernel::new(&mut kernel, waiting.progress());
        let look = look::take(&mut kernel, &target.look_options(inventory))?;
        let mut report = look.report(&taken_at).with_users(read_user_names());
        if waiting.was_interrupted() {
            report.mark_interrupted();
        }
        return Ok(report);
    };
    match offline::read(file)? {
        Offline::Recording(mut kernel) => report_recorded(target, file, &mut kernel),
        Offline::Text(text) => {
            let origin = look::origin_of_text(&text);
            let look = look::of_text(*text, &target.scope(), target.grace());
            // The text does not say when it was copied.
            Ok(look.report(&now()).with_origin(origin))
        }
    }
}

fn report_recorded(
    target: &TargetArgs,
    file: &Path,
    kernel: &mut RecordedKernel,
) -> Result<Report> {
    let mut options = LookOptions::of_recording(kernel.header());
    let asked = target.scope();
    if !asked.ports.is_empty() && !kernel.covers(&asked.ports) {
        let recorded = options.scope.ports.iter();
        let ports: Vec<String> = recorded.map(ToString::to_string).collect();
        bail!(
            "reading {}: the recording holds only port {}",
            file.display(),
            ports.join(", ")
        );
    }
    if !asked.ports.is_empty() {
        options.scope.ports = asked.ports;
        options.scope.addresses = asked.addresses;
    }
    if !asked.pids.is_empty() || !asked.names.is_empty() {
        options.scope.pids = asked.pids;
        options.scope.names = asked.names;
    }
    options.grace = target.min_age.unwrap_or(options.grace);
    let taken_at = kernel.header().taken_at.clone();
    let origin = look::origin_of_recording(kernel.header());
    Ok(look::take(kernel, &options)?
        .report(&taken_at)
        .with_origin(origin))
}

fn print(
    report: &Report,
    format: Format,
    arguments: &ScanArgs,
    output_options: OutputOptions,
) -> Result<()> {
    let color = match format {
        // It has no colours to take out, and may be long.
        Format::Json => ColorChoice::AlwaysAnsi,
        Format::Table => output_options.color,
    };
    output::with_stdout(color, |out| match format {
        Format::Json => render::write_json(report, arguments.limit, out),
        Format::Table => {
            let options = TableOptions {
                each: arguments.connections,
                limit: arguments.limit,
                ..output::table_options(output_options)
            };
            if arguments.brief {
                render::write_brief(report, options, out)
            } else {
                render::write_table(report, options, out)
            }
        }
    })
    .context("writing the answer")
}

/// The time of day, in whole milliseconds.
pub(super) fn now() -> String {
    format!("{:.3}", Timestamp::now())
}
