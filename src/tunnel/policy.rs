//! Judgements of the server: which addresses a rule covers, and which targets may be dialled.
//!
//! Pure. A target is judged by the address that will be dialled, never by the name that was written.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use crate::model::Port;
use crate::words::tunnel::Wanting;

/// A network in CIDR notation; an address alone is a network of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cidr {
    network: IpAddr,
    prefix: u8,
}

impl Cidr {
    /// Tells whether the network holds `address`; an IPv4-mapped address counts as the IPv4 address in it.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.network, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0);
                network.to_bits() & mask == address.to_bits() & mask
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix)).unwrap_or(0);
                network.to_bits() & mask == address.to_bits() & mask
            }
            _ => false,
        }
    }
}

impl FromStr for Cidr {
    type Err = Wanting;

    /// Reads `ADDRESS` or `ADDRESS/PREFIX`, decimal only; IPv4-mapped networks are refused as ambiguous.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let network: IpAddr = address.parse().map_err(|_| Wanting::Network)?;
        if network != network.to_canonical() {
            return Err(Wanting::Ipv4Notation);
        }
        let widest = if network.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => widest,
            Some(digits) if digits.len() <= 3 && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().ok().filter(|prefix| *prefix <= widest).ok_or(Wanting::Prefix)?
            }
            Some(_) => return Err(Wanting::Prefix),
        };
        Ok(Self { network, prefix })
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.network, self.prefix)
    }
}

/// One entry of `security.targets.allow` or `.deny`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetRule {
    /// Covers the addresses of a network.
    Network(Cidr),
    /// Covers a host by the name that the mapping writes, in lower case.
    Host(String),
}

impl TargetRule {
    fn covers(&self, host: &str, address: IpAddr) -> bool {
        match self {
            Self::Network(network) => network.contains(address),
            Self::Host(name) => name.eq_ignore_ascii_case(host),
        }
    }
}

impl FromStr for TargetRule {
    type Err = Wanting;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(network) = text.parse() {
            return Ok(Self::Network(network));
        }
        match Host::from_str(text)? {
            Host::Name(name) => Ok(Self::Host(name)),
            Host::Address(_) => Err(Wanting::Network),
        }
    }
}

/// A host as a mapping names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// A literal address; never mapped, `::ffff:1.2.3.4` becomes `1.2.3.4`.
    Address(IpAddr),
    /// A name to resolve for each connection, in lower case.
    Name(String),
}

impl FromStr for Host {
    type Err = Wanting;

    /// Reads an address (IPv6 with or without brackets) or a DNS name of at most 253 characters. A name whose last
    /// label is a number, also in hexadecimal, is refused: resolvers read `2130706433`, `0177.1` and `0x7f.1` as
    /// addresses.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        if let Ok(address) = bare.parse::<IpAddr>() {
            return Ok(Self::Address(address.to_canonical()));
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if name.len() > 253 || !name.split('.').all(label) {
            return Err(Wanting::HostOrAddress);
        }
        let last = name.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
        let digits = last.strip_prefix("0x").map_or_else(
            || last.bytes().all(|byte| byte.is_ascii_digit()),
            |hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()),
        );
        if digits { Err(Wanting::PlainDecimal) } else { Ok(Self::Name(name.to_ascii_lowercase())) }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(formatter),
            Self::Name(name) => formatter.write_str(name),
        }
    }
}

/// Why a target may not be dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denial {
    /// An address no mapping may reach: unspecified, link-local, multicast, broadcast or a cloud's metadata service.
    Special,
    /// A listener of this very server, which would be a loop.
    Own,
    /// An entry of `security.targets.deny`.
    Listed,
    /// A public address that `security.targets.allow` does not name.
    Public,
}

/// Which targets direct mappings may reach.
///
/// Loopback and private addresses (RFC 1918, RFC 6598, ULA) are allowed unless denied; public ones only when an allow
/// entry covers them, so that the server is no open relay. Denials always win.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TargetPolicy {
    /// Entries that open public addresses.
    pub allow: Vec<TargetRule>,
    /// Entries that close any address.
    pub deny: Vec<TargetRule>,
}

/// Metadata services outside the link-local ranges: AWS over IPv6, Alibaba, Azure's wire server, Oracle's.
const METADATA: [IpAddr; 4] = [
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
];

