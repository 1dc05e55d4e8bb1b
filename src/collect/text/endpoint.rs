//! Addresses as `ss` and `netstat` print them.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::services::port_of;

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
/// A name of a port is read where the services list has it; names of hosts are not read.
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
        address => Some(address.parse().ok()?),
    };
    Some(Endpoint {
        host,
        port,
        interface,
    })
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
            "localhost:8080",
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
