//! `relieve`: first aid on real servers, which go on serving.

mod elsewhere;
mod fooled;
mod gentle;
mod hostile;
mod killed;
mod neighbours;
mod other_means;
mod rounds;

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{
    Program, Run, SHORT_GRACE, connect_many, doctor_command, items, outlast, run, stop,
    wait_for_queue,
};

/// A doctor with a journal of its own.
struct Aid {
    state: TempDir,
}

impl Aid {
    fn new() -> Self {
        Self {
            state: tempfile::tempdir().expect("there is room for temporary files"),
        }
    }

    fn arguments<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        let state = self.state.path().to_str().expect("paths are UTF-8");
        let mut arguments = vec!["relieve", "--format", "json", "--state", state];
        if !more.contains(&"--min-age") {
            arguments.extend(["--min-age", "300ms"]);
        }
        arguments.extend(more);
        arguments
    }

    /// Runs `relieve`, however it ends.
    fn run(&self, more: &[&str]) -> Run {
        run(&mut doctor_command(&self.arguments(more)))
    }

    /// Runs `relieve --port 8080`, which has to come to this.
    fn comes_to(&self, outcome: &str, more: &[&str]) -> Value {
        let run = self.run(&[&["--port", "8080"], more].concat());
        let json = run.any_json();
        assert_eq!(json["schema"], "closewait-doctor.relieve/v1");
        assert_eq!(json["outcome"], outcome, "{json:#}");
        let changed_nothing = ["failed", "unchanged", "rolled_back"].contains(&outcome);
        let code = if changed_nothing { 3 } else { 0 };
        assert_eq!(run.status.code(), Some(code), "{json:#}");
        json
    }

    /// Whether anything is left in force, by the journal.
    fn is_empty(&self) -> bool {
        let entries = std::fs::read_dir(self.state.path()).expect("the folder is ours");
        entries.count() == 0
    }
}

/// Every registration in every epoll set of a process, as the kernel shows it.
fn registrations(pid: u32) -> BTreeMap<String, Vec<String>> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).expect("the process lives");
    let mut found = BTreeMap::new();
    for thread in threads {
        let folder = thread.expect("a readable folder").path().join("fdinfo");
        let Ok(descriptors) = std::fs::read_dir(folder) else {
            continue;
        };
        for descriptor in descriptors {
            let path = descriptor.expect("a readable folder").path();
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            let lines: Vec<String> = text
                .lines()
                .filter(|line| line.starts_with("tfd:"))
                .map(str::to_owned)
                .collect();
            if !lines.is_empty() {
                let fd = path.file_name().expect("a number").to_string_lossy();
                found.insert(fd.into_owned(), lines);
            }
        }
    }
    found
}

/// How many descriptors a process has.
fn descriptors(pid: u32) -> usize {
    let folder = std::fs::read_dir(format!("/proc/{pid}/fd"));
    folder.expect("the process lives").count()
}

fn steps<'json>(json: &'json Value, step: &str) -> Vec<&'json Value> {
    items(&json["log"])
        .filter(|entry| entry["step"] == step)
        .collect()
}

fn headline(json: &Value) -> &str {
    json["headline"].as_str().expect("there is a headline")
}

/// The registrations of a server's listener, which is its first descriptor.
fn listener_lines(pid: u32) -> Vec<String> {
    let link = std::fs::read_link(format!("/proc/{pid}/fd/3")).expect("the server listens");
    let link = link.to_string_lossy().into_owned();
    let inode = link
        .strip_prefix("socket:[")
        .and_then(|rest| rest.strip_suffix(']'))
        .and_then(|digits| digits.parse::<u64>().ok())
        .unwrap_or_else(|| panic!("{link} is a socket"));
    let all = registrations(pid).into_values().flatten();
    all.filter(|line| line.contains(&format!(" ino:{inode:x} ")))
        .collect()
}

fn resume(pid: u32) {
    let pid = i32::try_from(pid)
        .ok()
        .and_then(rustix::process::Pid::from_raw);
    rustix::process::kill_process(pid.expect("a pid"), rustix::process::Signal::CONT)
        .expect("the process is ours");
}

/// Clients come while a server cannot react, so there is one edge for all of them; a server that accepts one for each
/// edge accepts the first, and the others are stuck.
pub(crate) fn stick(server: &Program, size: usize) -> Vec<TcpStream> {
    stop(server.pid());
    let clients = connect_many(size);
    resume(server.pid());
    wait_for_queue(size as u64 - 1);
    outlast(SHORT_GRACE);
    clients
}

/// Runs `relieve --yes` with faults injected into its system calls, and its helper's.
fn with_faults(aid: &Aid, faults: &[&str], more: &[&str]) -> Run {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o", "/dev/null"]);
    for fault in faults {
        strace.args(["-e", fault]);
    }
    let doctor = env!("CARGO_BIN_EXE_closewait-doctor");
    let arguments = aid.arguments(&["--port", "8080", "--yes"]);
    run(strace.arg(doctor).args(arguments).args(more))
}

/// The helper that is there, in the network namespace of this test.
fn helper() -> Option<u32> {
    let processes = std::fs::read_dir("/proc").expect("procfs is mounted");
    let own_network = std::fs::read_link("/proc/self/ns/net").expect("we have one");
    let folders = processes.filter_map(|entry| Some(entry.ok()?.path()));
    folders
        .filter(|folder| {
            let command_line = std::fs::read(folder.join("cmdline")).unwrap_or_default();
            let network = std::fs::read_link(folder.join("ns/net"));
            command_line.split(|byte| *byte == 0).nth(1) == Some(b"helper")
                && network.is_ok_and(|network| network == own_network)
        })
        .find_map(|folder| folder.file_name()?.to_str()?.parse().ok())
}

fn helper_waits() -> bool {
    helper().is_some()
}

fn signal(pid: u32, signal: rustix::process::Signal) {
    let pid = i32::try_from(pid)
        .ok()
        .and_then(rustix::process::Pid::from_raw);
    rustix::process::kill_process(pid.expect("a pid"), signal).expect("the process is ours");
}