/// Names that cloud machines resolve to their metadata service.
const METADATA_NAMES: [&str; 4] = ["metadata.google.internal", "metadata.goog", "metadata", "instance-data"];

impl TargetPolicy {
    /// Judges `address` and `port`, reached by the name `host`. `own` tells whether this server listens there.
    pub fn judge(&self, host: &str, address: IpAddr, port: Port, own: impl Fn(IpAddr, Port) -> bool) -> Option<Denial> {
        let address = embedded(address);
        if special(address) || METADATA_NAMES.contains(&host) {
            return Some(Denial::Special);
        }
        if own(address, port) {
            return Some(Denial::Own);
        }
        if self.deny.iter().any(|rule| rule.covers(host, address)) {
            return Some(Denial::Listed);
        }
        let open = local(address) || self.allow.iter().any(|rule| rule.covers(host, address));
        (!open).then_some(Denial::Public)
    }
}

/// The IPv4 address that an IPv6 one leads to: mapped, compatible, NAT64 (RFC 6052) or 6to4 (RFC 3056).
fn embedded(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address.to_canonical() else { return address.to_canonical() };
    let low = |bits: u128| IpAddr::V4(Ipv4Addr::from_bits(u32::try_from(bits & 0xffff_ffff).unwrap_or_default()));
    let bits = v6.to_bits();
    match v6.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, _, _] => low(bits),
        [0, 0, 0, 0, 0, 0, high, _] if high != 0 => low(bits),
        [0x2002, ..] => low(bits >> 80),
        _ => IpAddr::V6(v6),
    }
}

fn special(address: IpAddr) -> bool {
    METADATA.contains(&address)
        || match address {
            IpAddr::V4(v4) => {
                v4.octets().starts_with(&[0]) || v4.is_link_local() || v4.is_multicast() || v4.is_broadcast()
            }
            IpAddr::V6(v6) => v6.is_unspecified() || v6.is_unicast_link_local() || v6.is_multicast(),
        }
}

fn local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [first, second, ..] = v4.octets();
            v4.is_loopback() || v4.is_private() || (first == 100 && (64..128).contains(&second))
        }
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local(),
    }
}

/// Who may visit a mapping.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Access {
    /// Everyone.
    #[default]
    Open,
    /// Only visitors from these networks.
    Only(Vec<Cidr>),
    /// Everyone but visitors from these networks.
    Except(Vec<Cidr>),
}

impl Access {
    /// Reads the pair of API and database: `access_rule` (empty, `disabled`, `whitelist`, `blacklist`) and networks.
    /// A rule without networks, a network that cannot be read and networks without a rule are refused, because each
    /// would let in or lock out everyone unasked.
    pub fn parse(rule: &str, networks: &[String]) -> Result<Self, AccessFault> {
        let network = |text: &String| text.parse().map_err(|_| AccessFault::Networks);
        let read = || networks.iter().map(network).collect::<Result<Vec<Cidr>, _>>();
        match rule {
            "" | "disabled" if networks.is_empty() => Ok(Self::Open),
            "whitelist" | "blacklist" if networks.is_empty() => Err(AccessFault::Networks),
            "whitelist" => read().map(Self::Only),
            "blacklist" => read().map(Self::Except),
            "disabled" => read().map(|_| Self::Open),
            _ => Err(AccessFault::Rule),
        }
    }

    /// Tells whether a visitor from `address` may come in.
    #[must_use]
    pub fn admits(&self, address: IpAddr) -> bool {
        match self {
            Self::Open => true,
            Self::Only(networks) => networks.iter().any(|network| network.contains(address)),
            Self::Except(networks) => !networks.iter().any(|network| network.contains(address)),
        }
    }
}

