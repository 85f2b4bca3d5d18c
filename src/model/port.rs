//! Ports, ranges and endpoints, and the measured table of which endpoints exclude each other.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A TCP or UDP port, 1 to 65535.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct Port(u16);

impl Port {
    /// The lowest port.
    pub const MIN: Self = Self(1);
    /// The highest port.
    pub const MAX: Self = Self(u16::MAX);

    /// Returns the port, or `None` for 0, which asks the system to choose and is never a port.
    #[must_use]
    pub const fn new(number: u16) -> Option<Self> {
        if number == 0 { None } else { Some(Self(number)) }
    }

    /// Returns the number.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }

    /// Returns the port `steps` higher, or `None` above 65535.
    #[must_use]
    pub const fn checked_add(self, steps: u16) -> Option<Self> {
        match self.0.checked_add(steps) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }
}

impl TryFrom<u16> for Port {
    type Error = &'static str;

    fn try_from(number: u16) -> Result<Self, Self::Error> {
        Self::new(number).ok_or("a port is 1 to 65535")
    }
}

impl From<Port> for u16 {
    fn from(port: Port) -> Self {
        port.0
    }
}

impl FromStr for Port {
    type Err = &'static str;

    /// Reads decimal digits only: no sign, no space.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err("a port is a whole number");
        }
        text.parse::<u16>().ok().and_then(Self::new).ok_or("a port is 1 to 65535")
    }
}

impl fmt::Display for Port {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// A non-empty run of ports, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PortRange {
    first: Port,
    last: Port,
}

impl PortRange {
    /// Returns the range, or `None` when `last` is below `first`.
    #[must_use]
    pub fn new(first: Port, last: Port) -> Option<Self> {
        (first <= last).then_some(Self { first, last })
    }

    /// Returns the range of one port.
    #[must_use]
    pub const fn single(port: Port) -> Self {
        Self { first: port, last: port }
    }

    /// Returns the lowest port.
    #[must_use]
    pub const fn first(self) -> Port {
        self.first
    }

    /// Returns the highest port.
    #[must_use]
    pub const fn last(self) -> Port {
        self.last
    }

    /// Returns how many ports the range has, 1 to 65535.
    #[must_use]
    pub const fn count(self) -> u16 {
        self.last.0 - self.first.0 + 1
    }

    /// Tells whether `port` lies in the range.
    #[must_use]
    pub fn contains(self, port: Port) -> bool {
        self.first <= port && port <= self.last
    }

    /// Yields every port, lowest first.
    pub fn ports(self) -> impl DoubleEndedIterator<Item = Port> + Clone {
        (self.first.0..=self.last.0).map(Port)
    }
}

impl FromStr for PortRange {
    type Err = &'static str;

    /// Reads `A-B` or `A`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        Self::new(first.parse()?, last.parse()?).ok_or("a range runs from the lower port to the higher")
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            self.first.fmt(formatter)
        } else {
            write!(formatter, "{}-{}", self.first, self.last)
        }
    }
}

/// A transport protocol; the ports of one say nothing about the ports of the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// What a socket occupies, or would occupy: an address, a port and a protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Endpoint {
    /// The local address; `0.0.0.0` and `::` stand for all addresses of their family.
    pub address: IpAddr,
    /// The port.
    pub port: Port,
    /// The protocol.
    pub protocol: Protocol,
    /// For `::` alone: whether the socket leaves IPv4 to others (`IPV6_V6ONLY`).
    pub v6only: bool,
}

/// The addresses of one family that an endpoint occupies.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach<A> {
    Nothing,
    One(A),
    All,
}

impl<A: PartialEq> Reach<A> {
    fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Nothing, _) | (_, Self::Nothing) => false,
            (Self::All, _) | (_, Self::All) => true,
            (Self::One(left), Self::One(right)) => left == right,
        }
    }
}

impl Endpoint {
    /// Returns the endpoints that a container engine opens for a published port: the address itself, or both wildcard
    /// addresses (the IPv6 one is `v6only`) when none is named.
    #[must_use]
    pub fn published(host_ip: Option<IpAddr>, port: Port, protocol: Protocol, ipv6: bool) -> Vec<Self> {
        if let Some(address) = host_ip {
            return vec![Self { address, port, protocol, v6only: address.is_ipv6() }];
        }
        let v4 = Self { address: Ipv4Addr::UNSPECIFIED.into(), port, protocol, v6only: false };
        let v6 = Self { address: Ipv6Addr::UNSPECIFIED.into(), port, protocol, v6only: true };
        if ipv6 { vec![v4, v6] } else { vec![v4] }
    }

