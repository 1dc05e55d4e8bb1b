//! One connection of our own, and what becomes of it.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use super::{Closed, Newcomer, Order, Refusal};
use crate::act::queue::{Target, read_queue};
use crate::collect::kernel::{Kernel, KernelError};
use crate::collect::sock_diag::{self, Wanted};
use crate::model::InodeSet;

/// How often the server's side is looked at.
const TICK: Duration = Duration::from_millis(2);

/// A server that closes whom it has just accepted does so within this time of accepting.
const AFTER_ACCEPT: Duration = Duration::from_millis(150);

/// Opens one connection and watches it; the socket is handed out, so that it stays open while others
/// are watched.
pub(super) fn watch(
    kernel: &mut dyn Kernel,
    target: &Target,
    order: &Order,
) -> Result<(Newcomer, Option<OwnedFd>), KernelError> {
    let queue_before = read_queue(kernel, target)?.unwrap_or_default().length;
    let strangers_before = waiting_clients(kernel, target)?;
    let started = kernel.elapsed()?;
    let mut newcomer = Newcomer {
        client: unspecified(target.address),
        connected: None,
        refusal: None,
        accepted: None,
        closed: None,
        answered_bytes: 0,
        queue_before,
        queue_after: queue_before,
        taken: 0,
        kept_out: false,
        listener_gone: false,
    };
    let socket = match connect(target.address, order.timeout) {
        Ok(socket) => Some(socket),
        Err(error) => {
            newcomer.refusal = Some(refusal(&error));
            None
        }
    };
    if let Some(socket) = &socket {
        newcomer.connected = Some(kernel.elapsed()?.saturating_sub(started));
        newcomer.client = own_address(socket).unwrap_or(newcomer.client);
        if let Some(payload) = &order.payload {
            // What does not go out at once is seen as no answer.
            let _ = rustix::io::write(socket, payload);
        }
        follow(kernel, target, order, socket, started, &mut newcomer)?;
    }
    settle(kernel, target, &strangers_before, &mut newcomer)?;
    Ok((newcomer, socket))
}

fn unspecified(like: SocketAddr) -> SocketAddr {
    match like {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    }
}

fn connect(address: SocketAddr, timeout: Duration) -> io::Result<OwnedFd> {
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
    if !wait_for(&socket, PollFlags::OUT, timeout)? {
        return Err(io::ErrorKind::TimedOut.into());
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

/// Waits until a socket is as wanted, or the time is over.
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
    order: &Order,
    socket: &OwnedFd,
    started: Duration,
    newcomer: &mut Newcomer,
) -> Result<(), KernelError> {
    loop {
        let since = kernel.elapsed()?.saturating_sub(started);
        listen_to(socket, since, newcomer);
        if newcomer.accepted.is_none() && is_accepted(kernel, target, newcomer.client)? {
            newcomer.accepted = Some(since);
        }
        let settled = newcomer.accepted.is_some_and(|at| {
            let answered = order.payload.is_none() || newcomer.answered_bytes > 0;
            answered && since >= at + AFTER_ACCEPT
        });
        if newcomer.closed.is_some() || settled || since >= order.timeout {
            return Ok(());
        }
        let left = order.timeout.saturating_sub(since).min(TICK);
        // Whether something came or not, both ends are looked at again.
        let _ = wait_for(socket, PollFlags::IN, left);
    }
}

/// Takes in what the server sent, and its end.
fn listen_to(socket: &OwnedFd, since: Duration, newcomer: &mut Newcomer) {
    let mut bytes = [0; 4096];
    loop {
        match rustix::io::read(socket, &mut bytes) {
            Ok(0) => newcomer.closed = Some(Closed::Ended(since)),
            Ok(length) => {
                newcomer.answered_bytes += length;
                continue;
            }
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => newcomer.closed = Some(Closed::Reset(since)),
        }
        return;
    }
}

/// The server has a connection when its end has an inode of its own.
fn is_accepted(
    kernel: &mut dyn Kernel,
    target: &Target,
    client: SocketAddr,
) -> Result<bool, KernelError> {
    let (connections, _) = sock_diag::read_connections(
        kernel,
        Wanted::Open,
        &[client.port().into()],
        &InodeSet::default(),
    )?;
    Ok(connections.iter().any(|connection| {
        same(connection.remote, client)
            && same(connection.local, target.address)
            && connection
                .inode
                .is_some_and(|inode| !target.inodes.contains(&inode))
    }))
}

/// The client of a dual-stack listener shows as `::ffff:a.b.c.d`.
fn same(one: SocketAddr, other: SocketAddr) -> bool {
    one.port() == other.port() && one.ip().to_canonical() == other.ip().to_canonical()
}

/// Whether a connection to this address may wait at a listener on that one.
fn comes_in_at(listener: SocketAddr, local: SocketAddr) -> bool {
    let (bound, ip) = (listener.ip().to_canonical(), local.ip().to_canonical());
    let any = bound.is_unspecified() && (bound.is_ipv6() || ip.is_ipv4());
    listener.port() == local.port() && (any || bound == ip)
}

/// Clients that are seen to wait in the queue.
fn waiting_clients(
    kernel: &mut dyn Kernel,
    target: &Target,
) -> Result<BTreeSet<SocketAddr>, KernelError> {
    let listeners: InodeSet = target.inodes.iter().copied().collect();
    let port = target.local.port();
    let (connections, _) =
        sock_diag::read_connections(kernel, Wanted::Unaccepted, &[port.into()], &listeners)?;
    let waiting = connections.into_iter().filter(|connection| {
        comes_in_at(target.local, connection.local)
            && connection
                .inode
                .is_none_or(|inode| listeners.contains(&inode))
    });
    Ok(waiting.map(|connection| connection.remote).collect())
}

/// Counts how many left the queue: it grew by us and by whoever else came.
fn settle(
    kernel: &mut dyn Kernel,
    target: &Target,
    before: &BTreeSet<SocketAddr>,
    newcomer: &mut Newcomer,
) -> Result<(), KernelError> {
    let now = waiting_clients(kernel, target)?;
    let is_ours = |client: &SocketAddr| same(*client, newcomer.client);
    let came = now
        .difference(before)
        .filter(|client| !is_ours(client))
        .count();
    newcomer.kept_out =
        newcomer.connected.is_some() && !newcomer.was_accepted() && !now.iter().any(is_ours);
    let queue = read_queue(kernel, target)?;
    newcomer.listener_gone = queue.is_none();
    newcomer.queue_after = queue.unwrap_or_default().length;
    let came = u32::try_from(came).unwrap_or(u32::MAX);
    let ours = u32::from(newcomer.connected.is_some() && !newcomer.kept_out);
    newcomer.taken = newcomer
        .queue_before
        .saturating_add(ours)
        .saturating_add(came)
        .saturating_sub(newcomer.queue_after);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_waits_where_its_local_address_is_listened_on() {
        let comes = |listener: &str, local: &str| {
            comes_in_at(listener.parse().unwrap(), local.parse().unwrap())
        };
        assert!(comes("127.0.0.1:80", "127.0.0.1:80"));
        assert!(comes("127.0.0.1:80", "[::ffff:127.0.0.1]:80"));
        assert!(comes("0.0.0.0:80", "127.0.0.2:80"));
        assert!(comes("[::]:80", "[::ffff:127.0.0.2]:80"));
        assert!(comes("[::]:80", "[::1]:80"));
        assert!(!comes("127.0.0.1:80", "127.0.0.2:80"));
        assert!(!comes("127.0.0.1:80", "127.0.0.1:81"));
        assert!(!comes("0.0.0.0:80", "[::1]:80"));
    }
}
