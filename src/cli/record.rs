//! `record`: save what a look read from the kernel.

use std::fs::{self, File};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;

use super::options::TargetArgs;
use super::scan::now;
use crate::collect::kernel::{Header, Kernel, LiveKernel, Recorder};
use crate::look;

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

pub(super) fn run(arguments: &RecordArgs) -> Result<()> {
    let target = &arguments.target;
    let options = target.look_options(true);
    let taken_at = now();
    let mut live = LiveKernel::new(&target.procfs);
    let header = Header::new(
        taken_at,
        &live.host(),
        &options.scope,
        options.recorded_manner(),
        arguments.redact,
    );
    let mut recorder = Recorder::new(&mut live);
    look::take(&mut recorder, &options)?;
    save(&arguments.output, |file| recorder.write(header, file))
        .with_context(|| format!("writing {}", arguments.output.display()))
}

/// Writes a file whole or not at all: under another name first, where it is an ordinary file.
fn save(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    if path == Path::new("-") {
        let mut stdout = io::stdout().lock();
        if stdout.is_terminal() {
            return Err(io::Error::other("a recording is not for a terminal"));
        }
        write(&mut stdout)?;
        return stdout.flush();
    }
    if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        return write(&mut File::create(path)?);
    }
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    let written = File::create(&partial).and_then(|mut file| {
        write(&mut file)?;
        file.sync_all()?;
        fs::rename(&partial, path)
    });
    if written.is_err() {
        // It may never have been made; the first failure is the one to report.
        let _ = fs::remove_file(&partial);
    }
    written
}
