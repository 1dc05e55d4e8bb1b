//! A row of a table, independent of the program that printed it.

use std::net::IpAddr;

use super::endpoint::Endpoint;
use crate::model::{
    Connection, Gap, Inode, Layer, Listener, Pid, Reading, TcpAges, TcpState, Timer,
};

/// What a line is to one table.
#[derive(Debug)]
pub(super) enum Read<T> {
    Row(T),
    /// It begins like a row and cannot be read.
    Odd,
    /// A row without the state that was asked for.
    WithoutState,
    /// A row about something else than TCP.
    OtherProtocol,
    NoRow,
}

/// A socket as a row shows it.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub socket: Socket,
    /// Whether the row has an inode, which may be none.
    pub inode_is_shown: bool,
    pub owners: Vec<Owner>,
    /// The name of the interface it is bound to.
    pub interface: Option<String>,
    /// Whether a listener's address is `*`, which older versions of `ss` print for IPv4 too.
    pub any_family: bool,
}

#[derive(Debug, Clone)]
pub(super) enum Socket {
    Listener(Listener),
    Connection(Connection),
}

/// A process that a row names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owner {
    pub pid: Pid,
    pub fd: Option<u32>,
    pub command: String,
}

/// The columns that `ss` and `netstat` have in common.
#[derive(Debug)]
pub(super) struct Columns {
    pub state: TcpState,
    /// Recv-Q and Send-Q, where they are shown.
    pub queues: Option<(u32, u32)>,
    pub local: Endpoint,
    pub remote: Endpoint,
}

/// What options add to the columns.
#[derive(Debug)]
pub(super) struct Details {
    pub inode: Option<u32>,
    pub owners: Vec<Owner>,
    pub timer: Reading<Timer>,
    pub ages: Option<TcpAges>,
    pub v6_only: Option<bool>,
    pub layer: Layer,
    /// Where Send-Q of a listener is its limit.
    pub limit: Reading<u32>,
}

impl Details {
    /// Nothing is known.
    pub(super) fn none() -> Self {
        Self {
            inode: None,
            owners: Vec::new(),
            timer: Reading::Unknown(Gap::NotShown),
            ages: None,
            v6_only: None,
            layer: Layer::Tcp,
            limit: Reading::Unknown(Gap::NotShown),
        }
    }
}

impl Row {
    pub(super) fn new(columns: Columns, details: Details) -> Self {
        // A socket that a process holds has an inode, even if it was cut from the row.
        let inode_is_shown = details.inode.is_some_and(|inode| inode > 0)
            || (details.inode.is_some() && details.owners.is_empty());
        let inode = details.inode.and_then(Inode::new);
        let (recv_q, send_q) = columns.queues.unwrap_or_default();
        let local = columns.local.address();
        let socket = if columns.state == TcpState::Listen {
            Socket::Listener(Listener {
                local,
                interface: 0,
                inode,
                accept_queue_len: recv_q,
                queue_is_shown: columns.queues.is_some(),
                accept_queue_limit: details.limit,
                v6_only: details.v6_only,
                cgroup: None,
            })
        } else {
            Socket::Connection(Connection {
                state: columns.state,
                local,
                remote: columns.remote.address(),
                interface: 0,
                inode,
                cookie: None,
                recv_q,
                send_q,
                queues_are_shown: columns.queues.is_some(),
                timer: details.timer,
                ages: details.ages,
                cgroup: None,
                traffic: None,
                layer: details.layer,
            })
        };
        Self {
            socket,
            inode_is_shown,
            owners: details.owners,
            interface: columns.local.interface,
            any_family: columns.local.host.is_none(),
        }
    }

    /// A row whose inode is shown, and nothing about owners.
    pub(super) fn with_inode(socket: Socket) -> Self {
        Self {
            socket,
            inode_is_shown: true,
            owners: Vec::new(),
            interface: None,
            any_family: false,
        }
    }

    pub(super) fn is_in(&self, state: TcpState) -> bool {
        match &self.socket {
            Socket::Listener(_) => state == TcpState::Listen,
            Socket::Connection(connection) => connection.state == state,
        }
    }

    /// The inode, where it is shown and there is one.
    pub(super) fn inode(&self) -> Option<Inode> {
        match &self.socket {
            Socket::Listener(listener) => listener.inode,
            Socket::Connection(connection) => connection.inode,
        }
    }

    /// Whether it has the queue columns.
    pub(super) fn has_queues(&self) -> bool {
        match &self.socket {
            Socket::Listener(listener) => listener.queue_is_shown,
            Socket::Connection(connection) => connection.queues_are_shown,
        }
    }

    pub(super) fn has_ages(&self) -> bool {
        matches!(&self.socket, Socket::Connection(connection) if connection.ages.is_some())
    }

    pub(super) fn has_limit(&self) -> bool {
        matches!(&self.socket, Socket::Listener(listener) if listener.accept_queue_limit.known().is_some())
    }
}

/// A number in front of a unit-less rest: `"12/nginx"` gives 12 and `"/nginx"`.
pub(super) fn leading_number(text: &str) -> Option<(u32, &str)> {
    let end = text
        .find(|character: char| !character.is_ascii_digit())
        .unwrap_or(text.len());
    Some((text[..end].parse().ok()?, &text[end..]))
}

/// An IPv4 client of an IPv6 socket, as the kernel has it.
pub(super) fn mapped(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().into(),
        IpAddr::V6(_) => address,
    }
}
