//! What is in force or under way, on disk, so that another run can bring back what there was.

use std::fs::{DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::registration::Grip;

/// A registration that is not, or may not be, as the server made it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The registration as the server made it.
    pub grip: Grip,
    /// The mask that is in force.
    pub in_force: u32,
    /// The listener's address.
    pub local: String,
}

/// A folder with a file for each of them. It lies where a restart of the machine empties it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Journal {
    folder: PathBuf,
}

impl Journal {
    /// A journal in this folder, which is made when there is something to write.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes a record, all of it or nothing.
    pub(super) fn write(&self, record: &Record) -> io::Result<()> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)?;
        let path = self.path(&record.grip);
        let unfinished = path.with_extension("new");
        let mut file = File::create(&unfinished)?;
        file.write_all(&serde_json::to_vec(record)?)?;
        file.sync_all()?;
        std::fs::rename(unfinished, path)
    }

    /// Forgets a registration that is as it was.
    pub(super) fn remove(&self, grip: &Grip) -> io::Result<()> {
        match std::fs::remove_file(self.path(grip)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Reads every record; what makes no sense is left out.
    pub(super) fn read(&self) -> io::Result<Vec<Record>> {
        let entries = match std::fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        // What others write into a folder of theirs is not what we did.
        if std::fs::metadata(&self.folder)?.uid() != rustix::process::geteuid().as_raw() {
            return Err(io::Error::other("the folder belongs to another user"));
        }
        let mut records = Vec::new();
        for entry in entries {
            let path = entry?.path();
            if path.extension().is_some_and(|ending| ending == "json") {
                let bytes = std::fs::read(&path)?;
                records.extend(serde_json::from_slice::<Record>(&bytes).ok());
            }
        }
        records.sort_by_key(|record| (record.grip.pid, record.grip.epoll_fd));
        Ok(records)
    }

    /// Removes what was not finished, and what is about nobody any more.
    pub(super) fn tidy(&self, is_of_use: impl Fn(&Record) -> bool) -> io::Result<()> {
        for record in self.read()? {
            if !is_of_use(&record) {
                self.remove(&record.grip)?;
            }
        }
        let Ok(entries) = std::fs::read_dir(&self.folder) else {
            return Ok(());
        };
        for entry in entries {
            let path = entry?.path();
            if path.extension().is_some_and(|ending| ending == "new") {
                std::fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    fn path(&self, grip: &Grip) -> PathBuf {
        let name = format!(
            "{}-{}-{}-{}.json",
            grip.pid, grip.started, grip.epoll_fd, grip.target_fd
        );
        self.folder.join(name)
    }
}
