//! `trace`: follow sockets as things happen to them.

use std::fs::File;
use std::io::{self, BufReader, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};

use super::options::{TargetArgs, parse_duration};
use super::scan::now;
use super::{ExitStatus, OutputOptions, output};
use crate::act;
use crate::collect::events::{TraceWriter, read_trace, write_trace};
use crate::collect::kernel::LiveKernel;
use crate::correlate::tracing::conclude;
use crate::look::{self, TraceOptions};
use crate::model::{Event, Trace};
use crate::render::{self, TableOptions, TraceClock};

/// Follow accepts, closes and changes of state as they happen, and say what they prove: an accept loop that stops
/// before EAGAIN, a listener that nobody accepts from, connections that are never closed.
///
/// Nothing is changed, no process is stopped, and nothing is left in the kernel. It needs CAP_BPF and
/// CAP_PERFMON, or CAP_SYS_ADMIN; without them sockets are looked at ten times a second, which shows less.
#[derive(Args)]
pub(super) struct TraceArgs {
    #[command(flatten)]
    target: TargetArgs,

    /// How long to follow.
    #[arg(long = "for", value_name = "DURATION", default_value = "10s", value_parser = parse_lasts, conflicts_with = "from")]
    lasts: Duration,

    /// End as soon as clients wait because of something that was seen.
    #[arg(long, conflicts_with = "from")]
    until_stuck: bool,

    /// How to print what happens.
    #[arg(long, value_enum, default_value = "table")]
    format: TraceFormat,

    /// Also save what happened to this file, for `trace --from FILE` elsewhere.
    #[arg(long, short, value_name = "FILE", conflicts_with = "from")]
    output: Option<PathBuf>,

    /// Read what another trace has saved, instead of following this host.
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
}

/// How a trace is printed.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum TraceFormat {
    /// For people: one line an event.
    Table,
    /// For programs: one JSON object a line, closewait-doctor.trace/v1.
    Json,
}

/// A trace keeps every event in memory.
const LONGEST: Duration = Duration::from_secs(3600);

fn parse_lasts(text: &str) -> Result<Duration, String> {
    let lasts = parse_duration(text)?;
    if lasts.is_zero() || lasts > LONGEST {
        return Err("more than nothing, and at most 1h".to_owned());
    }
    Ok(lasts)
}

pub(super) fn run(arguments: &TraceArgs, output_options: OutputOptions) -> Result<ExitStatus> {
    match &arguments.from {
        Some(file) => replay(file, arguments, output_options)?,
        None => follow(arguments, output_options)?,
    }
    Ok(ExitStatus::Success)
}

fn follow(arguments: &TraceArgs, output_options: OutputOptions) -> Result<()> {
    let options = TraceOptions {
        look: arguments.target.look_options(false),
        started_at: now(),
        lasts: arguments.lasts,
        until_stuck: arguments.until_stuck,
    };
    let mut kernel = LiveKernel::new(&arguments.target.procfs);
    let mut failure = None;
    let written = output::with_stdout(output_options.color, |out| {
        let mut printer = Printer::new(arguments, output_options);
        let mut result = Ok(());
        let traced = look::follow(&mut kernel, &options, &mut |trace, events| {
            result = printer.show(trace, events, out).and_then(|()| out.flush());
            if result.is_ok() {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        });
        result?;
        match traced {
            Ok(traced) => {
                failure = save(arguments.output.as_deref(), &traced.trace).err();
                printer.finish(&traced.trace, arguments.target.grace(), out)
            }
            Err(error) => {
                failure = Some(error.into());
                Ok(())
            }
        }
    });
    written.context("writing the answer")?;
    failure.map_or(Ok(()), Err)
}

fn save(file: Option<&Path>, trace: &Trace) -> Result<()> {
    let Some(file) = file else {
        return Ok(());
    };
    act::write_file(file, |out| write_trace(trace, out))
        .with_context(|| format!("writing {}", file.display()))
}

fn replay(file: &Path, arguments: &TraceArgs, output_options: OutputOptions) -> Result<()> {
    let opened = File::open(file).with_context(|| format!("opening {}", file.display()))?;
    let read = read_trace(BufReader::new(opened))
        .with_context(|| format!("reading {}", file.display()))?;
    if !read.is_whole {
        output::complain(&format!("{} ends before its trace did", file.display()));
    }
    let trace = read.trace;
    output::with_stdout(output_options.color, |out| {
        let mut printer = Printer::new(arguments, output_options);
        printer.show(&trace, &[], out)?;
        printer.show(&trace, &trace.events, out)?;
        printer.finish(&trace, arguments.target.grace(), out)
    })
    .context("writing the answer")
}

/// Prints a trace as it happens.
struct Printer {
    format: TraceFormat,
    all: bool,
    options: TableOptions,
    /// Made with the first batch.
    clock: Option<TraceClock>,
    lines: Option<TraceWriter>,
}

impl Printer {
    fn new(arguments: &TraceArgs, output_options: OutputOptions) -> Self {
        Self {
            format: if output_options.json {
                TraceFormat::Json
            } else {
                arguments.format
            },
            all: output_options.verbose(),
            options: output::table_options(output_options),
            clock: None,
            lines: None,
        }
    }

    /// The first batch is empty, and says that it has begun.
    fn show(&mut self, trace: &Trace, events: &[Event], out: &mut dyn Write) -> io::Result<()> {
        match self.format {
            TraceFormat::Table => {
                if self.clock.is_none() {
                    render::write_trace_head(trace, out)?;
                }
                let clock = self
                    .clock
                    .get_or_insert_with(|| TraceClock::new(&trace.started_at));
                render::write_events(clock, &trace.host.machine, events, self.all, out)
            }
            TraceFormat::Json => {
                let lines = match &mut self.lines {
                    Some(lines) => lines,
                    None => self.lines.insert(TraceWriter::begin(trace, out)?),
                };
                lines.events(events, out)
            }
        }
    }

    fn finish(self, trace: &Trace, grace: Duration, out: &mut dyn Write) -> io::Result<()> {
        let conclusion = conclude(trace, grace);
        match self.format {
            TraceFormat::Table => render::write_conclusion(trace, &conclusion, self.options, out),
            TraceFormat::Json => {
                if let Some(lines) = self.lines {
                    lines.end(trace, out)?;
                }
                render::write_conclusion_json(trace, &conclusion, out)
            }
        }
    }
}
