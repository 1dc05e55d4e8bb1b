//! Looks taken again and again, of this host or of a recording that is replayed.

use std::io::Cursor;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::scan::now;
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

    /// Returns the kernel, where it is this host's.
    pub(super) fn kernel(&mut self) -> Option<&mut LiveKernel> {
        match self {
            Self::Live { kernel, .. } => Some(kernel),
            Self::Replay { .. } => None,
        }
    }
}

fn replay(recording: &[u8], taken_at: &str) -> Result<Report, LookError> {
    let mut kernel = RecordedKernel::read_from(Cursor::new(recording))
        .expect("it was read when the program started");
    let options = LookOptions::of_recording(kernel.header());
    Ok(look::take(&mut kernel, &options)?.report(taken_at))
}
