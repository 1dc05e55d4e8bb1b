//! Addresses as `ss` and `netstat` print them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::services::port_of;
use super::state::parse_state;

/// An address and a port, of which either may be `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Endpoint {
    /// The address; none for `*`.
    pub host: Option<IpAddr>,
    /// The port; 0 for `*`.
    pub port: u16,
    /// The interface a socket is bound to, which `ss` adds to the address.
    pub interface: Option<String>,
}

impl Endpoint {
    /// The address, where `*` is taken for that of every address of both families.
    pub(super) fn address(&self) -> SocketAddr {
        let every = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        SocketAddr::new(self.host.unwrap_or(every), self.port)
    }
}

/// Reads `127.0.0.1:80`, `[::1]:80`, `::1:80`, `*:80`, `0.0.0.0%lo:80`, `[fe80::1]%eth0:80`, `*:*`.
///
/// A name of a port is read where the services list has it. A name of a host, and what somebody
/// put for a hidden address, is a stand-in that is equal to itself.
pub(super) fn parse_endpoint(text: &str) -> Option<Endpoint> {
    let (host, port) = text.rsplit_once(':')?;
    let port = match port {
        "*" => 0,
        number if number.starts_with(|c: char| c.is_ascii_digit()) => number.parse().ok()?,
        name => port_of(name)?,
    };
    let (host, interface) = match host.split_once('%') {
        // An address may have its scope within the brackets.
        Some((host, interface)) => (host, Some(interface.trim_end_matches(']').to_owned())),
        None => (host, None),
    };
    let host = match host.trim_start_matches('[').trim_end_matches(']') {
        "*" => None,
        address => match address.parse() {
            Ok(address) => Some(address),
            Err(_) => Some(stand_in(address)?),
        },
    };
    Some(Endpoint {
        host,
        port,
        interface,
    })
}

/// Returns an address that stands for a name or a hidden address: one of 0.0.0.0/8, which no host
/// has (RFC 1122, 3.2.1.3).
fn stand_in(name: &str) -> Option<IpAddr> {
    match name {
        "localhost" | "localhost.localdomain" | "localhost4" => {
            return Some(Ipv4Addr::LOCALHOST.into());
        }
        "ip6-localhost" | "localhost6" => return Some(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    // What is made of digits is an address that was cut, unless all are zeros of the same width.
    let is_name = (name.contains(|c: char| c.is_alphabetic() || matches!(c, '*' | '#'))
        || name == "000.000.000.000")
        && name
            .chars()
            .all(|c| c.is_alphanumeric() || "-._<>*#{}$[]".contains(c));
    if !is_name || parse_state(name).is_some() {
        return None;
    }
    // FNV-1a: the same name is the same address in every line, without a list of names.
    let hash = name.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    let low = (hash ^ (hash >> 24)) & 0x00ff_ffff;
    Some(Ipv4Addr::from(low.max(1)).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn address(text: &str) -> String {
        parse_endpoint(text).unwrap().address().to_string()
    }

    #[test]
    fn addresses_of_iproute2_6_1_and_net_tools_2_10() {
        for (text, expected) in [
            ("127.0.0.1:8080", "127.0.0.1:8080"),
            ("127.0.0.1:http-alt", "127.0.0.1:8080"),
            ("0.0.0.0:*", "0.0.0.0:0"),
            ("[::ffff:127.0.0.1]:8081", "[::ffff:127.0.0.1]:8081"),
            ("[::1]:47486", "[::1]:47486"),
            ("*:8081", "[::]:8081"),
            ("*:*", "[::]:0"),
            ("::1:47486", "[::1]:47486"),
            (":::8081", "[::]:8081"),
            (":::*", "[::]:0"),
        ] {
            assert_eq!(address(text), expected, "{text}");
        }
    }

    #[test]
    fn a_hidden_address_is_equal_to_itself() {
        for hidden in ["x.x.x.x:80", "<IP>:80", "#MyIP:80", "web-1.example.org:80"] {
            let read = parse_endpoint(hidden).unwrap();
            assert!(matches!(read.host, Some(IpAddr::V4(address)) if address.octets()[0] == 0));
            assert_eq!(Some(read), parse_endpoint(hidden));
        }
        assert_ne!(parse_endpoint("x.x.x.x:80"), parse_endpoint("y.y.y.y:80"));
        assert_eq!(address("localhost:80"), "127.0.0.1:80");
    }

    #[test]
    fn the_interface_is_taken_off() {
        for text in [
            "127.0.0.1%lo:8082",
            "[fe80::1]%lo:8082",
            "[fe80::1%lo]:8082",
            "*%lo:8082",
        ] {
            assert_eq!(
                parse_endpoint(text).unwrap().interface.as_deref(),
                Some("lo")
            );
        }
    }

    #[test]
    fn names_and_cut_addresses_are_not_read() {
        for text in [
            "127.0.0.1:no-such-service",
            "10.0.0:8080",
            "2001:db8:85a3:1234:8081",
            "8080",
            "",
            ":",
        ] {
            assert_eq!(parse_endpoint(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in any::<String>(), close in "[0-9a-f:.%*\\[\\]]{0,30}") {
            let _ = parse_endpoint(&text);
            let _ = parse_endpoint(&close);
        }
    }
}
