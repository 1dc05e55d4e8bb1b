//! Small values that tests of this folder and of the rules start from.

use std::num::NonZeroU64;
use std::sync::Arc;

use crate::model::{
    Connection, Coverage, Examination, Extent, FdLimit, Gap, Holder, Host, Inode, Layer, Listener,
    Origin, Pid, Process, Reading, RunState, Snapshot, SocketSource, SocketTable, Software,
    Syscall, TcpAges, TcpState, Thread, Timer, Via,
};

/// A listener with an empty queue of 128 places.
pub(crate) fn listener(local: &str, inode: u32) -> Listener {
    Listener {
        local: local.parse().expect("tests name good addresses"),
        interface: 0,
        inode: Inode::new(inode),
        accept_queue_len: 0,
        queue_is_shown: true,
        accept_queue_limit: Reading::Known(128),
        v6_only: None,
        cgroup: None,
    }
}

/// A connection to port 8080 that waits in the accept queue and whose client closed at once.
pub(crate) fn waiting_connection(waited_ms: u32) -> Connection {
    Connection {
        state: TcpState::CloseWait,
        local: "127.0.0.1:8080".parse().expect("a good address"),
        remote: "127.0.0.1:51004".parse().expect("a good address"),
        interface: 0,
        inode: None,
        cookie: NonZeroU64::new(waited_ms.into()),
        recv_q: 46,
        send_q: 0,
        queues_are_shown: true,
        timer: Reading::Known(Timer::Off),
        ages: Some(TcpAges::from_millis(waited_ms, waited_ms, waited_ms)),
        cgroup: None,
        traffic: None,
        layer: Layer::Tcp,
    }
}

/// A look that saw just these sockets, and saw the listeners unchanged after.
pub(crate) fn snapshot(sockets: SocketTable) -> Snapshot {
    let namespace = crate::model::Namespace::named("current");
    let host = Host {
        hostname: "host".to_owned(),
        kernel: "6.18.44".to_owned(),
        machine: "x86_64".to_owned(),
    };
    let after = sockets.listeners.clone();
    let mut snapshot =
        Snapshot::of_sockets(namespace, host, SocketSource::InetDiag, sockets, after);
    snapshot.coverage = Coverage::of_sockets(Extent::Whole);
    snapshot.coverage.holders = Extent::Whole;
    snapshot
}

/// Tests keep the snapshot that they analyse.
impl From<&Snapshot> for Arc<Snapshot> {
    fn from(snapshot: &Snapshot) -> Self {
        Self::new(snapshot.clone())
    }
}

/// An examined process without threads or epoll sets.
pub(crate) fn process(pid: Pid) -> Process {
    Process {
        pid,
        pid_inside: None,
        uid: Reading::Known(1000),
        origin: Reading::Known(Origin::default()),
        command: "server".to_owned(),
        command_line: Reading::Known("server --limit 1".to_owned()),
        parent: Reading::Known(1),
        group: Reading::Known(pid),
        session: Reading::Known(pid),
        started_ticks: Reading::Known(1000),
        state: Reading::Known(RunState::Sleeping),
        open_fds: Reading::Known(8),
        lowest_free_fd: Reading::Known(8),
        fd_limit: Reading::Known(FdLimit {
            soft: 1024,
            hard: 4096,
        }),
        examination: Some(Examination {
            threads: Reading::Known(Vec::new()),
            epoll_sets: Vec::new(),
            io_urings: Vec::new(),
            frozen: Reading::Known(false),
            software: Software::default(),
            compat: false,
            executable: Reading::Known("/srv/server".to_owned()),
            descriptors: Vec::new(),
            descriptors_complete: false,
        }),
    }
}

/// A thread asleep in a call.
pub(crate) fn thread(tid: Pid, state: RunState, syscall: Syscall) -> Thread {
    Thread {
        tid,
        command: "server".to_owned(),
        state: Reading::Known(state),
        syscall: Reading::Known(syscall),
        polled_fds: None,
        wchan: Reading::Unknown(Gap::NotLookedAt),
    }
}

/// A connection that was accepted at port 8080 and that its peer has closed so long ago; only its end is unread.
pub(crate) fn closed_connection(inode: u32, closed_ms: u32) -> Connection {
    Connection {
        inode: Inode::new(inode),
        cookie: NonZeroU64::new(inode.into()),
        recv_q: 1,
        remote: (
            std::net::Ipv4Addr::LOCALHOST,
            u16::try_from(40000 + inode).unwrap_or(u16::MAX),
        )
            .into(),
        ..waiting_connection(closed_ms)
    }
}

/// Descriptor 7 of a process, which refers to a socket.
pub(crate) fn holder(inode: u32, pid: Pid) -> Holder {
    Holder {
        inode: Inode::new(inode).expect("tests name inodes"),
        pid,
        fd: Some(7),
        via: Via::Table,
    }
}
