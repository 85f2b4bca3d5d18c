//! The keys of the server's configuration, read from YAML text and from environment variables into one flat table.
//!
//! Pure. The list of keys decides everything: what a file may say, how a variable is called, and which key is nearest
//! to a misspelt one.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::error::{Error, ErrorKind, Result};
use crate::words::tunnel::TunnelWords;

/// The sections, which hold keys and no value of their own.
const SECTIONS: [&str; 9] =
    ["port_range", "tunnel", "api", "database", "stats", "security", "security.port_range", "security.targets", "log"];

/// Every key of a configuration.
pub(super) const KEYS: [&str; 32] = [
    "port_range.from",
    "port_range.end",
    "port_range.listen",
    "tunnel.enabled",
    "tunnel.listen_port",
    "tunnel.listen",
    "tunnel.address",
    "tunnel.tls",
    "tunnel.cert_file",
    "tunnel.key_file",
    "tunnel.client_ca",
    "tunnel.legacy_v1",
    "tunnel.target_offset",
    "api.listen_port",
    "api.listen",
    "api.api_key",
    "api.api_key_file",
    "api.allowed_ips",
    "api.allowed_hosts",
    "api.rate_limit",
    "api.metrics_public",
    "database.path",
    "database.url",
    "database.url_file",
    "stats.enabled",
    "stats.record_interval",
    "stats.retention_days",
    "security.port_range.blacklist",
    "security.targets.allow",
    "security.targets.deny",
    "log.level",
    "log.format",
];

/// What every variable of Portwright begins with.
const PREFIX: &str = "PORTWRIGHT_";

/// A variable this near to a known one is taken for a misspelling even when it names no section.
const TYPO_DISTANCE: usize = 2;

/// A value as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Setting {
    /// Written, but empty: `api_key:`.
    Null,
    /// A string.
    Text(String),
    /// A number or a boolean, in decimal or as `true` and `false`.
    Plain(String),
    /// A list of scalars.
    List(Vec<String>),
}

/// Key → value, for the keys that were written.
pub(super) type Settings = BTreeMap<&'static str, Setting>;

/// Returns the variable that sets `key`.
pub(super) fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "_").to_ascii_uppercase())
}

/// Reads the YAML text of a configuration; text without any value is an empty configuration.
pub(super) fn from_yaml(text: &str) -> Result<Settings> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let blank = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#') || line.trim() == "---";
    if text.lines().all(blank) {
        return Ok(Settings::new());
    }
    let found = Found::default();
    let outcome = Node { path: String::new(), found: &found }.deserialize(serde_yaml::Deserializer::from_str(text));
    outcome.map_err(|error| {
        let line = error.location().map_or(0, |location| location.line());
        let words = match found.fault.take() {
            Some(Fault::Unknown(key)) => {
                let nearest = nearest(&key).to_owned();
                TunnelWords::UnknownKey { key, line, nearest }
            }
            Some(Fault::Twice(key)) => TunnelWords::KeyTwice { key, line },
            Some(Fault::Shape(key)) => TunnelWords::KeyShape { key, line },
            None => TunnelWords::YamlBroken { line, detail: error.to_string() },
        };
        Error::new(ErrorKind::Usage, words)
    })?;
    Ok(found.settings.into_inner())
}

/// Reads the variables that set keys; they override what is in `settings`.
///
/// A variable below a section (`PORTWRIGHT_API_…`) that names no key, and one that is nearly the name of a key, is
/// refused; every other variable belongs to someone else.
pub(super) fn overlay(settings: &mut Settings, environment: &BTreeMap<String, String>) -> Result<()> {
    for (name, value) in environment.iter().filter(|(name, _)| name.starts_with(PREFIX)) {
        if let Some(key) = KEYS.iter().find(|key| variable(key) == *name) {
            settings.insert(*key, Setting::Text(value.clone()));
            continue;
        }
        if let Some(nearest) = misspelt(name) {
            return Err(Error::new(ErrorKind::Usage, TunnelWords::UnknownVariable { name: name.clone(), nearest }));
        }
    }
    Ok(())
}

