//! Shuts down connections that the peer has closed and their process does not.

use std::net::{Shutdown, SocketAddr};
use std::path::Path;

use rustix::io::Errno;
use rustix::process::{PidfdGetfdFlags, pidfd_getfd};

use super::hand::open_process;
use super::orders::Fault;
use super::registration::{living_thread, read_start};
use super::worker::note;
use super::{Deed, Outcome};
use crate::collect::kernel::Kernel;
use crate::model::Pid;

/// A connection that a process holds, and by which descriptor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaked {
    /// The process.
    pub pid: Pid,
    /// When it started, in ticks since boot.
    pub started: u64,
    /// Its descriptor.
    pub fd: u32,
    /// The socket's inode.
    pub inode: u32,
    /// The peer.
    pub remote: SocketAddr,
}

/// Shuts each of them down, and says plainly what that does not do.
pub(super) fn close_leaked(kernel: &mut dyn Kernel, leaked: &[Leaked]) -> Deed {
    let mut log = Vec::new();
    let mut done = 0;
    let mut failure = None;
    for one in leaked {
        let result = shut_down(one);
        let target = format!("process {}: fd {}, {}", one.pid, one.fd, one.remote);
        let text = result
            .as_ref()
            .map(|()| "shut down; the descriptor stays open".to_owned());
        note(kernel, &mut log, "shutdown", target, text);
        match result {
            Ok(()) => done += 1,
            Err(fault) => failure = Some(fault),
        }
    }
    let headline = format!(
        "{done} of {} connections shut down: their memory and ports are free, their descriptors stay \
         leaked in the process until it closes them or ends",
        leaked.len()
    );
    match failure {
        Some(fault) if done == 0 => Deed::failed(&fault, log),
        Some(_) => Deed::new(Outcome::Improved, headline, log),
        None => Deed::new(Outcome::Relieved, headline, log),
    }
}

fn shut_down(leaked: &Leaked) -> Result<(), Fault> {
    let procfs = Path::new("/proc");
    let tid = living_thread(procfs, leaked.pid)?;
    let process = open_process(leaked.pid, tid)?;
    if read_start(procfs, leaked.pid)? != leaked.started {
        return Err(Fault::Gone);
    }
    let closed = || Fault::Changed(format!("descriptor {} is another one now", leaked.fd));
    let number = i32::try_from(leaked.fd).map_err(|_| closed())?;
    let socket = match pidfd_getfd(&process, number, PidfdGetfdFlags::empty()) {
        Err(Errno::BADF) => return Err(closed()),
        got => got?,
    };
    let inode = rustix::fs::fstat(&socket)?.st_ino;
    if inode != u64::from(leaked.inode) {
        return Err(closed());
    }
    match std::net::TcpStream::from(socket).shutdown(Shutdown::Both) {
        Err(error) if error.kind() == std::io::ErrorKind::NotConnected => Err(Fault::Changed(
            "the connection has ended by itself".to_owned(),
        )),
        result => Ok(result?),
    }
}
