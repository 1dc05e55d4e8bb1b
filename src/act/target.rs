//! The listener that is acted upon.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use crate::correlate::Listeners;
use crate::model::{Inode, Listener};

/// How the user names a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListenerChoice {
    /// The one on this port.
    Port(u16),
    /// The one that a connection to this address reaches.
    Address(SocketAddr),
}

impl ListenerChoice {
    /// The port.
    pub fn port(self) -> u16 {
        match self {
            Self::Port(port) => port,
            Self::Address(address) => address.port(),
        }
    }

    /// Returns the choice with `::ffff:a.b.c.d` written as the IPv4 address it is.
    fn canonical(self) -> Self {
        match self {
            Self::Address(address) if address.ip() != address.ip().to_canonical() => {
                Self::Address(SocketAddr::new(address.ip().to_canonical(), address.port()))
            }
            other => other,
        }
    }
}

/// A listener, or several that share one address (`SO_REUSEPORT`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// What it is bound to.
    pub local: SocketAddr,
    /// Where a connection reaches it.
    pub address: SocketAddr,
    /// The interface it is bound to; 0 for none.
    pub interface: u32,
    /// The sockets.
    pub inodes: Vec<Inode>,
}

/// Why no listener was chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetError {
    /// None fits.
    NoListener(ListenerChoice),
    /// Several fit, on these addresses.
    Several(Vec<SocketAddr>),
    /// The address is not one of this host.
    NotLocal(SocketAddr),
    /// It is bound to one interface.
    BoundToInterface(SocketAddr),
}

impl fmt::Display for TargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoListener(ListenerChoice::Port(port)) => write!(
                f,
                "nothing listens on port {port} in this network namespace (see --netns)"
            ),
            Self::NoListener(ListenerChoice::Address(address)) => write!(
                f,
                "nothing listens on {address} in this network namespace (see --netns)"
            ),
            Self::Several(addresses) => {
                let names: Vec<String> = addresses.iter().map(ToString::to_string).collect();
                write!(
                    f,
                    "there are several listeners, name one by its address: {}",
                    names.join(", ")
                )
            }
            Self::NotLocal(address) => write!(
                f,
                "{} is not an address of this network namespace; only local listeners are touched",
                address.ip()
            ),
            Self::BoundToInterface(local) => write!(
                f,
                "the listener {local} is bound to one interface: a connection from this host does not \
                 reach it"
            ),
        }
    }
}

impl std::error::Error for TargetError {}

/// Returns the listener that the user named.
///
/// # Errors
///
/// When no listener fits, or several on different addresses do.
pub fn target(listeners: &[Listener], wanted: ListenerChoice) -> Result<Target, TargetError> {
    let wanted = wanted.canonical();
    let fitting: Vec<&Listener> = match wanted {
        ListenerChoice::Port(port) => {
            let on_port = |listener: &&Listener| listener.local.port() == port;
            listeners.iter().filter(on_port).collect()
        }
        ListenerChoice::Address(address) => {
            let reached = Listeners::new(listeners).reached_by(address);
            reached.into_iter().map(|index| &listeners[index]).collect()
        }
    };
    let first = fitting.first().ok_or(TargetError::NoListener(wanted))?;
    let mut addresses: Vec<SocketAddr> = fitting.iter().map(|one| one.local).collect();
    addresses.sort_unstable();
    addresses.dedup();
    if addresses.len() > 1 {
        return Err(TargetError::Several(addresses));
    }
    let mut address = match wanted {
        ListenerChoice::Address(address) => {
            SocketAddr::new(reachable(address.ip()), address.port())
        }
        ListenerChoice::Port(_) => SocketAddr::new(reachable(first.local.ip()), first.local.port()),
    };
    // Where IPv6 is switched off, a listener on every address is still reached over IPv4.
    if address.ip() == Ipv6Addr::LOCALHOST
        && first.v6_only == Some(false)
        && !is_local(address.ip())
    {
        address.set_ip(Ipv4Addr::LOCALHOST.into());
    }
    Ok(Target {
        local: first.local,
        address,
        interface: first.interface,
        inodes: fitting.iter().filter_map(|one| one.inode).collect(),
    })
}

