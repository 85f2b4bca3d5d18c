//! WANs: the ways out of a machine, each with an address of its own and the ports that are leased on it.

use std::net::IpAddr;
use std::path::PathBuf;

use serde::Deserialize;

use crate::error::{Error, ErrorKind, Result};
use crate::host;
use crate::model::{Endpoint, Port, PortRange, Protocol, Secret};
use crate::words::lease::LeaseWords;

/// What a pool has that nobody configured: three WANs on every address, as the predecessor had, with a thousand ports
/// each, below the ports that any system gives to outgoing connections.
const DEFAULTS: [(u32, u16, u16); 3] = [(0, 20_000, 20_999), (1, 21_000, 21_999), (2, 22_000, 22_999)];

/// A way out of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wan {
    /// Its number.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// The address that its ports are bound to.
    pub bind: WanAddress,
    /// The ports that are leased on it.
    pub range: PortRange,
}

/// Where the ports of a WAN are bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WanAddress {
    /// On every address of the host.
    Every,
    /// On this address.
    One(IpAddr),
    /// On the address that this interface has when it is needed.
    Interface(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    store: Option<String>,
    store_file: Option<PathBuf>,
    group: Option<String>,
    #[serde(default)]
    wan: Vec<Entry>,
}

/// What `pool.toml` says.
#[derive(Debug, Clone, Default)]
pub struct PoolToml {
    /// `store`: the URL of a store that several machines share; it may hold a password.
    pub store: Option<Secret>,
    /// `store_file`: the file that holds that URL.
    pub store_file: Option<PathBuf>,
    /// `group`: the group of hosts in the store.
    pub group: Option<String>,
    /// The WANs, by their index.
    pub wans: Vec<Wan>,
}

impl PoolToml {
    /// Reads `pool.toml`: `store` or `store_file` and `group` as wished, and a table `[[wan]]` for each WAN, with `index`,
    /// `range` (`A-B`), and as wished `name`, and `bind` (an address) or `interface`. One that names a store and no WAN has
    /// the usual ones.
    ///
    /// # Errors
    /// `Usage`, with what is wrong and where.
    pub fn read(text: &str) -> Result<Self> {
        // The message of the library shows the line, which may hold a password: not where a store is named.
        let document: Document = toml::from_str(text).map_err(|error| {
            let why = if text.contains("store") { error.message().to_owned() } else { error.to_string() };
            wrong(LeaseWords::NotPoolToml { why })
        })?;
        let Document { store, store_file, group, wan } = document;
        if store.is_some() && store_file.is_some() {
            return Err(wrong(LeaseWords::TwoStores));
        }
        let names_store = store.is_some() || store_file.is_some() || group.is_some();
        let wans = if wan.is_empty() && names_store { Wan::defaults() } else { Wan::all(wan)? };
        Ok(Self { store: store.map(Secret::new), store_file, group, wans })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    index: u32,
    name: Option<String>,
    bind: Option<IpAddr>,
    interface: Option<String>,
    range: String,
}

impl Wan {
    /// Returns the WANs of a pool that nobody configured.
    #[must_use]
    pub fn defaults() -> Vec<Self> {
        let wan = |(index, first, last)| {
            let range = PortRange::new(Port::new(first)?, Port::new(last)?)?;
            Some(Self { index, name: format!("wan{index}"), bind: WanAddress::Every, range })
        };
        DEFAULTS.into_iter().filter_map(wan).collect()
    }

    /// Reads the WANs of `pool.toml` (see [`PoolToml::read`]).
    ///
    /// # Errors
    /// `Usage`, with what is wrong and where.
    pub fn read(text: &str) -> Result<Vec<Self>> {
        PoolToml::read(text).map(|read| read.wans)
    }

    fn all(entries: Vec<Entry>) -> Result<Vec<Self>> {
        let mut wans = entries.into_iter().map(Self::of).collect::<Result<Vec<_>>>()?;
        wans.sort_by_key(|wan| wan.index);
        for two in wans.windows(2) {
            if let [one, next] = two
                && one.index == next.index
            {
                return Err(wrong(LeaseWords::WanTwice { wan: one.index }));
            }
        }
        if wans.is_empty() { Err(wrong(LeaseWords::NoWans)) } else { Ok(wans) }
    }

