//! Socket dumps over the netlink interface `sock_diag`.

use std::io;
use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::time::Duration;

use netlink_packet_core::{
    DefaultNla, Emitable, NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
    NetlinkSerializable,
};
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP, SOCK_DIAG_BY_FAMILY};
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, SocketId, StateFlags};
use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use netlink_sys::{Socket, SocketAddr};
use rustix::net::sockopt::{Timeout, set_socket_timeout};

use super::filter;
use crate::collect::kernel::{DiagProtocol, SocketDump};

/// The kernel never fills more than 32 KiB of a dump at once, but remembers the largest buffer it
/// was offered; one size for all reads avoids truncation, and 64 KiB pages need the larger one.
pub(super) const RECEIVE_BYTES: usize = 64 * 1024;

/// How long a dump may stay silent before it is given up.
const SILENCE: Duration = Duration::from_secs(5);

/// `INET_DIAG_REQ_BYTECODE` of `linux/inet_diag.h`, not among the crate's constants.
const INET_DIAG_REQ_BYTECODE: u16 = 1;

/// Nor is `INET_DIAG_REQ_PROTOCOL`, which takes the protocol's number where a byte is too small for
/// it. An older kernel overlooks it, and the byte then asks for raw sockets.
const INET_DIAG_REQ_PROTOCOL: u16 = 3;
const IPPROTO_IN_ATTRIBUTE: u8 = 255;
const IPPROTO_MPTCP: u32 = 262;

/// Opens a socket for dumps. It stays in the network namespace in which it was opened.
pub(super) fn open() -> io::Result<Socket> {
    let mut socket = Socket::new(NETLINK_SOCK_DIAG)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    set_socket_timeout(socket.as_fd(), Timeout::Recv, Some(SILENCE))?;
    Ok(socket)
}

/// A dump request with attributes, for which the packet crate has no field.
struct ExtendedRequest {
    request: InetRequest,
    attributes: Vec<DefaultNla>,
}

impl NetlinkSerializable for ExtendedRequest {
    fn message_type(&self) -> u16 {
        SOCK_DIAG_BY_FAMILY
    }

    fn buffer_len(&self) -> usize {
        self.request.buffer_len() + self.attributes.as_slice().buffer_len()
    }

    fn serialize(&self, buffer: &mut [u8]) {
        let (request, attributes) = buffer.split_at_mut(self.request.buffer_len());
        self.request.emit(request);
        self.attributes.as_slice().emit(attributes);
    }
}

fn encode(dump: &SocketDump) -> Vec<u8> {
    let filter = filter::bytecode(&dump.ports, dump.full_sockets_only);
    let protocol = (dump.protocol == DiagProtocol::Mptcp).then(|| {
        let number = IPPROTO_MPTCP.to_ne_bytes().to_vec();
        DefaultNla::new(INET_DIAG_REQ_PROTOCOL, number)
    });
    let request = ExtendedRequest {
        request: InetRequest {
            family: if dump.ipv6 { AF_INET6 } else { AF_INET },
            protocol: match dump.protocol {
                DiagProtocol::Tcp => IPPROTO_TCP,
                DiagProtocol::Mptcp => IPPROTO_IN_ATTRIBUTE,
            },
            extensions: if dump.tcp_info {
                ExtensionFlags::INFO
            } else {
                ExtensionFlags::empty()
            },
            states: StateFlags::from_bits_retain(dump.states),
            socket_id: SocketId::new_v4(),
        },
        attributes: filter
            .map(|code| DefaultNla::new(INET_DIAG_REQ_BYTECODE, code))
            .into_iter()
            .chain(protocol)
            .collect(),
    };
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let mut message = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(request));
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

/// Asks, and hands each datagram of the answer to the sink, which says when it has seen the end.
pub(super) fn dump(
    socket: &Socket,
    request: &SocketDump,
    sink: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
) -> io::Result<()> {
    socket.send(&encode(request), 0)?;
    let mut buffer = Vec::with_capacity(RECEIVE_BYTES);
    loop {
        buffer.clear();
        let length = match socket.recv(&mut buffer, MSG_TRUNC) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            received => received?,
        };
        if length > buffer.len() {
            return Err(io::Error::other(format!(
                "a datagram of {length} bytes does not fit the buffer"
            )));
        }
        if sink(&buffer).is_break() {
            return Ok(());
        }
    }
}

/// `MSG_TRUNC`: the true length of a datagram that did not fit is returned (`recv(2)`).
const MSG_TRUNC: i32 = 0x20;

#[cfg(test)]
mod tests {
    use super::*;

    fn request(protocol: DiagProtocol) -> Vec<u8> {
        encode(&SocketDump {
            protocol,
            ipv6: false,
            states: 1 << 8,
            ports: Vec::new(),
            tcp_info: false,
            full_sockets_only: false,
        })
    }

    #[test]
    fn mptcp_is_asked_for_as_ss_does() {
        let tcp = request(DiagProtocol::Tcp);
        let mptcp = request(DiagProtocol::Mptcp);
        // sdiag_protocol follows the message's header of 16 bytes and sdiag_family.
        assert_eq!((tcp[17], mptcp[17]), (6, 255));
        let mut attribute = vec![8, 0, 3, 0]; // length, INET_DIAG_REQ_PROTOCOL
        attribute.extend(262_u32.to_ne_bytes());
        assert_eq!(mptcp[tcp.len()..], attribute);
        assert_eq!(usize::from(mptcp[0]), mptcp.len());
    }
}
