//! Looks taken again and again, of this host or of a recording that is replayed.

#[cfg(feature = "watch")]
use std::io;
use std::io::Cursor;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::scan::now;
#[cfg(feature = "watch")]
use crate::act;
#[cfg(feature = "watch")]
use crate::collect::kernel::{Header, Recorder};
use crate::collect::kernel::{Kernel, LiveKernel, RecordedKernel};
use crate::follow::LookOutcome;
use crate::look::{self, LookError, LookOptions};
use crate::report::Report;

/// Takes looks.
pub(super) enum Follower {
    /// At this host.
    Live {
        kernel: Box<LiveKernel>,
        options: LookOptions,
    },
    /// At a recording; each look is the same.
    Replay { recording: Vec<u8> },
}

/// One look.
pub(super) struct Taken {
    pub(super) report: Result<Report, LookError>,
    pub(super) outcome: LookOutcome,
    /// How long it took.
    pub(super) took: Duration,
}

impl Follower {
    /// Looks at this host.
    pub(super) fn live(procfs: &Path, options: LookOptions) -> Self {
        Self::Live {
            kernel: Box::new(LiveKernel::new(procfs)),
            options,
        }
    }

    /// Looks at a recording.
    pub(super) fn replay(file: &Path) -> Result<Self> {
        let reading = || format!("reading {}", file.display());
        let recording = std::fs::read(file).with_context(reading)?;
        // What is cut or is no recording is told at once.
        RecordedKernel::read_from(Cursor::new(&recording)).with_context(reading)?;
        Ok(Self::Replay { recording })
    }

    /// Takes one look.
    pub(super) fn look(&mut self) -> Taken {
        let started = Instant::now();
        let taken_at = now();
        let (report, is_cut) = match self {
            Self::Live { kernel, options } => {
                let look = look::take(&mut **kernel, options);
                let is_cut = kernel.is_out_of_time();
                (look.map(|look| look.report(&taken_at)), is_cut)
            }
            Self::Replay { recording } => (replay(recording, &taken_at), false),
        };
        let outcome = match (&report, is_cut) {
            (Err(_), _) => LookOutcome::Failed,
            (Ok(_), true) => LookOutcome::Cut,
            (Ok(_), false) => LookOutcome::Success,
        };
        Taken {
            report,
            outcome,
            took: started.elapsed(),
        }
    }

    /// Takes one look at this host and writes down what it read; a recording is not recorded again.
    #[cfg(feature = "watch")]
    pub(super) fn look_and_record(&mut self, file: &Path) -> (Taken, io::Result<()>) {
        let Self::Live { kernel, options } = self else {
            return (self.look(), Ok(()));
        };
        let started = Instant::now();
        let taken_at = now();
        let host = kernel.host();
        let how = options.recorded_options();
        let header = Header::new(taken_at.clone(), &host, &options.scope, how, false);
        let mut recorder = Recorder::new(&mut **kernel);
        let look = look::take(&mut recorder, options);
        let written = act::write_file(file, |out| recorder.write(header, out));
        let report = look.map(|look| look.report(&taken_at));
        let taken = Taken {
            outcome: match &report {
                Ok(_) => LookOutcome::Success,
                Err(_) => LookOutcome::Failed,
            },
            report,
            took: started.elapsed(),
        };
        (taken, written)
    }

    /// Returns what the recording shows, with its own time.
    pub(super) fn recorded_look(&self) -> Result<Report> {
        let Self::Replay { recording } = self else {
            bail!("a look at this host is not recorded");
        };
        let mut kernel = RecordedKernel::read_from(Cursor::new(recording))?;
        let options = LookOptions::of_recording(kernel.header());
        let taken_at = kernel.header().taken_at.clone();
        let origin = look::origin_of_recording(kernel.header());
        let look = look::take(&mut kernel, &options)?;
        Ok(look.report(&taken_at).with_origin(origin))
    }
}

fn replay(recording: &[u8], taken_at: &str) -> Result<Report, LookError> {
    let mut kernel = RecordedKernel::read_from(Cursor::new(recording))
        .expect("it was read when the program started");
    let options = LookOptions::of_recording(kernel.header());
    Ok(look::take(&mut kernel, &options)?.report(taken_at))
}
