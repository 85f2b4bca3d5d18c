//! Everything that is known of one port: who has it, who wants it, what the system says of it, and what is free instead.

use super::observe::{look_at, probe};
use super::order::ProjectOrder;
use super::{LoadedProject, check, leases};
use crate::disk::Dirs;
use crate::error::{Error, ErrorKind};
use crate::host::{Look, Owners};
use crate::lease::Looked;
use crate::model::{
    Binding, Container, ContainerState, Endpoint, Facts, Mapping, Port, PortRange, ProbeOutcome, Protocol, Published,
    Seen, Socket, SocketState, Unseen,
};
use crate::plan::{self, Wishes};
use crate::words::Message;
use crate::words::why::WhyWords;

/// Ports above the asked one among which a free one is looked for.
const NEAR: u16 = 200;

/// What is known of a port.
#[derive(Debug, Clone)]
pub struct Why {
    /// The port.
    pub port: Port,
    /// Sockets on it, in any state.
    pub sockets: Vec<Socket>,
    /// Containers that publish it, running and stopped, with what they publish.
    pub containers: Vec<(Container, Published)>,
    /// Leases of it.
    pub leases: Vec<Looked>,
    /// The project of the directory, if there is one, and its bindings of this port.
    pub project: Option<(LoadedProject, Vec<Binding>)>,
    /// Why the project could not be read, where there is one that cannot.
    pub project_trouble: Option<Error>,
    /// What the system says of the port.
    pub rules: Vec<Rule>,
    /// The nearest port above it that is free in TCP.
    pub free: Option<Port>,
    /// What could not be looked at.
    pub unseen: Vec<Unseen>,
    /// What helps, the best first.
    pub advice: Vec<Message>,
}

/// Something that the system says of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Outgoing connections get their local ports from here.
    Ephemeral(PortRange),
    /// Nobody may bind these (excluded ranges of Windows).
    Excluded(PortRange),
    /// Automatic choice leaves these alone (`ip_local_reserved_ports`).
    Reserved(PortRange),
    /// An ordinary user may not bind below this port.
    Privileged(PortRange),
}

impl Rule {
    /// Returns the stable name used in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ephemeral(_) => "ephemeral",
            Self::Excluded(_) => "excluded",
            Self::Reserved(_) => "reserved",
            Self::Privileged(_) => "privileged",
        }
    }

    /// Returns the ports that it is about.
    #[must_use]
    pub const fn range(self) -> PortRange {
        match self {
            Self::Ephemeral(range) | Self::Excluded(range) | Self::Reserved(range) | Self::Privileged(range) => range,
        }
    }
}

/// Looks at one port. A project in the directory is read; where there is none, that is no fault.
///
/// # Errors
/// The message of what made it impossible to list sockets at all.
pub async fn why(order: &ProjectOrder, port: Port, wishes: &Wishes, dirs: Option<&Dirs>) -> Result<Why, Message> {
    let near = port.get().checked_add(NEAR).and_then(Port::new).unwrap_or(Port::MAX);
    let wanted = PortRange::new(port, near).unwrap_or_else(|| PortRange::single(port));
    let mut facts = look_at(order, Look { wanted: vec![wanted], owners: Owners::Only([port].into()) }).await;
    let sockets = match &facts.sockets {
        Seen::Known(sockets) => sockets.iter().filter(|socket| socket.endpoint.port == port).cloned().collect(),
        Seen::Unknown(why) => return Err(why.clone()),
    };
    let (project, project_trouble) = match check(order, wishes, dirs).await {
        Ok((loaded, ports)) => {
            let on_port = ports.bindings.into_iter().filter(|binding| binding.port == Some(port)).collect();
            (Some((loaded, on_port)), None)
        }
        Err(error) if error.kind() == ErrorKind::Missing => (None, None),
        Err(error) => (None, Some(error)),
    };
    if let Some(dirs) = dirs {
        leases::show(dirs, &mut facts);
    }
    let free = free_above(&mut facts, wanted, port);
    let mut why = Why {
        port,
        sockets,
        containers: containers(&facts, port),
        leases: dirs.map(|dirs| leases::of(dirs, port)).unwrap_or_default(),
        project,
        project_trouble,
        rules: rules(&facts, port),
        free,
        unseen: facts.unseen.clone(),
        advice: Vec::new(),
    };
    why.advice = advice(&why, &facts);
    Ok(why)
}

impl Why {
    /// Returns the bindings of the project that want the port, each with its mapping.
    pub fn bindings(&self) -> impl Iterator<Item = (&Binding, &Mapping)> {
        let project = self.project.iter();
        project.flat_map(|(loaded, bindings)| {
            bindings.iter().filter_map(|binding| Some((binding, loaded.project.mappings.get(binding.mapping.0)?)))
        })
    }
}

