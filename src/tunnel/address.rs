//! Where a client finds its server, as people write it: `HOST:PORT`.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use super::policy::Host;
use crate::model::Port;

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerAddress {
    /// The host.
    pub host: Host,
    /// The port.
    pub port: Port,
}

/// A text that is no `HOST:PORT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressFault;

impl FromStr for ServerAddress {
    type Err = AddressFault;

    /// Reads `HOST:PORT`; an IPv6 address stands in brackets.
    fn from_str(text: &str) -> Result<Self, AddressFault> {
        let (host, port) = text.trim().rsplit_once(':').ok_or(AddressFault)?;
        if host.contains(':') && !host.starts_with('[') {
            return Err(AddressFault);
        }
        let (host, port) = (host.parse().map_err(|_| AddressFault)?, port.parse().map_err(|_| AddressFault)?);
        Ok(Self { host, port })
    }
}

impl From<(IpAddr, Port)> for ServerAddress {
    fn from((address, port): (IpAddr, Port)) -> Self {
        Self { host: Host::Address(address.to_canonical()), port }
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host {
            Host::Address(address) => SocketAddr::new(address, self.port.get()).fmt(formatter),
            Host::Name(ref name) => write!(formatter, "{name}:{}", self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_as_it_is_written() {
        for text in ["example.org:9000", "10.0.0.1:1", "[2001:db8::1]:9000"] {
            assert_eq!(text.parse::<ServerAddress>().expect(text).to_string(), text);
        }
        for broken in [
            "",
            "example.org",
            "example.org:",
            ":9000",
            "::1:9000",
            "a:b:9",
            "example.org:0",
            "a b:1",
            "a:70000",
            "1.2:3",
        ] {
            assert_eq!(broken.parse::<ServerAddress>(), Err(AddressFault), "{broken}");
        }
    }
}
