//! Files of our own, in folders where others may be at work: no planted link, fifo or file of
//! another user is followed, read or overwritten.
//!
//! A folder is opened once and checked; all that happens in it goes through its descriptor, so it
//! cannot be exchanged in between. A file is created under a random name that does not exist yet,
//! readable by us alone, and then moved to its name: a link that stands there is replaced, not
//! followed.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

/// A record is a few hundred bytes.
const LARGEST: u64 = 4096;

/// What an unfinished file's name ends with, after its random part.
const UNFINISHED: &[u8] = b".partial";

/// How many characters the random part of a name has.
const RANDOM_LENGTH: usize = 16;

/// How often another random name is tried.
const ATTEMPTS: usize = 8;

/// A folder that belongs to us and that others may not write to.
#[derive(Debug)]
pub(super) struct OwnFolder {
    folder: OwnedFd,
}

impl OwnFolder {
    /// Opens it; nothing where there is none.
    ///
    /// # Errors
    ///
    /// When it is a link, belongs to another user, or others may write to it.
    pub(super) fn open(path: &Path) -> io::Result<Option<Self>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = match rustix::fs::open(path, flags, Mode::empty()) {
            Ok(folder) => folder,
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::NOTDIR | Errno::LOOP) => {
                return Err(io::Error::other("it is not a folder, or a link to one"));
            }
            Err(error) => return Err(error.into()),
        };
        expect_private(&rustix::fs::fstat(&folder)?)?;
        Ok(Some(Self { folder }))
    }

    /// Opens it, or makes it first.
    ///
    /// # Errors
    ///
    /// As [`OwnFolder::open`], and when it cannot be made.
    pub(super) fn open_or_create(path: &Path) -> io::Result<Self> {
        if let Some(folder) = Self::open(path)? {
            return Ok(folder);
        }
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true).mode(0o700).create(path)?;
        Self::open(path)?.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Returns the names of what is in it.
    ///
    /// # Errors
    ///
    /// When it cannot be listed.
    pub(super) fn names(&self) -> io::Result<Vec<OsString>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.folder)? {
            let name = entry?.file_name().to_owned();
            if name.as_bytes() != b"." && name.as_bytes() != b".." {
                names.push(OsStr::from_bytes(name.as_bytes()).to_owned());
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Reads a small file of ours.
    ///
    /// # Errors
    ///
    /// When it is no ordinary file, belongs to another user, or is too large.
    pub(super) fn read(&self, name: &OsStr) -> io::Result<Vec<u8>> {
        // Without NONBLOCK the opening of a fifo waits for a writer.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.folder, name, flags, Mode::empty())?;
        let stat = rustix::fs::fstat(&file)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(io::Error::other("it is not an ordinary file"));
        }
        expect_private(&stat)?;
        let mut bytes = Vec::new();
        File::from(file).take(LARGEST + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > LARGEST {
            return Err(io::Error::other("it is too large"));
        }
        Ok(bytes)
    }

    /// Writes a file, all of it or nothing.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub(super) fn write(&self, name: &OsStr, bytes: &[u8]) -> io::Result<()> {
        replace_at(&self.folder, name, |file| file.write_all(bytes))?;
        // The name is on disk as well from here on.
        Ok(rustix::fs::fsync(&self.folder)?)
    }

    /// Removes a file; one that is not there is no error.
    ///
    /// # Errors
    ///
    /// When it cannot be removed.
    pub(super) fn remove(&self, name: &OsStr) -> io::Result<()> {
        match rustix::fs::unlinkat(&self.folder, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Whether a name is one that [`OwnFolder::write`] uses for a file that is not finished.
pub(super) fn is_unfinished(name: &OsStr) -> bool {
    let Some(stem) = name.as_bytes().strip_suffix(UNFINISHED) else {
        return false;
    };
    let Some((rest, random)) = stem.split_last_chunk::<RANDOM_LENGTH>() else {
        return false;
    };
    rest.first() == Some(&b'.')
        && rest.last() == Some(&b'.')
        && rest.len() > 2
        && random.iter().all(u8::is_ascii_hexdigit)
}

/// Writes a file that the user named: under another name first, all of it or nothing, and readable by
/// its owner alone. A link under that name is replaced. A device or fifo is written to as it is, if it
/// belongs to us or to root.
///
/// # Errors
///
/// When it cannot be written, or is a fifo or device of another user.
pub fn write_file(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    if let Some(mut special) = open_special(path)? {
        return write(&mut special);
    }
    let (folder, name) = folder_and_name(path)?;
    replace_at(&folder, name, |file| write(file))
}

/// Writes a file that other users may read, all of it or nothing. A link under that name is replaced.
///
/// # Errors
///
/// When it cannot be written.
pub fn publish_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let (folder, name) = folder_and_name(path)?;
    replace_at(&folder, name, |file| {
        let everybody = Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::ROTH;
        rustix::fs::fchmod(&*file, everybody)?;
        file.write_all(bytes)
    })
}

fn folder_and_name(path: &Path) -> io::Result<(OwnedFd, &OsStr)> {
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::other("it names no file"))?;
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok((rustix::fs::open(&parent, flags, Mode::empty())?, name))
}

/// Opens what is there and no ordinary file: a device, a fifo, or a link to one, such as
/// `/dev/stdout`.
fn open_special(path: &Path) -> io::Result<Option<File>> {
    let entry = match rustix::fs::statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(entry) => entry,
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    if is_link(&entry) && !is_trusted(&entry) {
        // It is replaced, wherever it leads.
        return Ok(None);
    }
    let target = match rustix::fs::statat(CWD, path, AtFlags::empty()) {
        Ok(target) => target,
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    match FileType::from_raw_mode(target.st_mode) {
        FileType::RegularFile => return own_output(&target),
        FileType::Directory => return Err(Errno::ISDIR.into()),
        _ => {}
    }
    // Our own standard output may be written to, even if another user made the terminal or pipe behind it.
    if !is_trusted(&target) && !is_link(&entry) {
        return Err(io::Error::other(
            "it is a fifo or device of another user: name a file",
        ));
    }
    let flags = OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOCTTY;
    Ok(Some(rustix::fs::open(path, flags, Mode::empty())?.into()))
}

/// Returns our standard output or error, where the path leads to it (`/dev/stdout`) and it is an
/// ordinary file: what is named is the stream, and no file to replace.
fn own_output(target: &Stat) -> io::Result<Option<File>> {
    for stream in [rustix::stdio::stdout(), rustix::stdio::stderr()] {
        let Ok(own) = rustix::fs::fstat(stream) else {
            // It is closed.
            continue;
        };
        if (own.st_dev, own.st_ino) == (target.st_dev, target.st_ino) {
            return Ok(Some(stream.try_clone_to_owned()?.into()));
        }
    }
    Ok(None)
}

fn is_link(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Symlink
}

fn is_trusted(stat: &Stat) -> bool {
    stat.st_uid == 0 || stat.st_uid == rustix::process::geteuid().as_raw()
}

/// Writes a new file under a random name and moves it to its name.
fn replace_at(
    folder: impl AsFd,
    name: &OsStr,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<()> {
    let folder = folder.as_fd();
    let (unfinished, mut file) = create_at(folder, name)?;
    let written = write(&mut file)
        .and_then(|()| file.sync_all())
        .and_then(|()| Ok(rustix::fs::renameat(folder, &unfinished, folder, name)?));
    if written.is_err() {
        // The first failure is the one to report.
        let _ = rustix::fs::unlinkat(folder, &unfinished, AtFlags::empty());
    }
    written
}

/// Creates a file that did not exist, readable by us alone.
fn create_at(folder: impl AsFd, name: &OsStr) -> io::Result<(OsString, File)> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    for _ in 0..ATTEMPTS {
        let unfinished = unfinished_name(name);
        match rustix::fs::openat(&folder, &unfinished, flags, Mode::RUSR | Mode::WUSR) {
            Ok(file) => return Ok((unfinished, file.into())),
            Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// Returns a name that no other user can guess.
fn unfinished_name(name: &OsStr) -> OsString {
    // The standard library seeds each of these from the system's random source.
    let random = RandomState::new().hash_one(std::process::id());
    let mut unfinished = OsString::from(".");
    unfinished.push(name);
    unfinished.push(format!(".{random:0RANDOM_LENGTH$x}"));
    unfinished.push(OsStr::from_bytes(UNFINISHED));
    unfinished
}

/// What others own or may write is not what we wrote.
fn expect_private(stat: &Stat) -> io::Result<()> {
    if stat.st_uid != rustix::process::geteuid().as_raw() {
        return Err(io::Error::other("it belongs to another user"));
    }
    let writable_for_others = Mode::WGRP | Mode::WOTH;
    if Mode::from_raw_mode(stat.st_mode).intersects(writable_for_others) {
        return Err(io::Error::other("others may write to it (chmod go-w)"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn own_folder() -> (tempfile::TempDir, OwnFolder) {
        let folder = tempfile::tempdir().unwrap();
        let own = OwnFolder::open(folder.path()).unwrap().unwrap();
        (folder, own)
    }

    fn chmod(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn what_was_written_is_read_and_is_ours_alone() {
        let (folder, own) = own_folder();
        own.write("record".as_ref(), b"one").unwrap();
        own.write("record".as_ref(), b"two").unwrap();
        assert_eq!(own.read("record".as_ref()).unwrap(), b"two");
        assert_eq!(own.names().unwrap(), ["record"]);
        let mode = std::fs::metadata(folder.path().join("record")).unwrap();
        assert_eq!(mode.permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn what_is_published_can_be_read_by_others_and_replaces_a_link() {
        let (folder, _) = own_folder();
        let path = folder.path().join("published.prom");
        symlink("/etc/hostname", &path).unwrap();
        publish_file(&path, b"one").unwrap();
        let metadata = std::fs::symlink_metadata(&path).unwrap();
        assert!(metadata.is_file());
        assert_eq!(metadata.permissions().mode() & 0o777, 0o644);
        assert_eq!(std::fs::read(&path).unwrap(), b"one");
        assert!(publish_file(&folder.path().join("no/such"), b"one").is_err());
    }

    #[test]
    fn a_folder_that_others_may_write_to_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        for mode in [0o777, 0o770, 0o1777] {
            chmod(folder.path(), mode);
            assert!(OwnFolder::open(folder.path()).is_err(), "{mode:o}");
        }
    }

    #[test]
    fn a_link_to_a_folder_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        symlink(folder.path(), &link).unwrap();
        assert!(OwnFolder::open(&link).is_err());
        assert!(OwnFolder::open_or_create(&link).is_err());
    }

    #[test]
    fn links_fifos_and_large_files_are_not_read() {
        let (folder, own) = own_folder();
        symlink("/dev/zero", folder.path().join("link")).unwrap();
        let fifo = folder.path().join("fifo");
        rustix::fs::mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR, 0).unwrap();
        std::fs::write(folder.path().join("large"), vec![b' '; 5000]).unwrap();
        for name in ["link", "fifo", "large"] {
            assert!(own.read(name.as_ref()).is_err(), "{name}");
        }
    }

    #[test]
    fn a_link_where_a_file_is_to_be_is_replaced_and_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let victim = folder.path().join("victim");
        std::fs::write(&victim, "untouched").unwrap();
        for name in ["out", "out.partial"] {
            symlink(&victim, folder.path().join(name)).unwrap();
        }
        let out = folder.path().join("out");
        write_file(&out, |file| file.write_all(b"recording")).unwrap();
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "untouched");
        assert_eq!(std::fs::read_to_string(&out).unwrap(), "recording");
        assert!(std::fs::symlink_metadata(&out).unwrap().is_file());
    }

    #[test]
    fn a_failed_write_leaves_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        std::fs::write(&out, "old").unwrap();
        let failed = write_file(&out, |_| Err(io::ErrorKind::StorageFull.into()));
        assert!(failed.is_err());
        assert_eq!(std::fs::read_to_string(&out).unwrap(), "old");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_device_is_written_to_as_it_is() {
        write_file(Path::new("/dev/null"), |file| file.write_all(b"x")).unwrap();
        assert!(!std::fs::symlink_metadata("/dev/null").unwrap().is_file());
    }

    #[test]
    fn a_file_name_need_not_be_text() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join(OsStr::from_bytes(b"caf\xe9"));
        write_file(&out, |file| file.write_all(b"x")).unwrap();
        assert!(out.is_file());
    }

    #[test]
    fn only_names_of_the_pattern_are_unfinished_files_of_ours() {
        assert!(is_unfinished(&unfinished_name("1-2-3-4.json".as_ref())));
        for name in [
            "notes.new",
            "x.partial",
            ".partial",
            "..0123456789abcdef.partial",
            "a.0123456789abcdef.partial",
            ".a.0123456789abcdeg.partial",
        ] {
            assert!(!is_unfinished(name.as_ref()), "{name}");
        }
    }
}
