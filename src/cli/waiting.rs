//! What a person sees who waits for a look, and how they end it.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use signal_hook::consts::SIGINT;
use signal_hook::flag;

use crate::collect::kernel::Progress;

/// Shorter looks are over before anybody wonders.
const AFTER: Duration = Duration::from_millis(300);
/// How often the line is written anew.
const EVERY: Duration = Duration::from_millis(100);
/// To the beginning of the line, and clear it.
const CLEAR: &str = "\r\x1b[K";

/// Shows on a terminal's standard error what a look is doing, and ends the look on Ctrl-C. Gone without a trace when
/// it is dropped.
pub(super) struct Waiting {
    progress: Arc<Progress>,
    display: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Waiting {
    /// From now on until it is dropped.
    pub(super) fn begin() -> io::Result<Self> {
        let progress = Arc::new(Progress::default());
        // The second Ctrl-C ends the program, the first only sets the flag.
        flag::register_conditional_shutdown(SIGINT, 130, Arc::clone(&progress.interrupted))?;
        flag::register(SIGINT, Arc::clone(&progress.interrupted))?;
        let display = io::stderr().is_terminal().then(|| display(&progress));
        Ok(Self { progress, display })
    }

    /// What the look tells of itself.
    pub(super) fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// Whether Ctrl-C was pressed.
    pub(super) fn was_interrupted(&self) -> bool {
        self.progress.interrupted.load(Ordering::Relaxed)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        // From here on there is nothing to stop but the program.
        self.progress.interrupted.store(true, Ordering::Relaxed);
        if let Some((end, thread)) = self.display.take() {
            drop(end);
            // A display that failed has shown nothing; that is no failure of the look.
            let _ = thread.join();
        }
    }
}

fn display(progress: &Arc<Progress>) -> (Sender<()>, JoinHandle<()>) {
    let (end, ended) = mpsc::channel::<()>();
    let progress = Arc::clone(progress);
    let thread = thread::spawn(move || {
        let mut pause = AFTER;
        let mut shown = false;
        while ended.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
            let hint = if progress.is_interrupted() {
                "stopping"
            } else {
                "Ctrl-C: what is known so far"
            };
            // A terminal that cannot be written to shows nothing.
            let _ = write!(io::stderr(), "{CLEAR}{}  ({hint})", progress.text());
            shown = true;
            pause = EVERY;
        }
        if shown {
            let _ = write!(io::stderr(), "{CLEAR}");
        }
    });
    (end, thread)
}
