//! What is read beside the suspicious connections, to judge them.

use super::blind_spots;
use super::looker::Looker;
use crate::collect::proc;
use crate::collect::sock_diag::Wanted;
use crate::correlate::{self, Triage};
use crate::model::{InodeSet, OpenConnections, Snapshot};

impl Looker<'_> {
    /// How long the machine is up, where processes were read: their ages are told by it.
    pub(super) fn read_uptime(&mut self, snapshot: &mut Snapshot) {
        if !snapshot.processes.is_empty() {
            snapshot.waits.uptime = proc::read_uptime(self.kernel);
        }
    }

    /// What the programs of suspicious listeners have accepted, unless all connections were read anyway.
    pub(super) fn read_open(&mut self, snapshot: &mut Snapshot, seen: &Triage) {
        if !snapshot.waits.connections.is_empty() {
            return;
        }
        let ports = correlate::ports_of_interest(snapshot, seen);
        if ports.is_empty() {
            return;
        }
        let nobody = InodeSet::default();
        let connections = self.connections(snapshot.source, Wanted::Rest, &ports, &nobody);
        match connections {
            Ok(connections) => snapshot.open = Some(OpenConnections { ports, connections }),
            Err(error) => {
                let spot = blind_spots::open_connections(&error);
                snapshot.blind_spots.push(spot);
            }
        }
    }
}