    /// Tells whether both cannot be bound at once (without `SO_REUSEPORT`).
    ///
    /// Measured on Linux 6.18 for every pair of `0.0.0.0`, two loopback addresses, `::` dual and `v6only`, `::1` and a
    /// mapped address, for TCP and UDP alike: two sockets collide when they share the protocol, the port and a family,
    /// and in that family one has all addresses or both have the same. `::` without `v6only` has all of both families;
    /// an IPv4-mapped address is IPv4.
    #[must_use]
    pub fn conflicts_with(&self, other: &Self) -> bool {
        self.protocol == other.protocol
            && self.port == other.port
            && (self.reach_v4().overlaps(&other.reach_v4()) || self.reach_v6().overlaps(&other.reach_v6()))
    }

    fn reach_v4(&self) -> Reach<Ipv4Addr> {
        let one = |address: Ipv4Addr| if address.is_unspecified() { Reach::All } else { Reach::One(address) };
        match self.address {
            IpAddr::V4(address) => one(address),
            IpAddr::V6(address) => match address.to_ipv4_mapped() {
                Some(mapped) => one(mapped),
                None if address.is_unspecified() && !self.v6only => Reach::All,
                None => Reach::Nothing,
            },
        }
    }

    fn reach_v6(&self) -> Reach<Ipv6Addr> {
        match self.address {
            IpAddr::V6(address) if address.to_ipv4_mapped().is_some() => Reach::Nothing,
            IpAddr::V6(address) if address.is_unspecified() => Reach::All,
            IpAddr::V6(address) => Reach::One(address),
            IpAddr::V4(_) => Reach::Nothing,
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            IpAddr::V4(address) => write!(formatter, "{address}:{}/{}", self.port, self.protocol),
            IpAddr::V6(address) => write!(formatter, "[{address}]:{}/{}", self.port, self.protocol),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(address: &str) -> Endpoint {
        let (address, v6only) = address.strip_suffix(" v6only").map_or((address, false), |bare| (bare, true));
        let address = address.strip_suffix(" dual").unwrap_or(address);
        Endpoint { address: address.parse().expect("an address"), port: Port(8000), protocol: Protocol::Tcp, v6only }
    }

    /// The table as measured on Linux 6.18; rows hold the port, columns want it.
    #[test]
    fn endpoints_exclude_each_other_as_the_kernel_says() {
        let names = ["127.0.0.1", "127.0.0.2", "0.0.0.0", ":: dual", ":: v6only", "::1", "::ffff:127.0.0.1"];
        let rows = ["X.XX..X", ".XXX...", "XXXX..X", "XXXXXXX", "...XXX.", "...XXX.", "X.XX..X"];
        for (held, row) in names.iter().zip(rows) {
            for (wanted, cell) in names.iter().zip(row.chars()) {
                let conflict = endpoint(held).conflicts_with(&endpoint(wanted));
                assert_eq!(conflict, cell == 'X', "{held} held, {wanted} wanted");
            }
        }
    }

    #[test]
    fn another_protocol_or_port_is_never_in_the_way() {
        let held = endpoint("0.0.0.0");
        assert!(!held.conflicts_with(&Endpoint { protocol: Protocol::Udp, ..held }));
        assert!(!held.conflicts_with(&Endpoint { port: Port(8001), ..held }));
    }

    #[test]
    fn ports_and_ranges_are_read_strictly() {
        for bad in ["0", "65536", "-1", "+80", " 80", "", "80 ", "0x50", "8 0"] {
            assert!(bad.parse::<Port>().is_err(), "{bad:?}");
        }
        assert!("90-80".parse::<PortRange>().is_err());
        let range: PortRange = "8000-8002".parse().expect("a range");
        assert_eq!(range.ports().map(Port::get).collect::<Vec<_>>(), [8000, 8001, 8002]);
        assert_eq!(range.count(), 3);
    }
}
