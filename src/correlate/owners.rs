//! Who holds a socket.

use rustc_hash::FxHashMap;

use crate::model::{Holder, Inode};

/// Holders by socket, for looking up many.
pub struct Owners<'a> {
    /// Sorted by inode.
    holders: &'a [Holder],
    /// Where those of a socket begin.
    begin: FxHashMap<Inode, usize>,
}

impl<'a> Owners<'a> {
    /// Prepares holders, which are sorted by inode, for looking them up.
    pub(super) fn new(holders: &'a [Holder]) -> Self {
        let mut begin = FxHashMap::default();
        begin.reserve(holders.len());
        for (index, holder) in holders.iter().enumerate() {
            begin.entry(holder.inode).or_insert(index);
        }
        Self { holders, begin }
    }

    /// The holders of a socket, in the order of processes and descriptors.
    pub fn of(&self, inode: Inode) -> &'a [Holder] {
        let Some(begin) = self.begin.get(&inode) else {
            return &[];
        };
        let rest = &self.holders[*begin..];
        let its = rest.iter().take_while(|holder| holder.inode == inode);
        &rest[..its.count()]
    }
}
