//! Descriptors of connections that no longer exist, which no list of sockets shows: whether to
//! search for them, and which of the found descriptors are such.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::collect::kernel::{Kernel, KernelError, UnlistedSocket, UnlistedSockets, UnlistedTable};
use crate::collect::{proc, sock_diag};
use crate::model::{
    DeadDescriptors, DeadSocket, Extent, Gap, Inode, InodeSet, Pid, Scope, SocketSource,
};
use crate::rules::thresholds::DEAD_FEWEST;

/// A search of its own costs a walk through all descriptors. Other namespaces' connections raise
/// the kernel's number too, and so do sockets that are just being made.
const WORTH_A_WALK: u64 = 64;

/// What one search found.
#[derive(Debug, Default)]
pub(super) struct DeadScan {
    /// When, since the look began.
    pub at: Duration,
    /// Processes with enough of them to report.
    pub found: Vec<DeadDescriptors>,
    /// How many descriptors those processes have open.
    pub open: BTreeMap<Pid, u64>,
    /// How much of the processes was searched.
    pub extent: Extent,
}

/// Returns whether so many sockets are missing in the tables that it is worth a search; `walked` says
/// whether this look walks through the descriptors anyway.
///
/// # Errors
///
/// When the kernel's number of sockets cannot be read.
pub(super) fn is_worth_a_search(
    kernel: &mut dyn Kernel,
    walked: bool,
) -> Result<bool, KernelError> {
    let least = if walked {
        DEAD_FEWEST as u64
    } else {
        WORTH_A_WALK
    };
    Ok(proc::read_unlisted_tcp_sockets(kernel)? >= least)
}

/// Searches once.
///
/// # Errors
///
/// When the kernel does not answer, neither by itself nor with a list of the sockets that are listed.
pub(super) fn sight(
    kernel: &mut dyn Kernel,
    scope: &Scope,
    source: SocketSource,
    at: Duration,
) -> Result<DeadScan, KernelError> {
    let unlisted = if let Ok(unlisted) = kernel.unlisted_sockets(None) {
        unlisted
    } else {
        let listed = match source {
            SocketSource::Procfs => proc::read_net_tcp_inodes(kernel)?,
            SocketSource::InetDiag | SocketSource::Text => sock_diag::read_inodes(kernel)?.0,
        };
        kernel.unlisted_sockets(Some(&listed))?
    };
    let mut scan = DeadScan {
        at,
        extent: extent(&unlisted),
        ..DeadScan::default()
    };
    for table in &unlisted.tables {
        let dead = dead_of(table, scope);
        if dead.sockets.len() >= DEAD_FEWEST {
            scan.open.insert(table.pid, table.open);
            scan.found.push(dead);
        }
    }
    Ok(scan)
}

/// A process that could not be searched matters only if sockets are missing that no other process holds.
fn extent(unlisted: &UnlistedSockets) -> Extent {
    let accounted = unlisted
        .unaccounted
        .is_some_and(|number| number < DEAD_FEWEST as u64);
    if unlisted.failed > 0 && !accounted {
        Extent::Partly(Gap::Failed)
    } else if unlisted.refused > 0 && !accounted {
        Extent::Partly(Gap::NotPermitted)
    } else {
        Extent::up_to((!unlisted.complete).then_some(Gap::BudgetUsedUp))
    }
}

/// Keeps what was there both times: a connection that was reset a moment ago is normal.
pub(super) fn confirm(
    first: Vec<DeadDescriptors>,
    second: &DeadScan,
    over: Duration,
) -> Vec<DeadDescriptors> {
    let still: InodeSet = second
        .found
        .iter()
        .flat_map(|dead| &dead.sockets)
        .map(|socket| socket.inode)
        .collect();
    first
        .into_iter()
        .map(|mut dead| {
            dead.sockets.retain(|socket| still.contains(&socket.inode));
            dead.seen_over = Some(over);
            dead
        })
        .filter(|dead| dead.sockets.len() >= DEAD_FEWEST)
        .collect()
}

fn dead_of(table: &UnlistedTable, scope: &Scope) -> DeadDescriptors {
    // What a process is called is not known yet.
    let in_scope =
        scope.pids.is_empty() || scope.pids.contains(&table.pid) || !scope.names.is_empty();
    let sockets = table.sockets.iter().filter(|_| in_scope);
    DeadDescriptors {
        pid: table.pid,
        sockets: sockets
            .filter_map(dead_socket)
            .filter(|socket| is_on_ports(socket, scope))
            .collect(),
        seen_over: None,
    }
}

/// A socket whose address is unknown may or may not be in scope.
fn is_on_ports(socket: &DeadSocket, scope: &Scope) -> bool {
    scope.ports.is_empty()
        || socket
            .local
            .is_some_and(|local| scope.has_port(local.port()))
}

