//! How many TCP sockets of the machine are nowhere to be seen, and whether a process that may not be read can
//! hold one of this network namespace.
//!
//! `/proc/PID/net` may be read for every process, whatever its user. Each network namespace has files of
//! its own there, so their inodes tell the namespaces apart (`fs/proc/proc_net.c`).

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::collect::sockstat::parse_sockstat;
use crate::model::Pid;

/// Returns whether a process is known to be in another network namespace than the calling thread.
pub(super) fn is_elsewhere(procfs: &Path, pid: Pid) -> bool {
    let file = |of: String| {
        fs::metadata(procfs.join(of).join("net/sockstat"))
            .ok()
            .map(|file| file.ino())
    };
    let its = file(pid.to_string());
    let ours = file("thread-self".to_owned());
    its.is_some() && ours.is_some() && its != ours
}

/// The kernel's number of all TCP sockets, less those in the tables of the network namespaces that these
/// processes are in, less those that were `found` besides. Nothing where it cannot be read.
pub(super) fn count(procfs: &Path, pids: &[Pid], found: u64) -> Option<u64> {
    let own = procfs.join("thread-self/net");
    let allocated = number(&own.join("sockstat"), b"TCP:", b"alloc")?;
    let mut seen = HashSet::new();
    let mut listed = 0;
    let folders = pids.iter().map(|pid| procfs.join(format!("{pid}/net")));
    for folder in std::iter::once(own).chain(folders) {
        let Ok(file) = fs::metadata(folder.join("sockstat")) else {
            continue;
        };
        if seen.insert(file.ino()) {
            listed += number(&folder.join("sockstat"), b"TCP:", b"inuse").unwrap_or(0);
            listed += number(&folder.join("sockstat6"), b"TCP6:", b"inuse").unwrap_or(0);
        }
    }
    Some(allocated.saturating_sub(listed + found))
}

fn number(path: &Path, protocol: &[u8], name: &[u8]) -> Option<u64> {
    parse_sockstat(&fs::read(path).ok()?, protocol, name)
}
