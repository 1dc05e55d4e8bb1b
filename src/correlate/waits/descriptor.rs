//! What a thread waits for in a call on one descriptor.

use std::time::Duration;

use super::facts::{Facts, asked};
use super::index::plain;
use super::target::Target;
use crate::model::{Connection, Inode, Process, TcpState};

/// The target, and since when the thread waits for it, where that is known.
pub(super) type Found = (Target, Option<Duration>);

pub(super) fn on_descriptor(facts: &Facts, process: &Process, fd: u32, call: &str) -> Found {
    let Some(text) = Facts::target_text(process, fd) else {
        return (Target::Other(format!("{call} on fd {fd}")), None);
    };
    if let Some(inode) = Facts::socket_of(process, fd) {
        if let Some(connection) = facts.connection(inode) {
            return on_connection(facts, connection, call);
        }
        return (on_other_socket(facts, inode, call, fd), None);
    }
    if call == "flock" || call == "fcntl" {
        return (file_lock(facts, process, text), None);
    }
    if let Some(child) = facts.child_behind(process, text)
        && !is_write(call)
    {
        return (Target::Output { child }, None);
    }
    let is_channel =
        text.starts_with("pipe:") || text.starts_with("/dev/pts/") || text.starts_with("/dev/tty");
    if is_channel || (text.starts_with('/') && !text.starts_with("/dev/")) {
        return (
            Target::Pipe {
                name: text.to_owned(),
                writes: is_write(call),
            },
            None,
        );
    }
    (Target::Other(format!("{call} on {text}")), None)
}

pub(super) fn on_connection(facts: &Facts, connection: &Connection, call: &str) -> Found {
    let remote = plain(connection.remote);
    if connection.state == TcpState::SynSent {
        return (Target::Connect { to: remote }, None);
    }
    let sent = connection.ages.map(crate::model::TcpAges::last_data_sent);
    if is_write(call) {
        return (Target::Room { at: remote }, sent);
    }
    if facts.is_accepted_here(connection) {
        let client = Target::Client {
            from: remote,
            at: plain(connection.local),
            silent: connection.traffic.is_some_and(|t| t.received_bytes() == 0),
        };
        return (
            client,
            connection.ages.map(crate::model::TcpAges::last_data_recv),
        );
    }
    match asked(connection) {
        Some(asked) => (Target::Answer { from: remote }, asked.since),
        None if connection.ages.is_none() => (Target::Answer { from: remote }, None),
        None => (Target::News { from: remote }, None),
    }
}

fn on_other_socket(facts: &Facts, inode: Inode, call: &str, fd: u32) -> Target {
    let unix = inode.number().and_then(|number| facts.unix_socket(number));
    let Some(unix) = unix else {
        match facts.udp_socket(inode).map(|socket| socket.remote) {
            Some(Some(from)) if !is_write(call) => return Target::Datagram { from: plain(from) },
            // One that is not connected takes what comes from anywhere, as a server does.
            Some(None) if !is_write(call) => return Target::Events,
            _ => {}
        }
        return Target::Other(format!("{call} on fd {fd}, a socket of another kind"));
    };
    let peer = unix.peer.and_then(|peer| facts.unix_socket(peer));
    let listener = facts
        .snapshot
        .waits
        .unix_sockets
        .iter()
        .find(|listener| listener.waiting.contains(&unix.inode));
    let named = |socket: &crate::model::UnixSocket| socket.name.clone();
    Target::Unix {
        inode: unix.inode,
        name: named(unix)
            .or_else(|| peer.and_then(named))
            .or_else(|| listener.and_then(named)),
    }
}

fn file_lock(facts: &Facts, process: &Process, path: &str) -> Target {
    let locks = &facts.snapshot.waits.locks;
    let wanted = locks
        .iter()
        .find(|lock| lock.waits && lock.pid == Some(process.pid));
    let holder = wanted.and_then(|wanted| {
        locks
            .iter()
            .find(|lock| !lock.waits && lock.number == wanted.number)
            .and_then(|lock| lock.pid)
    });
    Target::FileLock {
        file: path.to_owned(),
        holder,
    }
}

fn is_write(call: &str) -> bool {
    call.contains("write") || call.contains("send") || call == "splice"
}
