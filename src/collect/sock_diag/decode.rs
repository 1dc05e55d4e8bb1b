//! Netlink datagrams to sockets; pure.
//!
//! Framing, the message header and the attribute iterator are the packet crates'. Attribute
//! values are read in place: the crates' own decoding allocates some ten times a socket, and
//! fails the whole message where a `tcp_info` is shorter than the one it knows.

use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::time::Duration;

use netlink_packet_core::{
    NLM_F_DUMP_INTR, NLMSG_DONE, NLMSG_ERROR, NetlinkBuffer, NlasIterator, Parseable,
};
use netlink_packet_sock_diag::constants::{
    INET_DIAG_INFO, INET_DIAG_SHUTDOWN, INET_DIAG_SKV6ONLY, SOCK_DIAG_BY_FAMILY,
};
use netlink_packet_sock_diag::inet::{InetResponseHeader, Timer as WireTimer};

use super::tcp_info;
use crate::model::{
    Connection, Inode, Layer, Listener, Reading, TcpAges, TcpState, Timer, Traffic,
};

/// Attributes of `linux/inet_diag.h` that the packet crate has no constant for.
const INET_DIAG_ULP_INFO: u16 = 19;
const INET_DIAG_CGROUP_ID: u16 = 21;
/// Within `INET_DIAG_ULP_INFO`: the protocol's name.
const INET_ULP_INFO_NAME: u16 = 1;

/// Length of `struct inet_diag_msg`, after which the attributes begin.
const MESSAGE_BYTES: usize = 72;
/// Offset of `idiag_expires` in it; the crate drops the value for a `TIME_WAIT` timer.
const EXPIRES_OFFSET: usize = 52;

/// A decoded socket.
#[derive(Debug)]
pub enum Socket {
    /// It listens.
    Listener(Listener),
    /// It is, or was, connected.
    Connection(Connection),
}

/// What a datagram said apart from its sockets.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Datagram {
    /// The dump is over: well, or with an `errno`.
    pub end: Option<Result<(), i32>>,
    /// The kernel says that the dump is inconsistent.
    pub interrupted: bool,
    /// Records that did not have the documented form.
    pub malformed: usize,
}

/// Decodes every message of one datagram.
///
/// `keep` is asked for each connection with its state and inode, before its attributes are read;
/// every listener is kept.
pub fn decode_datagram(
    mut bytes: &[u8],
    keep: &mut dyn FnMut(TcpState, Option<Inode>) -> bool,
    sink: &mut dyn FnMut(Socket),
) -> Datagram {
    let mut datagram = Datagram::default();
    while !bytes.is_empty() {
        let Ok(message) = NetlinkBuffer::new_checked(bytes) else {
            datagram.malformed += 1;
            break;
        };
        let length = message.length() as usize;
        datagram.interrupted |= message.flags() & NLM_F_DUMP_INTR != 0;
        match message.message_type() {
            // A finished dump can carry a failure too: an unknown protocol, for example.
            NLMSG_DONE | NLMSG_ERROR => {
                datagram.end = Some(decode_status(message.payload()));
                break;
            }
            SOCK_DIAG_BY_FAMILY => match decode_socket(message.payload(), keep) {
                Some(Decoded::Kept(socket)) => sink(socket),
                Some(Decoded::PassedOver) => {}
                None => datagram.malformed += 1,
            },
            _ => {}
        }
        let aligned = length.next_multiple_of(4).min(bytes.len());
        bytes = &bytes[aligned..];
    }
    datagram
}

/// The first word of a `DONE` or `ERROR` message is 0 or a negative `errno`. A `DONE` of old
/// kernels may have none.
fn decode_status(payload: &[u8]) -> Result<(), i32> {
    match payload.first_chunk().map(|word| i32::from_ne_bytes(*word)) {
        None | Some(0) => Ok(()),
        Some(code) => Err(code.saturating_neg()),
    }
}

enum Decoded {
    Kept(Socket),
    PassedOver,
}