/// Which half of an access list cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessFault {
    /// `access_rule`.
    Rule,
    /// `access_ips`.
    Networks,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(policy: &TargetPolicy, address: &str) -> Option<Denial> {
        let port = Port::new(80).expect("a port");
        policy.judge("host.example", address.parse().expect("an address"), port, |_, _| false)
    }

    #[test]
    fn no_spelling_of_a_special_address_gets_through() {
        let policy = TargetPolicy { allow: vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()], deny: vec![] };
        for address in [
            "0.0.0.0",
            "0.1.2.3",
            "169.254.169.254",
            "169.254.0.1",
            "224.0.0.1",
            "239.255.255.250",
            "255.255.255.255",
            "100.100.100.200",
            "168.63.129.16",
            "192.0.0.192",
            "::",
            "::ffff:0.0.0.0",
            "::ffff:169.254.169.254",
            "::169.254.169.254",
            "64:ff9b::169.254.169.254",
            "2002:a9fe:a9fe::1",
            "fe80::1",
            "ff02::1",
            "fd00:ec2::254",
        ] {
            assert_eq!(judge(&policy, address), Some(Denial::Special), "{address}");
        }
    }

    #[test]
    fn private_targets_are_open_and_public_ones_need_leave() {
        let mut policy = TargetPolicy::default();
        for address in
            ["127.0.0.1", "127.9.9.9", "10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "::1", "fd12::1"]
        {
            assert_eq!(judge(&policy, address), None, "{address}");
        }
        for address in ["8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"]
        {
            assert_eq!(judge(&policy, address), Some(Denial::Public), "{address}");
        }
        policy.allow.push("8.8.8.0/24".parse().unwrap());
        assert_eq!(judge(&policy, "8.8.8.8"), None);
        policy.deny.push("8.8.8.8".parse().unwrap());
        policy.deny.push("192.168.0.0/16".parse().unwrap());
        assert_eq!(judge(&policy, "8.8.8.8"), Some(Denial::Listed), "deny beats allow");
        assert_eq!(judge(&policy, "::ffff:192.168.7.7"), Some(Denial::Listed));
        policy.allow = vec!["HOST.example".parse().unwrap()];
        assert_eq!(judge(&policy, "1.1.1.1"), None, "allowed by name");
    }

    #[test]
    fn addresses_in_disguise_are_no_host_names() {
        for text in
            ["2130706433", "0x7f000001", "0177.0.0.1", "127.1", "0x7f.1", "1.2.3.4.5", "a.0x1f", "", ".", "a..b"]
        {
            assert!(text.parse::<Host>().is_err(), "{text}");
        }
        for text in ["-a", "a b", "a/b", "a:80", "user@host", &"a".repeat(64), "fe80::1%eth0", "[::1", "127.0.0.1:80"] {
            assert!(text.parse::<Host>().is_err(), "{text}");
        }
        assert_eq!("::ffff:10.0.0.1".parse(), Ok(Host::Address("10.0.0.1".parse().unwrap())));
        assert_eq!("[::1]".parse(), Ok(Host::Address("::1".parse().unwrap())));
        assert_eq!("DB.Internal.".parse(), Ok(Host::Name("db.internal".to_owned())));
    }

    #[test]
    fn an_access_list_that_cannot_be_read_is_refused() {
        let list = |items: &[&str]| items.iter().map(|item| (*item).to_owned()).collect::<Vec<_>>();
        assert_eq!(Access::parse("blacklist", &list(&["10.0.0.0/40"])), Err(AccessFault::Networks));
        assert_eq!(Access::parse("blacklist", &list(&["10.0.0.0/8", "x"])), Err(AccessFault::Networks));
        assert_eq!(Access::parse("whitelist", &[]), Err(AccessFault::Networks));
        assert_eq!(Access::parse("allow", &list(&["10.0.0.0/8"])), Err(AccessFault::Rule));
        assert_eq!(Access::parse("", &list(&["10.0.0.0/8"])), Err(AccessFault::Rule));
        assert_eq!(Access::parse("disabled", &[]), Ok(Access::Open));
        let only = Access::parse("whitelist", &list(&["127.0.0.0/8", "fd00::/8"])).expect("readable");
        assert!(only.admits("::ffff:127.0.0.9".parse().unwrap()) && only.admits("fd00::5".parse().unwrap()));
        assert!(!only.admits("10.0.0.1".parse().unwrap()));
        let except = Access::parse("blacklist", &list(&["127.0.0.1"])).expect("readable");
        assert!(!except.admits("127.0.0.1".parse().unwrap()) && except.admits("127.0.0.2".parse().unwrap()));
        assert!("0.0.0.0/0".parse::<Cidr>().unwrap().contains("9.9.9.9".parse().unwrap()));
    }
}
