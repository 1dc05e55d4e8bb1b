//! Confirms that a requested target does not exist. A socket may exist although a look does not list
//! it.

use super::looker::Looker;
use crate::collect::kernel::KernelError;
use crate::collect::proc;
use crate::collect::sock_diag::Wanted;
use crate::correlate::{
    absent_address, absent_addresses, absent_names, absent_port, absent_ports, saw_nothing,
};
use crate::model::{Absent, Asked, Connection, Inode, InodeSet, Pid, PortRange, Snapshot};

/// The most descriptors of a process that are checked for being TCP sockets.
const MOST_DESCRIPTORS: usize = 4096;

impl Looker<'_> {
    /// The ports that were asked for and have neither a listener nor a connection, and a namespace
    /// that was named and has no socket.
    pub(super) fn note_absent(&mut self, snapshot: &mut Snapshot) {
        let scope = &self.options.scope;
        let mut absent = absent_ports(snapshot, &scope.ports, &[]);
        let addresses = absent_addresses(snapshot, &scope.addresses, &[]);
        // An address says more than its port.
        absent.retain(|range| {
            scope
                .addresses
                .iter()
                .all(|one| *range != one.port().into())
        });
        let nameless = scope.ports.is_empty() && !scope.selects_holders();
        let empty = scope
            .netns
            .clone()
            .filter(|_| nameless && saw_nothing(snapshot));
        if absent.is_empty() && addresses.is_empty() && empty.is_none() {
            return;
        }
        // Open connections are not part of a look.
        let mut ports = absent.clone();
        ports.extend(addresses.iter().map(|one| PortRange::from(one.port())));
        let open = match self.every_connection(snapshot, &ports) {
            Ok(open) => open,
            Err(error) => {
                snapshot.coverage.lacks_sockets(error.gap());
                return;
            }
        };
        absent = absent_ports(snapshot, &absent, &open);
        let ports = absent.into_iter().map(|range| absent_port(snapshot, range));
        let mut found: Vec<Absent> = ports.collect();
        let addresses = absent_addresses(snapshot, &addresses, &open);
        found.extend(
            addresses
                .into_iter()
                .map(|one| absent_address(snapshot, one)),
        );
        found.extend(empty.filter(|_| open.is_empty()).map(|name| Absent {
            asked: Asked::Namespace(name),
            nearby: Vec::new(),
        }));
        snapshot.absent = found;
    }

    /// The names that were asked for and that no holder of a socket in scope has.
    pub(super) fn note_absent_names(&self, snapshot: &mut Snapshot) {
        let absent = absent_names(snapshot, &self.options.scope.names);
        snapshot.absent.extend(absent);
    }

    /// The processes that were asked for and hold no TCP socket in scope.
    pub(super) fn note_absent_processes(&mut self, snapshot: &mut Snapshot) {
        let holds = |pid: &Pid| snapshot.holders.iter().any(|holder| holder.pid == *pid);
        let pids = self.options.scope.pids.iter().copied();
        let silent: Vec<Pid> = pids.filter(|pid| !holds(pid)).collect();
        if silent.is_empty() {
            return;
        }
        let ports = self.options.scope.ports.clone();
        let open = match self.every_connection(snapshot, &ports) {
            Ok(open) => open,
            Err(error) => {
                snapshot.coverage.lacks_sockets(error.gap());
                return;
            }
        };
        let open: InodeSet = open.iter().filter_map(|one| one.inode).collect();
        for pid in silent {
            // A refused read was noted with the holders.
            if let Ok(sockets) = self.sockets_of_process(pid)
                && !sockets.iter().any(|inode| open.contains(inode))
            {
                snapshot.absent.push(Absent {
                    asked: Asked::Process(pid),
                    nearby: Vec::new(),
                });
            }
        }
    }

    fn every_connection(
        &mut self,
        snapshot: &Snapshot,
        ports: &[PortRange],
    ) -> Result<Vec<Connection>, KernelError> {
        let nobody = InodeSet::default();
        self.connections(snapshot.source, Wanted::Every, ports, &nobody)
    }

    fn sockets_of_process(&mut self, pid: Pid) -> Result<Vec<Inode>, KernelError> {
        let fds = self.kernel.list_numbers(&format!("{pid}/fd"))?;
        if fds.len() > MOST_DESCRIPTORS {
            return Err(KernelError::malformed(
                format!("{pid}/fd"),
                "more descriptors than are looked at",
            ));
        }
        let descriptors = fds
            .into_iter()
            .filter_map(|fd| proc::read_descriptor(self.kernel, pid, fd));
        Ok(descriptors
            .filter_map(|descriptor| descriptor.socket())
            .collect())
    }
}