fn decode_socket(
    payload: &[u8],
    keep: &mut dyn FnMut(TcpState, Option<Inode>) -> bool,
) -> Option<Decoded> {
    let header = InetResponseHeader::parse(payload).ok()?;
    let state = TcpState::from_number(header.state);
    let inode = Inode::new(header.inode);
    if state != TcpState::Listen && !keep(state, inode) {
        return Some(Decoded::PassedOver);
    }
    let attributes = decode_attributes(payload.get(MESSAGE_BYTES..)?)?;
    let local = SocketAddr::new(
        header.socket_id.source_address,
        header.socket_id.source_port,
    );
    if state == TcpState::Listen {
        return Some(Decoded::Kept(Socket::Listener(Listener {
            local,
            interface: header.socket_id.interface_id,
            inode,
            accept_queue_len: header.recv_queue,
            queue_is_shown: true,
            accept_queue_limit: Reading::Known(header.send_queue),
            v6_only: attributes.v6_only,
            cgroup: attributes.cgroup,
        })));
    }
    // A half-open request is not in the accept queue, unlike a TCP Fast Open child; only the
    // child, a full socket, is reported with its shutdown state.
    if state == TcpState::SynRecv && !attributes.full_socket {
        return Some(Decoded::PassedOver);
    }
    Some(Decoded::Kept(Socket::Connection(Connection {
        state,
        local,
        remote: SocketAddr::new(
            header.socket_id.destination_address,
            header.socket_id.destination_port,
        ),
        interface: header.socket_id.interface_id,
        inode,
        cookie: NonZeroU64::new(u64::from_ne_bytes(header.socket_id.cookie)),
        recv_q: header.recv_queue,
        send_q: header.send_queue,
        queues_are_shown: true,
        timer: Reading::Known(decode_timer(header.timer.as_ref(), payload)?),
        // Before the handshake is over the clocks count from the machine's start.
        ages: attributes.ages.filter(|_| state != TcpState::SynRecv),
        traffic: attributes.traffic,
        cgroup: attributes.cgroup,
        layer: if attributes.mptcp {
            Layer::Subflow
        } else {
            Layer::Tcp
        },
    })))
}

fn decode_timer(timer: Option<&WireTimer>, payload: &[u8]) -> Option<Timer> {
    Some(match timer {
        None => Timer::Off,
        Some(WireTimer::Retransmit(..)) => Timer::Retransmit,
        Some(WireTimer::KeepAlive(left)) => Timer::KeepAlive(*left),
        Some(WireTimer::Probe(_)) => Timer::ZeroWindowProbe,
        Some(WireTimer::TimeWait) => {
            let expires = payload.get(EXPIRES_OFFSET..)?.first_chunk()?;
            Timer::TimeWait(Duration::from_millis(u32::from_ne_bytes(*expires).into()))
        }
    })
}

#[derive(Default)]
struct Attributes {
    ages: Option<TcpAges>,
    traffic: Option<Traffic>,
    v6_only: Option<bool>,
    cgroup: Option<NonZeroU64>,
    mptcp: bool,
    full_socket: bool,
}

fn decode_attributes(bytes: &[u8]) -> Option<Attributes> {
    let mut attributes = Attributes::default();
    for attribute in NlasIterator::new(bytes) {
        let attribute = attribute.ok()?;
        let value = attribute.value();
        match attribute.kind() {
            INET_DIAG_INFO => {
                attributes.ages = tcp_info::decode_ages(value);
                attributes.traffic = tcp_info::decode_traffic(value);
            }
            INET_DIAG_SHUTDOWN => attributes.full_socket = true,
            INET_DIAG_SKV6ONLY => attributes.v6_only = value.first().map(|flag| *flag != 0),
            INET_DIAG_CGROUP_ID => {
                let id = value.first_chunk().map(|id| u64::from_ne_bytes(*id));
                attributes.cgroup = id.and_then(NonZeroU64::new);
            }
            INET_DIAG_ULP_INFO => attributes.mptcp = is_mptcp(value),
            _ => {}
        }
    }
    Some(attributes)
}

