//! Sockets over the `inet_diag` netlink interface.

mod decode;
mod tcp_info;

use std::ops::ControlFlow;

use super::kernel::{DiagProtocol, Kernel, KernelError, Kind, SocketDump};
use super::sockstat::has_no_tcp_sockets;
use crate::model::{
    Connection, Inode, InodeSet, Layer, Listener, PortRange, SocketTable, TcpState,
};

pub use decode::{Datagram, Socket, decode_datagram};

/// The families, each by whether it is IPv6.
const BOTH: [bool; 2] = [false, true];

/// How often an interrupted dump is asked for again before what was received is taken as it is.
const ATTEMPTS: u32 = 3;

/// State bits of a dump request: bit n stands for state number n.
const LISTEN: u32 = 1 << 10;
const ESTABLISHED: u32 = 1 << 1;
const SYN_SENT: u32 = 1 << 2;
const SYN_RECV: u32 = 1 << 3;
const FIN_WAIT2: u32 = 1 << 5;
const CLOSE_WAIT: u32 = 1 << 8;
/// Of MPTCP connections: every state in which one has subflows.
const WITH_SUBFLOWS: u32 = ESTABLISHED | 1 << 4 | FIN_WAIT2 | CLOSE_WAIT | 1 << 9 | 1 << 11;
/// All states with an inode: not the remainders (6, 12); with those that are only bound (13, since
/// 6.8).
const WITH_INODE: u32 = 0x2fff & !(1 << 6 | 1 << 12 | 1);

/// Which connections to ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Those that one end has closed and the other has not: `CLOSE_WAIT`, and `FIN_WAIT2` where
    /// somebody still has the socket.
    CloseWait,
    /// Those, and all that may wait in an accept queue: never accepted, in any state.
    Unaccepted,
    /// Every open connection, for naming the peer of a descriptor; without ages.
    Open,
    /// Those that [`CloseWait`](Self::CloseWait) leaves out of what a program has or may get, with their clocks:
    /// open on both ends, or being made.
    Rest,
    /// Every connection that a program has or may get, with its clocks: what threads wait for, and both
    /// ends of what stays on this host.
    Every,
}

impl Wanted {
    fn states(self) -> u32 {
        match self {
            Self::CloseWait => CLOSE_WAIT | FIN_WAIT2,
            Self::Unaccepted => CLOSE_WAIT | FIN_WAIT2 | ESTABLISHED | SYN_RECV,
            Self::Rest => ESTABLISHED | SYN_SENT,
            Self::Open | Self::Every => CLOSE_WAIT | FIN_WAIT2 | ESTABLISHED | SYN_SENT,
        }
    }

    /// An accepted and open connection is not suspicious, and there can be very many.
    pub(super) fn keeps(self, state: TcpState, inode: Option<Inode>, listeners: &InodeSet) -> bool {
        match (self, state) {
            (Self::CloseWait | Self::Unaccepted, TcpState::CloseWait)
            | (Self::Rest, TcpState::Established | TcpState::SynSent)
            | (Self::Every, _) => true,
            (Self::Unaccepted, TcpState::Established | TcpState::SynRecv) => {
                inode.is_none_or(|inode| listeners.contains(&inode))
            }
            (Self::CloseWait | Self::Unaccepted, TcpState::FinWait2) | (Self::Open, _) => {
                inode.is_some()
            }
            (Self::CloseWait | Self::Unaccepted | Self::Rest, _) => false,
        }
    }
}

/// What a dump gave, and whether the kernel says that it is consistent.
#[derive(Debug, Default)]
pub struct Dump {
    /// The sockets.
    pub sockets: SocketTable,
    /// Records that did not have the documented form.
    pub malformed: usize,
    /// The kernel reported an interruption (`NLM_F_DUMP_INTR`) at every attempt.
    pub interrupted: bool,
}

impl Dump {
    fn add(&mut self, other: Dump) {
        self.sockets.listeners.extend(other.sockets.listeners);
        self.sockets.connections.extend(other.sockets.connections);
        self.malformed += other.malformed;
        self.interrupted |= other.interrupted;
    }
}

/// Reads the listeners on the given ports.
///
/// # Errors
///
/// When `sock_diag` does not answer.
pub fn read_listeners(
    kernel: &mut dyn Kernel,
    ports: &[PortRange],
) -> Result<(Vec<Listener>, Dump), KernelError> {
    let mut dump = read(kernel, &BOTH, LISTEN, false, ports, &mut |_, _| false)?;
    Ok((std::mem::take(&mut dump.sockets.listeners), dump))
}

/// Reads connections that have one of the given ports on either end.
///
/// A few kernels (6.16.6 to 6.16.8, 6.17-rc5 and rc6) report a connection that was never accepted
/// with the inode of its listener; `listeners` are those inodes.
///
/// # Errors
///
/// When `sock_diag` does not answer.
pub fn read_connections(
    kernel: &mut dyn Kernel,
    wanted: Wanted,
    ports: &[PortRange],
    listeners: &InodeSet,
) -> Result<(Vec<Connection>, Dump), KernelError> {
    let inhabited = BOTH.map(|ipv6| (ipv6, !has_no_tcp_sockets(kernel, ipv6)));
    let families = inhabited.iter().filter(|(_, inhabited)| *inhabited);
    let families: Vec<bool> = families.map(|(ipv6, _)| *ipv6).collect();
    let mut dump = read(
        kernel,
        &families,
        wanted.states(),
        wanted != Wanted::Open,
        ports,
        &mut |state, inode| wanted.keeps(state, inode, listeners),
    )?;
    Ok((std::mem::take(&mut dump.sockets.connections), dump))
}

