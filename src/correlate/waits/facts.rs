//! What was read for wait chains, indexed.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashMap;

use super::super::matching::Listeners;
use super::index::{Index, ends, plain};
use crate::model::{
    Access, Connection, FutexWait, Inode, LinkHolder, Pid, Process, Reading, Snapshot, TcpState,
    Thread, Timer, UdpSocket, UnixSocket,
};

/// The facts of a snapshot, by what they are asked for.
pub struct Facts<'a> {
    /// What was seen.
    pub snapshot: &'a Snapshot,
    index: Arc<Index>,
    listeners: Listeners<'a>,
    other_listeners: Listeners<'a>,
    futexes: BTreeMap<(Pid, Pid), &'a FutexWait>,
    unix_sockets: FxHashMap<u32, &'a UnixSocket>,
}

/// A request that was sent and not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Asked {
    /// How long ago the last of it was sent; unknown while the connection is being made.
    pub since: Option<Duration>,
    /// Whether the connection is still being made.
    pub connecting: bool,
}

impl<'a> Facts<'a> {
    /// Prepares the facts of a snapshot.
    pub fn of(snapshot: &'a Snapshot) -> Self {
        Self::with_index(snapshot, Arc::default())
    }

    /// Prepares the facts of a snapshot whose index is kept: it has to be one of the same state.
    pub(in crate::correlate) fn with_index(snapshot: &'a Snapshot, index: Arc<Index>) -> Self {
        let sockets = &snapshot.sockets;
        Self {
            snapshot,
            index,
            listeners: Listeners::new(&sockets.listeners),
            other_listeners: Listeners::new(&sockets.other_listeners),
            futexes: snapshot
                .waits
                .futexes
                .iter()
                .map(|futex| ((futex.pid, futex.tid), futex))
                .collect(),
            unix_sockets: snapshot
                .waits
                .unix_sockets
                .iter()
                .map(|socket| (socket.inode, socket))
                .collect(),
        }
    }

