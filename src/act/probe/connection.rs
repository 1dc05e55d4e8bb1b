//! One connection of our own, and what becomes of it.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, sockopt};

use super::options::ProbeOptions;
use super::result::{Closed, ProbeConnection, Refusal};
use crate::act::queue::{read_queue, read_waiting};
use crate::act::target::Target;
use crate::collect::kernel::{Kernel, KernelError};
use crate::collect::sock_diag::{self, Wanted};
use crate::correlate::{is_accepted, same_address};
use crate::model::InodeSet;

/// How often the server's end is looked at.
const TICK: Duration = Duration::from_millis(2);

/// A server that closes what it has just accepted does so within this time.
const AFTER_ACCEPT: Duration = Duration::from_millis(150);

/// Opens one connection and watches it. The socket is returned, so that it can stay open while
/// others are watched.
pub(super) fn open_and_watch(
    kernel: &mut dyn Kernel,
    target: &Target,
    options: &ProbeOptions,
) -> Result<(ProbeConnection, Option<OwnedFd>), KernelError> {
    let queue = read_queue(kernel, target)?.unwrap_or_default();
    let others_before = waiting_clients(kernel, target)?;
    let started = kernel.elapsed()?;
    let mut connection = ProbeConnection {
        client: unspecified(target.address),
        connected: None,
        refusal: None,
        accepted: None,
        closed: None,
        sent_bytes: 0,
        answered_bytes: 0,
        answered: None,
        queue_before: queue.length,
        queue_after: queue.length,
        queue_was_full: queue.is_full(),
        taken: 0,
        kept_out: false,
        listener_gone: false,
    };
    let socket = match connect(kernel, target.address, options.timeout) {
        Ok(socket) => Some(socket),
        Err(error) => {
            connection.refusal = Some(refusal(&error));
            None
        }
    };
    if let Some(socket) = &socket {
        connection.connected = Some(kernel.elapsed()?.saturating_sub(started));
        connection.client = own_address(socket).unwrap_or(connection.client);
        follow(kernel, target, options, socket, started, &mut connection)?;
    }
    count_departures(kernel, target, &others_before, &mut connection)?;
    Ok((connection, socket))
}

fn unspecified(like: SocketAddr) -> SocketAddr {
    match like {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    }
}

