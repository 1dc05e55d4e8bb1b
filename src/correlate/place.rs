//! Where a connection waits.

use crate::model::Inode;

/// Where a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In an accept queue: the listener's index where it is certain which.
    AcceptQueue(Option<usize>),
    /// Some process got it, or makes it: its inode.
    Accepted(Inode),
    /// In an accept queue or accepted: the source shows neither its inode nor an owner.
    Undecided,
    /// No process has it any more: our side has closed it, and the kernel finishes it.
    Orphan,
}