    fn of(entry: Entry) -> Result<Self> {
        let Entry { index, name, bind, interface, range } = entry;
        let range = range.parse().map_err(|_| wrong(LeaseWords::WanRange { wan: index, range }))?;
        let bind = match (bind, interface) {
            (Some(_), Some(_)) => return Err(wrong(LeaseWords::WanTwoAddresses { wan: index })),
            (Some(address), None) if !address.is_unspecified() => WanAddress::One(address),
            (None, Some(interface)) => WanAddress::Interface(interface),
            (_, None) => WanAddress::Every,
        };
        Ok(Self { index, name: name.unwrap_or_else(|| format!("wan{index}")), bind, range })
    }

    /// Returns the address of the WAN as it is now; `None` for every address.
    ///
    /// # Errors
    /// `Missing` when the interface has none.
    pub fn address(&self) -> Result<Option<IpAddr>> {
        match &self.bind {
            WanAddress::Every => Ok(None),
            WanAddress::One(address) => Ok(Some(*address)),
            WanAddress::Interface(interface) => host::interface_address(interface).map(Some).ok_or_else(|| {
                let words = LeaseWords::NoInterface { wan: self.index, interface: interface.clone() };
                Error::new(ErrorKind::Missing, words)
            }),
        }
    }
}

/// The endpoints that a lease of `port` keeps on an address: both protocols, since nobody knows which one the holder
/// will use.
pub(super) fn endpoints(address: Option<IpAddr>, port: Port, ipv6: bool) -> Vec<Endpoint> {
    [Protocol::Tcp, Protocol::Udp]
        .into_iter()
        .flat_map(|protocol| Endpoint::published(address, port, protocol, ipv6))
        .collect()
}

/// Tells whether two addresses may not have the same port.
pub(super) fn overlap(one: Option<IpAddr>, other: Option<IpAddr>) -> bool {
    one.zip(other).is_none_or(|(one, other)| one == other)
}

fn wrong(words: LeaseWords) -> Error {
    Error::new(ErrorKind::Usage, words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pool_toml_names_wans_by_address_or_interface() {
        let text = "[[wan]]\nindex = 1\nname = \"office\"\nbind = \"192.0.2.10\"\nrange = \"20000-20099\"\n\
            [[wan]]\nindex = 0\ninterface = \"eth0\"\nrange = \"30000-30009\"\n";
        let wans = Wan::read(text).unwrap();
        assert_eq!(wans[0].bind, WanAddress::Interface("eth0".into()));
        assert_eq!((wans[0].index, wans[0].name.as_str()), (0, "wan0"));
        assert_eq!(wans[1].address().unwrap(), Some("192.0.2.10".parse().unwrap()));
        assert_eq!(wans[1].range.to_string(), "20000-20099");
    }

    #[test]
    fn a_wrong_pool_toml_is_refused_with_what_is_wrong() {
        let range = "range = \"1-2\"\n";
        let cases = [
            (String::new(), "no WAN"),
            ("[[wan]]\nindex = 0\n".into(), "range"),
            ("[[wan]]\nindex = 0\nrange = \"9-1\"\n".into(), "9-1"),
            (format!("[[wan]]\nindex = 0\n{range}[[wan]]\nindex = 0\n{range}"), "twice"),
            (format!("[[wan]]\nindex = 0\nbind = \"::1\"\ninterface = \"lo\"\n{range}"), "either"),
            (format!("[[wan]]\nindex = 0\nbind = \"here\"\n{range}"), "bind"),
            (format!("[[wan]]\nindex = 0\ncolour = 1\n{range}"), "colour"),
        ];
        for (text, part) in cases {
            let error = Wan::read(&text).unwrap_err();
            assert_eq!(error.kind().exit_code(), 2);
            assert!(error.to_string().contains(part), "{part}: {error}");
        }
    }

    #[test]
    fn a_pool_toml_with_a_store_needs_no_wan_and_never_shows_the_url() {
        let read = PoolToml::read("store = \"postgres://pw:canary@db/fleet\"\ngroup = \"ci\"\n").unwrap();
        assert_eq!((read.wans.len(), read.group.as_deref()), (3, Some("ci")));
        assert!(!format!("{read:?}").contains("canary"));
        for wrong in ["store = \"canary", "store = \"canary\"\nstore_file = \"x\"", "store = \"canary\" x"] {
            let error = PoolToml::read(wrong).unwrap_err();
            assert!(error.kind() == ErrorKind::Usage && !format!("{error}").contains("canary"), "{error}");
        }
    }

    #[test]
    fn the_default_ranges_are_apart_and_below_every_ephemeral_range() {
        let wans = Wan::defaults();
        assert_eq!(wans.len(), 3);
        assert!(wans.windows(2).all(|two| two[0].range.last() < two[1].range.first()));
        assert!(wans.iter().all(|wan| wan.range.last().get() < 32_768 && wan.range.count() == 1_000));
    }
}
