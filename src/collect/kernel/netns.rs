//! Finding and entering another network namespace.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::KernelError;

/// Where `ip netns` binds named namespaces.
const NAMED: &str = "/run/netns";

/// Moves the calling thread into a network namespace, given as the name of a bind mount of
/// `ip netns`, a path, or a process id.
///
/// Sockets that the thread opens from then on belong to that namespace, and `/proc/thread-self/net`
/// shows it.
///
/// # Errors
///
/// When there is no such namespace, or entering it is not permitted (it needs `CAP_SYS_ADMIN`).
pub fn enter(name: &str, procfs: &Path) -> Result<(), KernelError> {
    let path = locate(name, procfs);
    let entered = open(&path).and_then(|namespace| move_to(&namespace));
    entered.map_err(|error| KernelError::new(path.display().to_string(), &error))
}

/// Opens the file of a namespace. A fifo of that name is opened at once, and is no namespace then.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let nonblocking = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    File::options()
        .read(true)
        .custom_flags(nonblocking)
        .open(path)
}

/// Moves the calling thread into the network namespace of an open file.
pub(super) fn move_to(namespace: &File) -> io::Result<()> {
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
    Ok(())
}

/// The number of a namespace, as in `net:[4026531840]`.
pub(super) fn number(namespace: &File) -> io::Result<u64> {
    Ok(namespace.metadata()?.ino())
}

/// The file of a namespace, by the name of a bind mount, a path, or a process id.
pub(super) fn locate(name: &str, procfs: &Path) -> PathBuf {
    if name.contains('/') {
        PathBuf::from(name)
    } else if name.bytes().all(|byte| byte.is_ascii_digit()) {
        procfs.join(name).join("ns/net")
    } else {
        Path::new(NAMED).join(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_is_a_name_a_path_or_a_process() {
        let procfs = Path::new("/proc");
        assert_eq!(locate("blue", procfs), Path::new("/run/netns/blue"));
        assert_eq!(locate("42", procfs), Path::new("/proc/42/ns/net"));
        assert_eq!(locate("/tmp/ns", procfs), Path::new("/tmp/ns"));
    }
}
