//! What stays in a redacted recording of paths and command lines: no more than software is recognised by.

use std::collections::{BTreeSet, HashMap};

use crate::model::{Library, Server};

/// Replaces everything that was taken out.
pub(super) const REDACTED: &str = "redacted";

/// The folders that were taken out so far: files of one name in two folders stay two files.
#[derive(Default)]
pub(super) struct Folders {
    numbers: HashMap<String, usize>,
}

impl Folders {
    /// Redacts what a link shows. What is no path is a kind and a number, and stays.
    pub(super) fn redact_target(&mut self, target: &str) -> String {
        let Some((folder, name)) = target.rsplit_once('/') else {
            return target.to_owned();
        };
        if !target.starts_with('/') {
            return target.to_owned();
        }
        let next = self.numbers.len() + 1;
        let number = self.numbers.entry(folder.to_owned()).or_insert(next);
        // The name of an executable tells the runtime.
        format!("/{REDACTED}/{number}/{name}")
    }
}

/// Redacts a command line, but for the words that name a server.
pub(super) fn redact_command_line(bytes: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(bytes);
    // Of a kernel's thread it is empty.
    if text.is_empty() {
        return Vec::new();
    }
    let markers = Server::COMMAND_LINE_MARKERS.iter();
    let kept = markers
        .map(|(_, marker, _)| *marker)
        .filter(|marker| text.contains(marker));
    let words: Vec<&str> = std::iter::once(REDACTED).chain(kept).collect();
    words.join("\0").into_bytes()
}

/// Redacts a piece of `/proc/PID/maps`: what stays are the names of the mapped files, each once. A piece
/// that was not empty does not become so, because an empty one is the end of the table.
pub(super) fn redact_maps(bytes: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(bytes);
    let files = text
        .lines()
        .filter_map(|line| line.find('/').map(|at| &line[at..]));
    let names: BTreeSet<String> = files.map(redact_mapped).collect();
    let mut kept = String::new();
    for name in &names {
        kept.push_str(name);
        kept.push('\n');
    }
    if kept.is_empty() && !text.is_empty() {
        kept.push('\n');
    }
    kept.into_bytes()
}

/// Keeps of a path the file name, and the folder that a library is recognised by.
fn redact_mapped(path: &str) -> String {
    let name = path.rsplit('/').next().unwrap_or_default();
    let folder = Library::MAPPED_FOLDERS
        .into_iter()
        .find(|folder| path.contains(folder));
    format!("/{REDACTED}{}{name}", folder.unwrap_or("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_path_only_the_file_name_stays() {
        let mut folders = Folders::default();
        let mut redacted = |target| folders.redact_target(target);
        assert_eq!(redacted("/opt/acme/bin/server"), "/redacted/1/server");
        assert_eq!(redacted("/opt/acme/bin/other"), "/redacted/1/other");
        assert_eq!(redacted("/srv/acme/server"), "/redacted/2/server");
        assert_eq!(redacted("/server"), "/redacted/3/server");
        assert_eq!(redacted("socket:[42]"), "socket:[42]");
    }

    #[test]
    fn of_a_command_line_only_what_names_a_server_stays() {
        let redacted =
            |text: &str| String::from_utf8(redact_command_line(text.as_bytes())).unwrap();
        assert_eq!(redacted("/opt/acme/run\0--token=hunter2\0"), "redacted");
        let line = "/opt/acme/gunicorn\0-k\0uvicorn.workers.UvicornWorker\0acme:app\0";
        assert_eq!(redacted(line), "redacted\0uvicorn\0gunicorn\0unicorn");
        assert_eq!(redacted(""), "");
    }

    #[test]
    fn of_a_table_of_mappings_only_file_names_and_known_folders_stay() {
        let text = "\
7f00-7f01 r--p 00000000 fe:00 42    /opt/acme/python3/gevent/_queue.so
7f01-7f02 r-xp 00001000 fe:00 42    /opt/acme/python3/gevent/_queue.so
7f02-7f03 r-xp 00000000 fe:00 43    /home/alice/lib/libuv.so.1 (deleted)
7f03-7f04 rw-p 00000000 00:00 0     [heap]
";
        let kept = String::from_utf8(redact_maps(text.as_bytes())).unwrap();
        assert_eq!(
            kept,
            "/redacted/gevent/_queue.so\n/redacted/libuv.so.1 (deleted)\n"
        );
        assert_eq!(redact_maps(b"7f03-7f04 rw-p 00000000 00:00 0\n"), b"\n");
        assert!(redact_maps(b"").is_empty());
    }
}
