//! The tables of a text to one: a socket that several of them show is one socket, of which the last
//! table knows the queues best.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::row::{Owner, Row, Socket};
use crate::collect::sock_diag::Wanted;
use crate::model::Layer;
use crate::model::{
    Connection, Gap, Holder, Inode, InodeSet, Listener, Pid, Process, Reading, SocketTable,
    TcpState, Via,
};

/// The sockets of all tables.
#[derive(Default)]
pub(super) struct Merged {
    pub sockets: SocketTable,
    /// Sorted by inode.
    pub holders: Vec<Holder>,
    pub processes: BTreeMap<Pid, Process>,
}

pub(super) fn merge(tables: impl Iterator<Item = Vec<Row>>) -> Merged {
    let mut rows = Rows::default();
    for table in tables {
        rows.add(table);
    }
    rows.settle_families();
    let mut merged = Merged::default();
    let mut names = Names::default();
    for listener in rows.listeners {
        merged.add(listener, &mut names);
    }
    for connection in rows.connections {
        merged.add(connection, &mut names);
    }
    merged.holders.sort_unstable();
    merged.holders.dedup();
    merged.keep_what_matters();
    merged
}

/// The rows of the tables so far, each socket once.
#[derive(Default)]
struct Rows {
    listeners: Vec<Row>,
    connections: Vec<Row>,
    known: HashMap<(SocketAddr, SocketAddr), usize>,
}

impl Rows {
    fn add(&mut self, table: Vec<Row>) {
        let (listeners, connections): (Vec<Row>, Vec<Row>) = table
            .into_iter()
            .partition(|row| row.is_in(TcpState::Listen));
        self.add_listeners(listeners);
        for row in &connections {
            if let Some(index) = self.known.get(&addresses(row)) {
                join(&mut self.connections[*index], row);
            }
        }
        let first_new = self.connections.len();
        // Within one table two rows are two sockets, even if they look the same.
        let known = &self.known;
        let new = connections
            .into_iter()
            .filter(|row| !known.contains_key(&addresses(row)));
        self.connections.extend(new);
        for (index, row) in self.connections.iter().enumerate().skip(first_new) {
            self.known.insert(addresses(row), index);
        }
    }

    /// Listeners on one address are members of an `SO_REUSEPORT` group: where either table has
    /// several, it is not known which is which, and the later table stands for itself.
    fn add_listeners(&mut self, table: Vec<Row>) {
        let before = std::mem::take(&mut self.listeners);
        let counted = count_by_local(&before);
        let counted_later = count_by_local(&table);
        let single =
            |local: &SocketAddr| counted.get(local) == Some(&1) && counted_later[local] == 1;
        let mut replaced = before;
        replaced.retain(|row| {
            let local = addresses(row).0;
            !counted_later.contains_key(&local) || single(&local)
        });
        let known: HashMap<SocketAddr, usize> = replaced
            .iter()
            .enumerate()
            .map(|(index, row)| (addresses(row).0, index))
            .collect();
        for row in table {
            let local = addresses(&row).0;
            match known.get(&local).filter(|_| single(&local)) {
                Some(index) => join(&mut replaced[*index], &row),
                None => replaced.push(row),
            }
        }
        self.listeners = replaced;
    }

