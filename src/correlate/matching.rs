//! Which listeners a connection can have come in through.

use std::net::{IpAddr, SocketAddr};

use rustc_hash::FxHashMap;

use crate::model::{Connection, Listener};

/// Listeners by port, for finding those of a connection.
pub struct Listeners<'a> {
    all: &'a [Listener],
    by_port: FxHashMap<u16, Vec<usize>>,
}

impl<'a> Listeners<'a> {
    /// Sorts listeners by their ports.
    pub fn new(all: &'a [Listener]) -> Self {
        let mut by_port: FxHashMap<u16, Vec<usize>> = FxHashMap::default();
        for (index, listener) in all.iter().enumerate() {
            by_port
                .entry(listener.local.port())
                .or_default()
                .push(index);
        }
        Self { all, by_port }
    }

    /// Returns whether a connection can have come in through one of them.
    pub fn explain(&self, connection: &Connection) -> bool {
        self.fitting(connection).next().is_some()
    }

    /// Returns the listeners from which the kernel chooses for a connection to this address: one,
    /// or the members of an `SO_REUSEPORT` group, or none where it was redirected here.
    ///
    /// An exact address goes before a wildcard address, and among equals a listener that is bound to
    /// the interface goes first.
    pub fn of(&self, connection: &Connection) -> Vec<usize> {
        let mut best = Vec::new();
        let mut best_score = None;
        for (index, score) in self.fitting(connection) {
            if best_score < Some(score) {
                best.clear();
                best_score = Some(score);
            }
            if best_score == Some(score) {
                best.push(index);
            }
        }
        best
    }

    /// The listeners that a new connection to this address reaches: one, or several that share the
    /// address. An IPv4 address also reaches an IPv6 listener that takes IPv4 clients.
    ///
    /// The kernel prefers the exact address, and then the listener of the same address family. One
    /// that is bound to an interface comes last: the interface of a new connection is not known.
    pub fn reached_by(&self, address: SocketAddr) -> Vec<usize> {
        let ip = address.ip().to_canonical();
        let on_port = self.by_port.get(&address.port()).into_iter().flatten();
        let scored = on_port.filter_map(|index| {
            let listener = &self.all[*index];
            let bound = listener.local.ip();
            let exact = bound.to_canonical() == ip;
            let reaches = exact || takes(listener, ip);
            let free = listener.interface == 0;
            reaches.then_some(((exact, free, bound.is_ipv4() == ip.is_ipv4()), *index))
        });
        let mut found: Vec<((bool, bool, bool), usize)> = scored.collect();
        let best = found.iter().map(|(score, _)| *score).max();
        found.retain(|(score, _)| Some(*score) == best);
        found.into_iter().map(|(_, index)| index).collect()
    }

    /// The listeners that would take a connection to this address, and how closely each fits.
    fn fitting(&self, connection: &Connection) -> impl Iterator<Item = (usize, (bool, bool))> {
        let (local, interface) = (connection.local, connection.interface);
        let on_port = self.by_port.get(&local.port());
        on_port
            .into_iter()
            .flatten()
            .filter_map(move |index| Some((*index, score(&self.all[*index], local, interface)?)))
    }
}

/// How closely a listener fits a local address: an exact address, then an exact interface.
fn score(listener: &Listener, local: SocketAddr, interface: u32) -> Option<(bool, bool)> {
    if listener.interface != 0 && listener.interface != interface {
        return None;
    }
    let exact = listener.local.ip() == local.ip();
    if !exact && !accepts_any(listener, local.ip()) {
        return None;
    }
    Some((exact, listener.interface != 0))
}

/// Whether a listener on every address takes a connection to this one.
fn takes(listener: &Listener, ip: IpAddr) -> bool {
    let mapped = match ip {
        IpAddr::V4(ip) if listener.local.is_ipv6() => ip.to_ipv6_mapped().into(),
        other => other,
    };
    accepts_any(listener, mapped)
}

/// Whether two addresses are the same. The client of a dual-stack listener shows as
/// `::ffff:a.b.c.d`.
pub fn same_address(one: SocketAddr, other: SocketAddr) -> bool {
    one.port() == other.port() && one.ip().to_canonical() == other.ip().to_canonical()
}

fn accepts_any(listener: &Listener, address: IpAddr) -> bool {
    match (listener.local.ip(), address) {
        (IpAddr::V4(any), IpAddr::V4(_)) => any.is_unspecified(),
        // An IPv4 client of an IPv6 listener is an IPv6 socket with a mapped address.
        (IpAddr::V6(any), IpAddr::V6(address)) => {
            let mapped = address.to_ipv4_mapped().is_some();
            any.is_unspecified() && !(mapped && listener.v6_only == Some(true))
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::correlate::fixtures;

    fn matched(listeners: &[Listener], local: &str, interface: u32) -> Vec<usize> {
        let mut connection = fixtures::waiting_connection(1);
        connection.local = local.parse().unwrap();
        connection.interface = interface;
        Listeners::new(listeners).of(&connection)
    }

    fn listener(local: &str) -> Listener {
        fixtures::listener(local, 1)
    }

    #[test]
    fn a_specific_address_goes_before_the_wildcard() {
        let all = [listener("0.0.0.0:80"), listener("127.0.0.2:80")];
        assert_eq!(matched(&all, "127.0.0.2:80", 0), [1]);
        assert_eq!(matched(&all, "127.0.0.1:80", 0), [0]);
    }

    #[test]
    fn an_ipv4_client_reaches_a_dual_stack_listener_as_a_mapped_address() {
        let mut only_v6 = listener("[::]:80");
        only_v6.v6_only = Some(true);
        let all = [listener("0.0.0.0:80"), only_v6, listener("[::]:80")];
        assert_eq!(matched(&all, "[::ffff:127.0.0.1]:80", 0), [2]);
        assert_eq!(matched(&all, "127.0.0.1:80", 0), [0]);
        assert_eq!(matched(&all, "[::1]:80", 0), [1, 2]);
    }

    #[test]
    fn a_listener_bound_to_an_interface_takes_only_what_comes_in_there() {
        let mut bound = listener("0.0.0.0:80");
        bound.interface = 7;
        let all = [listener("0.0.0.0:80"), bound];
        assert_eq!(matched(&all, "10.0.0.1:80", 7), [1]);
        assert_eq!(matched(&all, "10.0.0.1:80", 8), [0]);
    }

    #[test]
    fn members_of_a_reuseport_group_fit_equally() {
        let all = [listener("0.0.0.0:80"), listener("0.0.0.0:80")];
        assert_eq!(matched(&all, "10.0.0.1:80", 0), [0, 1]);
    }

    #[test]
    fn a_redirected_connection_fits_none() {
        assert!(matched(&[listener("0.0.0.0:6211")], "10.0.0.1:6210", 0).is_empty());
    }
}
