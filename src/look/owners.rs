//! The second phase: which processes hold the sockets, and what the suspicious ones are.

use std::collections::BTreeSet;

use super::blind_spots;
use super::looker::Looker;
use super::search::Search;
use crate::collect::kernel::{DescriptorTable, DescriptorTables};
use crate::collect::proc;
use crate::correlate::Triage;
use crate::model::{
    Extent, Gap, HiddenSearch, Holder, HolderSource, Inode, InodeSet, Pid, Reading, Snapshot, Via,
};

impl Looker<'_> {
    /// The second phase: finds the holders that the descriptor tables show.
    pub(super) fn owners(
        &mut self,
        snapshot: &mut Snapshot,
        seen: &Triage,
        search: Search,
    ) -> Vec<DescriptorTable> {
        let tables = match search.tables {
            Ok(tables) => tables,
            Err(error) => {
                snapshot.coverage.holders = Extent::Unread(error.gap());
                let spot = blind_spots::no_processes(error, !seen.is_idle());
                snapshot.blind_spots.push(spot);
                return Vec::new();
            }
        };
        snapshot.holders = holders(tables, search.wanted);
        snapshot.holder_source = Some(if tables.in_kernel {
            HolderSource::BpfIterator
        } else {
            HolderSource::Procfs
        });
        let hidden_from_us = !tables.refused.is_empty() || tables.unlisted;
        snapshot.coverage.holders = if hidden_from_us {
            Extent::Partly(Gap::NotPermitted)
        } else {
            Extent::up_to((!tables.failed.is_empty()).then_some(Gap::Failed))
        };
        let hidden = self.look_for_hidden(snapshot, seen);
        self.drop_closed_meanwhile(snapshot, seen);
        note_missing_owners(snapshot, seen, tables);
        self.note_refused_scope(snapshot, tables);
        let tables = one_for_each_process(of_interest(tables, snapshot), hidden);
        for table in &tables {
            if let Some(mut process) = proc::read_process(self.kernel, table.pid) {
                process.open_fds = Reading::Known(table.open);
                process.lowest_free_fd = Reading::Known(table.lowest_free);
                snapshot.processes.insert(table.pid, process);
            }
        }
        snapshot
            .holders
            .retain(|holder| snapshot.processes.contains_key(&holder.pid));
        tables
    }

    /// A connection that was closed after it was read has no owner, and needs none.
    pub(super) fn drop_closed_meanwhile(&mut self, snapshot: &mut Snapshot, seen: &Triage) {
        let missing = unattributed(snapshot, seen);
        if missing.is_empty() {
            return;
        }
        let Ok((now, _)) = self.sockets_of(snapshot.source) else {
            return;
        };
        let still_there: InodeSet = now
            .connections
            .iter()
            .filter_map(|connection| connection.inode)
            .chain(now.listeners.iter().filter_map(|listener| listener.inode))
            .collect();
        let gone = |inode: Option<Inode>| {
            inode.is_some_and(|inode| missing.contains(&inode) && !still_there.contains(&inode))
        };
        let sockets = &mut snapshot.sockets;
        sockets
            .connections
            .retain(|connection| !gone(connection.inode));
        sockets.listeners.retain(|listener| !gone(listener.inode));
        snapshot
            .listeners_after
            .retain(|listener| !gone(listener.inode));
    }

    /// A suspicious socket without a visible holder may be held in another way. Returns the tables of the
    /// processes that hold such sockets.
    pub(super) fn look_for_hidden(
        &mut self,
        snapshot: &mut Snapshot,
        seen: &Triage,
    ) -> Vec<DescriptorTable> {
        let missing = unattributed(snapshot, seen);
        if missing.is_empty() {
            return Vec::new();
        }
        let hidden = match self.kernel.hidden_descriptors(&missing) {
            Ok(hidden) => hidden,
            Err(error) => {
                snapshot.coverage.hidden = Extent::Unread(error.gap());
                return Vec::new();
            }
        };
        for table in &hidden.threads {
            let via = Via::Thread(table.through);
            snapshot.holders.extend(table_holders(table, via));
        }
        for (pid, fd, inodes) in &hidden.rings {
            let held = inodes.iter().filter_map(|inode| Inode::new(*inode));
            snapshot.holders.extend(held.map(|inode| Holder {
                inode,
                pid: *pid,
                fd: Some(*fd),
                via: Via::Ring,
            }));
        }
        snapshot.holders.sort_unstable();
        snapshot.hidden = Some(HiddenSearch {
            in_flight: hidden.in_flight,
        });
        snapshot.coverage.hidden = if hidden.failed {
            Extent::Partly(Gap::Failed)
        } else {
            Extent::up_to((!hidden.complete).then_some(Gap::BudgetUsedUp))
        };
        one_for_each_process(hidden.threads, hidden.ring_owners)
    }

    /// A process that was asked for and may not be read must not look like one without sockets.
    pub(super) fn note_refused_scope(&self, snapshot: &mut Snapshot, tables: &DescriptorTables) {
        let pids = self.options.scope.pids.iter().copied();
        let refused: Vec<Pid> = pids.filter(|pid| tables.refused.contains(pid)).collect();
        if !refused.is_empty() {
            let spot = blind_spots::refused_scope(&refused);
            snapshot.blind_spots.push(spot);
        }
    }

    /// Reads what is only needed of processes that hold something suspicious.
    pub(super) fn examine(
        &mut self,
        snapshot: &mut Snapshot,
        seen: &Triage,
        tables: &[DescriptorTable],
    ) {
        let suspects = seen.suspects(snapshot);
        for table in tables.iter().filter(|table| suspects.contains(&table.pid)) {
            if self.kernel.is_out_of_time() {
                snapshot.blind_spots.push(blind_spots::out_of_time());
                return;
            }
            let process = snapshot.processes.get(&table.pid);
            let command_line = process.and_then(|process| process.command_line.known());
            let command_line = command_line.map_or("", String::as_str);
            let mut examination = proc::examine_process(self.kernel, table, command_line);
            self.read_polled_fds(&snapshot.host.machine, table.pid, &mut examination);
            if let Some(process) = snapshot.processes.get_mut(&table.pid) {
                process.examination = Some(examination);
            }
        }
    }
}

