//! Where the connections of a snapshot are found by what they are asked for.

use std::net::SocketAddr;
use std::sync::OnceLock;

use rustc_hash::{FxBuildHasher, FxHashMap};

use crate::model::{Connection, Inode, Snapshot};

/// The two ends of a connection, its own one first.
type Ends = (SocketAddr, SocketAddr);

/// Tables over the connections of one snapshot. Each is made when it is first needed: a host may have very many
/// connections, and most looks ask for few of them.
#[derive(Debug, Default)]
pub(in crate::correlate) struct Index {
    by_inode: OnceLock<FxHashMap<Inode, u32>>,
    by_ends: OnceLock<FxHashMap<Ends, u32>>,
}

impl Index {
    pub(super) fn by_inode<'a>(
        &self,
        snapshot: &'a Snapshot,
        inode: Inode,
    ) -> Option<&'a Connection> {
        let table = self.by_inode.get_or_init(|| {
            let places = places(snapshot).filter_map(|(at, one)| Some((one.inode?, at)));
            table(snapshot, places)
        });
        at(snapshot, *table.get(&inode)?)
    }

    pub(super) fn by_ends<'a>(&self, snapshot: &'a Snapshot, ends: Ends) -> Option<&'a Connection> {
        let table = self.by_ends.get_or_init(|| {
            let places = places(snapshot).map(|(at, one)| (self::ends(one), at));
            table(snapshot, places)
        });
        at(snapshot, *table.get(&ends)?)
    }
}

/// A client of a dual-stack listener shows as `::ffff:a.b.c.d` on one side only.
pub(super) fn ends(connection: &Connection) -> Ends {
    (plain(connection.local), plain(connection.remote))
}

/// An address without its mapping into IPv6.
pub(super) fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// What was read last counts: it has the clocks.
fn table<K: Eq + std::hash::Hash>(
    snapshot: &Snapshot,
    places: impl Iterator<Item = (K, u32)>,
) -> FxHashMap<K, u32> {
    let most = known(snapshot).len() + snapshot.waits.connections.len();
    let mut table = FxHashMap::with_capacity_and_hasher(most, FxBuildHasher);
    table.extend(places);
    table
}

/// Without an accused process nothing is looked up.
fn known(snapshot: &Snapshot) -> &[Connection] {
    if snapshot.waits.followed.is_empty() {
        &[]
    } else {
        &snapshot.sockets.connections
    }
}

fn places(snapshot: &Snapshot) -> impl Iterator<Item = (u32, &Connection)> {
    let all = known(snapshot).iter().chain(&snapshot.waits.connections);
    (0..).zip(all)
}

fn at(snapshot: &Snapshot, place: u32) -> Option<&Connection> {
    let known = known(snapshot);
    let place = place as usize;
    let read_for_waits = || snapshot.waits.connections.get(place - known.len());
    known.get(place).or_else(read_for_waits)
}