    /// The connection with this inode.
    pub fn connection(&self, inode: Inode) -> Option<&'a Connection> {
        self.index.by_inode(self.snapshot, inode)
    }

    /// The process with this id, where it was read.
    pub fn process(&self, pid: Pid) -> Option<&'a Process> {
        self.snapshot.processes.get(&pid)
    }

    pub(super) fn futex(&self, pid: Pid, tid: Pid) -> Option<&'a FutexWait> {
        self.futexes.get(&(pid, tid)).copied()
    }

    pub(super) fn unix_socket(&self, inode: u32) -> Option<&'a UnixSocket> {
        self.unix_sockets.get(&inode).copied()
    }

    /// Whether a connection came in at a listener of this host.
    pub fn is_accepted_here(&self, connection: &Connection) -> bool {
        self.listeners.explain(connection) || self.other_listeners.explain(connection)
    }

    /// The other end of a connection, where it is on this host and in this network namespace.
    pub(super) fn other_end(&self, connection: &Connection) -> Option<&'a Connection> {
        let (local, remote) = ends(connection);
        self.index.by_ends(self.snapshot, (remote, local))
    }

    /// The listener of this host that a connection of ours leads to, by its address.
    pub(super) fn listener_of(&self, connection: &Connection) -> Option<Inode> {
        let sockets = &self.snapshot.sockets;
        let wanted = plain(connection.remote);
        let is_here = wanted.ip().is_loopback() || wanted.ip() == plain(connection.local).ip();
        let fits = |local: SocketAddr| {
            local.port() == wanted.port()
                && (plain(local).ip() == wanted.ip() || (local.ip().is_unspecified() && is_here))
        };
        let mut listeners = sockets.listeners.iter().chain(&sockets.other_listeners);
        listeners.find(|one| fits(one.local))?.inode
    }

    /// The connections of a process, accepted and opened, of those of its descriptors that were read.
    pub fn connections_of(&self, process: &Process) -> Vec<&'a Connection> {
        let descriptors = process.examination.iter().flat_map(|e| &e.descriptors);
        let inodes: BTreeSet<Inode> = descriptors
            .filter_map(crate::model::Descriptor::socket)
            .collect();
        inodes
            .into_iter()
            .filter_map(|inode| self.connection(inode))
            .collect()
    }

    /// The children of these processes, of those that were read.
    pub fn children(&self, pids: &[Pid]) -> Vec<Pid> {
        pids.iter()
            .filter_map(|pid| self.snapshot.waits.children.get(pid))
            .flatten()
            .copied()
            .filter(|pid| self.process(*pid).is_some())
            .collect()
    }

    /// Whether children of the process are known.
    pub(super) fn has_children(&self, pid: Pid) -> bool {
        let children = self.snapshot.waits.children.get(&pid);
        children.is_some_and(|children| !children.is_empty())
    }

    /// The child that writes into a pipe and was started for a task: later than its parent, which may read from a
    /// helper that it started with itself for as long as it runs.
    pub(super) fn child_behind(&self, process: &Process, pipe: &str) -> Option<Pid> {
        /// A tenth of a second, in the ticks of `starttime`.
        const START_OF_A_SERVICE: u64 = 10;
        let children = self.snapshot.waits.children.get(&process.pid)?;
        let started = process.started_ticks.copied()?;
        let is_later = |pid: Pid| {
            let child = self.process(pid).and_then(|one| one.started_ticks.copied());
            child.is_some_and(|child| child >= started + START_OF_A_SERVICE)
        };
        let writes = |link: &&LinkHolder| {
            link.target == pipe
                && children.contains(&link.pid)
                && matches!(link.access, Reading::Known(Access::Write | Access::Both))
        };
        let mut links = self.snapshot.waits.links.iter().filter(writes);
        links.find(|link| is_later(link.pid)).map(|link| link.pid)
    }

    /// The UDP socket with this inode.
    pub(super) fn udp_socket(&self, inode: Inode) -> Option<UdpSocket> {
        let mut sockets = self.snapshot.waits.udp_sockets.iter();
        sockets.find(|socket| socket.inode == inode).copied()
    }

    /// The UDP socket of this host that has this address.
    pub(super) fn receiver_of(&self, address: SocketAddr) -> Option<Inode> {
        let is_at = |local: SocketAddr| {
            local.port() == address.port()
                && (plain(local).ip() == address.ip()
                    || (local.ip().is_unspecified() && address.ip().is_loopback()))
        };
        let sockets = &self.snapshot.waits.udp_sockets;
        let socket = sockets
            .iter()
            .find(|socket| socket.remote.is_none() && is_at(socket.local))?;
        Some(socket.inode)
    }

    /// Whether a file with this inode is a listener or a connection.
    pub(super) fn is_tcp(&self, inode: u64) -> bool {
        let Some(inode) = u32::try_from(inode).ok().and_then(Inode::new) else {
            return false;
        };
        let sockets = &self.snapshot.sockets;
        let mut listeners = sockets.listeners.iter().chain(&sockets.other_listeners);
        self.connection(inode).is_some() || listeners.any(|listener| listener.inode == Some(inode))
    }

    /// The text of the link of a descriptor.
    pub(super) fn target_text(process: &'a Process, fd: u32) -> Option<&'a str> {
        let descriptors = &process.examination.as_ref()?.descriptors;
        let descriptor = descriptors.iter().find(|descriptor| descriptor.fd == fd)?;
        Some(&descriptor.target)
    }

    /// The inode of the socket behind a descriptor.
    pub(super) fn socket_of(process: &Process, fd: u32) -> Option<Inode> {
        let descriptors = &process.examination.as_ref()?.descriptors;
        let descriptor = descriptors.iter().find(|descriptor| descriptor.fd == fd)?;
        descriptor.socket()
    }

    /// How old a process is (`starttime` against `/proc/uptime`).
    pub fn age(&self, process: &Process) -> Option<Duration> {
        /// `USER_HZ`, in which procfs counts on every architecture that is supported.
        const TICKS_PER_SEC: u64 = 100;
        let ticks = process.started_ticks.copied()?;
        let started = Duration::from_millis(ticks.saturating_mul(1000 / TICKS_PER_SEC));
        self.snapshot.waits.uptime?.checked_sub(started)
    }
}

