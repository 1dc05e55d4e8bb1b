//! What a thread waits for that polls descriptors.

use super::super::activity::Activity;
use super::descriptor::{Found, on_connection, on_descriptor};
use super::facts::Facts;
use super::index::plain;
use super::target::Target;
use crate::model::{Gap, Inode, Process};

pub(super) fn polled(facts: &Facts, process: &Process, fds: Option<&[u32]>, call: &str) -> Found {
    match fds {
        // It polls to write, or lets time pass.
        Some([]) => (Target::Nap, None),
        Some([one]) => {
            let found = on_descriptor(facts, process, *one, call);
            match found.0 {
                // An event loop with one descriptor is one all the same.
                Target::Other(_) | Target::Pipe { writes: false, .. } | Target::News { .. } => {
                    (Target::Events, None)
                }
                _ => found,
            }
        }
        Some(several) => same_service(facts, process, several).unwrap_or((Target::Events, None)),
        None => (Target::Unseen(Gap::NotPermitted), None),
    }
}

/// A thread that polls several connections to one service, all of them asked, waits for it, whatever it has
/// beside them to be woken by.
fn same_service(facts: &Facts, process: &Process, fds: &[u32]) -> Option<Found> {
    let mut found: Option<Found> = None;
    let mut outputs = fds.iter().filter_map(|fd| {
        let text = Facts::target_text(process, *fd)?;
        facts.child_behind(process, text)
    });
    if let Some(child) = outputs.next() {
        let of_others = outputs.any(|other| other != child);
        let is_alone = fds.iter().all(|fd| is_alarm(facts, process, *fd));
        return (is_alone && !of_others).then_some((Target::Output { child }, None));
    }
    for fd in fds.iter().filter(|fd| !is_alarm(facts, process, **fd)) {
        let inode = Facts::socket_of(process, *fd)?;
        let one = on_connection(facts, facts.connection(inode)?, "poll");
        match (&one.0, &mut found) {
            (Target::Answer { .. }, None) => found = Some(one),
            (target, Some((known, longest))) if target == known => *longest = one.1.max(*longest),
            _ => return None,
        }
    }
    found
}

/// What another thread or a signal handler of the same process wakes a poll with: a pipe, an eventfd, or a pair
/// of unix sockets that the process has both ends of.
fn is_alarm(facts: &Facts, process: &Process, fd: u32) -> bool {
    let text = Facts::target_text(process, fd).unwrap_or_default();
    if text.starts_with("pipe:") || text.starts_with("anon_inode:") {
        return true;
    }
    let number = Facts::socket_of(process, fd).and_then(Inode::number);
    let peer = number
        .and_then(|number| facts.unix_socket(number))
        .and_then(|unix| unix.peer);
    let descriptors = process.examination.iter().flat_map(|e| &e.descriptors);
    peer.is_some_and(|peer| {
        descriptors
            .filter_map(|one| one.socket()?.number())
            .any(|number| number == peer)
    })
}

/// The connection to a service among the descriptors that a thread polls.
pub(super) fn polled_connection(
    facts: &Facts,
    process: &Process,
    activity: &Activity,
    target: &Target,
) -> Option<u32> {
    let (Activity::Poll { fds: Some(fds), .. }, Target::Answer { from }) = (activity, target)
    else {
        return None;
    };
    fds.iter().copied().find(|fd| {
        let inode = Facts::socket_of(process, *fd);
        let connection = inode.and_then(|inode| facts.connection(inode));
        connection.is_some_and(|connection| plain(connection.remote) == *from)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::correlate::fixtures::{process, snapshot, waiting_connection};
    use crate::model::{
        Connection, Descriptor, Snapshot, SocketTable, TcpAges, TcpState, Traffic, UnixSocket,
    };

    /// A process with an asked connection as fd 5, a pipe as 6, and both ends of a unix pair as 7 and 8.
    fn asked_beside_alarms(peer: u32) -> (Snapshot, Process) {
        let asked = Connection {
            state: TcpState::Established,
            remote: "10.0.0.7:5432".parse().unwrap(),
            inode: Inode::new(50),
            recv_q: 0,
            ages: Some(TcpAges::from_millis(4000, 9000, 4000)),
            traffic: Some(Traffic::from_counters(10, 0)),
            ..waiting_connection(0)
        };
        let mut snapshot = snapshot(SocketTable {
            connections: vec![asked],
            ..SocketTable::default()
        });
        snapshot.waits.followed.push(7);
        let unix = |inode, peer| UnixSocket {
            inode,
            peer: Some(peer),
            name: None,
            waiting: Vec::new(),
        };
        snapshot.waits.unix_sockets = vec![unix(70, peer), unix(80, 70)];
        let mut process = process(7);
        let targets = ["socket:[50]", "pipe:[60]", "socket:[70]", "socket:[80]"];
        process.examination.as_mut().unwrap().descriptors = (5u32..)
            .zip(targets)
            .map(|(fd, target)| Descriptor {
                fd,
                target: target.to_owned(),
            })
            .collect();
        (snapshot, process)
    }

    fn target(snapshot: &Snapshot, process: &Process, fds: &[u32]) -> Target {
        polled(&Facts::of(snapshot), process, Some(fds), "poll").0
    }

    #[test]
    fn what_a_poll_is_woken_with_does_not_hide_whom_it_waits_for() {
        let (snapshot, process) = asked_beside_alarms(80);
        let answer = Target::Answer {
            from: "10.0.0.7:5432".parse().unwrap(),
        };
        assert_eq!(target(&snapshot, &process, &[5, 6]), answer);
        assert_eq!(target(&snapshot, &process, &[7, 5]), answer);
    }

    #[test]
    fn a_unix_socket_to_another_process_may_bring_work() {
        let (snapshot, process) = asked_beside_alarms(999);
        assert_eq!(target(&snapshot, &process, &[7, 5]), Target::Events);
    }

    #[test]
    fn a_poll_on_alarms_alone_waits_for_events() {
        let (snapshot, process) = asked_beside_alarms(80);
        assert_eq!(target(&snapshot, &process, &[6, 7]), Target::Events);
    }
}
