//! Rights that the program has and its caller has not: those of file capabilities, as `setcap` gives them.
//!
//! Whoever may start such a program is lent its rights. So they are laid down before anything is read that the caller
//! names, and raised only while the running kernel is read through `/proc` itself. `docs/decisions/` says why.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::process::{DumpableBehavior, getuid, set_dumpable_behavior};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, capability_is_in_ambient_set,
    clear_ambient_capability_set, set_capabilities, set_no_new_privs,
};

/// The only mount of procfs that is read with borrowed rights.
const PROCFS: &str = "/proc";

/// `PROC_SUPER_MAGIC`, and the inode of the root of procfs (`PROC_ROOT_INO`).
const PROCFS_MAGIC: u64 = 0x9fa0;
const PROCFS_ROOT_INODE: u64 = 1;

/// Returns whether the calling thread has rights that its caller has not: its real user is not root, and a
/// capability that it may use is not ambient. What is ambient was given by whoever started it.
///
/// # Errors
///
/// When the kernel does not tell.
pub fn are_borrowed() -> io::Result<bool> {
    Ok(!borrowed(&capabilities(None)?)?.is_empty())
}

/// Lays borrowed rights down: they are not in force from now on, and nobody may read this process's memory.
///
/// # Errors
///
/// When the kernel refuses; then nothing may be done at all.
pub fn lay_down() -> io::Result<()> {
    if !are_borrowed()? {
        return Ok(());
    }
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    lower()
}

/// Gives borrowed rights up for good, also for what this process starts.
///
/// # Errors
///
/// When the kernel refuses; then nothing may be done at all.
pub fn give_up() -> io::Result<()> {
    let sets = capabilities(None)?;
    let borrowed = borrowed(&sets)?;
    if borrowed.is_empty() {
        return Ok(());
    }
    set_capabilities(
        None,
        CapabilitySets {
            effective: sets.effective - borrowed,
            permitted: sets.permitted - borrowed,
            inheritable: sets.inheritable - borrowed,
        },
    )?;
    // A helper process is this program again, and would be lent them again.
    set_no_new_privs(true)?;
    Ok(())
}

/// Gives up all rights but those that reading takes: to read what other users' processes have open, and with
/// `namespaces` also to enter other network namespaces. Threads that are started later have no more.
///
/// # Errors
///
/// When the kernel refuses.
pub fn keep_only_reading(namespaces: bool) -> io::Result<()> {
    let mut wanted = CapabilitySet::DAC_READ_SEARCH | CapabilitySet::SYS_PTRACE;
    if namespaces {
        wanted |= CapabilitySet::SYS_ADMIN;
    }
    let sets = capabilities(None)?;
    set_no_new_privs(true)?;
    clear_ambient_capability_set()?;
    set_capabilities(
        None,
        CapabilitySets {
            effective: sets.effective & wanted,
            permitted: sets.permitted & wanted,
            inheritable: CapabilitySet::empty(),
        },
    )?;
    Ok(())
}

/// Puts borrowed rights in force, where `procfs` is the running kernel's own; returns whether there were any.
/// Threads that are started meanwhile have them too.
///
/// # Errors
///
/// When the kernel refuses.
pub(super) fn raise(procfs: &Path) -> io::Result<bool> {
    let sets = capabilities(None)?;
    let borrowed = borrowed(&sets)?;
    if borrowed.is_empty() || !is_the_procfs(procfs)? {
        return Ok(false);
    }
    let effective = sets.effective | borrowed;
    set_capabilities(None, CapabilitySets { effective, ..sets })?;
    Ok(true)
}

/// Takes borrowed rights out of force.
///
/// # Errors
///
/// When the kernel refuses.
pub(super) fn lower() -> io::Result<()> {
    let sets = capabilities(None)?;
    let effective = sets.effective - borrowed(&sets)?;
    set_capabilities(None, CapabilitySets { effective, ..sets })?;
    Ok(())
}

fn borrowed(sets: &CapabilitySets) -> io::Result<CapabilitySet> {
    let mut borrowed = CapabilitySet::empty();
    if getuid().is_root() {
        return Ok(borrowed);
    }
    for capability in sets.permitted.iter() {
        if !capability_is_in_ambient_set(capability)? {
            borrowed |= capability;
        }
    }
    Ok(borrowed)
}

/// Returns whether a path is `/proc`, and procfs is mounted there: not a tree of the caller's that looks like it.
fn is_the_procfs(procfs: &Path) -> io::Result<bool> {
    if procfs.as_os_str() != PROCFS {
        return Ok(false);
    }
    let is_procfs = u64::try_from(rustix::fs::statfs(procfs)?.f_type) == Ok(PROCFS_MAGIC);
    Ok(is_procfs && std::fs::symlink_metadata(procfs)?.ino() == PROCFS_ROOT_INODE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_proc_itself_is_read_with_borrowed_rights() {
        assert!(is_the_procfs(Path::new("/proc")).unwrap());
        for other in ["/proc/", "/proc/1", "/proc/self/root/proc", "/", "/tmp"] {
            assert!(!is_the_procfs(Path::new(other)).unwrap(), "{other}");
        }
    }
}
