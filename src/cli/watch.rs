//! `watch`: looks once a second, on a full screen, as lines or as JSON.

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};

use super::follower::Follower;
use super::options::{TargetArgs, parse_duration, parse_interval};
use super::{OutputOptions, output};
use crate::follow::{Event, History};
use crate::render;
use crate::report::Report;
use crate::serve::Schedule;

#[cfg(feature = "watch")]
mod terminal;

/// Follow this host live: findings with their age and direction, listeners with their queues. On a terminal a full
/// screen (`?` for its keys), otherwise a line for each change.
#[derive(Args)]
pub(super) struct WatchArgs {
    #[command(flatten)]
    target: TargetArgs,

    /// The time between the beginnings of two looks.
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = parse_interval)]
    interval: Duration,

    /// End after this time.
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_duration)]
    length: Option<Duration>,

    /// How to show it [default: screen on a terminal, otherwise lines].
    #[arg(long, value_enum)]
    format: Option<Format>,

    /// Play recordings instead of looking at this host, in this order (`record --every` makes a series).
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with_all = ["netns", "source", "observe"])]
    from: Vec<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A full screen.
    Screen,
    /// A line for each finding that appears, changes or goes.
    Lines,
    /// A line of JSON for each look: closewait-doctor.watch/v1.
    Json,
}

pub(super) fn run(arguments: &WatchArgs, output_options: OutputOptions) -> Result<()> {
    match format(arguments, output_options) {
        Format::Screen => screen(arguments),
        Format::Lines => stream(arguments, output_options, render::write_event_lines),
        Format::Json => stream(arguments, output_options, render::write_json_events),
    }
}

fn format(arguments: &WatchArgs, output_options: OutputOptions) -> Format {
    if output_options.json {
        return Format::Json;
    }
    let is_terminal = io::stdout().is_terminal() && io::stdin().is_terminal();
    let by_itself = if is_terminal && cfg!(feature = "watch") {
        Format::Screen
    } else {
        Format::Lines
    };
    arguments.format.unwrap_or(by_itself)
}

#[cfg(feature = "watch")]
fn screen(arguments: &WatchArgs) -> Result<()> {
    let looking = if arguments.from.is_empty() {
        terminal::Looking::Here(live(arguments))
    } else {
        terminal::Looking::Recordings(arguments.from.clone())
    };
    terminal::run(looking, arguments.interval, arguments.length)
}

#[cfg(not(feature = "watch"))]
fn screen(_: &WatchArgs) -> Result<()> {
    anyhow::bail!("this program was built without the full screen (feature `watch`)")
}

/// Looks at this host.
fn live(arguments: &WatchArgs) -> Follower {
    let mut options = arguments.target.look_options(true);
    options.counters = true;
    Follower::live(&arguments.target.procfs, options)
}

type Write = fn(&Report, &[Event], &mut dyn io::Write) -> io::Result<()>;

/// Writes what each look changes, as it is known.
fn stream(arguments: &WatchArgs, output_options: OutputOptions, write: Write) -> Result<()> {
    let mut history = History::default();
    let mut tell = |report: &Report, at| -> Result<bool> {
        let events = history.take(report, at);
        output::with_stdout(output_options.color, |out| write(report, &events, out))?;
        Ok(!output::is_closed())
    };
    if !arguments.from.is_empty() {
        for (second, file) in (0..).zip(&arguments.from) {
            let report = Follower::replay(file)?.recorded_look()?;
            if !tell(&report, Duration::from_secs(second))? {
                break;
            }
        }
        return Ok(());
    }
    let mut follower = live(arguments);
    let mut schedule = Schedule::new(arguments.interval);
    let began = Instant::now();
    loop {
        let at = began.elapsed();
        let report = follower.look().report.context("looking")?;
        let goes_on = tell(&report, at)?;
        let wait = schedule.wait(began.elapsed());
        let is_over = |length| began.elapsed() + wait > length;
        if !goes_on || arguments.length.is_some_and(is_over) {
            return Ok(());
        }
        std::thread::sleep(wait);
    }
}