/// A socket that was never connected is in no table either, and a socket of another namespace is not in this
/// one's. The socket itself shows which, if it can be asked.
fn dead_socket(socket: &UnlistedSocket) -> Option<DeadSocket> {
    let local = match &socket.ends {
        None => None,
        Some(ends) if ends.connected || ends.listening || !ends.received => return None,
        Some(ends) => {
            let mut local = ends.local?;
            local.set_ip(local.ip().to_canonical());
            if local.port() == 0 || local.ip().is_unspecified() {
                return None;
            }
            Some(local)
        }
    };
    Some(DeadSocket {
        fd: socket.fd,
        inode: Inode::new(socket.inode)?,
        local,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::kernel::SocketEnds;

    const LEFT_OVER: SocketEnds = SocketEnds {
        local: None,
        connected: false,
        listening: false,
        received: true,
    };

    fn unlisted(inode: u32, ends: Option<SocketEnds>) -> UnlistedSocket {
        UnlistedSocket {
            fd: inode,
            inode,
            ends,
        }
    }

    fn at(local: &str) -> SocketEnds {
        SocketEnds {
            local: Some(local.parse().unwrap()),
            ..LEFT_OVER
        }
    }

    fn table(sockets: impl Iterator<Item = u32>, local: &str) -> UnlistedTable {
        UnlistedTable {
            pid: 7,
            open: 200,
            sockets: sockets
                .map(|inode| unlisted(inode, Some(at(local))))
                .collect(),
        }
    }

    fn scope(ports: &[u16], pids: &[Pid]) -> Scope {
        Scope {
            ports: ports.iter().map(|port| (*port).into()).collect(),
            pids: pids.to_vec(),
            ..Scope::default()
        }
    }

    #[test]
    fn a_refused_process_matters_only_where_sockets_are_missing() {
        let searched = |refused, unaccounted| {
            extent(&UnlistedSockets {
                complete: true,
                refused,
                unaccounted,
                ..UnlistedSockets::default()
            })
        };
        let enough = DEAD_FEWEST as u64;
        assert_eq!(searched(0, None), Extent::Whole);
        assert_eq!(searched(1, Some(enough - 1)), Extent::Whole);
        for unaccounted in [Some(enough), None] {
            let extent = searched(1, unaccounted);
            assert_eq!(extent, Extent::Partly(Gap::NotPermitted));
        }
    }

    #[test]
    fn a_socket_with_an_old_address_and_no_peer_is_dead() {
        let dead = dead_socket(&unlisted(9, Some(at("[::ffff:10.0.0.1]:8080")))).unwrap();
        assert_eq!(dead.local, Some("10.0.0.1:8080".parse().unwrap()));
        let unasked = dead_socket(&unlisted(9, None)).unwrap();
        assert_eq!(unasked.local, None);
    }

    #[test]
    fn sockets_that_are_new_bound_or_alive_elsewhere_are_not_dead() {
        let local = at("10.0.0.1:8080");
        for ends in [
            at("0.0.0.0:0"),
            at("[::]:8080"),
            LEFT_OVER,
            SocketEnds {
                received: false,
                ..local.clone()
            },
            SocketEnds {
                connected: true,
                ..local.clone()
            },
            SocketEnds {
                listening: true,
                ..local
            },
        ] {
            assert_eq!(
                dead_socket(&unlisted(9, Some(ends.clone()))),
                None,
                "{ends:?}"
            );
        }
    }

    #[test]
    fn only_what_is_in_scope_counts() {
        let all = table(1..21, "10.0.0.1:8080");
        assert_eq!(dead_of(&all, &scope(&[], &[])).sockets.len(), 20);
        assert_eq!(dead_of(&all, &scope(&[8080], &[7])).sockets.len(), 20);
        assert_eq!(dead_of(&all, &scope(&[8081], &[])).sockets.len(), 0);
        assert_eq!(dead_of(&all, &scope(&[], &[8])).sockets.len(), 0);
    }

    #[test]
    fn what_is_closed_between_two_looks_is_forgotten() {
        let everything = scope(&[], &[]);
        let first = || vec![dead_of(&table(1..41, "10.0.0.1:8080"), &everything)];
        let second = |inodes| DeadScan {
            found: vec![dead_of(&table(inodes, "10.0.0.1:8080"), &everything)],
            ..DeadScan::default()
        };
        let over = Duration::from_millis(150);
        let left = confirm(first(), &second(20..60), over);
        assert_eq!(left[0].sockets.len(), 21);
        assert_eq!(left[0].seen_over, Some(over));
        assert!(confirm(first(), &second(30..60), over).is_empty());
    }
}
