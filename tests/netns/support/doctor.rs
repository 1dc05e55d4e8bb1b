//! The program under test, as a person starts it.

use std::io::{Read, Seek};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Instant;

use super::{Report, wait_until};

/// What a run of the doctor left behind.
pub(crate) struct Run {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
    pub(crate) started: Instant,
    pub(crate) ended: Instant,
}

impl Run {
    /// The JSON report of a run that could look.
    pub(crate) fn report(&self) -> Report {
        assert_eq!(self.status.code(), Some(0), "{}", self.stderr);
        let json = serde_json::from_slice(&self.stdout);
        Report::new(
            json.unwrap_or_else(|error| {
                panic!("{error} in {}", String::from_utf8_lossy(&self.stdout))
            }),
        )
    }
}

impl Run {
    /// The JSON of a run that could do what it was asked.
    pub(crate) fn json(&self) -> serde_json::Value {
        assert_eq!(self.status.code(), Some(0), "{}", self.stderr);
        self.any_json()
    }

    /// The JSON of a run, whatever its exit code.
    pub(crate) fn any_json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.stdout).unwrap_or_else(|error| {
            panic!(
                "{error} in {}\n{}",
                String::from_utf8_lossy(&self.stdout),
                self.stderr
            )
        })
    }

    /// What a run that could not do what it was asked said, in its one line.
    pub(crate) fn complaint(&self) -> &str {
        assert_eq!(self.status.code(), Some(3), "{}", self.stderr);
        assert!(self.stdout.is_empty(), "{:?}", self.stdout);
        self.stderr.trim_end()
    }
}

pub(crate) fn doctor_command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_closewait-doctor"));
    command.args(arguments);
    command
}

pub(crate) fn doctor(arguments: &[&str]) -> Run {
    run(&mut doctor_command(arguments))
}

/// Runs a command to its end.
pub(crate) fn run(command: &mut Command) -> Run {
    let file = || tempfile::tempfile().expect("there is room for temporary files");
    let (mut stdout, mut stderr) = (file(), file());
    let started = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(stdout.try_clone().expect("an open file"))
        .stderr(stderr.try_clone().expect("an open file"))
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let mut status = None;
    wait_until("the doctor is done", || {
        status = child.try_wait().expect("it is our child");
        status.is_some()
    });
    let ended = Instant::now();
    let stderr = read_all(&mut stderr);
    Run {
        status: status.expect("it has ended"),
        stdout: read_all(&mut stdout),
        stderr: String::from_utf8_lossy(&stderr).into_owned(),
        started,
        ended,
    }
}

fn read_all(file: &mut std::fs::File) -> Vec<u8> {
    let mut bytes = Vec::new();
    file.rewind()
        .and_then(|()| file.read_to_end(&mut bytes))
        .expect("a readable file");
    bytes
}

/// A look at the port, with [`super::SHORT_GRACE`].
pub(crate) const SCAN: [&str; 7] = [
    "scan",
    "--port",
    "8080",
    "--format",
    "json",
    "--min-age",
    "300ms",
];

pub(crate) fn scan(more: &[&str]) -> Run {
    doctor(&[&SCAN, more].concat())
}
