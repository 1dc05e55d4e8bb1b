//! Rules on connections that one end has closed.

use std::num::NonZeroU64;

use super::{GRACE, GRACE_MS, SERVER, findings, ids, look, only};
use crate::correlate::fixtures::{closed_connection, holder};
use crate::model::{
    Connection, Extent, FdLimit, Gap, Inode, Later, Pid, Reading, Snapshot, SocketTable, TcpAges,
    TcpState, Timer, Traffic,
};
use crate::rules::thresholds::POOL_CONNECTIONS;
use crate::rules::{Confidence, Severity};

/// Another process than the server.
const OTHER: Pid = 9;

/// The connection 70, which the server holds.
fn held(connection: Connection) -> Snapshot {
    look(vec![connection], &[(70, SERVER)])
}

fn read_to_its_end(inode: u32, closed_ms: u32) -> Connection {
    Connection {
        recv_q: 0,
        ..closed_connection(inode, closed_ms)
    }
}

/// Our process is the client of another host's service.
fn pooled(inode: u32, closed_ms: u32) -> Connection {
    Connection {
        local: (
            std::net::Ipv4Addr::new(10, 0, 0, 1),
            u16::try_from(40000 + inode).expect("tests name small inodes"),
        )
            .into(),
        remote: "10.0.0.7:5432".parse().expect("a good address"),
        ..closed_connection(inode, closed_ms)
    }
}

/// A pool of one process.
fn pool(connections: usize) -> Snapshot {
    let inodes = 100..100 + u32::try_from(connections).expect("a small pool");
    let holders: Vec<(u32, Pid)> = inodes.clone().map(|inode| (inode, OTHER)).collect();
    let mut snapshot = look(
        inodes.map(|inode| pooled(inode, 60_000)).collect(),
        &holders,
    );
    limit(&mut snapshot, OTHER, 20_000);
    snapshot
}

fn limit(snapshot: &mut Snapshot, pid: Pid, soft: u64) {
    let process = snapshot.processes.get_mut(&pid).expect("it was looked at");
    process.fd_limit = Reading::Known(FdLimit { soft, hard: soft });
}

#[test]
fn an_end_that_was_read_is_unclosed_from_the_grace_period_on() {
    assert_eq!(ids(&held(read_to_its_end(70, GRACE_MS - 1))), [""; 0]);
    let found = only(&held(read_to_its_end(70, GRACE_MS)), "unclosed-after-eof");
    assert_eq!(found.confidence, Confidence::Likely);
    let old = only(
        &held(read_to_its_end(70, 10 * GRACE_MS)),
        "unclosed-after-eof",
    );
    assert_eq!(old.confidence, Confidence::Certain);
    let almost = only(
        &held(read_to_its_end(70, 10 * GRACE_MS - 1)),
        "unclosed-after-eof",
    );
    assert_eq!(almost.confidence, Confidence::Likely);
}

#[test]
fn an_end_that_was_not_read_is_unread_from_the_grace_period_on() {
    assert_eq!(ids(&held(closed_connection(70, GRACE_MS - 1))), [""; 0]);
    let found = only(&held(closed_connection(70, GRACE_MS)), "unread-eof");
    assert_eq!(found.severity, Severity::Warning);
    assert_eq!(found.subject.pids, [SERVER]);
}

#[test]
fn without_clocks_a_leak_is_possible_and_no_more() {
    for (connection, id) in [
        (closed_connection(70, 0), "unread-eof"),
        (read_to_its_end(70, 0), "unclosed-after-eof"),
    ] {
        let clockless = Connection {
            ages: None,
            ..connection
        };
        let found = only(&held(clockless), id);
        assert_eq!(found.confidence, Confidence::Possible);
        assert_eq!(found.severity, Severity::Info);
    }
}

#[test]
fn an_owner_that_was_not_examined_still_has_the_connection() {
    let mut snapshot = held(closed_connection(70, GRACE_MS));
    let process = snapshot.processes.get_mut(&SERVER).expect("it is there");
    process.examination = None;
    let found = only(&snapshot, "unread-eof");
    assert!(found.headline.contains("server[7]"), "{found:#?}");
}

