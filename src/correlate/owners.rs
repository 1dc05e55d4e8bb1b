//! Which process holds which socket.

use std::ops::Range;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::place::Place;
use crate::model::{Holder, Inode, Snapshot};

/// Holders by socket and by connection.
pub struct Owners {
    snapshot: Arc<Snapshot>,
    /// For each connection, in the snapshot's order, the range of its holders in the snapshot. It is
    /// computed once because it is used often.
    of_connections: Vec<Range<usize>>,
}

impl Owners {
    /// Relates the holders of a snapshot, which are sorted by inode, to the connections at these places.
    pub(super) fn new(snapshot: Arc<Snapshot>, places: &[Place]) -> Self {
        let mut start = 0;
        let by_socket = snapshot
            .holders
            .chunk_by(|one, other| one.inode == other.inode);
        let by_inode: FxHashMap<Inode, Range<usize>> = by_socket
            .map(|its| {
                let range = start..start + its.len();
                start = range.end;
                (its[0].inode, range)
            })
            .collect();
        let of = |place: &Place| match place {
            Place::Accepted(inode) => by_inode.get(inode).cloned().unwrap_or_default(),
            Place::AcceptQueue(_) | Place::Undecided | Place::Orphan => Range::default(),
        };
        Self {
            of_connections: places.iter().map(of).collect(),
            snapshot,
        }
    }

    /// The holders of each connection, in the order of the snapshot; of each in the order of processes
    /// and descriptors.
    pub fn of_connections(&self) -> impl Iterator<Item = &[Holder]> {
        let holders = &self.snapshot.holders;
        self.of_connections
            .iter()
            .map(|range| &holders[range.clone()])
    }

    /// The holders of a socket.
    pub fn of(&self, inode: Inode) -> &[Holder] {
        let holders = &self.snapshot.holders;
        let start = holders.partition_point(|holder| holder.inode < inode);
        let rest = &holders[start..];
        &rest[..rest.partition_point(|holder| holder.inode == inode)]
    }
}