/// Returns the tables of the processes that hold the wanted sockets, without the sockets themselves.
fn of_interest(tables: &DescriptorTables, snapshot: &Snapshot) -> Vec<DescriptorTable> {
    let by_table = snapshot
        .holders
        .iter()
        .filter(|holder| holder.via == Via::Table);
    let pids: BTreeSet<Pid> = by_table.map(|holder| holder.pid).collect();
    let holding = tables
        .tables
        .iter()
        .filter(|table| pids.contains(&table.pid));
    holding
        .map(|table| DescriptorTable {
            epolls: table.epolls.clone(),
            io_urings: table.io_urings.clone(),
            sockets: Vec::new(),
            ..*table
        })
        .collect()
}

/// Finds the holders of the wanted sockets: one pass over the tables serves all namespaces.
fn holders(tables: &DescriptorTables, wanted: &InodeSet) -> Vec<Holder> {
    let mut holders: Vec<Holder> = tables
        .tables
        .iter()
        .flat_map(|table| table_holders(table, Via::Table))
        .filter(|holder| wanted.contains(&holder.inode))
        .collect();
    // A process gets its sockets mostly in the order of their inodes, and a stable sort makes use of
    // what is in order.
    holders.sort();
    holders
}

/// The tables, and those of processes that had none among them.
pub(super) fn one_for_each_process(
    mut tables: Vec<DescriptorTable>,
    more: Vec<DescriptorTable>,
) -> Vec<DescriptorTable> {
    for table in more {
        if tables.iter().all(|known| known.pid != table.pid) {
            tables.push(table);
        }
    }
    tables
}

pub(super) fn table_holders(table: &DescriptorTable, via: Via) -> impl Iterator<Item = Holder> {
    table.sockets.iter().filter_map(move |(fd, inode)| {
        Some(Holder {
            inode: Inode::new(*inode)?,
            pid: table.pid,
            fd: Some(*fd),
            via,
        })
    })
}

pub(super) fn note_missing_owners(
    snapshot: &mut Snapshot,
    seen: &Triage,
    tables: &DescriptorTables,
) {
    let missing = unattributed(snapshot, seen).len();
    if !tables.refused.is_empty() {
        let spot = blind_spots::refused_processes(&tables.refused, tables.processes, missing);
        snapshot.blind_spots.push(spot);
    }
    if !tables.failed.is_empty() {
        let spot = blind_spots::failed_processes(&tables.failed, missing);
        snapshot.blind_spots.push(spot);
    }
    if tables.unlisted {
        let spot = blind_spots::unlisted_processes(missing);
        snapshot.blind_spots.push(spot);
    }
    if tables.refused.is_empty() && !tables.unlisted && missing > 0 {
        snapshot.blind_spots.push(blind_spots::no_owner(missing));
    }
}

/// Returns the suspicious sockets without a visible holder.
pub(super) fn unattributed(snapshot: &Snapshot, seen: &Triage) -> InodeSet {
    let mut missing = seen.connections.clone();
    missing.extend(&seen.listeners);
    for holder in &snapshot.holders {
        missing.remove(&holder.inode);
    }
    if missing.is_empty() {
        return missing;
    }
    let sockets = &snapshot.sockets;
    let listeners = sockets.listeners.iter().filter_map(|one| one.inode);
    let connections = sockets.connections.iter().filter_map(|one| one.inode);
    let there: InodeSet = listeners.chain(connections).collect();
    missing.retain(|inode| there.contains(inode));
    missing
}
