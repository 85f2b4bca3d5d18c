//! Reads the entries of `ports`, short and long (docker/go-connections `nat.ParsePortSpec`, compose-go
//! `transform/ports.go`).

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::ops::Range;

use super::item::{Item, Origin, Source, Value};
use super::render::wrong_kind;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Port, PortRange, Protocol, PublishedPort, SourceSpot};
use crate::words::text::TextWords;

/// How many ports all entries of a project may publish together: a full set for TCP and for UDP.
pub(crate) const MAX_PORTS: usize = 2 * 65_535;

/// An entry of `ports`.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) host_ip: Option<IpAddr>,
    pub(crate) published: PublishedPort,
    pub(crate) container: PortRange,
    /// `tcp`, `udp` or `sctp`.
    pub(crate) protocol: String,
    /// What else the long form says, but for what is the default.
    pub(crate) rest: BTreeMap<String, Item>,
    /// The scalar that holds the published port; the whole entry when none is published.
    pub(crate) origin: Origin,
    /// Where the published port stands in the expanded text of that scalar.
    pub(crate) published_at: Range<usize>,
}

impl Entry {
    /// Returns the protocol, when it is one of those that Portwright looks at.
    pub(crate) fn protocol(&self) -> Option<Protocol> {
        match self.protocol.as_str() {
            "tcp" => Some(Protocol::Tcp),
            "udp" => Some(Protocol::Udp),
            _ => None,
        }
    }

    /// Tells whether both are the same but for the published port.
    pub(crate) fn same_but_published(&self, other: &Self) -> bool {
        self.host_ip == other.host_ip
            && self.container == other.container
            && self.protocol == other.protocol
            && self.rest.len() == other.rest.len()
            && self.rest.iter().zip(&other.rest).all(|((one, left), (two, right))| one == two && left.same(right))
    }

    /// What makes two entries one for compose, for each port that the entry stands for.
    fn keys(&self) -> impl Iterator<Item = (Option<IpAddr>, Option<PortRange>, PortRange, &str)> {
        let (host_ip, protocol) = (self.host_ip, self.protocol.as_str());
        let pairs = match self.published {
            PublishedPort::Fixed(range) => {
                let single = |(host, container)| (Some(PortRange::single(host)), PortRange::single(container));
                range.ports().zip(self.container.ports()).map(single).collect()
            }
            PublishedPort::AnyOf(_) | PublishedPort::Random => vec![(self.published.range(), self.container)],
        };
        pairs.into_iter().map(move |(host, container)| (host_ip, host, container, protocol))
    }
}

/// Reads the `ports` of a service, and takes how many they are from `budget`.
pub(crate) fn entries(service: &str, ports: &Item, sources: &[Source], budget: &mut usize) -> Result<Vec<Entry>> {
    let reader = Reader { service, sources };
    let Some(list) = ports.list() else {
        return Err(wrong_kind(reader.spot(ports.origin), &format!("services.{service}.ports"), "list"));
    };
    let mut found: Vec<Entry> = Vec::new();
    for item in list {
        let entry = match &item.value {
            Value::Text(text) => reader.short(text, item.origin)?,
            Value::Map(keys) => reader.long(keys, item)?,
            Value::Null | Value::List(_) => return Err(reader.bad(item.origin, Fault::Form)),
        };
        let left = budget.checked_sub(usize::from(entry.container.count()));
        *budget = left.ok_or_else(|| reader.bad(item.origin, Fault::TooMany))?;
        found.push(entry);
    }
    Ok(unique(found))
}

/// Of entries that say the same port again, the last stays, as in compose.
fn unique(mut entries: Vec<Entry>) -> Vec<Entry> {
    let mut last = HashMap::new();
    for (index, entry) in entries.iter().enumerate() {
        last.extend(entry.keys().map(|key| (key, index)));
    }
    let stays: Vec<bool> = entries
        .iter()
        .enumerate()
        .map(|(index, entry)| entry.keys().any(|key| last.get(&key).is_some_and(|last| *last == index)))
        .collect();
    let mut stays = stays.into_iter();
    entries.retain(|_| stays.next().unwrap_or(true));
    entries
}

/// What is wrong with an entry.
#[derive(Clone, Copy)]
enum Fault {
    Form,
    Address,
    HostPort,
    ContainerPort,
    Lengths,
    Protocol,
    TooMany,
}

struct Reader<'a> {
    service: &'a str,
    sources: &'a [Source],
}

