//! What is in force or under way, on disk, so that another run can bring back what there was.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::registration::EpollRegistration;
use crate::act::own_files::{OwnFolder, is_unfinished};

/// A registration that is not, or may not be, as the server made it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JournalRecord {
    /// The registration as the server made it.
    pub registration: EpollRegistration,
    /// The mask that is in force.
    pub in_force: u32,
    /// The listener's address.
    pub local: String,
}

impl JournalRecord {
    /// Parses what a run wrote; nothing where `relieve` cannot have written it.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let record: Self = serde_json::from_slice(bytes).ok()?;
        record.is_plausible().then_some(record)
    }

    /// Whether `relieve` can have written it: it only ever changes `EPOLLET`.
    fn is_plausible(&self) -> bool {
        self.registration.differs_in_edge_alone(self.in_force)
    }
}

/// A folder with a file for each record. It lies where a restart of the machine empties it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Journal {
    path: PathBuf,
}

impl Journal {
    /// A journal in this folder, which is made when there is something to write.
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Returns where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a record, all of it or nothing.
    pub(super) fn write(&self, record: &JournalRecord) -> io::Result<()> {
        let folder = OwnFolder::open_or_create(&self.path)?;
        folder.write(&name(&record.registration), &serde_json::to_vec(record)?)
    }

    /// Removes the record of a registration. Only what has verified the registration calls this.
    pub(super) fn remove(&self, registration: &EpollRegistration) -> io::Result<()> {
        match OwnFolder::open(&self.path)? {
            Some(folder) => folder.remove(&name(registration)),
            None => Ok(()),
        }
    }

    /// Reads every record.
    ///
    /// # Errors
    ///
    /// When the folder or a record in it is not ours, or a record makes no sense: then it is not
    /// known what is in force.
    pub(super) fn read(&self) -> io::Result<Vec<JournalRecord>> {
        let Some(folder) = OwnFolder::open(&self.path)? else {
            return Ok(Vec::new());
        };
        let mut records = Vec::new();
        for file in folder.names()? {
            if !is_record(&file) {
                continue;
            }
            let bytes = match folder.read(&file) {
                // Another run has just removed it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                read => read.map_err(|error| about(&file, &error.to_string()))?,
            };
            let record = JournalRecord::parse(&bytes)
                .ok_or_else(|| about(&file, "it is no record of a change"))?;
            if name(&record.registration) != file {
                return Err(about(&file, "it is the record of another registration"));
            }
            records.push(record);
        }
        records.sort_by_key(|record| {
            let registration = &record.registration;
            (registration.listener.pid, registration.epoll_fd)
        });
        Ok(records)
    }

    /// Removes the files that an interrupted run did not finish.
    pub(super) fn remove_unfinished(&self) -> io::Result<()> {
        let Some(folder) = OwnFolder::open(&self.path)? else {
            return Ok(());
        };
        for file in folder.names()? {
            if is_unfinished(&file) {
                folder.remove(&file)?;
            }
        }
        Ok(())
    }
}

fn about(file: &OsStr, problem: &str) -> io::Error {
    io::Error::other(format!("{}: {problem}", file.to_string_lossy()))
}

/// Returns the file name of a registration's record: `PID-START-EPFD-TFD.json`.
fn name(registration: &EpollRegistration) -> OsString {
    let listener = &registration.listener;
    format!(
        "{}-{}-{}-{}.json",
        listener.pid, listener.started, registration.epoll_fd, registration.target_fd
    )
    .into()
}

fn is_record(name: &OsStr) -> bool {
    let Some(stem) = name.to_str().and_then(|name| name.strip_suffix(".json")) else {
        return false;
    };
    let numbers: Vec<&str> = stem.split('-').collect();
    let is_number =
        |text: &&str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    numbers.len() == 4 && numbers.iter().all(is_number)
}

#[cfg(test)]
mod tests {
    use super::super::registration::ListenerReference;
    use super::*;
    use proptest::prelude::*;

    fn record() -> JournalRecord {
        JournalRecord {
            registration: EpollRegistration {
                listener: ListenerReference {
                    pid: 42,
                    tid: 42,
                    started: 7,
                    fd: 3,
                    inode: 1234,
                },
                epoll_fd: 4,
                target_fd: 3,
                events: 0x8000_0019,
                data: 3,
                device: 9,
                spare: 100,
            },
            in_force: 0x19,
            local: "127.0.0.1:8080".to_owned(),
        }
    }

    fn journal() -> (tempfile::TempDir, Journal) {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::new(folder.path().join("state"));
        (folder, journal)
    }

    #[test]
    fn a_record_is_kept_until_it_is_removed() {
        let (_folder, journal) = journal();
        assert_eq!(journal.read().unwrap(), []);
        journal.write(&record()).unwrap();
        assert_eq!(journal.read().unwrap(), [record()]);
        journal.remove(&record().registration).unwrap();
        assert_eq!(journal.read().unwrap(), []);
    }

    #[test]
    fn a_record_of_another_change_than_edge_is_none_of_ours() {
        let (_folder, journal) = journal();
        let mut forged = record();
        forged.registration.events = 0x18;
        journal.write(&forged).unwrap();
        assert!(journal.read().is_err());
    }

    #[test]
    fn a_record_under_another_name_is_refused() {
        let (folder, journal) = journal();
        journal.write(&record()).unwrap();
        let state = folder.path().join("state");
        std::fs::rename(state.join("42-7-4-3.json"), state.join("43-7-4-3.json")).unwrap();
        assert!(journal.read().is_err());
    }

    #[test]
    fn files_of_others_in_the_folder_stay_where_they_are() {
        let (folder, journal) = journal();
        journal.write(&record()).unwrap();
        let state = folder.path().join("state");
        for name in ["notes.new", "notes.json", "x.partial"] {
            std::fs::write(state.join(name), "mine").unwrap();
        }
        let unfinished = state.join(".42-7-4-3.json.0123456789abcdef.partial");
        std::fs::write(&unfinished, "half").unwrap();
        journal.remove_unfinished().unwrap();
        assert_eq!(journal.read().unwrap(), [record()]);
        assert!(!unfinished.exists());
        assert_eq!(std::fs::read_dir(&state).unwrap().count(), 4);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_no_record(bytes in any::<Vec<u8>>(), text in ".{0,99}") {
            prop_assert_eq!(JournalRecord::parse(&bytes), None);
            prop_assert_eq!(JournalRecord::parse(text.as_bytes()), None);
        }
    }
}
