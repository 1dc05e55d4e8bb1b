//! The life of a server: when it is ready, and that it ends.

use std::io::Write;
use std::os::fd::AsFd;
use std::time::Duration;

use anyhow::Result;
use rustix::net::sockopt::{self, Timeout};

/// The longest that a server waits for anything, so that one that was forgotten ends by itself.
pub(crate) const LIFETIME: Duration = Duration::from_secs(600);

/// Says that clients may come.
pub(crate) fn ready() -> Result<()> {
    write_line("ready")
}

/// Says that clients may come, and which other processes are part of this server.
pub(crate) fn ready_with(pids: &[u32]) -> Result<()> {
    ready()?;
    let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
    write_line(&format!("pids {}", pids.join(" ")))
}

fn write_line(line: &str) -> Result<()> {
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{line}")?;
    Ok(stdout.flush()?)
}

/// Does nothing, for a lifetime.
pub(crate) fn sleep() {
    std::thread::sleep(LIFETIME);
}

/// Bounds every blocking `accept` or `read` on a socket to a lifetime.
pub(crate) fn bound(socket: impl AsFd) -> Result<()> {
    Ok(sockopt::set_socket_timeout(
        socket,
        Timeout::Recv,
        Some(LIFETIME),
    )?)
}
