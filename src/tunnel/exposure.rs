//! What a client lets the server reach: its own judgement, whatever the server asks for.
//!
//! Pure. A target is judged by the address that will be dialled, never by the name alone.

use std::net::IpAddr;
use std::str::FromStr;

use super::policy::{Cidr, Denial, Host, TargetPolicy};
use crate::model::{Port, PortRange};
use crate::words::tunnel::Wanting;

/// One `--expose`: `PORTS`, or `HOST:PORTS` where the host is a name, an address or a network, and the ports are one
/// port, a range `A-B` or `*`. Without a host it is this machine's loopback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exposure {
    place: Place,
    ports: PortRange,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Loopback,
    Network(Cidr),
    Name(String),
}

impl FromStr for Exposure {
    type Err = Wanting;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (place, ports) = match text.rsplit_once(':') {
            None => (Place::Loopback, text),
            Some((host, ports)) => (place(host)?, ports),
        };
        let ports = match ports {
            "*" => Port::new(1).and_then(|first| PortRange::new(first, Port::MAX)),
            _ => ports.parse().ok().or_else(|| ports.parse().ok().map(PortRange::single)),
        };
        Ok(Self { place, ports: ports.ok_or(Wanting::ExposedTarget)? })
    }
}

fn place(host: &str) -> Result<Place, Wanting> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if let Ok(network) = bare.parse() {
        return Ok(Place::Network(network));
    }
    match host.parse() {
        Ok(Host::Name(name)) => Ok(Place::Name(name)),
        _ => Err(Wanting::ExposedTarget),
    }
}

impl Exposure {
    fn covers(&self, host: &str, address: IpAddr, port: Port) -> bool {
        self.ports.contains(port)
            && match &self.place {
                Place::Loopback => address.to_canonical().is_loopback(),
                Place::Network(network) => network.contains(address),
                Place::Name(name) => name.eq_ignore_ascii_case(host),
            }
    }
}

/// Everything that a client exposes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exposures(pub Vec<Exposure>);

impl Exposures {
    /// Tells whether `address` and `port`, reached by the name `host` (empty for a literal address), may be dialled.
    ///
    /// Without any entry it is loopback alone. Link-local addresses, multicast and the metadata services of clouds
    /// stay closed whatever the entries say.
    #[must_use]
    pub fn admits(&self, host: &str, address: IpAddr, port: Port) -> bool {
        if TargetPolicy::default().judge(host, address, port, |_, _| false) == Some(Denial::Special) {
            return false;
        }
        if self.0.is_empty() {
            return address.to_canonical().is_loopback();
        }
        self.0.iter().any(|exposure| exposure.covers(host, address, port))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admits(entries: &[&str], host: &str, address: &str, port: u16) -> bool {
        let entries = entries.iter().map(|entry| entry.parse().expect("an exposure")).collect();
        Exposures(entries).admits(host, address.parse().expect("an address"), Port::new(port).expect("a port"))
    }

    #[test]
    fn without_an_entry_only_loopback_is_exposed() {
        assert!(
            admits(&[], "", "127.0.0.1", 22) && admits(&[], "", "::1", 80) && admits(&[], "", "::ffff:127.0.0.9", 1)
        );
        for address in ["10.0.0.1", "192.168.1.1", "8.8.8.8", "169.254.169.254", "0.0.0.0", "::"] {
            assert!(!admits(&[], "", address, 80), "{address}");
        }
    }

    #[test]
    fn an_entry_opens_what_it_names_and_closes_the_rest() {
        assert!(admits(&["22"], "", "127.0.0.1", 22) && !admits(&["22"], "", "127.0.0.1", 23));
        assert!(admits(&["10.0.0.0/8:80"], "", "10.1.2.3", 80) && !admits(&["10.0.0.0/8:80"], "", "127.0.0.1", 80));
        assert!(
            admits(&["db.lan:5000-5010"], "DB.lan", "10.0.0.9", 5005)
                && !admits(&["db.lan:5000"], "", "10.0.0.9", 5000)
        );
        assert!(admits(&["[fd00::1]:*"], "", "fd00::1", 9) && admits(&["1000-2000"], "", "127.0.0.1", 1500));
        for address in ["169.254.169.254", "::ffff:169.254.169.254", "0.0.0.0", "224.0.0.1", "64:ff9b::a9fe:a9fe"] {
            assert!(!admits(&["0.0.0.0/0:*", "::/0:*"], "", address, 80), "{address}");
        }
        assert!(!admits(&["metadata.google.internal:80"], "metadata.google.internal", "10.0.0.1", 80));
    }

    #[test]
    fn what_names_no_port_is_refused() {
        for text in ["", "x", "host:", ":", "10.0.0.1", "host:0", "host:70000", "0x7f.1:80", "a b:80", "5-4"] {
            assert!(text.parse::<Exposure>().is_err(), "{text:?}");
        }
    }
}
