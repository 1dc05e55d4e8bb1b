//! In which network namespace the calling thread is during a look, and how it comes back.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;

use crate::collect::kernel::{FoundNamespace, KernelError, netns};

/// The namespace that a thread shows of itself; relative to procfs.
const OWN: &str = "thread-self/ns/net";

/// The way of a thread through network namespaces, in one look.
#[derive(Debug, Default)]
pub(super) struct Travel {
    /// Where the look began, held open since the thread first left it.
    home: Option<File>,
    /// The namespaces that were found, held open by their numbers: one that is held does not end with
    /// the process that led to it.
    held: HashMap<u64, File>,
}

impl Travel {
    /// Takes over the namespaces that were found.
    pub(super) fn hold(&mut self, found: HashMap<u64, File>) {
        self.held = found;
    }

    /// Moves to a namespace that was found. Returns whether the thread has moved.
    pub(super) fn enter(
        &mut self,
        procfs: &Path,
        place: &FoundNamespace,
    ) -> Result<bool, KernelError> {
        let here = open_own(procfs)?;
        // Staying needs no privilege.
        if number(&here)? == place.inode {
            return Ok(false);
        }
        let home = self.home.get_or_insert(here);
        if number(home)? == place.inode {
            return move_to(home, &place.path);
        }
        if let Some(held) = self.held.get(&place.inode) {
            return move_to(held, &place.path);
        }
        let file = open(&procfs.join(&place.path))?;
        if number(&file)? != place.inode {
            return Err(KernelError::gone(&place.path));
        }
        move_to(&file, &place.path)
    }

    /// Moves to the namespace of a name, a path or a process id. Returns whether the thread has moved.
    pub(super) fn enter_named(&mut self, procfs: &Path, name: &str) -> Result<bool, KernelError> {
        let path = netns::locate(name, procfs);
        let there = open(&path)?;
        let here = open_own(procfs)?;
        if number(&here)? == number(&there)? {
            return Ok(false);
        }
        self.home.get_or_insert(here);
        move_to(&there, &path.display().to_string())
    }

    /// Goes back to where the look began, and lets go of everything else.
    pub(super) fn go_home(&mut self) -> Result<(), KernelError> {
        self.held.clear();
        match self.home.take() {
            Some(home) => move_to(&home, OWN).map(|_| ()),
            None => Ok(()),
        }
    }
}

fn open_own(procfs: &Path) -> Result<File, KernelError> {
    open(&procfs.join(OWN))
}

fn open(path: &Path) -> Result<File, KernelError> {
    netns::open(path).map_err(|error| KernelError::new(path.display().to_string(), &error))
}

fn number(namespace: &File) -> Result<u64, KernelError> {
    netns::number(namespace).map_err(|error| KernelError::new("a network namespace", &error))
}

fn move_to(namespace: &File, path: &str) -> Result<bool, KernelError> {
    let moved = netns::move_to(namespace);
    moved.map_err(|error| KernelError::new(path, &error))?;
    Ok(true)
}