    /// `*` is both families today and was IPv4 once: then the connections of that port are IPv4.
    fn settle_families(&mut self) {
        let locals: Vec<SocketAddr> = self
            .connections
            .iter()
            .map(|row| addresses(row).0)
            .collect();
        for row in self.listeners.iter_mut().filter(|row| row.any_family) {
            let Socket::Listener(listener) = &mut row.socket else {
                continue;
            };
            let port = listener.local.port();
            let mut on_port = locals
                .iter()
                .filter(|local| local.port() == port)
                .peekable();
            if on_port.peek().is_some() && on_port.all(SocketAddr::is_ipv4) {
                listener.local.set_ip(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
            }
        }
    }
}

fn count_by_local(rows: &[Row]) -> HashMap<SocketAddr, usize> {
    let mut counts = HashMap::new();
    for row in rows {
        *counts.entry(addresses(row).0).or_default() += 1;
    }
    counts
}

/// Local and remote address; a listener has no remote one, and its own stands for it.
fn addresses(row: &Row) -> (SocketAddr, SocketAddr) {
    match &row.socket {
        Socket::Listener(listener) => (listener.local, listener.local),
        Socket::Connection(connection) => (connection.local, connection.remote),
    }
}

/// Takes over what a later table shows of the same socket.
fn join(earlier: &mut Row, later: &Row) {
    match (&mut earlier.socket, &later.socket) {
        (Socket::Listener(earlier), Socket::Listener(later)) => join_listener(earlier, later),
        (Socket::Connection(earlier), Socket::Connection(later)) => {
            join_connection(earlier, later);
        }
        (Socket::Listener(_), Socket::Connection(_))
        | (Socket::Connection(_), Socket::Listener(_)) => return,
    }
    earlier.inode_is_shown |= later.inode_is_shown;
    earlier.any_family &= later.any_family;
    if !later.owners.is_empty() {
        earlier.owners.clone_from(&later.owners);
    }
    if later.interface.is_some() {
        earlier.interface.clone_from(&later.interface);
    }
}

fn join_listener(earlier: &mut Listener, later: &Listener) {
    earlier.inode = later.inode.or(earlier.inode);
    if later.queue_is_shown {
        earlier.accept_queue_len = later.accept_queue_len;
        earlier.queue_is_shown = true;
    }
    if later.accept_queue_limit.known().is_some() {
        earlier.accept_queue_limit = later.accept_queue_limit;
    }
    earlier.v6_only = later.v6_only.or(earlier.v6_only);
}

fn join_connection(earlier: &mut Connection, later: &Connection) {
    let same_state = earlier.state == later.state;
    earlier.state = later.state;
    if later.queues_are_shown {
        earlier.recv_q = later.recv_q;
        earlier.send_q = later.send_q;
        earlier.queues_are_shown = true;
    }
    earlier.inode = later.inode.or(earlier.inode);
    if later.layer != Layer::Tcp {
        earlier.layer = later.layer;
    }
    if later.ages.is_some() || !same_state {
        earlier.ages = later.ages;
        earlier.timer = later.timer;
    }
}

/// Numbers for what the text has names for.
#[derive(Default)]
struct Names {
    interfaces: Vec<String>,
    stand_ins: u32,
}

impl Names {
    /// 0 stands for no interface.
    fn interface(&mut self, name: Option<String>) -> u32 {
        let Some(name) = name else { return 0 };
        let known = self.interfaces.iter().position(|known| *known == name);
        let index = known.unwrap_or_else(|| {
            self.interfaces.push(name);
            self.interfaces.len() - 1
        });
        u32::try_from(index + 1).unwrap_or(u32::MAX)
    }

    fn stand_in(&mut self) -> Inode {
        self.stand_ins += 1;
        Inode::stand_in(self.stand_ins)
    }
}

impl Merged {
    fn add(&mut self, row: Row, names: &mut Names) {
        let interface = names.interface(row.interface);
        let inode = match row.socket {
            Socket::Listener(mut listener) => {
                listener.interface = interface;
                let inode = listener.inode.unwrap_or_else(|| names.stand_in());
                listener.inode = Some(inode);
                self.sockets.listeners.push(listener);
                Some(inode)
            }
            Socket::Connection(mut connection) => {
                connection.interface = interface;
                if !row.inode_is_shown {
                    connection.inode = Some(names.stand_in());
                }
                let inode = connection.inode;
                self.sockets.connections.push(connection);
                inode
            }
        };
        if let Some(inode) = inode {
            self.add_owners(inode, row.owners);
        }
    }

    fn add_owners(&mut self, inode: Inode, owners: Vec<Owner>) {
        for owner in owners {
            self.holders.push(Holder {
                inode,
                pid: owner.pid,
                fd: owner.fd,
                via: Via::Table,
            });
            self.processes
                .entry(owner.pid)
                .or_insert_with(|| process(owner.pid, owner.command));
        }
    }

    /// Drops accepted connections that neither end has closed, as a look at the kernel does. One of which
    /// neither inode nor owner is shown may be waiting to be accepted.
    fn keep_what_matters(&mut self) {
        let held: InodeSet = self.holders.iter().map(|holder| holder.inode).collect();
        let listeners: InodeSet = self
            .sockets
            .listeners
            .iter()
            .filter_map(|listener| listener.inode)
            .collect();
        self.sockets.connections.retain(|connection| {
            let inode = connection.inode;
            let undecided =
                inode.is_some_and(|inode| inode.is_stand_in() && !held.contains(&inode));
            match connection.state {
                // A TCP Fast Open child cannot be told from a half-open request here.
                TcpState::SynRecv => false,
                TcpState::Established => {
                    undecided || Wanted::Unaccepted.keeps(connection.state, inode, &listeners)
                }
                // It may have no holder any more.
                TcpState::FinWait2 if undecided => false,
                state => Wanted::Unaccepted.keeps(state, inode, &listeners),
            }
        });
    }
}

/// Of a process only its name is shown.
fn process(pid: Pid, command: String) -> Process {
    Process {
        pid_inside: None,
        uid: Reading::Unknown(Gap::NotLookedAt),
        origin: Reading::Unknown(Gap::NotLookedAt),
        pid,
        command,
        command_line: Reading::Unknown(Gap::NotShown),
        parent: Reading::Unknown(Gap::NotShown),
        group: Reading::Unknown(Gap::NotShown),
        session: Reading::Unknown(Gap::NotShown),
        started_ticks: Reading::Unknown(Gap::NotShown),
        state: Reading::Unknown(Gap::NotShown),
        open_fds: Reading::Unknown(Gap::NotShown),
        lowest_free_fd: Reading::Unknown(Gap::NotShown),
        fd_limit: Reading::Unknown(Gap::NotShown),
        examination: None,
    }
}
