//! Lets run again what was stopped or frozen.

use std::time::Duration;

use rustix::process::{Signal, pidfd_send_signal};

use crate::act::relieve::cgroup::find_frozen;
use crate::act::relieve::fault::Fault;
use crate::act::relieve::outcome::{Relief, ReliefOutcome, StepLog};
use crate::act::relieve::plan::{FrozenCgroup, StoppedProcess};
use crate::act::relieve::process::open_process;
use crate::collect::kernel::Kernel;
use crate::collect::proc::parse_stat;
use crate::model::{Pid, RunState};

/// How long a process may take to be seen running again.
const PATIENCE: Duration = Duration::from_secs(2);
const TICK: Duration = Duration::from_millis(5);

/// Sends SIGCONT.
pub(super) fn resume(kernel: &mut dyn Kernel, stopped: &[StoppedProcess]) -> Relief {
    let mut log = StepLog::default();
    for one in stopped {
        let result = send(kernel, one).and_then(|()| await_running(kernel, one.pid));
        let text = result.as_ref().map(|()| "it runs again".to_owned());
        log.note(kernel, "send SIGCONT", format!("process {}", one.pid), text);
        if let Err(fault) = result {
            return Relief::ended(Err(fault), log);
        }
    }
    let headline = "what was stopped runs again".to_owned();
    Relief::ended(Ok((ReliefOutcome::Relieved, headline)), log)
}

fn send(kernel: &mut dyn Kernel, stopped: &StoppedProcess) -> Result<(), Fault> {
    let process = open_process(kernel, stopped.pid, stopped.pid, stopped.started)?;
    Ok(pidfd_send_signal(&process, Signal::CONT)?)
}

fn await_running(kernel: &mut dyn Kernel, pid: Pid) -> Result<(), Fault> {
    let mut waited = Duration::ZERO;
    loop {
        let stat = kernel.read(&format!("{pid}/stat"))?;
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
pub(super) fn thaw(kernel: &mut dyn Kernel, frozen: &[FrozenCgroup]) -> Relief {
    let mut log = StepLog::default();
    for cgroup in frozen {
        let result = thaw_one(kernel, cgroup);
        let text = result.as_ref().map(|()| format!("wrote {}", cgroup.thawed));
        let target = cgroup.switch.display().to_string();
        log.note(kernel, "thaw", target, text);
        if let Err(fault) = result {
            return Relief::ended(Err(fault), log);
        }
    }
    let headline = "what was frozen runs again".to_owned();
    Relief::ended(Ok((ReliefOutcome::Relieved, headline)), log)
}

/// Thaws the cgroup, if the process that was planned with is still in it.
fn thaw_one(kernel: &mut dyn Kernel, cgroup: &FrozenCgroup) -> Result<(), Fault> {
    if find_frozen(kernel, cgroup.pid)?.as_ref() != Some(cgroup) {
        return Err(Fault::Changed(format!(
            "process {} is not in that frozen cgroup any more",
            cgroup.pid
        )));
    }
    std::fs::write(&cgroup.switch, cgroup.thawed)?;
    if find_frozen(kernel, cgroup.pid)?.as_ref() == Some(cgroup) {
        return Err(Fault::Failed("it is still frozen".to_owned()));
    }
    Ok(())
}
