//! Programs that a test starts, and that end with it.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Instant;

use rustix::process::{Pid, Signal};

use super::{PATIENCE, wait_until};

/// A running program. It and all it started is killed when this is dropped.
pub(crate) struct Program {
    child: Child,
    lines: Receiver<(Instant, String)>,
}

impl Program {
    /// Starts a program in a process group of its own, and listens to its stdout.
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let stdout = BufReader::new(child.stdout.take().expect("stdout is a pipe"));
        let (sender, lines) = mpsc::channel();
        // Reads on after the receiver is gone, so that the program is not stuck in a write.
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                drop(sender.send((Instant::now(), line)));
            }
        });
        Self { child, lines }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a line of output that contains this, and tells when it came.
    pub(crate) fn wait_for_line(&self, part: &str) -> (Instant, String) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let (at, line) = self
                .lines
                .recv_timeout(left)
                .unwrap_or_else(|error| panic!("waiting for {part:?}: {error}"));
            if line.contains(part) {
                return (at, line);
            }
        }
    }

    /// The processes that a server started, as it names them.
    pub(crate) fn workers(&self) -> Vec<u32> {
        let (_, line) = self.wait_for_line("pids");
        line.split_whitespace()
            .skip(1)
            .map(|pid| pid.parse().expect("a pid"))
            .collect()
    }

    /// The children of this program, as the kernel names them.
    pub(crate) fn children(&self) -> Vec<u32> {
        let path = format!("/proc/{pid}/task/{pid}/children", pid = self.pid());
        let children = std::fs::read_to_string(path).expect("the program runs");
        children
            .split_whitespace()
            .map(|pid| pid.parse().expect("a pid"))
            .collect()
    }

    /// Waits until the main thread sleeps for a time that it chose.
    pub(crate) fn wait_for_sleep(&self) {
        let path = format!("/proc/{}/wchan", self.pid());
        wait_until("the program sleeps", || {
            std::fs::read_to_string(&path)
                .expect("the program runs")
                .contains("nanosleep")
        });
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("it is our child").is_some()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // The whole group: workers may be stopped, or orphaned. Or everything has ended by itself.
        let _ = rustix::process::kill_process_group(pid_of(self.child.id()), Signal::KILL);
        drop(self.child.wait());
    }
}

/// Starts a server of `examples/server`, and waits until clients may come.
pub(crate) fn start_server(arguments: &[&str]) -> Program {
    let server = Program::start(Command::new(example("server")).args(arguments));
    server.wait_for_line("ready");
    server
}

/// The path of an example program of this crate.
pub(crate) fn example(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_BIN_EXE_closewait-doctor"))
        .parent()
        .expect("a file is in a folder");
    let path = folder.join("examples").join(name);
    assert!(
        path.is_file(),
        "{} is not built: cargo build --examples",
        path.display()
    );
    path
}

/// Stops a process, as Ctrl-Z and SIGSTOP do.
pub(crate) fn stop(pid: u32) {
    rustix::process::kill_process(pid_of(pid), Signal::STOP)
        .expect("the process lives and is ours");
    wait_until("the process is stopped", || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process lives");
        stat.rsplit_once(") ")
            .is_some_and(|(_, fields)| fields.starts_with('T'))
    });
}

fn pid_of(pid: u32) -> Pid {
    i32::try_from(pid)
        .ok()
        .and_then(Pid::from_raw)
        .expect("a pid")
}
