//! Relays: one process has the two sides, and one of them has ended.

use std::collections::BTreeMap;

use super::leak::{Leak, LeakKind};
use crate::model::Pid;

/// A process that has about as many connections whose peer does not close as connections that it
/// does not close itself relays between the two, and waits for both ends.
pub(super) fn pair_half_closed(leaks: &mut Vec<Leak>) {
    let mut waiting: BTreeMap<Vec<Pid>, usize> = BTreeMap::new();
    let mut kept: BTreeMap<Vec<Pid>, usize> = BTreeMap::new();
    for leak in leaks.iter() {
        match leak.kind {
            LeakKind::PeerNotClosing => {
                *waiting.entry(leak.pids.clone()).or_default() += leak.connections.len();
            }
            LeakKind::NotClosed(_) | LeakKind::IdlePool => {
                *kept.entry(leak.pids.clone()).or_default() += leak.connections.len();
            }
            _ => {}
        }
    }
    let pairs = |pids: &Vec<Pid>| {
        let (waiting, kept) = (*waiting.get(pids)?, *kept.get(pids)?);
        (waiting <= 2 * kept && kept <= 2 * waiting).then_some(waiting)
    };
    leaks.retain_mut(|leak| {
        let Some(other_side) = pairs(&leak.pids) else {
            return true;
        };
        match leak.kind {
            LeakKind::NotClosed(_) | LeakKind::IdlePool => {
                leak.kind = LeakKind::Relay { other_side };
                true
            }
            LeakKind::PeerNotClosing => false,
            _ => true,
        }
    });
}
