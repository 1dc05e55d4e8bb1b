//! Unix sockets and their peers, over `sock_diag`.

use std::io;

use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, NetlinkBuffer, NetlinkHeader,
    NetlinkMessage, NetlinkPayload, NlasIterator,
};
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::SOCK_DIAG_BY_FAMILY;
use netlink_packet_sock_diag::unix::{ShowFlags, StateFlags, UnixRequest};
use netlink_sys::Socket;

use super::dump::{self, RECEIVE_BYTES};
use crate::collect::kernel::UnixSocket;

/// A host may have many; these are enough to find the one that a thread waits for.
const MOST_SOCKETS: usize = 200_000;

/// `TCP_LISTEN`: unix sockets use the same number.
const LISTEN: u8 = 10;

/// Dumps every unix socket of the network namespace.
pub(super) fn dump() -> io::Result<Vec<UnixSocket>> {
    let socket = dump::open()?;
    socket.send(&request(), 0)?;
    let mut sockets = Vec::new();
    let mut buffer = Vec::with_capacity(RECEIVE_BYTES);
    while sockets.len() < MOST_SOCKETS {
        receive(&socket, &mut buffer)?;
        if decode_unix_datagram(&buffer, &mut sockets)? {
            break;
        }
    }
    Ok(sockets)
}

fn request() -> Vec<u8> {
    let request = UnixRequest {
        state_flags: StateFlags::all(),
        inode: 0,
        show_flags: ShowFlags::NAME | ShowFlags::PEER | ShowFlags::ICONS,
        cookie: [0xff; 8],
    };
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let payload = NetlinkPayload::from(SockDiagMessage::UnixRequest(request));
    let mut message = NetlinkMessage::new(header, payload);
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

fn receive(socket: &Socket, buffer: &mut Vec<u8>) -> io::Result<()> {
    loop {
        buffer.clear();
        match socket.recv(buffer, 0) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            received => return received.map(|_| ()),
        }
    }
}

/// Decodes one datagram of a dump of unix sockets. Returns whether it was the last one.
///
/// # Errors
///
/// When it is no netlink message, or the kernel refuses the request.
pub fn decode_unix_datagram(mut bytes: &[u8], sockets: &mut Vec<UnixSocket>) -> io::Result<bool> {
    while !bytes.is_empty() {
        let message = NetlinkBuffer::new_checked(bytes).map_err(io::Error::other)?;
        match message.message_type() {
            NLMSG_DONE => return Ok(true),
            NLMSG_ERROR => return Err(io::Error::other("the kernel refused the request")),
            SOCK_DIAG_BY_FAMILY => sockets.extend(decode_socket(message.payload())),
            _ => {}
        }
        let aligned = (message.length() as usize).next_multiple_of(4);
        bytes = bytes.get(aligned..).unwrap_or(&[]);
    }
    Ok(false)
}

/// Decodes `struct unix_diag_msg` and its attributes (`linux/unix_diag.h`, since 3.3).
fn decode_socket(payload: &[u8]) -> Option<UnixSocket> {
    let inode = u32::from_ne_bytes(*payload.get(INODE_OFFSET..)?.first_chunk()?);
    let mut socket = UnixSocket {
        inode,
        listens: payload.get(STATE_OFFSET) == Some(&LISTEN),
        ..UnixSocket::default()
    };
    for attribute in NlasIterator::new(payload.get(MESSAGE_BYTES..)?) {
        let attribute = attribute.ok()?;
        let value = attribute.value();
        match attribute.kind() {
            UNIX_DIAG_NAME => socket.name = Some(name(value)),
            UNIX_DIAG_PEER => socket.peer = words(value).next().filter(|inode| *inode != 0),
            UNIX_DIAG_ICONS => socket.waiting = words(value).collect(),
            _ => {}
        }
    }
    Some(socket)
}

/// An abstract name begins with a zero byte, which `ss` shows as `@`; a path may end in one.
fn name(bytes: &[u8]) -> String {
    if let Some((0, name)) = bytes.split_first() {
        return format!("@{}", String::from_utf8_lossy(name));
    }
    let end = bytes.iter().position(|byte| *byte == 0);
    String::from_utf8_lossy(&bytes[..end.unwrap_or(bytes.len())]).into_owned()
}

fn words(bytes: &[u8]) -> impl Iterator<Item = u32> {
    bytes
        .chunks_exact(4)
        .filter_map(|word| Some(u32::from_ne_bytes(*word.first_chunk()?)))
}

const STATE_OFFSET: usize = 2;
const INODE_OFFSET: usize = 4;
const MESSAGE_BYTES: usize = 16;
const UNIX_DIAG_NAME: u16 = 0;
const UNIX_DIAG_PEER: u16 = 2;
const UNIX_DIAG_ICONS: u16 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    /// A stream socket in state 1 with inode 77, and these attributes.
    fn payload(attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut payload = vec![1, 1, 1, 0]; // family AF_UNIX, type SOCK_STREAM, state, pad
        payload.extend(77_u32.to_ne_bytes());
        payload.extend([0; 8]); // cookie
        for (kind, value) in attributes {
            let length = u16::try_from(4 + value.len()).unwrap();
            payload.extend(length.to_ne_bytes());
            payload.extend(kind.to_ne_bytes());
            payload.extend(*value);
            payload.resize(payload.len().next_multiple_of(4), 0);
        }
        payload
    }

    #[test]
    fn a_connected_socket_names_its_peer() {
        let bytes = payload(&[(UNIX_DIAG_PEER, &78_u32.to_ne_bytes())]);
        let socket = decode_socket(&bytes).unwrap();
        assert_eq!(
            (socket.inode, socket.peer, socket.listens),
            (77, Some(78), false)
        );
    }

    #[test]
    fn names_are_read_with_and_without_a_final_zero() {
        for (bytes, expected) in [
            (&b"/run/a.sock\0"[..], "/run/a.sock"),
            (b"/run/a.sock", "/run/a.sock"),
            (b"\0abstract", "@abstract"),
            (b"", ""),
        ] {
            assert_eq!(name(bytes), expected);
        }
    }

    #[test]
    fn who_waits_to_be_accepted_is_listed() {
        let mut bytes = payload(&[(UNIX_DIAG_ICONS, &[1, 0, 0, 0, 2, 0, 0, 0])]);
        bytes[STATE_OFFSET] = LISTEN;
        let socket = decode_socket(&bytes).unwrap();
        assert!(socket.listens);
        assert_eq!(socket.waiting.len(), 2);
    }

    #[test]
    fn a_message_that_is_cut_is_no_socket() {
        let whole = payload(&[(UNIX_DIAG_PEER, &78_u32.to_ne_bytes())]);
        for length in 0..8 {
            assert_eq!(decode_socket(&whole[..length]), None);
        }
    }
}