impl Target {
    /// Checks that a connection from this host reaches it.
    ///
    /// # Errors
    ///
    /// When the address is not one of this host, or the listener is bound to an interface.
    pub fn expect_reachable(&self) -> Result<(), TargetError> {
        if self.interface != 0 {
            return Err(TargetError::BoundToInterface(self.local));
        }
        if !is_local(self.address.ip()) {
            return Err(TargetError::NotLocal(self.address));
        }
        Ok(())
    }
}

/// Returns an address by which a listener is reached: loopback, where it listens on every address.
fn reachable(bound: IpAddr) -> IpAddr {
    match bound {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        other => other.to_canonical(),
    }
}

/// Whether an address is one of this network namespace: only such an address can be bound.
fn is_local(ip: IpAddr) -> bool {
    UdpSocket::bind((ip, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::correlate::fixtures;

    fn listener(local: &str, inode: u32) -> Listener {
        Listener {
            v6_only: Some(false),
            ..fixtures::listener(local, inode)
        }
    }

    fn address(text: &str) -> ListenerChoice {
        ListenerChoice::Address(text.parse().unwrap())
    }

    #[test]
    fn a_port_is_enough_where_one_address_listens_on_it() {
        let all = [listener("0.0.0.0:80", 1), listener("127.0.0.1:8080", 2)];
        let found = target(&all, ListenerChoice::Port(80)).unwrap();
        assert_eq!(found.address, "127.0.0.1:80".parse().unwrap());
        assert_eq!(found.inodes, [Inode::new(1).unwrap()]);
        assert_eq!(
            target(&all, ListenerChoice::Port(81)),
            Err(TargetError::NoListener(ListenerChoice::Port(81)))
        );
    }

    #[test]
    fn listeners_on_one_address_are_one_target() {
        let group = [listener("127.0.0.1:80", 1), listener("127.0.0.1:80", 2)];
        assert_eq!(
            target(&group, ListenerChoice::Port(80))
                .unwrap()
                .inodes
                .len(),
            2
        );
        let apart = [listener("127.0.0.1:80", 1), listener("[::1]:80", 2)];
        let TargetError::Several(addresses) = target(&apart, ListenerChoice::Port(80)).unwrap_err()
        else {
            panic!("they are two")
        };
        assert_eq!(addresses.len(), 2);
    }

    #[test]
    fn an_address_reaches_the_most_specific_listener() {
        let all = [
            listener("[::]:80", 1),
            listener("0.0.0.0:80", 2),
            listener("127.0.0.1:80", 3),
        ];
        let inodes = |wanted| target(&all, wanted).unwrap().inodes;
        assert_eq!(inodes(address("127.0.0.1:80")), [Inode::new(3).unwrap()]);
        assert_eq!(inodes(address("127.0.0.2:80")), [Inode::new(2).unwrap()]);
        assert_eq!(
            target(&all[..1], address("127.0.0.1:80")).unwrap().inodes,
            [Inode::new(1).unwrap()]
        );
    }

    #[test]
    fn a_mapped_address_is_that_of_the_other_family() {
        let all = [listener("[::]:80", 1), listener("0.0.0.0:80", 2)];
        let mapped = address("[::ffff:127.0.0.1]:80");
        let found = target(&all, mapped).unwrap();
        assert_eq!(found.inodes, [Inode::new(2).unwrap()]);
        assert_eq!(found.address, "127.0.0.1:80".parse().unwrap());
        let found = target(&all[..1], mapped).unwrap();
        assert_eq!(found.inodes, [Inode::new(1).unwrap()]);
    }

    #[test]
    fn a_listener_on_every_address_may_be_named_by_that() {
        let all = [listener("0.0.0.0:80", 1), listener("127.0.0.1:80", 2)];
        let found = target(&all, address("0.0.0.0:80")).unwrap();
        assert_eq!(found.inodes, [Inode::new(1).unwrap()]);
        assert_eq!(found.address, "127.0.0.1:80".parse().unwrap());
    }

    #[test]
    fn an_address_of_another_host_is_refused() {
        let all = [listener("0.0.0.0:80", 1)];
        let elsewhere = target(&all, address("198.51.100.7:80")).unwrap();
        assert_eq!(
            elsewhere.expect_reachable(),
            Err(TargetError::NotLocal("198.51.100.7:80".parse().unwrap()))
        );
    }
}