fn connect(kernel: &mut dyn Kernel, address: SocketAddr, timeout: Duration) -> io::Result<OwnedFd> {
    let family = match address.ip() {
        IpAddr::V4(_) => AddressFamily::INET,
        IpAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    match rustix::net::connect(&socket, &address) {
        Ok(()) => return Ok(socket),
        Err(Errno::INPROGRESS) => {}
        Err(error) => return Err(error.into()),
    }
    let time = |kernel: &mut dyn Kernel| kernel.elapsed().map_err(io::Error::other);
    let deadline = time(kernel)? + timeout;
    loop {
        let left = deadline.saturating_sub(time(kernel)?);
        if wait_for(&socket, PollFlags::OUT, left)? {
            break;
        }
        // A signal may have ended the wait early.
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
    }
    match sockopt::socket_error(&socket)? {
        Ok(()) => Ok(socket),
        Err(error) => Err(error.into()),
    }
}

fn refusal(error: &io::Error) -> Refusal {
    match error.kind() {
        io::ErrorKind::TimedOut => Refusal::NoAnswer,
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => Refusal::Reset,
        _ => Refusal::Other(error.to_string()),
    }
}

/// Waits until a socket has one of these events. Returns false when the time is over or a signal
/// came.
fn wait_for(socket: &OwnedFd, events: PollFlags, time: Duration) -> io::Result<bool> {
    let time = Timespec::try_from(time).map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut polled = [PollFd::new(socket, events)];
    match rustix::event::poll(&mut polled, Some(&time)) {
        Ok(ready) => Ok(ready > 0),
        Err(Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn own_address(socket: &OwnedFd) -> Option<SocketAddr> {
    rustix::net::getsockname(socket).ok()?.try_into().ok()
}

/// Watches both ends until all is seen, or the time is over.
fn follow(
    kernel: &mut dyn Kernel,
    target: &Target,
    options: &ProbeOptions,
    socket: &OwnedFd,
    started: Duration,
    connection: &mut ProbeConnection,
) -> Result<(), KernelError> {
    let payload = options.send.as_deref().unwrap_or_default();
    loop {
        let since = kernel.elapsed()?.saturating_sub(started);
        send(socket, payload, connection);
        receive(socket, since, connection);
        if connection.accepted.is_none() && is_seen_accepted(kernel, target, connection.client)? {
            connection.accepted = Some(since);
        }
        if connection.closed.is_some() || since >= end_of_watch(options, connection) {
            return Ok(());
        }
        // Both ends are looked at again, whether or not something came.
        let _ = wait_for(socket, PollFlags::IN, TICK);
    }
}

/// Returns when the watch of a connection ends, by what was seen so far.
fn end_of_watch(options: &ProbeOptions, connection: &ProbeConnection) -> Duration {
    let Some(accepted) = connection.accepted else {
        return options.timeout;
    };
    if connection.answered_bytes > 0 {
        accepted + AFTER_ACCEPT
    } else {
        accepted + options.wait.max(AFTER_ACCEPT)
    }
}

/// Sends what was not sent yet, as far as the socket takes it.
fn send(socket: &OwnedFd, payload: &[u8], connection: &mut ProbeConnection) {
    let Some(rest) = payload
        .get(connection.sent_bytes..)
        .filter(|rest| !rest.is_empty())
    else {
        return;
    };
    // An error shows when the socket is read.
    let sent = rustix::net::send(socket, rest, SendFlags::NOSIGNAL);
    connection.sent_bytes += sent.unwrap_or(0);
}

/// Takes in what the server sent, and its end.
fn receive(socket: &OwnedFd, since: Duration, connection: &mut ProbeConnection) {
    let mut bytes = [0; 4096];
    // A server that sends without end does not keep us here.
    for _ in 0..64 {
        match rustix::io::read(socket, &mut bytes) {
            Ok(0) => connection.closed = Some(Closed::Ended(since)),
            Ok(length) => {
                connection.answered.get_or_insert(since);
                connection.answered_bytes += length;
                continue;
            }
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => connection.closed = Some(Closed::Reset(since)),
        }
        return;
    }
}

/// Whether a process has the server's end of the connection.
fn is_seen_accepted(
    kernel: &mut dyn Kernel,
    target: &Target,
    client: SocketAddr,
) -> Result<bool, KernelError> {
    let listeners: InodeSet = target.inodes.iter().copied().collect();
    let (connections, _) = sock_diag::read_connections(
        kernel,
        Wanted::Open,
        &[client.port().into()],
        &InodeSet::default(),
    )?;
    Ok(connections.iter().any(|connection| {
        same_address(connection.remote, client)
            && same_address(connection.local, target.address)
            && is_accepted(connection, &listeners)
    }))
}

/// Returns the clients that are seen to wait in the queue.
fn waiting_clients(
    kernel: &mut dyn Kernel,
    target: &Target,
) -> Result<BTreeSet<SocketAddr>, KernelError> {
    let waiting = read_waiting(kernel, target)?;
    Ok(waiting
        .into_iter()
        .map(|waiting| waiting.connection.remote)
        .collect())
}

/// Counts how many connections left the queue: it grew by ours and by those of other clients.
fn count_departures(
    kernel: &mut dyn Kernel,
    target: &Target,
    before: &BTreeSet<SocketAddr>,
    connection: &mut ProbeConnection,
) -> Result<(), KernelError> {
    let now = waiting_clients(kernel, target)?;
    let is_ours = |client: &SocketAddr| same_address(*client, connection.client);
    let came = now
        .difference(before)
        .filter(|client| !is_ours(client))
        .count();
    connection.kept_out =
        connection.connected.is_some() && !connection.was_accepted() && !now.iter().any(is_ours);
    let queue = read_queue(kernel, target)?;
    connection.listener_gone = queue.is_none();
    connection.queue_after = queue.unwrap_or_default().length;
    let came = u32::try_from(came).unwrap_or(u32::MAX);
    let ours = u32::from(connection.connected.is_some() && !connection.kept_out);
    connection.taken = connection
        .queue_before
        .saturating_add(ours)
        .saturating_add(came)
        .saturating_sub(connection.queue_after);
    Ok(())
}