/// Reads MPTCP connections, of which TCP shows the subflows only: those that the peer has closed,
/// and all others too where some may wait in an accept queue.
///
/// # Errors
///
/// When the kernel has no MPTCP, or does not show it.
pub fn read_mptcp(
    kernel: &mut dyn Kernel,
    wanted: Wanted,
    ports: &[PortRange],
) -> Result<(Vec<Connection>, Dump), KernelError> {
    let states = match wanted {
        Wanted::CloseWait => CLOSE_WAIT,
        Wanted::Unaccepted | Wanted::Open | Wanted::Rest | Wanted::Every => WITH_SUBFLOWS,
    };
    let mut both = Dump::default();
    for ipv6 in BOTH {
        let request = SocketDump {
            protocol: DiagProtocol::Mptcp,
            ipv6,
            states,
            ports: ports.to_vec(),
            // It would be `mptcp_info`, which has no clocks.
            tcp_info: false,
            full_sockets_only: false,
        };
        both.add(read_family(kernel, &request, &mut |_, _| true)?);
    }
    for connection in &mut both.sockets.connections {
        connection.layer = Layer::Mptcp {
            subflows_marked: true,
        };
        // A child has its listener's.
        connection.cookie = None;
    }
    Ok((std::mem::take(&mut both.sockets.connections), both))
}

/// Reads the inodes of all sockets, in any state.
///
/// # Errors
///
/// When `sock_diag` does not answer.
pub fn read_inodes(kernel: &mut dyn Kernel) -> Result<(InodeSet, Dump), KernelError> {
    let mut inodes = InodeSet::default();
    let mut dump = read(kernel, &BOTH, WITH_INODE, false, &[], &mut |_, inode| {
        inodes.extend(inode);
        false
    })?;
    let listeners = std::mem::take(&mut dump.sockets.listeners);
    inodes.extend(listeners.iter().filter_map(|listener| listener.inode));
    Ok((inodes, dump))
}

fn read(
    kernel: &mut dyn Kernel,
    families: &[bool],
    states: u32,
    tcp_info: bool,
    ports: &[PortRange],
    keep: &mut dyn FnMut(TcpState, Option<Inode>) -> bool,
) -> Result<Dump, KernelError> {
    let mut both = Dump::default();
    for ipv6 in families {
        let request = SocketDump {
            protocol: DiagProtocol::Tcp,
            ipv6: *ipv6,
            states,
            ports: ports.to_vec(),
            tcp_info,
            full_sockets_only: states & FIN_WAIT2 != 0,
        };
        let one = match read_family(kernel, &request, keep) {
            // Before Linux 5.8 the kernel knows no such filter; then they are sorted out here.
            Err(error) if error.kind == Kind::NotSupported && request.full_sockets_only => {
                let request = SocketDump {
                    full_sockets_only: false,
                    ..request
                };
                read_family(kernel, &request, keep)?
            }
            read => read?,
        };
        both.add(one);
    }
    Ok(both)
}

fn read_family(
    kernel: &mut dyn Kernel,
    request: &SocketDump,
    keep: &mut dyn FnMut(TcpState, Option<Inode>) -> bool,
) -> Result<Dump, KernelError> {
    let mut attempt = 1;
    loop {
        let dump = read_once(kernel, request, keep)?;
        if !dump.interrupted || attempt == ATTEMPTS {
            return Ok(dump);
        }
        attempt += 1;
    }
}

fn read_once(
    kernel: &mut dyn Kernel,
    request: &SocketDump,
    keep: &mut dyn FnMut(TcpState, Option<Inode>) -> bool,
) -> Result<Dump, KernelError> {
    let mut dump = Dump::default();
    let mut failure = None;
    let mut sink = |bytes: &[u8]| {
        let datagram = decode_datagram(bytes, keep, &mut |socket| match socket {
            Socket::Listener(listener) => dump.sockets.listeners.push(listener),
            Socket::Connection(connection) => dump.sockets.connections.push(connection),
        });
        dump.malformed += datagram.malformed;
        dump.interrupted |= datagram.interrupted;
        match datagram.end {
            None => ControlFlow::Continue(()),
            Some(Ok(())) => ControlFlow::Break(()),
            Some(Err(errno)) => {
                failure = Some(errno);
                ControlFlow::Break(())
            }
        }
    };
    kernel.dump_sockets(request, &mut sink)?;
    if let Some(errno) = failure {
        let error = std::io::Error::from_raw_os_error(errno);
        return Err(KernelError::new("sock_diag", &error));
    }
    // Every range is applied here too: the kernel is not asked to filter very many of them, and a
    // recording may hold more than is asked for.
    retain_ports(&mut dump.sockets, &request.ports);
    Ok(dump)
}

/// Keeps what has one of the given ports on either end; no ports keep all.
pub fn retain_ports(sockets: &mut SocketTable, ports: &[PortRange]) {
    if ports.is_empty() {
        return;
    }
    let wanted = |port: u16| ports.iter().any(|range| range.contains(port));
    sockets
        .listeners
        .retain(|listener| wanted(listener.local.port()));
    sockets
        .connections
        .retain(|connection| wanted(connection.local.port()) || wanted(connection.remote.port()));
}
