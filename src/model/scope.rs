//! What the user asked to look at.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A port, or a range of ports, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct PortRange {
    first: u16,
    last: u16,
}

impl PortRange {
    /// The lowest port of the range.
    pub fn first(self) -> u16 {
        self.first
    }

    /// The highest port of the range.
    pub fn last(self) -> u16 {
        self.last
    }

    /// Returns whether the port lies in the range.
    pub fn contains(self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }

    /// Returns whether every port of `other` lies in the range.
    pub fn covers(self, other: Self) -> bool {
        self.first <= other.first && other.last <= self.last
    }
}

impl From<u16> for PortRange {
    fn from(port: u16) -> Self {
        Self {
            first: port,
            last: port,
        }
    }
}

impl From<PortRange> for String {
    fn from(range: PortRange) -> Self {
        range.to_string()
    }
}

impl TryFrom<String> for PortRange {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl FromStr for PortRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let port = |part: &str| match part.parse::<u16>() {
            Ok(0) | Err(_) => Err(format!("`{part}` is not a port (1-65535)")),
            Ok(port) => Ok(port),
        };
        let (first, last) = match text.split_once('-') {
            Some((first, last)) => (port(first)?, port(last)?),
            None => (port(text)?, port(text)?),
        };
        if first > last {
            return Err(format!("the range `{text}` runs backwards"));
        }
        Ok(Self { first, last })
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

/// What a look is restricted to; empty lists restrict nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    /// Listeners on these ports, and connections with one of them on either end.
    pub ports: Vec<PortRange>,
    /// Of the listeners on the port of one of these, only those that a connection to it reaches; of the
    /// connections, only theirs and those with the address on either end. Their ports are among `ports`.
    pub addresses: Vec<SocketAddr>,
    /// Sockets that one of these processes holds.
    pub pids: Vec<u32>,
    /// Sockets that a process or unit of one of these names holds.
    pub names: Vec<String>,
    /// The network namespace as the user named it; `None` is the caller's own.
    pub netns: Option<String>,
    /// Every network namespace that can be reached, instead of one.
    pub all_netns: bool,
}

impl Scope {
    /// The name that reports use for the caller's namespace.
    pub const CURRENT_NETNS: &str = "current";

    /// Returns whether the port is in scope.
    pub fn has_port(&self, port: u16) -> bool {
        self.ports.is_empty() || self.ports.iter().any(|range| range.contains(port))
    }

    /// Returns whether a listener is in scope.
    pub fn has_listener(&self, local: SocketAddr) -> bool {
        self.has_port(local.port())
            && self.narrows(local.port(), |asked| {
                local.ip().is_unspecified() || is_same(local, asked)
            })
    }

    /// Returns whether an address is in scope as one end of a connection.
    pub fn has_end(&self, end: SocketAddr) -> bool {
        self.has_port(end.port())
            && self.narrows(end.port(), |asked| {
                asked.ip().is_unspecified() || is_same(end, asked)
            })
    }

    /// Returns whether sockets are selected by the processes that hold them.
    pub fn selects_holders(&self) -> bool {
        !self.pids.is_empty() || !self.names.is_empty()
    }

    /// Returns whether one of the addresses on a port fits, or there is none.
    fn narrows(&self, port: u16, fits: impl Fn(SocketAddr) -> bool) -> bool {
        let mut asked = self
            .addresses
            .iter()
            .filter(|one| one.port() == port)
            .peekable();
        asked.peek().is_none() || asked.any(|one| fits(*one))
    }

    /// The network namespace by the name that reports use.
    pub fn netns_name(&self) -> &str {
        if self.all_netns {
            return "all";
        }
        self.netns.as_deref().unwrap_or(Self::CURRENT_NETNS)
    }
}

/// Returns whether two addresses are the same, written as IPv4 or as IPv6.
fn is_same(one: SocketAddr, other: SocketAddr) -> bool {
    one.port() == other.port() && one.ip().to_canonical() == other.ip().to_canonical()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_and_a_range_are_read_and_printed_alike() {
        for text in ["8080", "8000-8099"] {
            assert_eq!(text.parse::<PortRange>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_port_is_refused() {
        for text in ["", "0", "65536", "8099-8000", "80-", "-80", "http", "1-2-3"] {
            assert!(text.parse::<PortRange>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_address_narrows_its_own_port_only() {
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        let scope = Scope {
            ports: vec![8080.into(), 9000.into()],
            addresses: vec![address("10.0.0.5:8080")],
            ..Scope::default()
        };
        for listener in [
            "10.0.0.5:8080",
            "[::ffff:10.0.0.5]:8080",
            "0.0.0.0:8080",
            "127.0.0.1:9000",
        ] {
            assert!(scope.has_listener(address(listener)), "{listener}");
        }
        for listener in ["127.0.0.1:8080", "10.0.0.5:80"] {
            assert!(!scope.has_listener(address(listener)), "{listener}");
        }
        assert!(scope.has_end(address("10.0.0.5:8080")) && scope.has_end(address("10.0.0.9:9000")));
        assert!(!scope.has_end(address("10.0.0.6:8080")));
    }

    #[test]
    fn both_ends_of_a_range_belong_to_it() {
        let range: PortRange = "8000-8099".parse().unwrap();
        assert!(range.contains(8000) && range.contains(8099));
        assert!(!range.contains(7999) && !range.contains(8100));
    }
}
