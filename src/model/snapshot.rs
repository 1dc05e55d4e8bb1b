//! One look at the server: everything that was read, before anything is concluded.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::{
    Absent, Connection, Coverage, Holder, HolderSource, Inode, Listener, Origin, Pid, PortRange,
    Process, Reading, Rights, RunState, Syscall, WaitFacts,
};

/// The machine that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// Its node name.
    pub hostname: String,
    /// Its kernel release.
    pub kernel: String,
    /// Its architecture (`uname -m`), which numbers the system calls.
    pub machine: String,
}

/// A network namespace that was looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Namespace {
    /// The name that reports use: `current`, a name of its bind mount, its container, pod or unit,
    /// or `net:[number]`.
    pub name: String,
    /// Its number; unknown of the current one, where it was not asked for.
    pub inode: Option<u64>,
    /// What the first process in it belongs to.
    pub origin: Origin,
}

impl Namespace {
    /// The caller's own namespace, or the one that was named.
    pub fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ..Self::default()
        }
    }
}

/// Where the sockets were read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SocketSource {
    /// The `sock_diag` netlink interface.
    InetDiag,
    /// `/proc/net/tcp` and `/proc/net/tcp6`.
    Procfs,
    /// Text that was copied from a terminal.
    Text,
}

impl SocketSource {
    /// Returns whether it is copied text: no more can be read.
    pub fn is_text(self) -> bool {
        self == Self::Text
    }
}

/// The sockets in scope at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SocketTable {
    /// Every listener in scope.
    pub listeners: Vec<Listener>,
    /// The other listeners: they tell which end of a connection is the server's.
    pub other_listeners: Vec<Listener>,
    /// Connections in the states the rules ask for.
    pub connections: Vec<Connection>,
}

/// A second look at the sockets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Later {
    /// How long after the first.
    pub after: Duration,
    /// What was there then.
    pub sockets: SocketTable,
}

/// What was searched for sockets that no process is seen to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HiddenSearch {
    /// Unix sockets with descriptors in flight: process, descriptor, and how many.
    pub in_flight: Vec<(Pid, u32, u32)>,
}

/// Descriptors of TCP connections that no longer exist, in one process: the kernel has taken the
/// sockets out of its tables (state `CLOSE`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadDescriptors {
    /// The process.
    pub pid: Pid,
    /// The sockets.
    pub sockets: Vec<DeadSocket>,
    /// The time between the two looks at which they were there, where there were two.
    pub seen_over: Option<Duration>,
}

/// A descriptor of a connection that no longer exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeadSocket {
    /// The descriptor.
    pub fd: u32,
    /// The socket.
    pub inode: Inode,
    /// The address that the connection had on this host, where the socket could be asked. Without
    /// it, the socket may never have been connected.
    pub local: Option<SocketAddr>,
}

/// Counters of connections that were refused because a queue was full (`TcpExt` of
/// `/proc/net/netstat`), per network namespace since it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DroppedCounters {
    /// `ListenOverflows`: the accept queue was full.
    pub overflows: u64,
    /// `ListenDrops`: dropped at a listener for any reason; includes the former.
    pub drops: u64,
}

/// One of several quick looks at suspicious listeners and the threads that should serve them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// When it was taken, since the look began.
    pub at: Duration,
    /// Accept queue lengths just before the threads were read.
    pub before: BTreeMap<Inode, u32>,
    /// The threads.
    pub threads: Vec<ThreadSample>,
    /// Accept queue lengths just after.
    pub after: BTreeMap<Inode, u32>,
}

/// What one thread was doing at a sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThreadSample {
    /// Its process.
    pub pid: Pid,
    /// The thread.
    pub tid: Pid,
    /// Whether it ran, slept or was stopped.
    pub state: Reading<RunState>,
    /// The system call it was in.
    pub syscall: Reading<Syscall>,
    /// The descriptors it waited for in poll or select, where they could be read.
    pub polled_fds: Option<Vec<u32>>,
}

/// Something that could not be seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlindSpot {
    /// What was not seen.
    pub what: String,
    /// Why.
    pub why: String,
    /// What would make it visible.
    pub remedy: String,
    /// Whether a finding could hide in it.
    pub hides_findings: bool,
}

/// Connections that are open on both ends, read by port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenConnections {
    /// The local ports.
    pub ports: Vec<PortRange>,
    /// The connections.
    pub connections: Vec<Connection>,
}

/// Everything one look read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The network namespace.
    pub namespace: Namespace,
    /// The machine.
    pub host: Host,
    /// Where sockets came from.
    pub source: SocketSource,
    /// The sockets at the start.
    pub sockets: SocketTable,
    /// The listeners again, right after their connections were read.
    pub listeners_after: Vec<Listener>,
    /// The sockets once more, where they were needed again or asked for.
    pub later: Option<Later>,
    /// Which processes hold the sockets, sorted by inode.
    pub holders: Vec<Holder>,
    /// Where the holders were read from, if they were.
    pub holder_source: Option<HolderSource>,
    /// What was searched besides, where a holder was missing.
    pub hidden: Option<HiddenSearch>,
    /// Descriptors of connections that no longer exist.
    pub dead: Vec<DeadDescriptors>,
    /// Processes behind `holders` and `dead`.
    pub processes: BTreeMap<Pid, Process>,
    /// What threads wait for, where a process is about to be accused.
    pub waits: WaitFacts,
    /// The connections of suspicious listeners that are open on both ends, unless all connections were read anyway.
    pub open: Option<OpenConnections>,
    /// Repeated samples at suspicious listeners.
    pub samples: Vec<Sample>,
    /// Drop counters before and after the observation.
    pub dropped: Option<(DroppedCounters, DroppedCounters)>,
    /// Drop counters at the start, where they were asked for and could be read.
    pub counters: Option<DroppedCounters>,
    /// What was asked for and is not there.
    pub absent: Vec<Absent>,
    /// How much of each source was read.
    pub coverage: Coverage,
    /// What could not be seen.
    pub blind_spots: Vec<BlindSpot>,
    /// What the looking program may do, where something was refused to it and that could be read.
    pub rights: Option<Rights>,
    /// How long the look took.
    pub elapsed: Duration,
}

impl Snapshot {
    /// A look that has read the sockets, and nothing else yet.
    pub fn of_sockets(
        namespace: Namespace,
        host: Host,
        source: SocketSource,
        sockets: SocketTable,
        listeners_after: Vec<Listener>,
    ) -> Self {
        Self {
            namespace,
            host,
            source,
            sockets,
            listeners_after,
            later: None,
            holders: Vec::new(),
            holder_source: None,
            hidden: None,
            dead: Vec::new(),
            processes: BTreeMap::new(),
            waits: WaitFacts::default(),
            open: None,
            samples: Vec::new(),
            dropped: None,
            counters: None,
            absent: Vec::new(),
            coverage: Coverage::default(),
            blind_spots: Vec::new(),
            rights: None,
            elapsed: Duration::ZERO,
        }
    }
}
