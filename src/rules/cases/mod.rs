//! Each rule on values: it fires, it is silent, exactly on its threshold, and with an input missing.
//!
//! Recordings of the real conditions are in `tests/recordings`.

mod leaks;
mod outages;
mod queues;

use std::time::Duration;

use super::{Finding, diagnose};
use crate::correlate::{Analysis, fixtures};
use crate::model::{Connection, Holder, Pid, Snapshot, SocketTable};

const GRACE: Duration = Duration::from_secs(3);
const GRACE_MS: u32 = 3000;

/// The process that serves port 8080.
const SERVER: Pid = 7;

/// A look at the server with these connections; each inode is held by the processes beside it.
fn look(connections: Vec<Connection>, holders: &[(u32, Pid)]) -> Snapshot {
    let mut snapshot = fixtures::snapshot(SocketTable {
        listeners: vec![fixtures::listener("127.0.0.1:8080", 1)],
        connections,
        ..SocketTable::default()
    });
    let all = holders.iter().chain(&[(1, SERVER)]);
    snapshot.holders = all
        .map(|(inode, pid)| fixtures::holder(*inode, *pid))
        .collect();
    snapshot
        .holders
        .sort_by_key(|holder: &Holder| (holder.inode, holder.pid));
    for pid in snapshot.holders.iter().map(|holder| holder.pid) {
        snapshot.processes.insert(pid, fixtures::process(pid));
    }
    snapshot
}

fn findings(snapshot: &Snapshot) -> Vec<Finding> {
    diagnose(&Analysis::new(snapshot, GRACE))
}

fn ids(snapshot: &Snapshot) -> Vec<&'static str> {
    findings(snapshot).iter().map(|one| one.id).collect()
}

/// The only finding, which has this id.
fn only(snapshot: &Snapshot, id: &str) -> Finding {
    let mut all = findings(snapshot);
    let found = all.pop().expect("there is a finding");
    assert!(all.is_empty(), "{all:#?}");
    assert_eq!(found.id, id, "{found:#?}");
    found
}