fn containers(facts: &Facts, port: Port) -> Vec<(Container, Published)> {
    let all = facts.containers.known().map(Vec::as_slice).unwrap_or_default();
    let publishing = |container: &Container| {
        let published = container.published.iter().find(|published| published.host_port == port)?;
        Some((container.clone(), *published))
    };
    all.iter().filter_map(publishing).collect()
}

fn rules(facts: &Facts, port: Port) -> Vec<Rule> {
    let about = |range: &&PortRange| range.contains(port);
    let mut rules: Vec<Rule> = facts.excluded.iter().filter(about).copied().map(Rule::Excluded).collect();
    rules.extend(facts.reserved.iter().filter(about).copied().map(Rule::Reserved));
    rules.extend(facts.ephemeral.filter(|range| range.contains(port)).map(Rule::Ephemeral));
    let last = facts.unprivileged_from.checked_sub(1).and_then(Port::new);
    let privileged = last.and_then(|last| PortRange::new(Port::MIN, last));
    rules.extend(privileged.filter(|range| range.contains(port)).map(Rule::Privileged));
    rules
}

/// The first port after `port` in `range` that the kernel gives out, for TCP on all addresses.
fn free_above(facts: &mut Facts, range: PortRange, port: Port) -> Option<Port> {
    let seen = facts.clone();
    let mut candidates = plan::free_ports(&seen, range, &[Protocol::Tcp]).filter(|candidate| *candidate != port);
    candidates.find(|candidate| binds(facts, *candidate))
}

fn binds(facts: &mut Facts, port: Port) -> bool {
    let mut endpoints = Endpoint::published(None, port, Protocol::Tcp, facts.ipv6).into_iter();
    endpoints.all(|endpoint| {
        probe(facts, endpoint);
        matches!(facts.probes.get(&endpoint), None | Some(ProbeOutcome::Free | ProbeOutcome::NoFamily))
    })
}

/// What helps whoever wants this port.
fn advice(why: &Why, facts: &Facts) -> Vec<Message> {
    let mut advice: Vec<Message> = Vec::new();
    let holding: Vec<&Socket> = why.sockets.iter().filter(|socket| socket.state != SocketState::TimeWait).collect();
    for (container, _) in why.containers.iter().filter(|(container, _)| container.state == ContainerState::Running) {
        let name = container.identity.name.clone();
        advice.push(
            match &container.identity.compose {
                Some(compose) => {
                    WhyWords::StopService { project: compose.project.clone(), service: compose.service.clone() }
                }
                None => WhyWords::StopContainer { name },
            }
            .into(),
        );
    }
    if why.containers.is_empty() {
        let mut pids: Vec<u32> = holding.iter().filter_map(|socket| socket.owner.pid).collect();
        pids.sort_unstable();
        pids.dedup();
        advice.extend(pids.into_iter().map(|pid| WhyWords::EndProcess { pid }.into()));
    }
    advice.extend(holding.iter().filter_map(|socket| socket.owner.why_unknown.clone()).take(1));
    let wanted = why.bindings().next();
    if let (Some((_, mapping)), Some(free), false) = (wanted, why.free, holding.is_empty()) {
        advice.push(
            WhyWords::MoveOurs { name: mapping.variable.clone().unwrap_or_else(|| mapping.service.clone()), free }
                .into(),
        );
    } else if let (Some(free), false) = (why.free, holding.is_empty()) {
        advice.push(WhyWords::FreeNear { free }.into());
    }
    if holding.is_empty() && !why.leases.is_empty() {
        advice.push(WhyWords::ReleaseLease { port: why.port }.into());
    } else if holding.is_empty() {
        advice.push(nobody(why, facts));
    }
    advice
}

/// What is to be said of a port that no socket holds.
fn nobody(why: &Why, facts: &Facts) -> Message {
    if !why.sockets.is_empty() {
        return WhyWords::OnlyTimeWait.into();
    }
    for rule in &why.rules {
        match rule {
            Rule::Excluded(range) => return WhyWords::SystemKeeps { range: *range }.into(),
            Rule::Privileged(_) if !facts.privileged_user => {
                return WhyWords::NeedsRights { first: facts.unprivileged_from }.into();
            }
            Rule::Ephemeral(_) => return WhyWords::MayVanish { port: why.port }.into(),
            Rule::Reserved(_) | Rule::Privileged(_) => {}
        }
    }
    WhyWords::NobodyHas.into()
}
