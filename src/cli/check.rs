//! `check`: one look, one line, and an exit code.

use std::path::PathBuf;

use anyhow::{Error, Result};
use clap::{Args, ValueEnum};

use super::options::TargetArgs;
use super::threshold::parse_threshold;
use super::waiting::Waiting;
use super::{ExitStatus, OutputOptions, output, scan};
use crate::render;
use crate::report::{Check, Threshold, Thresholds};

/// Look once, and answer as a monitoring plugin: one line, performance data, and exit code 0 (OK),
/// 1 (WARNING), 2 (CRITICAL) or 3 (UNKNOWN).
///
/// A critical finding is CRITICAL and a warning finding is WARNING; thresholds add to that. What
/// cannot be told because it could not be seen is UNKNOWN, never OK.
#[derive(Args)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    target: TargetArgs,

    /// WARNING above these, such as close-wait=10,queue=80%,age=60s (repeatable).
    ///
    /// Metrics: close-wait=10 (connections in CLOSE_WAIT), queue=80% (the fullest accept queue, of
    /// its limit), queue=50 (the longest accept queue, in connections), age=60s (how long the
    /// oldest connection is in CLOSE_WAIT or waits to be accepted), accepted-close-wait=10 (accepted
    /// connections in CLOSE_WAIT at one listener). Exactly on it is still good.
    #[arg(long, value_name = "METRIC=VALUE", value_delimiter = ',', value_parser = parse_threshold)]
    warn: Vec<Threshold>,

    /// CRITICAL above these (repeatable).
    #[arg(long, value_name = "METRIC=VALUE", value_delimiter = ',', value_parser = parse_threshold)]
    crit: Vec<Threshold>,

    /// How to print the answer.
    #[arg(long, value_enum, default_value = "line")]
    format: Format,

    /// Check a recording instead of this host; `-` reads standard input.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["netns", "source", "observe"])]
    from: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A status, the reasons, and performance data, for monitoring systems.
    Line,
    /// For programs: closewait-doctor.report/v1, with `check`.
    Json,
    /// JUnit XML, for CI systems.
    Junit,
    /// Annotations, for GitHub Actions.
    Github,
}

pub(super) fn run(arguments: &CheckArgs, output_options: OutputOptions) -> Result<ExitStatus> {
    let format = if output_options.json {
        Format::Json
    } else {
        arguments.format
    };
    check(arguments, format, output_options)
        .or_else(|error| tell_failure(format, error, output_options))
}

fn check(
    arguments: &CheckArgs,
    format: Format,
    output_options: OutputOptions,
) -> Result<ExitStatus> {
    let thresholds = Thresholds::new(&arguments.warn, &arguments.crit)?;
    let inventory = format == Format::Json;
    let report = {
        let waiting = Waiting::begin()?;
        scan::report(
            &arguments.target,
            arguments.from.as_deref(),
            inventory,
            &waiting,
        )?
    };
    let check = Check::new(&report, &thresholds);
    output::with_stdout(output_options.color, |out| match format {
        Format::Line => render::write_line(&report, &check, out),
        Format::Json => render::write_json_with_check(&report, &check, out),
        Format::Junit => render::write_junit(&report, &check, out),
        Format::Github => render::write_github(&report, &check, out),
    })?;
    Ok(ExitStatus::from(check.status))
}

/// Monitoring systems read only the standard output of a plugin. JSON has no form for a missing report.
fn tell_failure(format: Format, error: Error, output_options: OutputOptions) -> Result<ExitStatus> {
    let write = match format {
        Format::Line => render::write_failed_line,
        Format::Junit => render::write_failed_junit,
        Format::Github => render::write_failed_github,
        Format::Json => return Err(error),
    };
    let reason = format!("{error:#}");
    output::with_stdout(output_options.color, |out| write(&reason, out))?;
    Ok(ExitStatus::CouldNotLook)
}
