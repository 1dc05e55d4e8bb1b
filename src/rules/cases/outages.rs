//! The rule on live clients that are accepted and not served.

use super::{GRACE_MS, SERVER, findings, ids, look, only};
use crate::correlate::fixtures::{closed_connection, thread};
use crate::model::{
    Connection, Descriptor, Gap, Process, Reading, RunState, Snapshot, Syscall, TcpAges, TcpState,
    Traffic,
};
use crate::rules::Severity;

/// `recvfrom` on `x86_64`.
const RECVFROM: u32 = 45;

/// A client whose request has lain unread for so long.
fn unread(inode: u32, received_ms: u32) -> Connection {
    Connection {
        state: TcpState::Established,
        recv_q: 20,
        ages: Some(TcpAges::from_millis(60_000, received_ms, 60_000)),
        traffic: Some(Traffic::from_counters(20, 0)),
        ..closed_connection(inode, 0)
    }
}

/// A client that was sent something so long ago.
fn served(inode: u32, sent_ms: u32) -> Connection {
    Connection {
        recv_q: 0,
        ages: Some(TcpAges::from_millis(sent_ms, 60_000, sent_ms)),
        traffic: Some(Traffic::from_counters(20, 100)),
        ..unread(inode, 60_000)
    }
}

/// The server's connection to another host, which was asked and is silent.
fn asked(inode: u32) -> Connection {
    Connection {
        local: "10.0.0.1:41000".parse().expect("a good address"),
        remote: "10.0.0.7:5432".parse().expect("a good address"),
        recv_q: 0,
        ages: Some(TcpAges::from_millis(5000, 60_000, 5000)),
        traffic: Some(Traffic::from_counters(0, 21)),
        ..unread(inode, 0)
    }
}

/// The server, whose only thread reads from descriptor 99; descriptors have the numbers of their inodes.
fn server(snapshot: &mut Snapshot) -> &mut Process {
    snapshot.processes.get_mut(&SERVER).expect("it is there")
}

fn outage(clients: Vec<Connection>) -> Snapshot {
    let descriptors = [70, 71, 99]
        .into_iter()
        .map(|inode| Descriptor {
            fd: inode,
            target: format!("socket:[{inode}]"),
        })
        .collect();
    let mut snapshot = look(Vec::new(), &[]);
    snapshot.waits.followed.extend([SERVER]);
    snapshot.waits.connections = clients;
    snapshot.waits.connections.push(asked(99));
    let reads = Syscall::Call {
        number: RECVFROM,
        args: [99, 0, 0, 0],
    };
    let examination = server(&mut snapshot).examination.as_mut();
    let examination = examination.expect("it was examined");
    examination.descriptors = descriptors;
    examination.descriptors_complete = true;
    examination.threads = Reading::Known(vec![thread(SERVER, RunState::Sleeping, reads)]);
    snapshot
}

#[test]
fn requests_are_unserved_from_the_grace_period_on() {
    let found = only(&outage(vec![unread(70, GRACE_MS)]), "accepted-unserved");
    assert_eq!(found.severity, Severity::Critical);
    assert_eq!(found.subject.pids, [SERVER]);
    assert!(found.headline.contains("10.0.0.7:5432"), "{found:#?}");
    assert_eq!(ids(&outage(vec![unread(70, GRACE_MS - 1)])), [""; 0]);
}

#[test]
fn a_server_that_has_just_sent_something_serves() {
    let beside = |sent_ms| outage(vec![unread(70, GRACE_MS), served(71, sent_ms)]);
    assert_eq!(ids(&beside(GRACE_MS - 1)), [""; 0]);
    assert_eq!(ids(&beside(GRACE_MS)), ["accepted-unserved"]);
}

#[test]
fn requests_that_were_read_are_being_worked_on() {
    let read = Connection {
        recv_q: 0,
        ..unread(70, GRACE_MS)
    };
    assert_eq!(ids(&outage(vec![read])), [""; 0]);
}

#[test]
fn without_clocks_or_threads_nobody_is_accused() {
    let clockless = Connection {
        ages: None,
        ..unread(70, GRACE_MS)
    };
    assert_eq!(ids(&outage(vec![clockless])), [""; 0]);
    let mut hidden = outage(vec![unread(70, GRACE_MS)]);
    // Nor is it known then that the connection to the other host waits for an answer.
    hidden.waits.connections.pop();
    let examination = server(&mut hidden).examination.as_mut();
    examination.expect("it was examined").threads = Reading::Unknown(Gap::NotPermitted);
    assert_eq!(ids(&hidden), [""; 0]);
}

#[test]
fn one_disease_is_one_finding() {
    let mut snapshot = outage(vec![unread(70, GRACE_MS)]);
    let mut leaked = look(vec![closed_connection(80, GRACE_MS)], &[(80, SERVER)]);
    leaked.waits = snapshot.waits.clone();
    leaked.processes.append(&mut snapshot.processes);
    let all = findings(&leaked);
    let [found] = &all[..] else {
        panic!("one finding is enough: {all:#?}");
    };
    assert_eq!(found.id, "unread-eof");
    assert_eq!(found.severity, Severity::Critical);
}
