//! A target's accept queue: its length, and the connections that are seen to wait in it.

use super::target::Target;
use crate::collect::kernel::{Kernel, KernelError};
use crate::collect::sock_diag::{self, Wanted};
use crate::correlate::waiting_at;
use crate::model::{Connection, InodeSet};

/// The length of an accept queue at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Queue {
    /// How many connections wait.
    pub length: u32,
    /// How many may wait, where that is known. The kernel admits one more than this.
    pub limit: Option<u32>,
}

impl Queue {
    /// Whether the kernel admits no further connection.
    pub fn is_full(self) -> bool {
        self.limit.is_some_and(|limit| self.length > limit)
    }
}

/// Reads the length of a target's queue: the sum over its listeners, or nothing when none is left.
///
/// # Errors
///
/// When `sock_diag` does not answer.
pub(super) fn read_queue(
    kernel: &mut dyn Kernel,
    target: &Target,
) -> Result<Option<Queue>, KernelError> {
    let (listeners, _) = sock_diag::read_listeners(kernel, &[target.local.port().into()])?;
    let mut queue = None;
    for listener in listeners {
        if listener
            .inode
            .is_some_and(|inode| target.inodes.contains(&inode))
        {
            let sum: &mut Queue = queue.get_or_insert_default();
            sum.length += listener.accept_queue_len;
            sum.limit = listener
                .accept_queue_limit
                .copied()
                .map(|limit| sum.limit.unwrap_or(0) + limit);
        }
    }
    Ok(queue)
}

/// A connection that is seen to wait in a target's queue.
#[derive(Debug, Clone)]
pub(super) struct WaitingConnection {
    /// The connection.
    pub(super) connection: Connection,
    /// Whether it certainly waits in this queue, and not at another listener on the port.
    pub(super) certain: bool,
}

/// Reads the connections that wait in a target's queue, or may.
///
/// # Errors
///
/// When `sock_diag` does not answer.
pub(super) fn read_waiting(
    kernel: &mut dyn Kernel,
    target: &Target,
) -> Result<Vec<WaitingConnection>, KernelError> {
    let ports = [target.local.port().into()];
    let (listeners, _) = sock_diag::read_listeners(kernel, &ports)?;
    let inodes: InodeSet = listeners.iter().filter_map(|one| one.inode).collect();
    let (connections, _) =
        sock_diag::read_connections(kernel, Wanted::Unaccepted, &ports, &inodes)?;
    let waiting = waiting_at(&listeners, &connections, &target.inodes);
    Ok(waiting
        .into_iter()
        .map(|one| WaitingConnection {
            connection: connections[one.connection].clone(),
            certain: one.certain,
        })
        .collect())
}
