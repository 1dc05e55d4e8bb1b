//! What to look at, as people write it: a port, an address with a port, the name of a process or unit.

use std::net::SocketAddr;
use std::str::FromStr;

use crate::model::PortRange;

/// One word that says what to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// `8080`, `:8080`, `8000-8099`, `*:8080`.
    Port(PortRange),
    /// `10.0.0.5:8080`, `[::1]:443`.
    Address(SocketAddr),
    /// `nginx`, `nginx.service`.
    Name(String),
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return match address.port() {
                0 => Err("0 is not a port (1-65535)".to_owned()),
                _ => Ok(Self::Address(address)),
            };
        }
        let port = text.strip_prefix('*').unwrap_or(text);
        let port = port.strip_prefix(':').unwrap_or(port);
        if port.starts_with(|first: char| first.is_ascii_digit()) {
            return port.parse().map(Self::Port);
        }
        if port != text || text.is_empty() || text.contains([':', '/', ' ']) {
            return Err(
                "neither a port (8080), nor an address with a port (10.0.0.5:8080, [::1]:443), nor the name of a \
                 process or unit (nginx)"
                    .to_owned(),
            );
        }
        Ok(Self::Name(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_named_as_people_write_it() {
        let port = |text: &str| Ok(Target::Port(text.parse().unwrap()));
        for text in ["8080", ":8080", "*:8080"] {
            assert_eq!(text.parse(), port("8080"), "{text}");
        }
        assert_eq!("8000-8099".parse(), port("8000-8099"));
        for text in ["10.0.0.5:8080", "[::1]:443"] {
            assert_eq!(text.parse(), Ok(Target::Address(text.parse().unwrap())));
        }
        for text in ["nginx", "php-fpm8.2", "nginx.service"] {
            assert_eq!(text.parse(), Ok(Target::Name(text.to_owned())));
        }
    }

    #[test]
    fn what_is_none_of_these_is_refused() {
        for text in [
            "",
            "0",
            "70000",
            "10.0.0.5",
            "10.0.0.5:0",
            ":http",
            "::1",
            "a:80",
            "/proc",
            "80-",
        ] {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
    }
}