/// Returns whether we asked on a connection and nothing has come since.
///
/// The clocks of sent and received data both begin when the connection does, so on one that never sent they
/// are equal. Something that was received and not read yet is an answer.
pub(super) fn asked(connection: &Connection) -> Option<Asked> {
    if connection.state == TcpState::SynSent {
        return Some(Asked {
            since: None,
            connecting: true,
        });
    }
    if connection.state != TcpState::Established || connection.recv_q > 0 {
        return None;
    }
    let ages = connection.ages?;
    let sent_after = ages.last_data_sent() < ages.last_data_recv();
    let never_answered = connection.traffic.is_some_and(|traffic| {
        traffic.received_bytes() == 0 && (traffic.acknowledged_bytes() > 0 || connection.send_q > 0)
    });
    (sent_after || never_answered || sent_in_the_same_moment(connection)).then(|| Asked {
        since: Some(ages.last_data_sent()),
        connecting: false,
    })
}

/// The clocks count in jiffies, of 10 ms at most.
const JIFFY: Duration = Duration::from_millis(10);

/// Whether we sent something right after the last data came, by the acknowledgement that followed.
///
/// Data of the peer acknowledges whatever came before it. A later acknowledgement without data is for something
/// that we sent since.
fn sent_in_the_same_moment(connection: &Connection) -> bool {
    let (Some(ages), Some(traffic)) = (connection.ages, connection.traffic) else {
        return false;
    };
    let together = ages.last_data_sent().abs_diff(ages.last_data_recv()) < JIFFY;
    let acknowledged_later = ages.last_ack_recv() + JIFFY < ages.last_data_recv();
    together
        && acknowledged_later
        && traffic.acknowledged_bytes() > 0
        && traffic.received_bytes() > 0
        && !matches!(connection.timer, Reading::Known(Timer::KeepAlive(left)) if left < SHORT_KEEP_ALIVE)
}

/// With shorter intervals an acknowledgement may be the answer to a probe.
const SHORT_KEEP_ALIVE: Duration = Duration::from_secs(600);

/// The threads of a process, as far as they were read.
pub fn threads(snapshot: &Snapshot, pid: Pid) -> &[Thread] {
    let process = snapshot.processes.get(&pid);
    let examination = process.and_then(|process| process.examination.as_ref());
    examination
        .and_then(|examination| examination.threads.known())
        .map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::correlate::fixtures::waiting_connection;
    use crate::model::{TcpAges, Traffic};

    fn connection(sent: u32, received: u32) -> Connection {
        Connection {
            state: TcpState::Established,
            recv_q: 0,
            ages: Some(TcpAges::from_millis(sent, received, 0)),
            ..waiting_connection(0)
        }
    }

    #[test]
    fn a_request_is_open_when_nothing_came_after_it() {
        let since = |connection: &Connection| asked(connection).and_then(|asked| asked.since);
        assert_eq!(since(&connection(4000, 9000)), Some(Duration::from_secs(4)));
        assert_eq!(asked(&connection(9000, 4000)), None);
    }

    #[test]
    fn who_never_sent_has_not_asked() {
        let mut silent = connection(9000, 9000);
        assert_eq!(asked(&silent), None);
        silent.traffic = Some(Traffic::from_counters(0, 1));
        assert_eq!(asked(&silent), None);
        silent.traffic = Some(Traffic::from_counters(0, 11));
        assert!(asked(&silent).is_some());
    }

    #[test]
    fn a_question_that_follows_an_answer_at_once_is_told_by_its_acknowledgement() {
        let mut asked_at_once = connection(7188, 7188);
        asked_at_once.traffic = Some(Traffic::from_counters(410, 68));
        asked_at_once.ages = Some(TcpAges::from_millis(7188, 7188, 7144));
        assert!(asked(&asked_at_once).is_some());
        asked_at_once.ages = Some(TcpAges::from_millis(7188, 7188, 7188));
        assert_eq!(asked(&asked_at_once), None);
    }

    #[test]
    fn what_is_there_to_be_read_is_an_answer() {
        let mut answered = connection(4000, 9000);
        answered.recv_q = 1;
        assert_eq!(asked(&answered), None);
    }

    #[test]
    fn a_connection_that_is_being_made_is_a_request() {
        let mut connecting = connection(0, 0);
        connecting.state = TcpState::SynSent;
        assert!(asked(&connecting).unwrap().connecting);
    }
}
