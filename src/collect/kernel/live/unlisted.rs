//! Descriptors of TCP sockets that the kernel has taken out of its tables.

use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
#[cfg(feature = "bpf")]
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::net::{getpeername, getsockname, sockopt};
use rustix::path::DecInt;
use rustix::process::{PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

use super::descriptors::{FEWEST_SOCKETS, for_each_number, is_gone, open_directory, socket_inode};
use super::unaccounted;
use crate::collect::kernel::{SocketEnds, UnlistedSocket, UnlistedSockets, UnlistedTable};
use crate::model::{Inode, InodeSet, Pid};

/// The most descriptors that are read in all, at some 2 us each.
const MOST_DESCRIPTORS: usize = 200_000;

/// The most sockets that are asked, at some 4 us each, if their states are known already.
#[cfg(feature = "bpf")]
const MOST_ASKED: usize = 50_000;

/// Searches the processes of the calling thread's network namespace; what is `listed` has a record
/// in the tables.
///
/// # Errors
///
/// When the namespace of this thread cannot be read.
pub(super) fn search(
    procfs: &Path,
    pids: &[Pid],
    listed: &InodeSet,
) -> io::Result<UnlistedSockets> {
    let own = own_pid(procfs)?;
    let mut search = Search {
        procfs,
        listed,
        netns: std::fs::read_link(procfs.join("thread-self/ns/net"))?,
        same_pids: is_this_process(own),
        left: MOST_DESCRIPTORS,
        found: UnlistedSockets {
            complete: true,
            ..UnlistedSockets::default()
        },
    };
    for pid in pids.iter().filter(|pid| Some(**pid) != own) {
        match search.process(*pid) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                let elsewhere = unaccounted::is_elsewhere(procfs, *pid);
                search.found.refused += usize::from(!elsewhere);
            }
            // What has ended meanwhile holds nothing.
            Err(error) if !is_gone(&error) => search.found.failed += 1,
            Ok(()) | Err(_) => {}
        }
    }
    let mut found = search.found;
    if found.refused + found.failed > 0 {
        let seen = found.tables.iter().map(|table| table.sockets.len() as u64);
        found.unaccounted = unaccounted::count(procfs, pids, seen.sum());
    }
    Ok(found)
}

/// The sockets that say of themselves that their connection is gone, of the calling thread's network
/// namespace.
///
/// # Errors
///
/// When the namespace of this thread cannot be read.
#[cfg(feature = "bpf")]
pub(super) fn of_closed(
    procfs: &Path,
    closed: &[super::bpf::ClosedSockets],
) -> io::Result<UnlistedSockets> {
    let netns = std::fs::metadata(procfs.join("thread-self/ns/net"))?.ino();
    let same_pids = is_this_process(own_pid(procfs)?);
    let mut left = MOST_ASKED;
    let mut found = UnlistedSockets {
        complete: true,
        ..UnlistedSockets::default()
    };
    for table in closed {
        let process = same_pids.then(|| open_process(table.pid)).flatten();
        let here = table
            .sockets
            .iter()
            .filter(|(_, _, of)| u64::from(*of) == netns);
        let here: Vec<(u32, u32)> = here.map(|(fd, inode, _)| (*fd, *inode)).collect();
        found.complete &= here.len() <= left;
        let asked = here.into_iter().take(left);
        // One that cannot be asked may never have been connected, or is another one by now.
        let sockets: Vec<UnlistedSocket> = asked
            .map(|(fd, inode)| unlisted_socket(process.as_ref(), fd, inode))
            .inspect(|_| left -= 1)
            .filter(|socket| socket.ends.is_some())
            .collect();
        if !sockets.is_empty() {
            found.tables.push(UnlistedTable {
                pid: table.pid,
                open: table.open,
                sockets,
            });
        }
    }
    Ok(found)
}

fn own_pid(procfs: &Path) -> io::Result<Option<Pid>> {
    let own = std::fs::read_link(procfs.join("self"))?;
    Ok(own.to_str().and_then(|own| own.parse().ok()))
}

/// Another mount's process ids may be those of other processes here.
fn is_this_process(own: Option<Pid>) -> bool {
    own.is_some_and(|own| i32::try_from(own) == Ok(rustix::process::getpid().as_raw_pid()))
}

