//! How many TCP sockets of the machine are nowhere to be seen.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::collect::sockstat::parse_sockstat;
use crate::model::Pid;

/// The kernel's number of all TCP sockets, less those in the tables of the network namespaces that these
/// processes are in, less those that were `found` besides. Nothing where it cannot be read.
///
/// The files may be read of every process, whoever it belongs to. Each namespace has its own, so the
/// inode of the file tells the namespaces apart (`fs/proc/proc_net.c`).
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
