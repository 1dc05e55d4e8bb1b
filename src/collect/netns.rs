//! Entering another network namespace.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::kernel::KernelError;

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
    enter_path(&locate(name, procfs))
}

/// Moves the calling thread into the network namespace behind a path.
///
/// # Errors
///
/// As [`enter`].
pub(super) fn enter_path(path: &Path) -> Result<(), KernelError> {
    let enter = || -> io::Result<()> {
        let file = File::open(path)?;
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?;
        Ok(())
    };
    enter().map_err(|error| KernelError::new(path.display().to_string(), &error))
}

fn locate(name: &str, procfs: &Path) -> PathBuf {
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
