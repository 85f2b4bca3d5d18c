//! Ports that could be handed out: nothing seen on them, and no rule against them.

use super::known::is_blocked_by_browsers;
use crate::model::{Facts, Port, PortRange, Protocol};

/// Yields the ports of `range` that, in each of `protocols`, no socket, no container (running or stopped) and no rule of
/// the system speaks against, lowest first; ports for outgoing connections are left out. A bind has the last word.
pub fn free_ports(facts: &Facts, range: PortRange, protocols: &[Protocol]) -> impl Iterator<Item = Port> {
    let sockets = facts.sockets.known().map(Vec::as_slice).unwrap_or_default();
    let containers = facts.containers.known().map(Vec::as_slice).unwrap_or_default();
    range.ports().filter(move |port| {
        let held =
            sockets.iter().any(|socket| socket.endpoint.port == *port && protocols.contains(&socket.endpoint.protocol));
        let published = containers
            .iter()
            .flat_map(|container| &container.published)
            .any(|one| one.host_port == *port && protocols.contains(&one.protocol));
        let mut rules = facts.reserved.iter().chain(&facts.excluded).chain(&facts.ephemeral);
        !held
            && !published
            && port.get() >= facts.unprivileged_from
            && !protocols.iter().any(|protocol| is_blocked_by_browsers(*port, *protocol))
            && !rules.any(|range| range.contains(*port))
    })
}
