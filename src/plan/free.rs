//! Ports that could be handed out: nothing seen on them, and no rule against them.

use super::known::is_blocked_by_browsers;
use crate::model::{Facts, Port, PortRange, Protocol};

/// Yields the ports of `range` that, in each of `protocols`, no socket, no container (running or stopped) and no rule of
/// the system speaks against, lowest first. After them come, as the last resort, those that browsers refuse and those
/// for outgoing connections. A bind has the last word.
pub fn free_ports(facts: &Facts, range: PortRange, protocols: &[Protocol]) -> impl Iterator<Item = Port> {
    let sockets = facts.sockets.known().map(Vec::as_slice).unwrap_or_default();
    let containers = facts.containers.known().map(Vec::as_slice).unwrap_or_default();
    let last_resort = move |port: &Port| {
        facts.ephemeral.is_some_and(|range| range.contains(*port))
            || protocols.iter().any(|protocol| is_blocked_by_browsers(*port, *protocol))
    };
    let free = move |port: &Port| {
        let held =
            sockets.iter().any(|socket| socket.endpoint.port == *port && protocols.contains(&socket.endpoint.protocol));
        let published = containers
            .iter()
            .flat_map(|container| &container.published)
            .any(|one| one.host_port == *port && protocols.contains(&one.protocol));
        let mut rules = facts.reserved.iter().chain(&facts.excluded);
        !held
            && !published
            && (facts.privileged_user || port.get() >= facts.unprivileged_from)
            && !rules.any(|range| range.contains(*port))
    };
    let first = range.ports().filter(move |port| !last_resort(port)).filter(free);
    first.chain(range.ports().filter(last_resort).filter(free))
}
