//! Which process holds a socket, and in what way.

use super::{Inode, Pid};

/// A process's descriptor of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Holder {
    /// The socket.
    pub inode: Inode,
    /// The process.
    pub pid: Pid,
    /// The descriptor, where the source shows it.
    pub fd: Option<u32>,
    /// In what way.
    pub via: Via,
}

/// Where the holders of sockets were read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HolderSource {
    /// The links of `/proc/PID/fd`.
    Procfs,
    /// One pass over all descriptors inside the kernel (the BPF iterator `task_file`).
    BpfIterator,
    /// Text that was copied from a terminal.
    Text,
}

/// In what way a process holds a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Via {
    /// A descriptor in its table.
    Table,
    /// A descriptor in the table of just this thread.
    Thread(Pid),
    /// Registered with an `io_uring`; the descriptor is that of the ring.
    Ring,
}
