//! What to do, decided on a look. Reads what identifies a registration, and touches nothing.

mod identify;
mod leaked;
mod listener;

use self::listener::ListenerPlanner;
use super::method::Method;
use super::options::RelieveOptions;
use super::plan::{ReliefPlan, Unplanned, impossible};
use crate::act::target::Target;
use crate::collect::kernel::Kernel;
use crate::correlate::Analysis;
use crate::correlate::acceptor::{Acceptor, AcceptorState, Halt, division};
use crate::model::{Listener, Pid};
use crate::rules::Finding;

/// Plans, by reading only. `target` is the listener that was named, and `pids` are the processes that
/// were named.
///
/// # Errors
///
/// When there is nothing to do, or it cannot be done: in words.
pub fn plan(
    kernel: &mut dyn Kernel,
    analysis: &Analysis,
    target: Option<&Target>,
    findings: &[Finding],
    pids: &[Pid],
    options: RelieveOptions,
) -> Result<ReliefPlan, Unplanned> {
    if options.method == Some(Method::CloseLeaked) || (target.is_none() && options.method.is_none())
    {
        return leaked::close_leaked(kernel, analysis, target, pids);
    }
    let Some(target) = target else {
        return Err(impossible("which listener? Name its port with --port"));
    };
    let listeners: Vec<&Listener> = analysis
        .snapshot
        .sockets
        .listeners
        .iter()
        .filter(|one| {
            one.inode
                .is_some_and(|inode| target.inodes.contains(&inode))
        })
        .collect();
    if listeners.iter().all(|one| one.accept_queue_len == 0) {
        return Err(Unplanned::Nothing(format!(
            "no connection waits in the accept queue of {}",
            target.local
        )));
    }
    let facts = analysis.facts();
    let acceptors: Vec<Acceptor> = listeners
        .iter()
        .filter(|one| one.accept_queue_len > 0)
        .flat_map(|one| division(&facts, one).acceptors)
        .filter(|acceptor| pids.is_empty() || pids.contains(&acceptor.process.pid))
        .collect();
    if acceptors.is_empty() && !pids.is_empty() {
        let names: Vec<String> = pids.iter().map(ToString::to_string).collect();
        return Err(impossible(format!(
            "process {} is not seen to hold {}",
            names.join(", "),
            target.local
        )));
    }
    if acceptors.is_empty() {
        return Err(impossible(format!(
            "no process is seen that holds {}: it takes CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH, and the \
             pid namespace of its owner (the host, not a container)",
            target.local
        )));
    }
    if findings.is_empty() {
        return Err(Unplanned::Nothing(format!(
            "connections wait at {}, and none of them for too long (--min-age)",
            target.local
        )));
    }
    let method = match options.method {
        Some(method) => method,
        None => gentlest(&acceptors, findings)?,
    };
    let mut planner = ListenerPlanner {
        kernel,
        target,
        acceptors,
        options,
    };
    match method {
        Method::Rearm => planner.rearm(),
        Method::Level => planner.level(),
        Method::Drain => planner.drain(),
        Method::Continue => planner.resume(),
        Method::Thaw => planner.thaw(),
        Method::CloseLeaked => leaked::close_leaked(kernel, analysis, Some(target), pids),
    }
}

/// Returns the gentlest method that a finding allows.
fn gentlest(acceptors: &[Acceptor], findings: &[Finding]) -> Result<Method, Unplanned> {
    let found = |id: &str| findings.iter().any(|finding| finding.id == id);
    if found("edge-triggered-stall") {
        return Ok(Method::Rearm);
    }
    if found("acceptor-stopped") {
        let halted = |halt: Halt| {
            acceptors
                .iter()
                .any(|acceptor| acceptor.state == AcceptorState::Halted(halt))
        };
        return if halted(Halt::Frozen) {
            Ok(Method::Thaw)
        } else if halted(Halt::Stopped) {
            Ok(Method::Continue)
        } else {
            Err(impossible(
                "a debugger holds the server: let it continue there, or detach it",
            ))
        };
    }
    Ok(Method::Drain)
}
