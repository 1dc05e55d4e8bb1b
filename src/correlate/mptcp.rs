//! MPTCP connections and the TCP sockets that carry them.
//!
//! A program has the MPTCP connection, and the kernel its subflows. When the peer closes, only the
//! MPTCP connection becomes `CLOSE_WAIT`; its subflows stay ESTABLISHED. So the connection stands
//! for all of them.

use std::collections::HashMap;
use std::net::SocketAddr;

use crate::model::{Connection, Layer, TcpState};

/// Puts MPTCP connections in the place of their subflows.
///
/// A subflow is known by its mark. Some kernels show that to administrators only; then the first
/// one is known by its addresses, which are the connection's, and one that was joined later is not
/// known at all.
pub fn join_subflows(tcp: Vec<Connection>, mut mptcp: Vec<Connection>) -> Vec<Connection> {
    let by_addresses: HashMap<Addresses, usize> = mptcp
        .iter()
        .enumerate()
        .map(|(index, connection)| (addresses(connection), index))
        .collect();
    let mut joined = Vec::with_capacity(tcp.len());
    for connection in tcp {
        match by_addresses.get(&addresses(&connection)) {
            Some(index) => adopt(&mut mptcp[*index], &connection),
            None if connection.layer == Layer::Subflow => {}
            None => joined.push(connection),
        }
    }
    joined.extend(mptcp.into_iter().filter(is_wanted));
    joined
}

type Addresses = (SocketAddr, SocketAddr, u32);

fn addresses(connection: &Connection) -> Addresses {
    (connection.local, connection.remote, connection.interface)
}

/// What a connection takes from its first subflow.
///
/// Before `accept` nothing is sent, so the clock of sent data shows how long it waits. It does not show when
/// the peer closed: the end may have come over another subflow.
fn adopt(connection: &mut Connection, subflow: &Connection) {
    connection.layer = Layer::Mptcp {
        subflows_marked: subflow.layer == Layer::Subflow,
    };
    if connection.inode.is_none() {
        connection.ages = subflow.ages;
    }
}

/// Closed by the peer, or waiting to be accepted.
fn is_wanted(connection: &Connection) -> bool {
    match connection.state {
        TcpState::CloseWait => true,
        TcpState::Established => connection.inode.is_none(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::correlate::fixtures::waiting_connection;
    use crate::model::Inode;

    fn subflow(remote: &str, layer: Layer) -> Connection {
        Connection {
            state: TcpState::Established,
            remote: remote.parse().unwrap(),
            layer,
            ..waiting_connection(5000)
        }
    }

    fn mptcp(remote: &str, inode: u32, state: TcpState) -> Connection {
        Connection {
            state,
            inode: Inode::new(inode),
            ages: None,
            layer: Layer::Mptcp {
                subflows_marked: true,
            },
            ..subflow(remote, Layer::Tcp)
        }
    }

    #[test]
    fn a_waiting_connection_stands_for_all_its_subflows_and_has_the_clock_of_the_first() {
        let tcp = vec![
            subflow("127.0.0.1:5001", Layer::Subflow),
            subflow("127.0.0.2:5002", Layer::Subflow),
            subflow("127.0.0.1:5003", Layer::Tcp),
        ];
        let above = vec![mptcp("127.0.0.1:5001", 0, TcpState::CloseWait)];
        let joined = join_subflows(tcp, above);
        let remotes: Vec<u16> = joined.iter().map(|c| c.remote.port()).collect();
        assert_eq!(remotes, [5003, 5001]);
        assert!(joined[1].ages.is_some());
        let marked = Layer::Mptcp {
            subflows_marked: true,
        };
        assert_eq!(joined[1].layer, marked);
    }

    #[test]
    fn an_unmarked_first_subflow_is_known_by_its_addresses() {
        let tcp = vec![subflow("127.0.0.1:5001", Layer::Tcp)];
        let above = vec![mptcp("127.0.0.1:5001", 0, TcpState::Established)];
        let joined = join_subflows(tcp, above);
        assert_eq!(joined.len(), 1);
        let unmarked = Layer::Mptcp {
            subflows_marked: false,
        };
        assert_eq!(joined[0].layer, unmarked);
    }

    #[test]
    fn of_accepted_ones_only_those_closed_by_the_peer_are_kept_and_without_a_clock() {
        let tcp = vec![subflow("127.0.0.1:5001", Layer::Subflow)];
        let above = vec![
            mptcp("127.0.0.1:5001", 7, TcpState::CloseWait),
            mptcp("127.0.0.1:5002", 8, TcpState::Established),
            mptcp("127.0.0.1:5003", 9, TcpState::FinWait2),
        ];
        let joined = join_subflows(tcp, above);
        let [kept] = &joined[..] else {
            panic!("one connection expected, got {joined:?}");
        };
        assert_eq!(kept.inode, Inode::new(7));
        assert_eq!(kept.ages, None);
    }
}