#[test]
fn a_leak_is_critical_from_half_the_descriptors_on() {
    let severity = |soft| {
        let leaked = (70..78).map(|inode| closed_connection(inode, GRACE_MS));
        let holders: Vec<(u32, Pid)> = (70..78).map(|inode| (inode, SERVER)).collect();
        let mut snapshot = look(leaked.collect(), &holders);
        let process = snapshot.processes.get_mut(&SERVER).expect("it is there");
        process.fd_limit = Reading::Known(FdLimit { soft, hard: 4096 });
        only(&snapshot, "unread-eof").severity
    };
    assert_eq!(severity(16), Severity::Critical);
    assert_eq!(severity(17), Severity::Warning);
    let mut unlimited = held(closed_connection(70, GRACE_MS));
    let process = unlimited.processes.get_mut(&SERVER).expect("it is there");
    process.fd_limit = Reading::Unknown(Gap::NotPermitted);
    assert_eq!(only(&unlimited, "unread-eof").severity, Severity::Warning);
}

#[test]
fn a_connection_that_nobody_is_seen_to_hold_is_unattributed() {
    let unheld = || look(vec![closed_connection(70, GRACE_MS)], &[]);
    let mut searched = unheld();
    searched.coverage.hidden = Extent::Whole;
    let found = only(&searched, "unattributed-close-wait");
    assert_eq!(found.confidence, Confidence::Certain);
    let mut refused = unheld();
    refused.coverage.holders = Extent::Partly(Gap::NotPermitted);
    let found = only(&refused, "unattributed-close-wait");
    assert_eq!(found.confidence, Confidence::Possible);
    assert!(found.remedies[0].text.contains("root"), "{found:#?}");
    let young = look(vec![closed_connection(70, GRACE_MS - 1)], &[]);
    assert_eq!(ids(&young), [""; 0]);
}

#[test]
fn a_connection_in_two_processes_is_inherited() {
    let shared = |closed_ms| {
        look(
            vec![closed_connection(70, closed_ms)],
            &[(70, SERVER), (70, OTHER)],
        )
    };
    let found = only(&shared(GRACE_MS), "inherited-descriptor");
    assert_eq!(found.subject.pids, [SERVER, OTHER]);
    assert_eq!(ids(&shared(GRACE_MS - 1)), [""; 0]);
    // Two descriptors of one process are no second holder.
    let mut twice = held(closed_connection(70, GRACE_MS));
    let mut second = holder(70, SERVER);
    second.fd = Some(8);
    twice.holders.push(second);
    assert_eq!(ids(&twice), ["unread-eof"]);
    // An heir of which nothing could be read is one all the same.
    let mut unread = shared(GRACE_MS);
    unread.processes.remove(&OTHER);
    assert_eq!(ids(&unread), ["inherited-descriptor"]);
}

/// Half-closed by the peer, with something left to send.
fn writing(sent_ms: u32, acknowledged_ms: u32, timer: Reading<Timer>) -> Connection {
    Connection {
        send_q: 5000,
        recv_q: 0,
        timer,
        ages: Some(TcpAges::from_millis(sent_ms, 60_000, acknowledged_ms)),
        traffic: Some(Traffic::from_counters(100, 100)),
        ..closed_connection(70, 0)
    }
}

#[test]
fn a_writer_is_stuck_when_nothing_has_moved_for_the_grace_period() {
    let probing = Reading::Known(Timer::ZeroWindowProbe);
    let stuck = only(&held(writing(GRACE_MS, 0, probing)), "stuck-writer");
    assert_eq!(stuck.confidence, Confidence::Likely);
    assert!(!ids(&held(writing(GRACE_MS - 1, 0, probing))).contains(&"stuck-writer"));
    // Without probes it is the acknowledgements that count, also where the timer is not known.
    let unknown = Reading::Unknown(Gap::NotShown);
    assert_eq!(ids(&held(writing(0, GRACE_MS, unknown))), ["stuck-writer"]);
    assert!(!ids(&held(writing(0, GRACE_MS - 1, unknown))).contains(&"stuck-writer"));
}

#[test]
fn a_connection_that_we_opened_rests_in_a_pool() {
    let found = only(&pool(1), "idle-pool-connection");
    assert_eq!(found.severity, Severity::Info);
    assert_eq!(
        found.subject.remote,
        Some("10.0.0.7:5432".parse().expect("good"))
    );
    let most = only(&pool(POOL_CONNECTIONS), "idle-pool-connection");
    assert_eq!(most.severity, Severity::Info);
    let more = only(&pool(POOL_CONNECTIONS + 1), "idle-pool-connection");
    assert_eq!(more.severity, Severity::Warning);
}

