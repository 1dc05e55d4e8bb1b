//! Descriptors of TCP sockets that the kernel has taken out of its tables.

use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
#[cfg(feature = "bpf")]
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
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
        let process = open_process(same_pids, table.pid);
        let here = table
            .sockets
            .iter()
            .filter(|(_, _, of)| u64::from(*of) == netns);
        let here: Vec<(u32, u32)> = here.map(|(fd, inode, _)| (*fd, *inode)).collect();
        found.complete &= here.len() <= left;
        let asked: Vec<(u32, u32)> = here.into_iter().take(left).collect();
        left -= asked.len();
        let mut sockets = Vec::new();
        let mut refusals = Vec::new();
        for (fd, inode) in asked {
            match ends(process.as_ref(), fd, inode) {
                // One that is not there is another one by now.
                Ok(ends) => sockets.extend(ends.map(|ends| UnlistedSocket {
                    fd,
                    inode,
                    ends: Some(ends),
                })),
                Err(error) => refusals.push(error),
            }
        }
        // One that cannot be asked may never have been connected; many of them may be a leak.
        if refusals.len() >= FEWEST_SOCKETS {
            found.refused += usize::from(refusals.iter().all(is_refusal));
            found.failed += usize::from(!refusals.iter().all(is_refusal));
        } else {
            found.failed += usize::from(refusals.iter().any(|error| !is_refusal(error)));
        }
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

#[cfg(feature = "bpf")]
/// Returns whether a socket could not be asked because nobody lets us, or nobody can.
fn is_refusal(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported
    )
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
        let sockets = sockets(&directory, &fds)?;
        if sockets.len() < FEWEST_SOCKETS {
            return Ok(());
        }
        let unlisted = self.unlisted(pid, sockets)?;
        if !unlisted.is_empty() {
            self.found.tables.push(UnlistedTable {
                pid,
                open: fds.len() as u64,
                sockets: unlisted,
            });
        }
        Ok(())
    }

    fn unlisted(&self, pid: Pid, sockets: Vec<(u32, Inode)>) -> io::Result<Vec<UnlistedSocket>> {
        let folder = self.procfs.join(format!("{pid}/fd"));
        let process = open_process(self.same_pids, pid);
        let mut unlisted = Vec::new();
        for (fd, inode) in sockets {
            let Some(number) = inode.number() else {
                continue;
            };
            if self.listed.contains(&inode) || !is_tcp(&folder.join(fd.to_string()))? {
                continue;
            }
            unlisted.push(UnlistedSocket {
                fd,
                inode: number,
                // One that cannot be asked is in no table all the same.
                ends: ends(process.as_ref(), fd, number).unwrap_or(None),
            });
        }
        Ok(unlisted)
    }
}

fn sockets(directory: &OwnedFd, fds: &[u32]) -> io::Result<Vec<(u32, Inode)>> {
    let mut buffer = [MaybeUninit::uninit(); 64];
    let mut sockets = Vec::new();
    for fd in fds {
        let name = DecInt::new(*fd);
        match rustix::fs::readlinkat_raw(directory, name.as_c_str(), &mut buffer) {
            Ok((target, _)) => sockets.extend(socket_inode(target).map(|inode| (*fd, inode))),
            // It was closed meanwhile.
            Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(sockets)
}

/// Returns whether a socket's protocol is TCP, over IPv4 or IPv6; no other attribute tells of a
/// socket that is not in a table.
fn is_tcp(path: &Path) -> io::Result<bool> {
    let mut name = [0_u8; 32];
    let length = match rustix::fs::getxattr(path, "system.sockprotoname", &mut name) {
        Ok(length) => length,
        // It was closed meanwhile, or is no socket any more.
        Err(Errno::NOENT | Errno::NODATA | Errno::OPNOTSUPP) => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    let name = name.get(..length).unwrap_or_default();
    Ok(matches!(
        name.trim_ascii_end(),
        b"TCP" | b"TCPv6" | b"TCP\0" | b"TCPv6\0"
    ))
}

/// A process, to ask its sockets; another mount's process ids may be those of other processes here.
fn open_process(same_pids: bool, pid: Pid) -> io::Result<OwnedFd> {
    let raw = same_pids.then(|| i32::try_from(pid).ok()).flatten();
    let pid = raw.and_then(rustix::process::Pid::from_raw);
    let pid = pid.ok_or(io::ErrorKind::Unsupported)?;
    Ok(pidfd_open(pid, PidfdFlags::empty())?)
}

/// Asks a socket of another process for its ends (since 5.6, and with the right to trace it). Nothing where it
/// is not there any more.
///
/// It is shared for a moment, and only read: nothing of it changes.
///
/// # Errors
///
/// When the process or the socket cannot be asked.
fn ends(
    process: Result<&OwnedFd, &io::Error>,
    fd: u32,
    inode: u32,
) -> io::Result<Option<SocketEnds>> {
    let process = match process {
        Ok(process) => process,
        Err(error) if is_gone(error) => return Ok(None),
        Err(error) => return Err(error.kind().into()),
    };
    let Ok(fd) = fd.try_into() else {
        return Ok(None);
    };
    let socket = match pidfd_getfd(process, fd, PidfdGetfdFlags::empty()) {
        Ok(socket) => socket,
        Err(Errno::BADF | Errno::SRCH) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    // The number may have been closed and used again meanwhile.
    if rustix::fs::fstat(&socket)?.st_ino != u64::from(inode) {
        return Ok(None);
    }
    let connected = match getpeername(&socket) {
        Ok(_) => true,
        Err(Errno::NOTCONN) => false,
        Err(error) => return Err(error.into()),
    };
    Ok(Some(SocketEnds {
        local: SocketAddr::try_from(getsockname(&socket)?).ok(),
        connected,
        listening: sockopt::socket_acceptconn(&socket)?,
        received: sockopt::socket_incoming_cpu(&socket)? != NO_CPU,
    }))
}

/// `SO_INCOMING_CPU` of a socket that no packet has come for.
const NO_CPU: u32 = u32::MAX;
