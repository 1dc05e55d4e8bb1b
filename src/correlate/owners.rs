//! Who holds which socket.

use rustc_hash::FxHashMap;

use super::accept_queue::Place;
use crate::model::{Holder, Inode};

/// Holders by socket and by connection.
pub struct Owners<'a> {
    /// Sorted by inode.
    holders: &'a [Holder],
    /// Of each connection, in the snapshot's order: found once, since it is asked for often.
    of_connections: Vec<&'a [Holder]>,
}

impl<'a> Owners<'a> {
    /// Relates holders, which are sorted by inode, to the connections at these places.
    pub(super) fn new(holders: &'a [Holder], places: &[Place]) -> Self {
        let by_socket = holders.chunk_by(|one, other| one.inode == other.inode);
        let by_inode: FxHashMap<Inode, &[Holder]> =
            by_socket.map(|its| (its[0].inode, its)).collect();
        let of = |place: &Place| match place {
            Place::Accepted(inode) => by_inode.get(inode).copied().unwrap_or(&[]),
            Place::AcceptQueue(_) | Place::Undecided | Place::Orphan => &[],
        };
        Self {
            holders,
            of_connections: places.iter().map(of).collect(),
        }
    }

    /// The holders of each connection, in the order of the snapshot; of each in the order of processes
    /// and descriptors.
    pub fn of_connections(&self) -> impl Iterator<Item = &'a [Holder]> {
        self.of_connections.iter().copied()
    }

    /// The holders of a socket.
    pub fn of(&self, inode: Inode) -> &'a [Holder] {
        let start = self.holders.partition_point(|holder| holder.inode < inode);
        let rest = &self.holders[start..];
        &rest[..rest.partition_point(|holder| holder.inode == inode)]
    }
}
