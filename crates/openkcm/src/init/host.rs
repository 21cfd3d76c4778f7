//! Where a component is reached: a host, as an address or a name, and a port.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

/// The longest name in the DNS (RFC 1035, section 2.3.4).
const MAX_NAME_BYTES: usize = 253;

/// A machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Host {
    /// By its address, which is also listened on.
    Address(IpAddr),
    /// By its name; every address is listened on.
    Name(String),
}

impl FromStr for Host {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.parse::<IpAddr>() {
            // A client can't go to 0.0.0.0, and no certificate is for it.
            return match address.is_unspecified() {
                true => Err("the address or name at which others reach it is expected".to_owned()),
                false => Ok(Self::Address(address)),
            };
        }
        let is_label = |label: &str| {
            let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
            (1..=63).contains(&label.len())
                && label.bytes().all(inner)
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        // All digits and dots would be an address that was mistyped.
        let name_like = text.bytes().any(|byte| byte.is_ascii_alphabetic());
        match text.len() <= MAX_NAME_BYTES && name_like && text.split('.').all(is_label) {
            true => Ok(Self::Name(text.to_ascii_lowercase())),
            false => Err("an address such as 10.0.0.7 or a name such as core.example is expected".to_owned()),
        }
    }
}

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) host: Host,
    pub(super) port: u16,
}

impl Place {
    /// Where to listen.
    pub(super) fn listen(&self) -> SocketAddr {
        let address = match &self.host {
            Host::Address(address) => *address,
            Host::Name(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        };
        SocketAddr::new(address, self.port)
    }
}

/// As it stands in a URL.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Address(address) => SocketAddr::new(*address, self.port).fmt(f),
            Host::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(host: &str) -> Place {
        Place { host: host.parse().expect("a host"), port: 7010 }
    }

    #[test]
    fn an_address_is_listened_on_and_a_name_is_reached_at_every_address() {
        for (host, url, listen) in [
            ("127.0.0.1", "127.0.0.1:7010", "127.0.0.1:7010"),
            ("::1", "[::1]:7010", "[::1]:7010"),
            ("Core.example", "core.example:7010", "0.0.0.0:7010"),
        ] {
            assert_eq!(
                (place(host).to_string().as_str(), place(host).listen().to_string().as_str()),
                (url, listen)
            );
        }
    }

    #[test]
    fn what_nobody_can_be_reached_at_is_refused() {
        for host in
            ["0.0.0.0", "::", "", "10.0.0", "10.0.0.256", "a..b", "-a", "a b", "a/b", "http://a", "a:1"]
        {
            assert!(host.parse::<Host>().is_err(), "{host:?}");
        }
    }
}
