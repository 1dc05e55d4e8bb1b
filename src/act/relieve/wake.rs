//! Lets run again what was stopped or frozen.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Signal, pidfd_send_signal};

use super::hand::open_process;
use super::orders::Fault;
use super::registration::read_start;
use super::worker::note;
use super::{Deed, Outcome};
use crate::collect::kernel::Kernel;
use crate::collect::proc::parse_stat;
use crate::model::{Pid, RunState};

/// How long a process may take to be seen running again.
const PATIENCE: Duration = Duration::from_secs(2);
const TICK: Duration = Duration::from_millis(5);

/// A process that a signal stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stopped {
    /// The process.
    pub pid: Pid,
    /// When it started, in ticks since boot.
    pub started: u64,
}

/// A frozen cgroup, and how to thaw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Freezer {
    /// The file that is the switch.
    pub switch: PathBuf,
    /// What to write into it.
    pub thawed: &'static str,
}

/// Sends SIGCONT.
pub(super) fn continue_stopped(kernel: &mut dyn Kernel, stopped: &[Stopped]) -> Deed {
    let mut log = Vec::new();
    for one in stopped {
        let result = send(one).and_then(|()| await_running(kernel, one.pid));
        let text = result.as_ref().map(|()| "it runs again".to_owned());
        note(
            kernel,
            &mut log,
            "send SIGCONT",
            format!("process {}", one.pid),
            text,
        );
        if let Err(fault) = result {
            return Deed::failed(&fault, log);
        }
    }
    Deed::new(Outcome::Relieved, "what was stopped runs again", log)
}

fn send(stopped: &Stopped) -> Result<(), Fault> {
    let process = open_process(stopped.pid, stopped.pid)?;
    if read_start(Path::new("/proc"), stopped.pid)? != stopped.started {
        return Err(Fault::Gone);
    }
    Ok(pidfd_send_signal(&process, Signal::CONT)?)
}

fn await_running(kernel: &mut dyn Kernel, pid: Pid) -> Result<(), Fault> {
    let mut waited = Duration::ZERO;
    loop {
        let stat = std::fs::read(format!("/proc/{pid}/stat"))?;
        let state = parse_stat(&stat).map(|stat| stat.state);
        if state != Some(RunState::Stopped) {
            return Ok(());
        }
        if waited >= PATIENCE {
            return Err(Fault::Failed("it is still stopped".to_owned()));
        }
        kernel.pause(TICK);
        waited += TICK;
    }
}

/// Thaws cgroups.
pub(super) fn thaw(kernel: &mut dyn Kernel, freezers: &[Freezer]) -> Deed {
    let mut log = Vec::new();
    for freezer in freezers {
        let result = std::fs::write(&freezer.switch, freezer.thawed).map_err(Fault::from);
        let text = result
            .as_ref()
            .map(|()| format!("wrote {}", freezer.thawed));
        let target = freezer.switch.display().to_string();
        note(kernel, &mut log, "thaw", target, text);
        if let Err(fault) = result {
            return Deed::failed(&fault, log);
        }
    }
    Deed::new(Outcome::Relieved, "what was frozen runs again", log)
}

/// Finds the frozen cgroup that a process is in, or one above it.
pub(super) fn find_freezer(procfs: &Path, pid: Pid) -> Option<Freezer> {
    let groups = std::fs::read_to_string(procfs.join(format!("{pid}/cgroup"))).ok()?;
    groups.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':');
        let (number, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        if number == "0" {
            ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]
                .iter()
                .find_map(|mount| frozen_above(mount, path, "cgroup.freeze", "1"))
                .map(|switch| Freezer {
                    switch: switch.join("cgroup.freeze"),
                    thawed: "0",
                })
        } else if controllers.split(',').any(|name| name == "freezer") {
            frozen_above("/sys/fs/cgroup/freezer", path, "freezer.self_freezing", "1").map(
                |switch| Freezer {
                    switch: switch.join("freezer.state"),
                    thawed: "THAWED",
                },
            )
        } else {
            None
        }
    })
}

/// The nearest folder in which a file says that it is this one that is frozen.
fn frozen_above(mount: &str, path: &str, file: &str, frozen: &str) -> Option<PathBuf> {
    let mount = Path::new(mount);
    let mut folder = mount.join(path.trim_start_matches('/'));
    while folder.starts_with(mount) && folder != mount {
        let text = std::fs::read_to_string(folder.join(file)).unwrap_or_default();
        if text.trim() == frozen {
            return Some(folder);
        }
        folder.pop();
    }
    None
}
