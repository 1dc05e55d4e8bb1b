//! The plan for accepted connections that a process does not close.

use crate::act::relieve::method::Method;
use crate::act::relieve::plan::{
    Action, LeakedConnection, ReliefPlan, Unplanned, impossible, unreadable,
};
use crate::act::relieve::process::read_start;
use crate::act::target::Target;
use crate::collect::kernel::Kernel;
use crate::correlate::{Analysis, LeakKind};
use crate::model::{Pid, TcpState};

/// Plans to shut down what a process holds alone and does not close.
pub(super) fn close_leaked(
    kernel: &mut dyn Kernel,
    analysis: &Analysis,
    target: Option<&Target>,
    pids: &[Pid],
) -> Result<ReliefPlan, Unplanned> {
    let [pid] = pids else {
        return Err(impossible(
            "whose connections? Name the process with --pid, or a listener with --port",
        ));
    };
    let started = read_start(kernel, *pid).map_err(|error| unreadable(*pid, &error.into()))?;
    let mut leaked = Vec::new();
    for leak in analysis.leaks() {
        let wanted = matches!(
            leak.kind,
            LeakKind::NotClosed(_) | LeakKind::IdlePool | LeakKind::Relay(_)
        );
        if !wanted || leak.pids != [*pid] {
            continue;
        }
        for connection in leak.connections {
            let here = target.is_none_or(|target| connection.local.port() == target.local.port());
            let Some(inode) = connection.inode.filter(|_| here) else {
                continue;
            };
            let mut holders = analysis.owners.of(inode).iter();
            let holder = holders.find(|holder| holder.pid == *pid);
            if connection.state == TcpState::CloseWait
                && !connection.layer.is_mptcp()
                && let Some(fd) = holder.and_then(|holder| holder.fd)
                && let Some(inode) = inode.number()
            {
                leaked.push(LeakedConnection {
                    pid: *pid,
                    started,
                    fd,
                    inode,
                    cookie: connection.cookie,
                    remote: connection.remote,
                });
            }
        }
    }
    if leaked.is_empty() {
        return Err(Unplanned::Nothing(format!(
            "process {pid} alone holds no connection that its peer closed long ago"
        )));
    }
    leaked.sort_by_key(|one| one.fd);
    Ok(ReliefPlan {
        method: Method::CloseLeaked,
        why: "their peers have closed, and the process does not".to_owned(),
        steps: leaked
            .iter()
            .map(|one| {
                let target = format!("process {pid}: fd {}, {}", one.fd, one.remote);
                ("shut it down through a duplicate".to_owned(), target)
            })
            .collect(),
        notes: vec![
            "memory and ports are freed; the descriptors stay leaked in the process until it closes \
             them or ends"
                .to_owned(),
            "a process that still means to answer on one of them cannot any more".to_owned(),
        ],
        action: Action::CloseLeaked(leaked),
    })
}
