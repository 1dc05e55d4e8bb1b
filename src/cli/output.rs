//! Standard output and standard error.

use std::io::{self, BufWriter, IsTerminal, Write};

use anstream::{AutoStream, ColorChoice};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::OutputOptions;
use crate::render::TableOptions;
use crate::render::escape::escape;

/// Hands out standard output, buffered, coloured by choice, and makes sure that all of it is
/// written, unless its reader has seen enough: what there is to say then is said by the exit code.
pub(super) fn with_stdout(
    color: ColorChoice,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let choice = match color {
        ColorChoice::Auto => AutoStream::choice(&io::stdout()),
        chosen => chosen,
    };
    let filter = AutoStream::new(io::stdout().lock(), choice);
    let mut out = BufWriter::with_capacity(OUTPUT_BYTES, filter);
    match write(&mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// Returns whether the reader of standard output has gone.
pub(super) fn is_closed() -> bool {
    let stdout = io::stdout();
    let mut polled = [PollFd::new(&stdout, PollFlags::empty())];
    let now = Timespec::default();
    // Where the kernel does not tell, the next write will.
    poll(&mut polled, Some(&now)).is_ok() && polled[0].revents().contains(PollFlags::ERR)
}

/// Standard output takes this much at once.
const OUTPUT_BYTES: usize = 64 * 1024;

/// How a report for a person is laid out here.
pub(super) fn table_options(options: OutputOptions) -> TableOptions {
    let size = terminal_size();
    TableOptions {
        width: size.map(|(width, _)| width).filter(|_| !options.wide),
        height: size.map(|(_, height)| height),
        detail: options.detail,
        ..TableOptions::default()
    }
}

/// Columns and lines of the terminal on standard output, where it is one.
fn terminal_size() -> Option<(u16, u16)> {
    let stdout = io::stdout();
    if !stdout.is_terminal() {
        return None;
    }
    let size = rustix::termios::tcgetwinsize(&stdout).ok()?;
    (size.ws_col > 0 && size.ws_row > 0).then_some((size.ws_col, size.ws_row))
}

/// Refuses `--json` for a command whose answer has no such form.
pub(super) fn expect_no_json(options: OutputOptions, command: &str) -> anyhow::Result<()> {
    anyhow::ensure!(!options.json, "`{command}` has no JSON form");
    Ok(())
}

/// Writes to standard error what went wrong, in one line.
pub(super) fn complain(message: &str) {
    // If even this cannot be written, nothing is left to do.
    let _ = writeln!(io::stderr(), "closewait-doctor: {}", escape(message));
}
