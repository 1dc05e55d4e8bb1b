//! Holders of pipes, named pipes, terminals and unix sockets: descriptors found by the text of their links.

use std::collections::BTreeSet;
use std::ffi::CStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::path::Path;

use super::descriptors::{for_each_number, is_gone, open_directory};
use crate::collect::kernel::{LinkHolder, LinkHolders};
use crate::model::Pid;

/// As many descriptors are looked at. At some 3 us each that is a third of a second at the most.
const MOST_DESCRIPTORS: usize = 100_000;

/// The longest link text that is compared. A longer path is not one of those that were asked for.
const LONGEST_TARGET: usize = 4096;

/// Searches the descriptor tables of the given processes.
pub(super) fn search(procfs: &Path, pids: &[Pid], targets: &BTreeSet<String>) -> LinkHolders {
    let mut found = LinkHolders {
        holders: Vec::new(),
        complete: true,
    };
    let mut left = MOST_DESCRIPTORS;
    for pid in pids {
        match search_process(procfs, *pid, targets, &mut left, &mut found.holders) {
            // The process ended while it was looked at.
            Err(error) if !is_gone(&error) => found.complete = false,
            Ok(()) | Err(_) => {}
        }
        if left == 0 {
            found.complete = false;
            break;
        }
    }
    found
}

fn search_process(
    procfs: &Path,
    pid: Pid,
    targets: &BTreeSet<String>,
    left: &mut usize,
    holders: &mut Vec<LinkHolder>,
) -> io::Result<()> {
    let directory = open_directory(&procfs.join(format!("{pid}/fd")))?;
    let mut failure = None;
    for_each_number(directory.as_fd(), |fd, name| {
        if *left == 0 {
            return;
        }
        *left -= 1;
        match read_target(directory.as_fd(), name) {
            Ok(target) if targets.contains(&target) => {
                holders.push(LinkHolder { pid, fd, target });
            }
            // The descriptor was closed while it was looked at.
            Err(error) if !is_gone(&error) => failure = Some(error),
            Ok(_) | Err(_) => {}
        }
    })?;
    failure.map_or(Ok(()), Err)
}

fn read_target(directory: std::os::fd::BorrowedFd<'_>, name: &CStr) -> io::Result<String> {
    let mut buffer = [MaybeUninit::uninit(); LONGEST_TARGET];
    let (target, _) = rustix::fs::readlinkat_raw(directory, name, &mut buffer)?;
    Ok(String::from_utf8_lossy(target).into_owned())
}
