//! Clients that have closed their direction and wait for an answer that is being worked on.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rustc_hash::FxHashSet;

use super::threads::{self, ThreadRecord};
use crate::model::{
    Call, CallKind, Connection, Process, Reading, Snapshot, Syscall, TcpState, Thread,
};

/// The number of grace periods that an answer may take: 30 s by default. Few clients wait longer.
const AN_ANSWER_TAKES: u32 = 10;

/// The clients on this host that have closed their direction only, and are still there.
#[derive(Debug, Default)]
pub(super) struct HalfClosers {
    /// Their own address and the other end's.
    pairs: FxHashSet<(SocketAddr, SocketAddr)>,
}

impl HalfClosers {
    /// Gathers them. One that has closed its descriptor has no inode any more, and is not among
    /// the connections of a look.
    pub(super) fn of(snapshot: &Snapshot) -> Self {
        let waiting = snapshot.sockets.connections.iter().filter(|connection| {
            connection.state == TcpState::FinWait2 && connection.inode.is_some()
        });
        Self {
            pairs: waiting
                .map(|client| (canonical(client.local), canonical(client.remote)))
                .collect(),
        }
    }

    /// Returns whether the peer of this connection still waits.
    fn contains_peer_of(&self, connection: &Connection) -> bool {
        let pair = (canonical(connection.remote), canonical(connection.local));
        self.pairs.contains(&pair)
    }
}

/// The client of a dual-stack listener shows as a mapped address on one end only.
fn canonical(address: SocketAddr) -> SocketAddr {
    let ip: IpAddr = address.ip().to_canonical();
    SocketAddr::new(ip, address.port())
}

/// Returns whether the client waits for an answer to what it sent, and not for too long yet.
pub(super) fn is_awaited(
    connection: &Connection,
    half_closers: &HalfClosers,
    grace: Duration,
) -> bool {
    is_unanswered(connection)
        && connection
            .ages
            .is_some_and(|ages| ages.last_data_recv() < grace * AN_ANSWER_TAKES)
        && half_closers.contains_peer_of(connection)
}

/// Returns whether a request was read, and nothing was sent since.
///
/// The clocks of sent and of received data both start with the connection, so they compare; that
/// nothing was ever sent is told by the counter of bytes.
fn is_unanswered(connection: &Connection) -> bool {
    let (Some(traffic), Some(ages)) = (connection.traffic, connection.ages) else {
        return false;
    };
    // The kernel counts the FIN as a byte.
    let asked = traffic.received_bytes() > 1 && connection.recv_q <= 1;
    let never_sent = traffic.acknowledged_bytes_of_accepted() == 0 && connection.send_q == 0;
    asked && (never_sent || ages.last_data_sent() > ages.last_data_recv())
}

/// Returns whether a process works, or waits for something that will come: one of its threads runs,
/// is blocked in a call on a descriptor, lets time pass, or waits with a time limit.
pub(super) fn is_at_work(process: &Process, records: &[ThreadRecord], machine: &str) -> bool {
    let Some(examination) = &process.examination else {
        return false;
    };
    if super::acceptor::halt(process).is_some() {
        return false;
    }
    let descriptors = &examination.descriptors;
    let works = |record: &ThreadRecord| {
        record
            .looks
            .iter()
            .any(|look| threads::weight(&look.activity, descriptors) >= threads::WORKING)
    };
    let threads = examination.threads.known().into_iter().flatten();
    records.iter().any(works) || threads.into_iter().any(|thread| has_timer(machine, thread))
}

/// Returns whether a thread waits with a time limit: an event loop does when a timer is due.
fn has_timer(machine: &str, thread: &Thread) -> bool {
    let Reading::Known(Syscall::Call { number, args }) = thread.syscall else {
        return false;
    };
    let Some(call) = Call::of_number(machine, number) else {
        return false;
    };
    match (call.kind, call.name) {
        // A pointer to the time; null is for ever.
        (CallKind::EpollWait, "epoll_pwait2") | (CallKind::Futex, "futex") => args[3] != 0,
        (CallKind::EpollWait, _) => is_positive(args[3]),
        (CallKind::Poll, "poll") => is_positive(args[2]),
        (CallKind::Poll, _) => args[2] != 0,
        _ => false,
    }
}

/// Returns whether a register holds a positive `int`: -1 is for ever, and the upper half is not part of it.
fn is_positive(register: u64) -> bool {
    let low = register & u64::from(u32::MAX);
    low > 0 && i32::try_from(low).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::correlate::fixtures::{self, waiting_connection};
    use crate::model::{Inode, RunState, SocketTable, TcpAges, Traffic};

    const GRACE: Duration = Duration::from_secs(3);

    fn request(received: u64, acked: u64) -> Connection {
        Connection {
            inode: Inode::new(7),
            recv_q: 0,
            ages: Some(TcpAges::from_millis(5000, 5000, 5000)),
            traffic: Some(Traffic::from_counters(received, acked)),
            ..waiting_connection(0)
        }
    }

    fn client(inode: u32) -> Connection {
        let server = request(51, 0);
        Connection {
            state: TcpState::FinWait2,
            local: server.remote,
            remote: "[::ffff:127.0.0.1]:8080".parse().unwrap(),
            inode: Inode::new(inode),
            ..server
        }
    }

    fn awaited(connection: &Connection, client: Option<Connection>) -> bool {
        let snapshot = fixtures::snapshot(SocketTable {
            connections: client.into_iter().collect(),
            ..SocketTable::default()
        });
        is_awaited(connection, &HalfClosers::of(&snapshot), GRACE)
    }

    #[test]
    fn a_client_that_is_still_there_waits_for_its_answer() {
        assert!(awaited(&request(51, 0), Some(client(9))));
        assert!(!awaited(&request(51, 0), None));
        assert!(!awaited(&request(51, 0), Some(client(0))));
    }

    #[test]
    fn nothing_asked_or_answered_or_unread_is_not_awaited() {
        assert!(!awaited(&request(1, 0), Some(client(9))));
        assert!(!awaited(&request(51, 1), Some(client(9))));
        let mut unread = request(51, 0);
        unread.recv_q = 2;
        assert!(!awaited(&unread, Some(client(9))));
        let mut long_ago = request(51, 0);
        long_ago.ages = Some(TcpAges::from_millis(30_000, 30_000, 30_000));
        assert!(!awaited(&long_ago, Some(client(9))));
    }

    fn thread(number: u32, args: [u64; 4]) -> Thread {
        Thread {
            tid: 1,
            command: "server".to_owned(),
            state: Reading::Known(RunState::Sleeping),
            syscall: Reading::Known(Syscall::Call { number, args }),
            polled_fds: None,
            wchan: Reading::Known("ep_poll".to_owned()),
        }
    }

    #[test]
    fn a_loop_with_a_timer_is_told_from_one_without() {
        let for_ever = u64::from(u32::MAX);
        for (number, args, expected) in [
            (232, [4, 0, 8, 3000], true),
            (232, [4, 0, 8, for_ever], false),
            (232, [4, 0, 8, u64::MAX], false),
            (441, [4, 0, 8, 0], false),
            (7, [0, 1, 3000, 0], true),
            (7, [0, 1, for_ever, 0], false),
            (202, [0, 0, 0, 0], false),
            (202, [0, 0, 0, 0x7f00], true),
        ] {
            assert_eq!(
                has_timer("x86_64", &thread(number, args)),
                expected,
                "{number}"
            );
        }
    }
}
