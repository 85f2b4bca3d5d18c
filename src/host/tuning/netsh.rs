//! The commands of `netsh` that read and set ports, as lists of words. Pure, so that it is tested on every system.

use std::collections::BTreeSet;

use crate::model::{Port, PortRange};

/// Where a setting of Windows is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place<'a> {
    /// The dynamic ports of a family and a protocol.
    Dynamic {
        /// `ipv4` or `ipv6`.
        family: &'a str,
        /// `tcp` or `udp`.
        protocol: &'a str,
    },
    /// The excluded ports of TCP over IPv4.
    Excluded,
    /// The level of auto-tuning.
    AutoTuning,
    /// A number in the registry.
    Registry,
}

impl<'a> Place<'a> {
    /// Finds the place of `dynamicport.FAMILY.PROTOCOL`, `excludedportrange.ipv4.tcp`, `autotuninglevel` or the name of
    /// a value.
    pub(super) fn of(key: &'a str) -> Self {
        let mut parts = key.split('.');
        match (parts.next(), parts.next(), parts.next()) {
            (Some("dynamicport"), Some(family), Some(protocol)) => Self::Dynamic { family, protocol },
            (Some("excludedportrange"), ..) => Self::Excluded,
            (Some("autotuninglevel"), ..) => Self::AutoTuning,
            _ => Self::Registry,
        }
    }
}

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

/// Returns the command that shows a setting of ports.
pub(super) fn show(key: &str) -> Vec<String> {
    match Place::of(key) {
        Place::Dynamic { family, protocol } => words(&format!("int {family} show dynamicport {protocol}")),
        Place::Excluded | Place::AutoTuning | Place::Registry => words("int ipv4 show excludedportrange protocol=tcp"),
    }
}

/// Returns the command that sets the dynamic ports (`FIRST-LAST`) or the level of auto-tuning.
pub(super) fn set(key: &str, value: &str) -> Option<Vec<String>> {
    match Place::of(key) {
        Place::Dynamic { family, protocol } => {
            let range: PortRange = value.parse().ok()?;
            let (first, count) = (range.first(), range.count());
            Some(words(&format!("int {family} set dynamicport {protocol} start={first} num={count}")))
        }
        Place::AutoTuning => Some(words(&format!("int tcp set global autotuninglevel={value}"))),
        Place::Excluded | Place::Registry => None,
    }
}

/// Returns the commands that turn the exclusions `now` into those of the list `wanted`. An exclusion can only be deleted
/// as it was added, so one that is wanted in part is deleted and the part is added.
pub(super) fn exclude(now: &[PortRange], wanted: &str) -> Vec<Vec<String>> {
    let parsed = wanted.split(',').filter_map(|part| part.parse::<PortRange>().ok());
    let wanted: BTreeSet<Port> = parsed.flat_map(PortRange::ports).collect();
    let (kept, gone): (Vec<PortRange>, Vec<PortRange>) =
        now.iter().partition(|range| range.ports().all(|port| wanted.contains(&port)));
    let is_kept = |port: &Port| kept.iter().any(|range| range.contains(*port));
    let new = runs(wanted.into_iter().filter(|port| !is_kept(port)));
    let command = |verb: &str, range: &PortRange| {
        let (first, count) = (range.first(), range.count());
        let what = format!("int ipv4 {verb} excludedportrange protocol=tcp");
        words(&format!("{what} startport={first} numberofports={count} store=persistent"))
    };
    let deleted = gone.iter().map(|range| command("delete", range));
    deleted.chain(new.iter().map(|range| command("add", range))).collect()
}

/// Joins ports in order to ranges.
fn runs(ports: impl Iterator<Item = Port>) -> Vec<PortRange> {
    let mut runs: Vec<PortRange> = Vec::new();
    for port in ports {
        match runs.last_mut() {
            Some(last) if last.last().checked_add(1) == Some(port) => {
                *last = PortRange::new(last.first(), port).unwrap_or(*last);
            }
            _ => runs.push(PortRange::single(port)),
        }
    }
    runs
}

/// Writes exclusions as a list in order; those that touch are one.
pub(super) fn list(ranges: &[PortRange]) -> String {
    let ports: BTreeSet<Port> = ranges.iter().flat_map(|range| range.ports()).collect();
    runs(ports.into_iter()).iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// Reads the level of auto-tuning: one word, of letters alone.
pub(super) fn level(text: &str) -> Option<String> {
    let word = text.trim();
    (!word.is_empty() && word.chars().all(|letter| letter.is_ascii_alphabetic())).then(|| word.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> PortRange {
        text.parse().expect("a range")
    }

    fn lines(commands: &[Vec<String>]) -> Vec<String> {
        commands.iter().map(|words| words.join(" ")).collect()
    }

    #[test]
    fn dynamic_ports_are_shown_and_set_by_first_and_count() {
        let key = "dynamicport.ipv6.udp";
        assert_eq!(show(key).join(" "), "int ipv6 show dynamicport udp");
        let command = set(key, "49152-65535").expect("a command").join(" ");
        assert_eq!(command, "int ipv6 set dynamicport udp start=49152 num=16384");
        assert_eq!(set(key, "nonsense"), None);
    }

    #[test]
    fn exclusions_are_added_and_deleted_one_by_one() {
        let add = |first: u16, count: u16| {
            format!(
                "int ipv4 add excludedportrange protocol=tcp startport={first} numberofports={count} store=persistent"
            )
        };
        assert_eq!(lines(&exclude(&[range("5357")], "5357,8000-8001")), [add(8000, 2)]);
        let commands = lines(&exclude(&[range("5357"), range("8000-8001")], "5357,8001"));
        assert_eq!(commands, [add(8000, 2).replace(" add ", " delete "), add(8001, 1)]);
        assert_eq!(lines(&exclude(&[range("5357")], "5357")), [""; 0]);
    }

    #[test]
    fn a_list_is_in_order() {
        assert_eq!(list(&[range("9000"), range("8001"), range("8000")]), "8000-8001,9000");
        assert_eq!(list(&[]), "");
    }

    #[test]
    fn a_level_is_one_word_and_an_error_is_none() {
        assert_eq!(level("HighlyRestricted\r\n").as_deref(), Some("highlyrestricted"));
        assert_eq!(level("Get-NetTCPSetting : The term is not recognized"), None);
        assert_eq!(level(""), None);
    }

    #[test]
    fn the_names_of_the_registry_are_left() {
        assert_eq!(Place::of("MaxUserPort"), Place::Registry);
        assert_eq!(Place::of("autotuninglevel"), Place::AutoTuning);
        assert_eq!(set("MaxUserPort", "1"), None);
    }
}