/// Returns the variable that `name`, which sets no key, is taken to mean; `None` for one that belongs to someone else.
pub(super) fn misspelt(name: &str) -> Option<String> {
    if !name.starts_with(PREFIX) || KEYS.iter().any(|key| variable(key) == name) {
        return None;
    }
    let (near, distance) = closest(name, KEYS.iter().map(|key| variable(key)));
    let below_section = SECTIONS.iter().any(|section| name.starts_with(&(variable(section) + "_")));
    (distance <= TYPO_DISTANCE || below_section).then_some(near)
}

fn nearest(key: &str) -> &'static str {
    let names = SECTIONS.iter().chain(&KEYS).copied();
    names.min_by_key(|known| edit_distance(key, known)).unwrap_or_default()
}

fn closest(name: &str, known: impl Iterator<Item = String>) -> (String, usize) {
    known
        .map(|known| {
            let distance = edit_distance(name, &known);
            (known, distance)
        })
        .min_by_key(|(_, distance)| *distance)
        .unwrap_or_default()
}

/// Levenshtein's distance in characters.
fn edit_distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (index, letter) in left.chars().enumerate() {
        let mut above_left = index;
        let mut before = index + 1;
        for (cell, other) in row.iter_mut().skip(1).zip(&right) {
            let above = *cell;
            before = (above_left + usize::from(letter != *other)).min(above + 1).min(before + 1);
            *cell = before;
            above_left = above;
        }
        if let Some(first) = row.first_mut() {
            *first = index + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

/// What was wrong with the text where serde stopped; serde itself can carry only a string.
enum Fault {
    Unknown(String),
    Twice(String),
    Shape(String),
}

#[derive(Default)]
struct Found {
    settings: RefCell<Settings>,
    fault: RefCell<Option<Fault>>,
}

impl Found {
    fn stop<E: de::Error>(&self, fault: Fault) -> E {
        self.fault.replace(Some(fault));
        E::custom("refused")
    }
}

fn known_key(path: &str) -> Option<&'static str> {
    KEYS.into_iter().find(|key| *key == path)
}

fn is_section(path: &str) -> bool {
    path.is_empty() || SECTIONS.contains(&path)
}

/// Reads whatever stands at one path.
struct Node<'a> {
    path: String,
    found: &'a Found,
}

impl Node<'_> {
    fn keep<E: de::Error>(self, setting: Setting) -> Result<(), E> {
        match known_key(&self.path) {
            Some(key) => {
                self.found.settings.borrow_mut().insert(key, setting);
                Ok(())
            }
            None if setting == Setting::Null => Ok(()),
            None => Err(self.found.stop(Fault::Shape(self.path))),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a configuration value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        self.keep(Setting::Null)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<(), E> {
        self.keep(Setting::Plain(value.to_string()))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<(), E> {
        self.keep(Setting::Plain(value.to_string()))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<(), E> {
        self.keep(Setting::Plain(value.to_string()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<(), E> {
        self.keep(Setting::Plain(value.to_string()))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<(), E> {
        self.keep(Setting::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<(), A::Error> {
        let mut items = Vec::new();
        while let Some(item) = sequence.next_element::<serde_yaml::Value>()? {
            items.push(match item {
                serde_yaml::Value::String(text) => text,
                serde_yaml::Value::Number(number) => number.to_string(),
                _ => return Err(self.found.stop(Fault::Shape(self.path))),
            });
        }
        self.keep(Setting::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        if !is_section(&self.path) {
            return Err(self.found.stop(Fault::Shape(self.path)));
        }
        let mut seen = Vec::new();
        while let Some(path) = map.next_key_seed(Key { section: &self.path, seen: &seen, found: self.found })? {
            seen.push(path.clone());
            map.next_value_seed(Node { path, found: self.found })?;
        }
        Ok(())
    }
}

/// Reads one key of a section; errors raised here carry the key's own line.
struct Key<'a> {
    section: &'a str,
    seen: &'a [String],
    found: &'a Found,
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = String;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a key")
    }

    fn visit_str<E: de::Error>(self, key: &str) -> Result<String, E> {
        let path = if self.section.is_empty() { key.to_owned() } else { format!("{}.{key}", self.section) };
        if known_key(&path).is_none() && !is_section(&path) || key.is_empty() || key.contains('.') {
            return Err(self.found.stop(Fault::Unknown(path)));
        }
        if self.seen.contains(&path) {
            return Err(self.found.stop(Fault::Twice(path)));
        }
        Ok(path)
    }
}
