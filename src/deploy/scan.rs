//! Lists sockets, and finds ports that are free by every way of looking.

use super::observe::{observe_all, probe};
use super::order::ProjectOrder;
use crate::model::{Endpoint, Facts, Port, PortRange, ProbeOutcome, Protocol, Seen, Socket, Unseen};
use crate::plan;
use crate::words::Message;

/// What to list.
#[derive(Debug, Clone)]
pub struct ScanWishes {
    /// Only sockets on these ports.
    pub range: Option<PortRange>,
    /// Only sockets of this protocol.
    pub protocol: Option<Protocol>,
    /// Only sockets of processes with this name.
    pub process: Option<String>,
    /// How many free ports to name.
    pub free: u16,
}

/// What was found.
#[derive(Debug, Clone)]
pub struct Scan {
    /// The sockets, sorted by port.
    pub sockets: Vec<Socket>,
    /// Free ports, lowest first; fewer than asked for when there are no more.
    pub free: Vec<Port>,
    /// What could not be looked at.
    pub unseen: Vec<Unseen>,
}

/// Where free ports are looked for when no range is named: above the well-known ports of development servers and below
/// the ports for outgoing connections of Linux (32768).
const FREE_FROM: u16 = 8000;
const FREE_TO: u16 = 32767;

/// Looks once.
///
/// # Errors
/// The message of what made it impossible to list sockets at all.
pub async fn scan(order: &ProjectOrder, wishes: &ScanWishes) -> Result<Scan, Message> {
    let mut facts = observe_all(order).await;
    let free = free_in(&mut facts, wishes);
    let sockets = match facts.sockets {
        Seen::Known(sockets) => sockets,
        Seen::Unknown(why) => return Err(why),
    };
    let wanted = |socket: &Socket| {
        wishes.range.is_none_or(|range| range.contains(socket.endpoint.port))
            && wishes.protocol.is_none_or(|protocol| protocol == socket.endpoint.protocol)
            && wishes.process.as_ref().is_none_or(|name| socket.owner.process.as_ref() == Some(name))
    };
    let mut sockets: Vec<_> = sockets.into_iter().filter(wanted).collect();
    sockets.sort_by_key(|socket| (socket.endpoint.port, socket.endpoint.protocol, socket.endpoint.address));
    Ok(Scan { sockets, free, unseen: facts.unseen })
}

fn free_in(facts: &mut Facts, wishes: &ScanWishes) -> Vec<Port> {
    let default = Port::new(FREE_FROM).zip(Port::new(FREE_TO)).and_then(|(first, last)| PortRange::new(first, last));
    let Some(range) = wishes.range.or(default).filter(|_| wishes.free > 0) else { return Vec::new() };
    let protocols = wishes.protocol.map_or(vec![Protocol::Tcp, Protocol::Udp], |protocol| vec![protocol]);
    let seen = facts.clone();
    let binds = |port: &Port| {
        let mut endpoints =
            protocols.iter().flat_map(|protocol| Endpoint::published(None, *port, *protocol, seen.ipv6));
        endpoints.all(|endpoint| {
            probe(facts, endpoint);
            matches!(facts.probes.get(&endpoint), None | Some(ProbeOutcome::Free | ProbeOutcome::NoFamily))
        })
    };
    let mut free: Vec<Port> =
        plan::free_ports(&seen, range, &protocols).filter(binds).take(usize::from(wishes.free)).collect();
    free.sort_unstable();
    free
}