#[test]
fn where_listeners_may_be_missing_nobody_is_called_a_client() {
    let mut snapshot = pool(1);
    snapshot.coverage.listeners = Extent::Partly(Gap::NotShown);
    assert_eq!(ids(&snapshot), ["unread-eof"]);
}

#[test]
fn a_client_that_waits_for_its_peer_is_told_by_number() {
    let waiting = |connections: usize, quiet_ms| {
        let inodes = 100..100 + u32::try_from(connections).expect("few");
        let holders: Vec<(u32, Pid)> = inodes.clone().map(|inode| (inode, OTHER)).collect();
        let ended = |inode| Connection {
            state: TcpState::FinWait2,
            recv_q: 0,
            ..pooled(inode, quiet_ms)
        };
        look(inodes.map(ended).collect(), &holders)
    };
    assert_eq!(
        only(&waiting(1, GRACE_MS), "peer-not-closing").severity,
        Severity::Info
    );
    assert_eq!(
        only(&waiting(POOL_CONNECTIONS, GRACE_MS), "peer-not-closing").severity,
        Severity::Info
    );
    assert_eq!(
        only(&waiting(POOL_CONNECTIONS + 1, GRACE_MS), "peer-not-closing").severity,
        Severity::Warning
    );
    assert_eq!(ids(&waiting(1, GRACE_MS - 1)), [""; 0]);
    // One that nobody holds is the kernel's, and ends by itself.
    let mut orphan = waiting(1, GRACE_MS);
    orphan.holders.retain(|holder| holder.pid != OTHER);
    assert_eq!(ids(&orphan), [""; 0]);
}

/// A process with so many ended connections on one side and so many that wait on the other.
fn relay(ended: u32, waiting: u32) -> Snapshot {
    let one_side = (100..100 + ended).map(|inode| read_to_its_end(inode, GRACE_MS));
    let other_side = (200..200 + waiting).map(|inode| Connection {
        state: TcpState::FinWait2,
        recv_q: 0,
        ..pooled(inode, GRACE_MS)
    });
    let inodes = (100..100 + ended).chain(200..200 + waiting);
    let holders: Vec<(u32, Pid)> = inodes.map(|inode| (inode, SERVER)).collect();
    look(one_side.chain(other_side).collect(), &holders)
}

#[test]
fn a_relay_has_about_as_many_on_either_side() {
    assert_eq!(
        only(&relay(4, 4), "relay-pair").confidence,
        Confidence::Likely
    );
    assert_eq!(ids(&relay(4, 2)), ["relay-pair"]);
    assert_eq!(ids(&relay(4, 8)), ["relay-pair"]);
    assert!(!ids(&relay(4, 1)).contains(&"relay-pair"));
    assert!(!ids(&relay(4, 9)).contains(&"relay-pair"));
    // The same two sides in two processes are no relay.
    let mut two = relay(4, 4);
    for holder in &mut two.holders {
        if Some(holder.inode) >= Inode::new(200) {
            holder.pid = OTHER;
        }
    }
    assert!(!ids(&two).contains(&"relay-pair"));
}

/// A half-closed connection to which so many bytes were acknowledged at the one look and at the next.
fn flowing(before: u64, after: u64) -> Snapshot {
    let at = |acknowledged, moved_ms| Connection {
        recv_q: 0,
        ages: Some(TcpAges::from_millis(moved_ms, 60_000, moved_ms)),
        traffic: Some(Traffic::from_counters(100, acknowledged)),
        cookie: NonZeroU64::new(70),
        inode: Inode::new(70),
        ..closed_connection(70, 0)
    };
    let mut snapshot = held(at(before, 10));
    snapshot.later = Some(Later {
        after: GRACE,
        sockets: SocketTable {
            connections: vec![at(after, if after > before { 10 } else { GRACE_MS + 10 })],
            ..SocketTable::default()
        },
    });
    snapshot
}

#[test]
fn a_half_closed_connection_is_active_while_bytes_go_out() {
    let found = only(&flowing(1000, 1001), "half-closed-active");
    assert_eq!(found.severity, Severity::Info);
    assert!(!ids(&flowing(1000, 1000)).contains(&"half-closed-active"));
    let mut once = flowing(1000, 1001);
    once.later = None;
    assert!(!ids(&once).contains(&"half-closed-active"));
}

#[test]
fn what_cannot_be_judged_is_said_of_nobody() {
    let hidden = Connection {
        queues_are_shown: false,
        ..closed_connection(70, GRACE_MS)
    };
    assert!(findings(&held(hidden)).is_empty());
}
