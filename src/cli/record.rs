//! `record`: save what a look read from the kernel.

use std::io::{self, IsTerminal, Write};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;

use super::options::{TargetArgs, parse_duration, parse_interval};
use super::scan::now;
use super::waiting::Waiting;
use super::{OutputOptions, output};
use crate::act;
use crate::collect::kernel::{Header, Kernel, LiveKernel, Recorder, WatchedKernel};
use crate::look;
use crate::render::escape::escape;
use crate::serve::Schedule;

/// Save what a look reads from the kernel, for `scan --from FILE` elsewhere.
#[derive(Args)]
pub(super) struct RecordArgs {
    #[command(flatten)]
    target: TargetArgs,

    /// The file to write; `-` writes to standard output.
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,

    /// Record again and again, at this interval, each time to a file of its own: with `-o look.rec` to
    /// look-000001.rec and so on. `watch --from look-*.rec` plays them.
    #[arg(long, value_name = "DURATION", value_parser = parse_interval)]
    every: Option<Duration>,

    /// With --every: end after this time.
    #[arg(long = "for", value_name = "DURATION", requires = "every", value_parser = parse_duration)]
    length: Option<Duration>,

    /// With --every: keep so many files, the latest.
    #[arg(
        long,
        value_name = "NUMBER",
        requires = "every",
        default_value = "3600"
    )]
    keep: NonZeroU32,

    /// Replace addresses, command lines, paths, cgroups and the host's name.
    #[arg(long)]
    redact: bool,
}

pub(super) fn run(arguments: &RecordArgs, output_options: OutputOptions) -> Result<()> {
    output::expect_no_json(output_options, "record")?;
    if let Some(interval) = arguments.every {
        return record_series(arguments, interval);
    }
    record(arguments, &arguments.output)?;
    tell(arguments);
    Ok(())
}

/// Records at every beat, and removes the files that are too many. What is full or broken ends it: a series with
/// holes would be played as if nothing had been there.
fn record_series(arguments: &RecordArgs, interval: Duration) -> Result<()> {
    if arguments.output == Path::new("-") {
        bail!("a series takes files: name one with -o");
    }
    let mut schedule = Schedule::new(interval);
    let began = Instant::now();
    for number in 1_u32.. {
        record(arguments, &numbered(&arguments.output, number))?;
        if let Some(old) = number
            .checked_sub(arguments.keep.get())
            .filter(|old| *old > 0)
        {
            let old = numbered(&arguments.output, old);
            std::fs::remove_file(&old).with_context(|| format!("removing {}", old.display()))?;
        }
        let wait = schedule.wait(began.elapsed());
        if arguments
            .length
            .is_some_and(|length| began.elapsed() + wait > length)
        {
            break;
        }
        std::thread::sleep(wait);
    }
    Ok(())
}

/// Returns the name with a number before its extension; names sort as numbers do.
fn numbered(output: &Path, number: u32) -> PathBuf {
    let mut name = output.file_stem().unwrap_or_default().to_owned();
    name.push(format!("-{number:06}"));
    if let Some(extension) = output.extension() {
        name.push(".");
        name.push(extension);
    }
    output.with_file_name(name)
}

fn record(arguments: &RecordArgs, output: &Path) -> Result<()> {
    let target = &arguments.target;
    let options = target.look_options(true);
    let taken_at = now();
    let mut live = LiveKernel::new(&target.procfs);
    let header = Header::new(
        taken_at,
        &live.host(),
        &options.scope,
        options.recorded_options(),
        arguments.redact,
    );
    let waiting = Waiting::begin()?;
    let mut live = WatchedKernel::new(&mut live, waiting.progress());
    let mut recorder = Recorder::new(&mut live);
    look::take(&mut recorder, &options)?;
    drop(waiting);
    save(output, |file| recorder.write(header, file))
        .with_context(|| format!("writing {}", output.display()))
}

/// Says on a terminal what was saved, how to read it, and what it gives away.
fn tell(arguments: &RecordArgs) {
    let file = &arguments.output;
    if file == Path::new("-") || !io::stderr().is_terminal() {
        return;
    }
    let size = std::fs::metadata(file).map_or(0, |file| file.len().div_ceil(1024));
    let holds = if arguments.redact {
        "addresses, command lines, paths and the host's name are replaced; ports and short process names are not"
    } else {
        "it holds addresses, command lines and paths of this host: --redact replaces them"
    };
    let name = escape(&file.to_string_lossy()).into_owned();
    // It is saved whether or not this can be written.
    let _ = writeln!(
        io::stderr(),
        "saved {name} ({size} KiB): {holds}\nread it with: closewait-doctor scan --from {name}"
    );
}

/// Writes to standard output, or to a file: all of it or nothing.
fn save(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    if path == Path::new("-") {
        let mut stdout = io::stdout().lock();
        if stdout.is_terminal() {
            return Err(io::Error::other("a recording is not for a terminal"));
        }
        write(&mut stdout)?;
        return stdout.flush();
    }
    act::write_file(path, write)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_is_numbered_before_the_extension() {
        let name = |output: &str| numbered(Path::new(output), 7).display().to_string();
        assert_eq!(name("/tmp/look.rec"), "/tmp/look-000007.rec");
        assert_eq!(name("look"), "look-000007");
    }
}
