//! The command line: the only place that knows clap, the clock, standard output and exit codes.
#![expect(
    clippy::disallowed_methods,
    reason = "the clock, files that the user names and the terminal are what this folder is for"
)]

mod check;
mod exit_status;
mod explain;
mod exporter;
mod follower;
mod offline;
mod options;
mod output;
mod output_options;
mod pager;
mod probe;
mod record;
mod relieve;
mod scan;
mod target;
mod threshold;
mod trace;
mod waiting;
mod watch;

use std::ffi::OsString;
use std::io::{self, IsTerminal};

use anstream::ColorChoice;
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};

use crate::collect::rights;
use crate::render::Detail;
use output_options::OutputOptions;

pub use exit_status::ExitStatus;

/// Explains CLOSE_WAIT: which connections are stuck, which process should have accepted or closed them, why
/// it does not, and what to do.
#[derive(Parser)]
#[command(name = "closewait-doctor", version, max_term_width = 100)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of the command line"
)]
struct Cli {
    /// When to colour the output.
    #[arg(
        long,
        alias = "colour",
        value_enum,
        global = true,
        default_value = "auto"
    )]
    color: Color,

    /// Show all evidence, every listener and every connection.
    #[arg(short, long, global = true)]
    verbose: bool,

    /// Print the first line only.
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,

    /// Do not fit lines and tables to the terminal.
    #[arg(short, long, global = true)]
    wide: bool,

    /// Print JSON, as --format json does.
    #[arg(short, long, global = true)]
    json: bool,

    /// On a terminal, `scan` where there is none.
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    Scan(scan::ScanArgs),
    Check(check::CheckArgs),
    Explain(explain::ExplainArgs),
    Record(record::RecordArgs),
    Probe(probe::ProbeArgs),
    Relieve(relieve::RelieveArgs),
    Exporter(exporter::ExporterArgs),
    Watch(watch::WatchArgs),
    Trace(trace::TraceArgs),
    /// What `relieve` starts to reach into an epoll set.
    #[command(hide = true)]
    Helper {
        procfs: std::path::PathBuf,
        task: String,
    },
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Returns the arguments of the program, from which its manual and its completions are made.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Runs the program with the given arguments, the first of which is its name.
pub fn run(arguments: impl Iterator<Item = OsString>) -> ExitStatus {
    // Before anything is read that the caller names.
    if let Err(error) = rights::lay_down() {
        return refuse(&format!("laying down borrowed rights: {error}"));
    }
    let (cli, command) = match parse(arguments) {
        Ok(parsed) => parsed,
        Err(error) => return usage(&error),
    };
    let output_options = OutputOptions {
        color: match cli.color {
            Color::Auto => ColorChoice::Auto,
            Color::Always => ColorChoice::Always,
            Color::Never => ColorChoice::Never,
        },
        detail: match (cli.quiet, cli.verbose) {
            (true, _) => Detail::FirstLine,
            (false, true) => Detail::Full,
            (false, false) => Detail::Usual,
        },
        wide: cli.wide,
        json: cli.json,
    };
    if let Err(error) = give_up_rights(&command) {
        return refuse(&format!("{error:#}"));
    }
    let outcome = match command {
        Command::Scan(arguments) => scan::run(&arguments, output_options),
        Command::Check(arguments) => check::run(&arguments, output_options),
        Command::Explain(arguments) => explain::run(&arguments, output_options).map(looked),
        Command::Record(arguments) => record::run(&arguments, output_options).map(looked),
        Command::Probe(arguments) => probe::run(&arguments, output_options),
        Command::Trace(arguments) => trace::run(&arguments, output_options),
        Command::Relieve(arguments) => relieve::run(&arguments, output_options),
        Command::Exporter(arguments) => exporter::run(&arguments, output_options).map(looked),
        Command::Watch(arguments) => watch::run(&arguments, output_options).map(looked),
        Command::Helper { procfs, task } => relieve::helper(&procfs, &task).map(looked),
    };
    match outcome {
        Ok(status) => status,
        Err(error) if is_broken_pipe(&error) => ExitStatus::Success,
        Err(error) => {
            output::complain(&format!("{error:#}"));
            ExitStatus::CouldNotLook
        }
    }
}

/// The arguments, and the command: `scan` on a terminal where none is given. A script that forgets it is told so.
fn parse(arguments: impl Iterator<Item = OsString>) -> Result<(Cli, Command), clap::Error> {
    let mut words: Vec<OsString> = arguments.collect();
    let mut cli = Cli::try_parse_from(&words)?;
    if let Some(command) = cli.command.take() {
        return Ok((cli, command));
    }
    if !io::stdout().is_terminal() {
        return Err(Cli::command().error(
            ErrorKind::MissingSubcommand,
            "which command? On a terminal it is `scan` where there is none; see --help",
        ));
    }
    words.push("scan".into());
    let mut cli = Cli::try_parse_from(&words)?;
    let command = cli.command.take();
    let none = || Cli::command().error(ErrorKind::MissingSubcommand, "which command?");
    Ok((cli, command.ok_or_else(none)?))
}

/// A recording holds what was read of other people's processes, and relief changes them: neither is done with
/// rights that the caller has not. The helper process has no business with them at all.
fn give_up_rights(command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Helper { .. } => anyhow::ensure!(
            !rights::are_borrowed()?,
            "the helper process does not run with borrowed rights"
        ),
        // `watch` records where that is asked for; the pager of `explain` is a program that the caller names.
        Command::Record(_)
        | Command::Relieve(_)
        | Command::Explain(_)
        | Command::Trace(_)
        | Command::Watch(_) => {
            rights::give_up()?;
        }
        // The exporter gives up more, as soon as it listens.
        Command::Scan(_) | Command::Check(_) | Command::Probe(_) | Command::Exporter(_) => {}
    }
    Ok(())
}

fn refuse(why: &str) -> ExitStatus {
    output::complain(why);
    ExitStatus::CouldNotLook
}

/// A command that can only succeed or fail.
fn looked((): ()) -> ExitStatus {
    ExitStatus::Success
}

/// Help and version are answers; everything else is a usage error, which is not clap's 2 here:
/// 2 always means critical.
fn usage(error: &clap::Error) -> ExitStatus {
    // If even this cannot be written, nothing is left to do.
    let _ = error.print();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitStatus::Success,
        _ => ExitStatus::CouldNotLook,
    }
}

/// The reader of the output has closed it: that is not a failure.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let kind = cause
            .downcast_ref::<io::Error>()
            .map(io::Error::kind)
            .or_else(|| {
                let json = cause.downcast_ref::<serde_json::Error>()?;
                json.io_error_kind()
            });
        kind == Some(io::ErrorKind::BrokenPipe)
    })
}
