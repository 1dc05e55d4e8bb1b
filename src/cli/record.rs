//! `record`: save what a look read from the kernel.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;

use super::options::TargetArgs;
use super::scan::now;
use super::waiting::Waiting;
use super::{OutputOptions, output};
use crate::act;
use crate::collect::kernel::{Header, Kernel, LiveKernel, Recorder, WatchedKernel};
use crate::look;
use crate::render::escape::escape;

/// Save what a look reads from the kernel, for `scan --from FILE` elsewhere.
#[derive(Args)]
pub(super) struct RecordArgs {
    #[command(flatten)]
    target: TargetArgs,

    /// The file to write; `-` writes to standard output.
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,

    /// Replace addresses, command lines, paths, cgroups and the host's name.
    #[arg(long)]
    redact: bool,
}

pub(super) fn run(arguments: &RecordArgs, output_options: OutputOptions) -> Result<()> {
    output::expect_no_json(output_options, "record")?;
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
    save(&arguments.output, |file| recorder.write(header, file))
        .with_context(|| format!("writing {}", arguments.output.display()))?;
    tell(arguments);
    Ok(())
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
