//! What is read beyond the suspicious connections themselves, to judge them by it.

use super::looker::Looker;
use crate::collect::proc;
use crate::correlate::Triage;
use crate::model::Snapshot;

impl Looker<'_> {
    /// How long the machine is up, where connections were left open: the ages of their processes are
    /// told by it.
    pub(super) fn read_uptime(&mut self, snapshot: &mut Snapshot, seen: &Triage) {
        if !seen.connections.is_empty() {
            snapshot.waits.uptime = proc::read_uptime(self.kernel);
        }
    }
}
