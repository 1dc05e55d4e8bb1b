//! The listener that is acted upon, and the length of its queue.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use crate::collect::kernel::{Kernel, KernelError};
use crate::collect::sock_diag;
use crate::model::{Inode, Listener};

/// Which listener the user means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// The one on this port.
    Port(u16),
    /// The one that a connection to this address reaches.
    Address(SocketAddr),
}

impl Wanted {
    /// The port.
    pub fn port(self) -> u16 {
        match self {
            Self::Port(port) => port,
            Self::Address(address) => address.port(),
        }
    }

    /// `::ffff:a.b.c.d` is another way to write an IPv4 address.
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

/// Why no listener is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetError {
    /// There is none.
    NoListener(Wanted),
    /// There are several, on these addresses.
    Several(Vec<SocketAddr>),
    /// The address is not one of this host.
    NotLocal(SocketAddr),
    /// It is bound to one interface.
    BoundToInterface(SocketAddr),
}

impl fmt::Display for TargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoListener(Wanted::Port(port)) => write!(
                f,
                "nobody listens on port {port} in this network namespace (see --netns)"
            ),
            Self::NoListener(Wanted::Address(address)) => write!(
                f,
                "nobody listens on {address} in this network namespace (see --netns)"
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
                "{} is no address of this network namespace, and only local listeners are touched",
                address.ip()
            ),
            Self::BoundToInterface(local) => write!(
                f,
                "the listener {local} is bound to one interface: what comes from this host does not \
                 reach it"
            ),
        }
    }
}

impl std::error::Error for TargetError {}

/// Picks the listener that is meant.
///
/// # Errors
///
/// When there is none, or when there are several.
pub fn target(listeners: &[Listener], wanted: Wanted) -> Result<Target, TargetError> {
    let wanted = wanted.canonical();
    let mut fitting: Vec<&Listener> = listeners
        .iter()
        .filter(|listener| listener.local.port() == wanted.port())
        .collect();
    if let Wanted::Address(address) = wanted {
        fitting.retain(|listener| reaches(listener, address));
        // The kernel prefers the most specific one.
        if fitting.iter().any(|one| !one.local.ip().is_unspecified()) {
            fitting.retain(|one| !one.local.ip().is_unspecified());
        } else if fitting
            .iter()
            .any(|one| one.local.is_ipv4() == address.is_ipv4())
        {
            fitting.retain(|one| one.local.is_ipv4() == address.is_ipv4());
        }
    }
    let first = fitting.first().ok_or(TargetError::NoListener(wanted))?;
    let mut addresses: Vec<SocketAddr> = fitting.iter().map(|one| one.local).collect();
    addresses.sort_unstable();
    addresses.dedup();
    if addresses.len() > 1 {
        return Err(TargetError::Several(addresses));
    }
    let mut address = match wanted {
        Wanted::Address(address) => SocketAddr::new(reachable(address.ip()), address.port()),
        Wanted::Port(_) => SocketAddr::new(reachable(first.local.ip()), first.local.port()),
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
    /// Makes sure that a connection from here reaches it.
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

fn reaches(listener: &Listener, address: SocketAddr) -> bool {
    let (bound, wanted) = (listener.local.ip(), address.ip());
    match (bound.is_unspecified(), bound, wanted) {
        (true, IpAddr::V6(_), IpAddr::V4(_)) => listener.v6_only == Some(false),
        (true, bound, wanted) => bound.is_ipv4() == wanted.is_ipv4(),
        (false, bound, wanted) => bound.to_canonical() == wanted.to_canonical(),
    }
}

/// Who listens on every address listens on the loopback one.
fn reachable(bound: IpAddr) -> IpAddr {
    match bound {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        other => other.to_canonical(),
    }
}

/// Only an address of one's own can be bound.
fn is_local(ip: IpAddr) -> bool {
    UdpSocket::bind((ip, 0)).is_ok()
}

/// A queue at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Queue {
    /// How many wait.
    pub length: u32,
    /// How many may, where it is known; the kernel admits one more.
    pub limit: Option<u32>,
}

/// Reads the length of a target's queue: of all its listeners together.
///
/// # Errors
///
/// When `sock_diag` does not answer.
pub(super) fn read_queue(
    kernel: &mut dyn Kernel,
    target: &Target,
) -> Result<Option<Queue>, KernelError> {
    let (listeners, _) = sock_diag::read_listeners(kernel, &[target.local.port().into()])?;
    let mut queue = None;
    for listener in listeners {
        if listener
            .inode
            .is_some_and(|inode| target.inodes.contains(&inode))
        {
            let sum: &mut Queue = queue.get_or_insert_default();
            sum.length += listener.accept_queue_len;
            sum.limit = listener
                .accept_queue_limit
                .copied()
                .map(|limit| sum.limit.unwrap_or(0) + limit);
        }
    }
    Ok(queue)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Reading;

    fn listener(local: &str, inode: u32) -> Listener {
        Listener {
            local: local.parse().unwrap(),
            interface: 0,
            inode: Inode::new(inode),
            accept_queue_len: 0,
            queue_is_shown: true,
            accept_queue_limit: Reading::Known(511),
            v6_only: Some(false),
            cgroup: None,
        }
    }

    fn address(text: &str) -> Wanted {
        Wanted::Address(text.parse().unwrap())
    }

    #[test]
    fn a_port_is_enough_where_one_address_listens_on_it() {
        let all = [listener("0.0.0.0:80", 1), listener("127.0.0.1:8080", 2)];
        let found = target(&all, Wanted::Port(80)).unwrap();
        assert_eq!(found.address, "127.0.0.1:80".parse().unwrap());
        assert_eq!(found.inodes, [Inode::new(1).unwrap()]);
        assert_eq!(
            target(&all, Wanted::Port(81)),
            Err(TargetError::NoListener(Wanted::Port(81)))
        );
    }

    #[test]
    fn listeners_on_one_address_are_one_target() {
        let group = [listener("127.0.0.1:80", 1), listener("127.0.0.1:80", 2)];
        assert_eq!(target(&group, Wanted::Port(80)).unwrap().inodes.len(), 2);
        let apart = [listener("127.0.0.1:80", 1), listener("[::1]:80", 2)];
        let TargetError::Several(addresses) = target(&apart, Wanted::Port(80)).unwrap_err() else {
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
