//! Finds network namespaces.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::descriptors::{for_each_number, open_directory};
use crate::collect::kernel::FoundNamespace;
use crate::model::Pid;

/// Where `ip netns` and container runtimes bind namespaces.
const MOUNTS: [&str; 3] = ["/run/netns", "/run/docker/netns", "/var/run/docker/netns"];

/// Finds all that can be reached, the caller's own first.
pub(super) fn find(procfs: &Path, pids: &[Pid]) -> Vec<FoundNamespace> {
    let mut found = Found::default();
    if let Some(inode) = link_inode(&procfs.join("thread-self/ns/net")) {
        found.own = Some(inode);
        // The thread itself moves on; its process stays where it was.
        found.add(inode, "self/ns/net".to_owned(), None);
    }
    for pid in pids {
        let path = format!("{pid}/ns/net");
        if let Some(inode) = link_inode(&procfs.join(&path)) {
            found.add(inode, path, Some(*pid));
        }
    }
    for mount in MOUNTS {
        // A host without this runtime has no such folder.
        let _ = mounted(Path::new(mount), &mut found);
    }
    for pid in pids {
        // What ended meanwhile, or may not be read, shows none.
        let _ = held(procfs, *pid, &mut found);
    }
    found.sorted()
}

#[derive(Default)]
struct Found {
    own: Option<u64>,
    by_inode: BTreeMap<u64, FoundNamespace>,
}

impl Found {
    fn add(&mut self, inode: u64, path: String, pid: Option<Pid>) -> &mut FoundNamespace {
        let namespace = self.by_inode.entry(inode).or_insert(FoundNamespace {
            inode,
            path,
            names: Vec::new(),
            pid,
        });
        namespace.pid = namespace.pid.or(pid);
        namespace
    }

    fn sorted(mut self) -> Vec<FoundNamespace> {
        let own = self.own.and_then(|inode| self.by_inode.remove(&inode));
        own.into_iter().chain(self.by_inode.into_values()).collect()
    }
}

/// The number in a link such as `net:[4026531840]`.
fn link_inode(path: &Path) -> Option<u64> {
    let target = std::fs::read_link(path).ok()?;
    parse_link(target.to_str()?)
}

fn parse_link(target: &str) -> Option<u64> {
    target
        .strip_prefix("net:[")?
        .strip_suffix(']')?
        .parse()
        .ok()
}

fn mounted(folder: &Path, found: &mut Found) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let inode = std::fs::metadata(&path)?.ino();
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        let namespace = found.add(inode, path.display().to_string(), None);
        namespace
            .names
            .extend(name.filter(|name| !namespace.names.contains(name)));
    }
    Ok(())
}

/// Descriptors of namespace files.
fn held(procfs: &Path, pid: Pid, found: &mut Found) -> io::Result<()> {
    let folder = format!("{pid}/fd");
    let directory = open_directory(&procfs.join(&folder))?;
    for_each_number(directory.as_fd(), |fd, _| {
        let path = format!("{folder}/{fd}");
        if let Some(inode) = link_inode(&procfs.join(&path)) {
            found.add(inode, path, None);
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_network_namespace_link_names_one() {
        assert_eq!(parse_link("net:[4026531840]"), Some(4_026_531_840));
        for other in ["mnt:[4026531840]", "net:[]", "net:[x]", "/run/netns/a"] {
            assert_eq!(parse_link(other), None, "{other}");
        }
    }
}
