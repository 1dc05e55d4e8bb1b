//! Finds network namespaces, and holds them open.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

use super::descriptors::{for_each_number, is_gone, open_directory};
use crate::collect::kernel::{FoundNamespace, netns};
use crate::model::Pid;

/// Where `ip netns` and container runtimes bind namespaces.
const MOUNTS: [&str; 3] = ["/run/netns", "/run/docker/netns", "/var/run/docker/netns"];

/// The number of descriptors that stay free for the rest of the look, below its limit.
const LEFT_FOR_THE_LOOK: u64 = 64;

/// The network namespaces that can be reached.
pub(super) struct Namespaces {
    /// The caller's own first.
    pub found: Vec<FoundNamespace>,
    /// Their open files, by number. Where descriptors run out, some have none: they are reached by
    /// their paths.
    pub held: HashMap<u64, File>,
}

/// Finds all that can be reached.
pub(super) fn find(procfs: &Path, pids: &[Pid]) -> Namespaces {
    let mut search = Search::new(procfs);
    if let Some(inode) = link_inode(&procfs.join("thread-self/ns/net")) {
        search.own = Some(inode);
        search.add(inode, "thread-self/ns/net".to_owned(), None, None);
    }
    for pid in pids {
        let path = format!("{pid}/ns/net");
        if let Some(inode) = link_inode(&procfs.join(&path)) {
            search.add(inode, path, Some(*pid), None);
        }
    }
    for mount in MOUNTS {
        // A host without this runtime has no such folder.
        let _ = search.mounted(Path::new(mount));
    }
    for pid in pids {
        // What ended meanwhile, or may not be read, shows none.
        let _ = search.descriptors_of(*pid);
    }
    search.finish()
}

struct Search<'a> {
    procfs: &'a Path,
    own: Option<u64>,
    by_inode: BTreeMap<u64, Entry>,
    held: HashMap<u64, File>,
    /// From this descriptor on none is kept open.
    most: u64,
}

/// A namespace, and what came of the attempt to hold it.
struct Entry {
    namespace: FoundNamespace,
    hold: Hold,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Hold {
    /// Its file is open.
    Open,
    /// It cannot be opened now, and perhaps later: a privilege is missing, or descriptors are.
    Refused,
    /// What led to it has ended.
    Gone,
}

impl<'a> Search<'a> {
    fn new(procfs: &'a Path) -> Self {
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        Self {
            procfs,
            own: None,
            by_inode: BTreeMap::new(),
            held: HashMap::new(),
            most: limit.saturating_sub(LEFT_FOR_THE_LOOK.min(limit / 2)),
        }
    }

    fn add(&mut self, inode: u64, path: String, pid: Option<Pid>, name: Option<String>) {
        let entry = self.by_inode.entry(inode).or_insert_with(|| Entry {
            namespace: FoundNamespace {
                inode,
                path: path.clone(),
                names: Vec::new(),
                pid,
            },
            hold: Hold::Gone,
        });
        let namespace = &mut entry.namespace;
        namespace.pid = namespace.pid.or(pid);
        namespace
            .names
            .extend(name.filter(|name| !namespace.names.contains(name)));
        if entry.hold != Hold::Gone {
            return;
        }
        entry.hold = match open(&self.procfs.join(&path), inode, self.most) {
            Ok(Some(file)) => {
                self.held.insert(inode, file);
                Hold::Open
            }
            Err(error) if is_gone(&error) => Hold::Gone,
            Ok(None) | Err(_) => Hold::Refused,
        };
        namespace.path = path;
    }

    fn mounted(&mut self, folder: &Path) -> io::Result<()> {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            let inode = std::fs::metadata(&path)?.ino();
            let name = path
                .file_name()
                .map(|name| name.to_string_lossy().into_owned());
            self.add(inode, path.display().to_string(), None, name);
        }
        Ok(())
    }

    /// Descriptors of namespace files.
    fn descriptors_of(&mut self, pid: Pid) -> io::Result<()> {
        let folder = format!("{pid}/fd");
        let directory = open_directory(&self.procfs.join(&folder))?;
        for_each_number(directory.as_fd(), |fd, _| {
            let path = format!("{folder}/{fd}");
            if let Some(inode) = link_inode(&self.procfs.join(&path)) {
                self.add(inode, path, None, None);
            }
        })
    }

    /// A namespace that ended while others were looked for is not one of those that can be reached.
    fn finish(mut self) -> Namespaces {
        let own = self.own.and_then(|inode| self.by_inode.remove(&inode));
        let found = own.into_iter().chain(self.by_inode.into_values());
        Namespaces {
            found: found
                .filter(|entry| entry.hold != Hold::Gone)
                .map(|entry| entry.namespace)
                .collect(),
            held: self.held,
        }
    }
}

/// Opens the file of the namespace with this number; none where descriptors run out.
fn open(path: &Path, inode: u64, most: u64) -> io::Result<Option<File>> {
    let file = match netns::open(path) {
        Err(error) if is_out_of_descriptors(&error) => return Ok(None),
        opened => opened?,
    };
    if netns::number(&file)? != inode {
        return Err(Errno::NOENT.into());
    }
    let within = u64::try_from(file.as_raw_fd()).is_ok_and(|number| number < most);
    Ok(within.then_some(file))
}

fn is_out_of_descriptors(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::MFILE | Errno::NFILE)
    )
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

    /// A procfs in which links lead to files of other numbers, or to none.
    fn search_with(links: &[(&str, Option<&str>)]) -> Vec<u64> {
        let procfs = tempfile::tempdir().unwrap();
        let mut search = Search::new(procfs.path());
        for (path, file) in links {
            if let Some(file) = file {
                std::fs::write(procfs.path().join(file), "").unwrap();
                let inode = std::fs::metadata(procfs.path().join(file)).unwrap().ino();
                search.add(inode, (*path).to_owned(), None, None);
            } else {
                search.add(7, (*path).to_owned(), None, None);
            }
        }
        let found = search.finish().found;
        found.iter().map(|namespace| namespace.inode).collect()
    }

    #[test]
    fn what_ended_before_it_was_opened_is_not_found() {
        assert!(search_with(&[("ended", None)]).is_empty());
        assert_eq!(search_with(&[("there", Some("there"))]).len(), 1);
        // Its number belongs to another file by now.
        let links = [("ended", None), ("there", Some("there"))];
        assert_eq!(search_with(&links).len(), 1);
    }

    #[test]
    fn without_descriptors_a_namespace_is_found_and_not_held() {
        let procfs = tempfile::tempdir().unwrap();
        std::fs::write(procfs.path().join("one"), "").unwrap();
        let inode = std::fs::metadata(procfs.path().join("one")).unwrap().ino();
        let mut search = Search::new(procfs.path());
        search.most = 0;
        search.add(inode, "one".to_owned(), None, None);
        let namespaces = search.finish();
        assert_eq!(namespaces.found.len(), 1);
        assert!(namespaces.held.is_empty());
    }
}
