//! Long text on a terminal, through the user's pager.

use std::env;
use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::process::{Command, Stdio};

use anstream::{AutoStream, ColorChoice};

use super::output;

/// Shows a text through `$PAGER`, or `less`, where standard output is a terminal; else, or where neither can be
/// started, writes it.
pub(super) fn page(
    color: ColorChoice,
    write: impl Fn(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let stdout = io::stdout();
    let program = env::var_os("PAGER").filter(|program| !program.is_empty());
    if !stdout.is_terminal() {
        return output::with_stdout(color, write);
    }
    let choice = match color {
        ColorChoice::Auto => AutoStream::choice(&stdout),
        chosen => chosen,
    };
    let Ok(mut pager) = command(program).stdin(Stdio::piped()).spawn() else {
        return output::with_stdout(color, write);
    };
    let written = match pager.stdin.take() {
        Some(pipe) => write(&mut AutoStream::new(
            Box::new(pipe) as Box<dyn Write>,
            choice,
        )),
        None => Ok(()),
    };
    pager.wait()?;
    match written {
        // The reader has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// `$PAGER` may have arguments, so a shell takes it apart.
fn command(program: Option<OsString>) -> Command {
    let Some(program) = program else {
        let mut less = Command::new("less");
        less.arg("-FRX");
        return less;
    };
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(program);
    shell
}