fn unlisted_socket(process: Option<&OwnedFd>, fd: u32, inode: u32) -> UnlistedSocket {
    let ends = process.and_then(|process| ends(process, fd, inode));
    UnlistedSocket { fd, inode, ends }
}

struct Search<'a> {
    procfs: &'a Path,
    listed: &'a InodeSet,
    netns: PathBuf,
    same_pids: bool,
    left: usize,
    found: UnlistedSockets,
}

impl Search<'_> {
    fn process(&mut self, pid: Pid) -> io::Result<()> {
        // The sockets of another namespace are listed there.
        if std::fs::read_link(self.procfs.join(format!("{pid}/ns/net")))? != self.netns {
            return Ok(());
        }
        let directory = open_directory(&self.procfs.join(format!("{pid}/fd")))?;
        let mut fds = Vec::new();
        for_each_number(directory.as_fd(), |fd, _| fds.push(fd))?;
        if fds.len() < FEWEST_SOCKETS {
            return Ok(());
        }
        let Some(left) = self.left.checked_sub(fds.len()) else {
            self.found.complete = false;
            return Ok(());
        };
        self.left = left;
        let sockets = sockets(&directory, &fds);
        if sockets.len() < FEWEST_SOCKETS {
            return Ok(());
        }
        let unlisted = self.unlisted(pid, sockets);
        if !unlisted.is_empty() {
            self.found.tables.push(UnlistedTable {
                pid,
                open: fds.len() as u64,
                sockets: unlisted,
            });
        }
        Ok(())
    }

    fn unlisted(&self, pid: Pid, sockets: Vec<(u32, Inode)>) -> Vec<UnlistedSocket> {
        let folder = self.procfs.join(format!("{pid}/fd"));
        let process = self.same_pids.then(|| open_process(pid)).flatten();
        sockets
            .into_iter()
            .filter(|(_, inode)| !self.listed.contains(inode))
            .filter(|(fd, _)| is_tcp(&folder.join(fd.to_string())))
            .filter_map(|(fd, inode)| Some(unlisted_socket(process.as_ref(), fd, inode.number()?)))
            .collect()
    }
}

fn sockets(directory: &OwnedFd, fds: &[u32]) -> Vec<(u32, Inode)> {
    let mut buffer = [MaybeUninit::uninit(); 64];
    fds.iter()
        .filter_map(|fd| {
            let name = DecInt::new(*fd);
            let (target, _) =
                rustix::fs::readlinkat_raw(directory, name.as_c_str(), &mut buffer).ok()?;
            Some((*fd, socket_inode(target)?))
        })
        .collect()
}

/// Returns whether a socket's protocol is TCP, over IPv4 or IPv6; no other attribute tells of a
/// socket that is not in a table.
fn is_tcp(path: &Path) -> bool {
    let mut name = [0_u8; 32];
    rustix::fs::getxattr(path, "system.sockprotoname", &mut name)
        .ok()
        .and_then(|length| name.get(..length))
        .is_some_and(|name| {
            matches!(
                name.trim_ascii_end(),
                b"TCP" | b"TCPv6" | b"TCP\0" | b"TCPv6\0"
            )
        })
}

fn open_process(pid: Pid) -> Option<OwnedFd> {
    let pid = rustix::process::Pid::from_raw(pid.try_into().ok()?)?;
    pidfd_open(pid, PidfdFlags::empty()).ok()
}

/// Asks a socket of another process for its ends (since 5.6, and with the right to trace it).
///
/// It is shared for a moment, and only read: nothing of it changes.
fn ends(process: &OwnedFd, fd: u32, inode: u32) -> Option<SocketEnds> {
    let fd = fd.try_into().ok()?;
    let socket = pidfd_getfd(process, fd, PidfdGetfdFlags::empty()).ok()?;
    // The number may have been closed and used again meanwhile.
    if rustix::fs::fstat(&socket).ok()?.st_ino != u64::from(inode) {
        return None;
    }
    Some(SocketEnds {
        local: SocketAddr::try_from(getsockname(&socket).ok()?).ok(),
        connected: getpeername(&socket).is_ok(),
        listening: sockopt::socket_acceptconn(&socket).unwrap_or(false),
        received: sockopt::socket_incoming_cpu(&socket).ok()? != NO_CPU,
    })
}

/// `SO_INCOMING_CPU` of a socket that no packet has come for.
const NO_CPU: u32 = u32::MAX;