impl Reader<'_> {
    fn spot(&self, origin: Origin) -> SourceSpot {
        self.sources.get(origin.source).map_or_else(
            || SourceSpot { file: std::path::PathBuf::new(), line: 1, column: 1 },
            |source| source.spot(origin.node),
        )
    }

    fn bad(&self, origin: Origin, fault: Fault) -> Error {
        let SourceSpot { file, line, column } = self.spot(origin);
        let service = self.service.to_owned();
        let words = match fault {
            Fault::Form => TextWords::PortForm { file, line, column, service },
            Fault::Address => TextWords::PortAddress { file, line, column, service },
            Fault::HostPort => TextWords::PortHost { file, line, column, service },
            Fault::ContainerPort => TextWords::PortContainer { file, line, column, service },
            Fault::Lengths => TextWords::PortLengths { file, line, column, service },
            Fault::Protocol => TextWords::PortProtocol { file, line, column, service },
            Fault::TooMany => TextWords::PortTooMany { file, line, column, service },
        };
        Error::new(ErrorKind::Refused, words)
    }

    /// `[ip:][host:]container[/protocol]`, split from the right.
    fn short(&self, text: &str, origin: Origin) -> Result<Entry> {
        let (front, container) = text.rsplit_once(':').unwrap_or(("", text));
        let (address, host) = front.rsplit_once(':').unwrap_or(("", front));
        let mut parts = container.split('/');
        let container = parts.next().unwrap_or_default();
        let protocol = parts.next().filter(|text| !text.is_empty()).unwrap_or("tcp");
        let container = range(container).ok_or_else(|| self.bad(origin, Fault::ContainerPort))?;
        let published = self.published(host, container, origin)?;
        let end = front.len();
        Ok(Entry {
            host_ip: self.short_address(address, origin)?,
            published,
            container,
            protocol: self.protocol(protocol, origin)?,
            rest: BTreeMap::new(),
            origin,
            published_at: end - host.len()..end,
        })
    }

    fn long(&self, keys: &BTreeMap<String, Item>, item: &Item) -> Result<Entry> {
        let text = |key: &str| keys.get(key).and_then(Item::text);
        let target = text("target").and_then(|text| text.parse::<Port>().ok());
        let container = PortRange::single(target.ok_or_else(|| self.bad(item.origin, Fault::ContainerPort))?);
        let published = keys.get("published").filter(|item| !item.is_null());
        let (host, origin) = match published {
            Some(found) => match found.text() {
                Some(text) => (text, found.origin),
                None => return Err(self.bad(found.origin, Fault::HostPort)),
            },
            None => ("", item.origin),
        };
        let usual = |key: &str, item: &Item| {
            matches!(key, "target" | "published" | "host_ip" | "protocol")
                || key == "mode" && item.text() == Some("ingress")
        };
        let rest = keys.iter().filter(|(key, item)| !usual(key, item));
        Ok(Entry {
            host_ip: self.address(text("host_ip").unwrap_or_default(), item.origin)?,
            published: self.published(host, container, origin)?,
            container,
            protocol: self.protocol(text("protocol").unwrap_or("tcp"), item.origin)?,
            rest: rest.map(|(key, item)| (key.clone(), item.clone())).collect(),
            origin,
            published_at: 0..host.len(),
        })
    }

    /// An empty port and port 0 leave the choice to the engine; several host ports for one container port leave it the
    /// choice among them.
    fn published(&self, host: &str, container: PortRange, origin: Origin) -> Result<PublishedPort> {
        if host.is_empty() || host.bytes().all(|byte| byte == b'0') {
            return Ok(PublishedPort::Random);
        }
        let host = range(host).ok_or_else(|| self.bad(origin, Fault::HostPort))?;
        match (host.count(), container.count()) {
            (wanted, given) if wanted == given => Ok(PublishedPort::Fixed(host)),
            (_, 1) => Ok(PublishedPort::AnyOf(host)),
            _ => Err(self.bad(origin, Fault::Lengths)),
        }
    }

    /// In the short form an IPv6 address has brackets.
    fn short_address(&self, text: &str, origin: Origin) -> Result<Option<IpAddr>> {
        match text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(bare) => self.address(bare, origin),
            None if text.contains(':') => Err(self.bad(origin, Fault::Address)),
            None => self.address(text, origin),
        }
    }

    fn address(&self, text: &str, origin: Origin) -> Result<Option<IpAddr>> {
        if text.is_empty() {
            return Ok(None);
        }
        text.parse().map(Some).map_err(|_| self.bad(origin, Fault::Address))
    }

    fn protocol(&self, text: &str, origin: Origin) -> Result<String> {
        let lower = text.to_ascii_lowercase();
        match lower.as_str() {
            "tcp" | "udp" | "sctp" => Ok(lower),
            _ => Err(self.bad(origin, Fault::Protocol)),
        }
    }
}

fn range(text: &str) -> Option<PortRange> {
    text.parse().ok()
}
