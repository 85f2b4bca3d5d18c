//! The rules of the system about ports: who hands them out, and which are kept from us.

use std::net::IpAddr;

use super::system;
use crate::model::{Os, Port, PortRange, Protocol, Seen, Unseen};
use crate::words::Message;
use crate::words::host::HostWords;

/// The ports that macOS gives to its AirPlay receiver since version 12.
const AIRPLAY: [u16; 2] = [5000, 7000];

/// What the system says about ranges of ports.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PortRules {
    /// The range from which ports for outgoing connections are taken.
    pub ephemeral: Option<PortRange>,
    /// Ports that automatic choice leaves alone; a bind works all the same (Linux `ip_local_reserved_ports`).
    pub reserved: Vec<PortRange>,
    /// Ports that nobody may bind (excluded ranges of Windows).
    pub excluded: Vec<PortRange>,
    /// The lowest port that an ordinary user may bind; 0 where there is no such rule.
    pub unprivileged_from: u16,
    /// Rules that could not be read, with the reason.
    pub unseen: Vec<Unseen>,
}

/// Reads the rules of this system; what cannot be read is left out and said in `unseen`.
#[must_use]
pub fn port_rules() -> PortRules {
    system::port_rules()
}

/// Returns what a person should know about `port` on `os` before looking for a process, if anything.
#[must_use]
pub fn note_on(os: Os, port: Port) -> Option<Message> {
    (os == Os::MacOs && AIRPLAY.contains(&port.get())).then(|| HostWords::AirPlay { port }.into())
}

/// Ports whose packets a NAT rule sends elsewhere, whatever socket has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirect {
    /// The protocol.
    pub protocol: Protocol,
    /// The address that packets are sent to; `None` for all, or where it cannot be told.
    pub address: Option<IpAddr>,
    /// The ports.
    pub ports: PortRange,
    /// Where the packets go: an address with a port, a port, or a chain of rules.
    pub to: String,
}

/// Lists the ports that NAT rules redirect, without those of container engines: neither the list of sockets nor a bind
/// shows them. Takes some milliseconds, at most five seconds, and root on Linux; other systems have none to list.
#[must_use]
pub fn redirects() -> Seen<Vec<Redirect>> {
    system::redirects()
}

/// Reads a range from its two numbers; `None` for nonsense.
pub(super) fn range(first: &str, last: &str) -> Option<PortRange> {
    PortRange::new(first.parse().ok()?, last.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn airplay_is_named_on_macos_alone() {
        let port = Port::new(5000).expect("a port");
        assert!(note_on(Os::MacOs, port).is_some_and(|note| note.to_string().contains("AirPlay")));
        assert_eq!(note_on(Os::Linux, port), None);
        assert_eq!(note_on(Os::MacOs, Port::MAX), None);
    }
}
