//! What servers do with one client, and with the server that they ask in turn.

use std::net::{Ipv4Addr, TcpStream};
use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Context, Result};
use rustix::io::Errno;
use rustix::net::SocketFlags;

use crate::life;

/// Accepts one client, whose socket will block.
pub(crate) fn accept_blocking(listener: impl AsFd) -> Result<OwnedFd> {
    let client =
        rustix::io::retry_on_intr(|| rustix::net::accept_with(&listener, SocketFlags::CLOEXEC))?;
    life::bound(&client)?;
    Ok(client)
}

/// Accepts one client for an event loop, if one waits.
pub(crate) fn accept_nonblocking(listener: impl AsFd) -> Result<Option<OwnedFd>> {
    match rustix::net::accept_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
        Ok(client) => Ok(Some(client)),
        Err(Errno::AGAIN) => Ok(None),
        Err(error) => Err(error).context("accept"),
    }
}

/// Asks a server on this host something, and waits for an answer.
pub(crate) fn ask_upstream(port: u16) -> Result<usize> {
    let upstream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    life::bound(&upstream)?;
    rustix::io::write(&upstream, b"a question\n")?;
    read_some(&upstream)
}

/// Reads what there is, at most a few kilobytes; 0 is the end of the stream.
pub(crate) fn read_some(socket: impl AsFd) -> Result<usize> {
    Ok(rustix::io::retry_on_intr(|| {
        rustix::io::read(&socket, &mut [0; 4096])
    })?)
}

/// Reads what a client sends, until it closes.
pub(crate) fn read_to_end(client: &OwnedFd) -> Result<()> {
    while read_some(client)? > 0 {}
    Ok(())
}
