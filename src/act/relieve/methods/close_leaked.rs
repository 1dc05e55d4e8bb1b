//! Shuts down connections that the peer has closed and their process does not.

use std::net::Shutdown;

use rustix::io::Errno;
use rustix::net::sockopt::socket_cookie;
use rustix::process::{PidfdGetfdFlags, pidfd_getfd};

use crate::act::relieve::fault::Fault;
use crate::act::relieve::outcome::{Relief, ReliefOutcome, StepLog};
use crate::act::relieve::plan::LeakedConnection;
use crate::act::relieve::process::{living_thread, open_process};
use crate::collect::kernel::Kernel;

/// Shuts each of them down, and says what that does not do.
pub(super) fn close_leaked(kernel: &mut dyn Kernel, leaked: &[LeakedConnection]) -> Relief {
    let mut log = StepLog::default();
    let mut done = 0;
    let mut failure = None;
    for one in leaked {
        let result = shut_down(kernel, one);
        let target = format!("process {}: fd {}, {}", one.pid, one.fd, one.remote);
        let text = result
            .as_ref()
            .map(|()| "shut down; the descriptor stays open".to_owned());
        log.note(kernel, "shutdown", target, text);
        match result {
            Ok(()) => done += 1,
            Err(fault) => failure = Some(fault),
        }
    }
    let headline = format!(
        "{done} of {} connections shut down: their memory and ports are free; their descriptors stay \
         leaked in the process until it closes them or ends",
        leaked.len()
    );
    let ended = match failure {
        Some(fault) if done == 0 => Err(fault),
        Some(_) => Ok((ReliefOutcome::Improved, headline)),
        None => Ok((ReliefOutcome::Relieved, headline)),
    };
    Relief::ended(ended, log)
}

fn shut_down(kernel: &mut dyn Kernel, leaked: &LeakedConnection) -> Result<(), Fault> {
    let tid = living_thread(kernel, leaked.pid)?;
    let process = open_process(kernel, leaked.pid, tid, leaked.started)?;
    let other = || Fault::Changed(format!("descriptor {} is another one now", leaked.fd));
    let number = i32::try_from(leaked.fd).map_err(|_| other())?;
    let socket = match pidfd_getfd(&process, number, PidfdGetfdFlags::empty()) {
        Err(Errno::BADF) => return Err(other()),
        got => got?,
    };
    if rustix::fs::fstat(&socket)?.st_ino != u64::from(leaked.inode) {
        return Err(other());
    }
    // An inode number may be used again; a cookie is not.
    if let Some(cookie) = leaked.cookie
        && socket_cookie(&socket)? != cookie.get()
    {
        return Err(other());
    }
    match std::net::TcpStream::from(socket).shutdown(Shutdown::Both) {
        Err(error) if error.kind() == std::io::ErrorKind::NotConnected => Err(Fault::Changed(
            "the connection has ended by itself".to_owned(),
        )),
        result => Ok(result?),
    }
}