fn is_mptcp(ulp_info: &[u8]) -> bool {
    NlasIterator::new(ulp_info)
        .filter_map(Result::ok)
        .any(|attribute| {
            attribute.kind() == INET_ULP_INFO_NAME && attribute.value().starts_with(b"mptcp")
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A CLOSE_WAIT connection as `linux/inet_diag.h` lays it out, with a 4-byte attribute.
    fn close_wait_message() -> Vec<u8> {
        let mut payload = vec![2, 8, 0, 0]; // idiag_family AF_INET, idiag_state, _timer, _retrans
        payload.extend(8080_u16.to_be_bytes()); // id.idiag_sport
        payload.extend(51004_u16.to_be_bytes()); // id.idiag_dport
        payload.extend([127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]); // id.idiag_src
        payload.extend([127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]); // id.idiag_dst
        payload.extend(0_u32.to_ne_bytes()); // id.idiag_if
        payload.extend(77_u64.to_ne_bytes()); // id.idiag_cookie
        payload.extend(0_u32.to_ne_bytes()); // idiag_expires
        payload.extend(46_u32.to_ne_bytes()); // idiag_rqueue
        payload.extend(0_u32.to_ne_bytes()); // idiag_wqueue
        payload.extend(0_u32.to_ne_bytes()); // idiag_uid
        payload.extend(0_u32.to_ne_bytes()); // idiag_inode
        payload.extend([5, 0, 8, 0, 1, 0, 0, 0]); // INET_DIAG_SHUTDOWN = RCV
        message(SOCK_DIAG_BY_FAMILY, &payload)
    }

    fn message(kind: u16, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(16 + payload.len()).unwrap();
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend([2, 0]); // NLM_F_MULTI
        bytes.extend([0; 8]); // sequence, port
        bytes.extend(payload);
        bytes
    }

    fn decode(bytes: &[u8]) -> (Vec<Socket>, Datagram) {
        let mut sockets = Vec::new();
        let datagram = decode_datagram(bytes, &mut |_, _| true, &mut |socket| sockets.push(socket));
        (sockets, datagram)
    }

    #[test]
    fn a_never_accepted_close_wait_connection_has_no_inode() {
        let (sockets, datagram) = decode(&close_wait_message());
        let [Socket::Connection(connection)] = &sockets[..] else {
            panic!("one connection expected, got {sockets:?}");
        };
        assert_eq!(connection.state, TcpState::CloseWait);
        assert_eq!(connection.local, "127.0.0.1:8080".parse().unwrap());
        assert_eq!(connection.remote, "127.0.0.1:51004".parse().unwrap());
        assert_eq!(connection.inode, None);
        assert_eq!(connection.recv_q, 46);
        assert_eq!(connection.cookie, NonZeroU64::new(77));
        assert_eq!(connection.ages, None);
        assert_eq!(datagram, Datagram::default());
    }

    /// The same with `INET_DIAG_ULP_INFO`, as `ss -ti` shows `tcp-ulp-mptcp`.
    fn subflow_message() -> Vec<u8> {
        let mut bytes = close_wait_message()[16..].to_vec();
        bytes.extend([16, 0, 19, 0x80]); // INET_DIAG_ULP_INFO, NLA_F_NESTED
        bytes.extend([10, 0, 1, 0]); // INET_ULP_INFO_NAME
        bytes.extend(b"mptcp\0\0\0"); // and two bytes of padding
        message(SOCK_DIAG_BY_FAMILY, &bytes)
    }

    fn layer(bytes: &[u8]) -> Option<Layer> {
        let (sockets, _) = decode(bytes);
        sockets.iter().find_map(|socket| match socket {
            Socket::Connection(connection) => Some(connection.layer),
            Socket::Listener(_) => None,
        })
    }

    #[test]
    fn a_subflow_is_known_by_the_name_of_its_upper_layer() {
        assert_eq!(layer(&subflow_message()), Some(Layer::Subflow));
        assert_eq!(layer(&close_wait_message()), Some(Layer::Tcp));
    }

    #[test]
    fn a_subflow_whose_attributes_were_cut_is_malformed_or_unmarked() {
        let whole = subflow_message();
        for length in 0..whole.len() {
            let mut cut = whole[..length].to_vec();
            if let Some(header) = cut.first_chunk_mut() {
                *header = u32::try_from(length).unwrap().to_ne_bytes();
            }
            let name_is_there = length >= whole.len() - 3;
            assert!(
                name_is_there || layer(&cut) != Some(Layer::Subflow),
                "{length}"
            );
        }
    }

    #[test]
    fn a_failure_in_the_done_message_is_a_failure() {
        let done = message(NLMSG_DONE, &(-2_i32).to_ne_bytes());
        assert_eq!(decode(&done).1.end, Some(Err(2)));
        let done = message(NLMSG_DONE, &0_i32.to_ne_bytes());
        assert_eq!(decode(&done).1.end, Some(Ok(())));
    }

    #[test]
    fn a_truncated_record_is_counted_and_the_ones_before_it_are_kept() {
        let mut bytes = close_wait_message();
        bytes.extend(&close_wait_message()[..40]);
        let (sockets, datagram) = decode(&bytes);
        assert_eq!(sockets.len(), 1);
        assert_eq!(datagram.malformed, 1);
    }

    #[test]
    fn an_interrupted_dump_is_noticed() {
        let mut bytes = close_wait_message();
        bytes[6] |= u8::try_from(NLM_F_DUMP_INTR).unwrap();
        assert!(decode(&bytes).1.interrupted);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            decode(&bytes);
        }

        #[test]
        fn mutated_messages_never_panic(
            changes in proptest::collection::vec((0_usize..96, any::<u8>()), 1..8),
            cut in 0_usize..97,
        ) {
            let mut bytes = close_wait_message();
            for (place, value) in changes {
                bytes[place] = value;
            }
            bytes.truncate(cut);
            decode(&bytes);
        }
    }
}
