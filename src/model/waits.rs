//! What was read for wait chains.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::{Connection, Holder, Inode, Pid, Reading};

/// What threads wait for, as far as the kernel shows it. Read only when a process is about to be accused.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WaitFacts {
    /// Every connection of the network namespace, with its clocks: both ends of those that stay on this
    /// host.
    pub connections: Vec<Connection>,
    /// Which processes hold the other ends that are on this host.
    pub holders: Vec<Holder>,
    /// Which processes hold the pipes, named pipes, terminals, files and unix sockets that a thread waits for.
    pub links: Vec<LinkHolder>,
    /// Unix sockets with their peers.
    pub unix_sockets: Vec<UnixSocket>,
    /// UDP sockets (`/proc/net/udp`).
    pub udp_sockets: Vec<UdpSocket>,
    /// The locks on files (`/proc/locks`).
    pub locks: Vec<FileLock>,
    /// What lies at the addresses that threads wait at.
    pub futexes: Vec<FutexWait>,
    /// The children of processes that wait for one.
    pub children: BTreeMap<Pid, Vec<Pid>>,
    /// Descriptors that were sent to a process over a unix socket and that it has not taken.
    pub in_flight: Vec<InFlight>,
    /// The processes that were read because another waits for them; the accused are among them.
    pub followed: Vec<Pid>,
    /// How long the machine had been up (`/proc/uptime`).
    pub uptime: Option<Duration>,
    /// What was not followed, and why.
    pub not_followed: Vec<String>,
}

/// A descriptor that was found by the text of its link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkHolder {
    /// The process.
    pub pid: Pid,
    /// The descriptor.
    pub fd: u32,
    /// The text: `pipe:[7]`, `socket:[7]` or a path.
    pub target: String,
    /// Whether it is open for reading, writing or both (`flags:` of fdinfo).
    pub access: Reading<Access>,
}

/// The access mode of a descriptor (`O_ACCMODE`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// `O_RDONLY`.
    Read,
    /// `O_WRONLY`.
    Write,
    /// `O_RDWR`.
    Both,
}

/// A unix socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnixSocket {
    /// Its inode, as in `socket:[7]`.
    pub inode: u32,
    /// The inode of the socket it is connected with; none before that one was accepted.
    pub peer: Option<u32>,
    /// The path it is bound to; an abstract name begins with `@`.
    pub name: Option<String>,
    /// The inodes of clients that wait to be accepted, of one that listens.
    pub waiting: Vec<u32>,
}

/// A UDP socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UdpSocket {
    /// Its inode, as in `socket:[7]`.
    pub inode: Inode,
    /// The address it receives at.
    pub local: SocketAddr,
    /// The address it is connected to, if it is.
    pub remote: Option<SocketAddr>,
}

/// Descriptors on their way to a process (`scm_fds:` of fdinfo, since 5.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InFlight {
    /// The process that has not taken them.
    pub pid: Pid,
    /// Its end of the unix socket.
    pub fd: u32,
    /// How many.
    pub number: u32,
}

/// A line of `/proc/locks`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileLock {
    /// The number that a lock shares with the entries that wait for it.
    pub number: u64,
    /// Whether this one waits for the lock (`->`).
    pub waits: bool,
    /// The process; none of an open file description lock, which has -1.
    pub pid: Option<Pid>,
    /// Device and inode of the file, as the kernel prints them.
    pub file: String,
}

/// A thread in `futex`, and what lies beside the word that it waits at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FutexWait {
    /// The process.
    pub pid: Pid,
    /// The thread.
    pub tid: Pid,
    /// The address of the word.
    pub address: u64,
    /// What kind of wait it is, and for which thread where that shows.
    pub wait: FutexKind,
}

/// What a thread waits for at a futex, with glibc's layouts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FutexKind {
    /// A lock that stores its owner: a pthread mutex, or a rwlock held by a writer.
    Owned(Pid),
    /// The end of this thread (`pthread_join`).
    Join(Pid),
    /// A condition variable, a semaphore, or a lock that keeps no owner.
    Anonymous,
}
