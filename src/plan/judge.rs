//! Says of each published port of a project whether it is free, ours, taken, reserved or privileged.

use std::net::IpAddr;

use crate::model::{
    Binding, BindingState, Container, ContainerState, Endpoint, Facts, Holder, HolderKind, Mapping, MappingId, Owner,
    Port, ProbeOutcome, Project, Promise, Protocol, PublishedPort, Seen, Socket, SocketState,
};
use crate::words::Message;
use crate::words::instance::InstanceWords;
use crate::words::plan::PlanWords;

/// The judgement on a whole project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// One binding for each published port, in the order of the mappings.
    pub bindings: Vec<Binding>,
    /// What does not stop the start but deserves to be known.
    pub warnings: Vec<Message>,
}

/// What one look at an endpoint found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) state: BindingState,
    pub(super) holder: Option<Holder>,
    pub(super) reason: Option<Message>,
}

impl Verdict {
    fn of(state: BindingState, reason: PlanWords) -> Self {
        Self { state, holder: None, reason: Some(reason.into()) }
    }

    fn free() -> Self {
        Self { state: BindingState::Free, holder: None, reason: None }
    }
}

/// Judges every published port of `project`; `strict` counts what a stopped container will want as a conflict. The
/// mappings in `leaving` are about to get other ports, so they are in nobody's way.
#[must_use]
pub fn judge(project: &Project, facts: &Facts, strict: bool, leaving: &[MappingId]) -> Judgement {
    let mut warnings = Vec::new();
    let mut bindings = Vec::new();
    for (index, mapping) in project.mappings.iter().enumerate() {
        let id = MappingId(index);
        if host_network(project, &mapping.service) {
            let words = PlanWords::WarnHostNetwork { service: mapping.service.clone() }.into();
            if !warnings.contains(&words) {
                warnings.push(words);
            }
        }
        match mapping.published {
            PublishedPort::Random => bindings.push(engine_chooses(id, mapping)),
            PublishedPort::AnyOf(_) => bindings.push(any_of(project, facts, id)),
            PublishedPort::Fixed(range) => {
                for (port, container_port) in range.ports().zip(mapping.container.ports()) {
                    let sibling = earlier_sibling(project, facts, id, port, leaving);
                    let verdict = match sibling {
                        Some(sibling) => wanted_by(sibling),
                        None => verdict(project, facts, id, port, strict, &mut warnings),
                    };
                    bindings.push(binding(id, Some(port), container_port, verdict));
                }
            }
        }
    }
    Judgement { bindings, warnings }
}

fn binding(mapping: MappingId, port: Option<Port>, container_port: Port, verdict: Verdict) -> Binding {
    let Verdict { state, holder, reason } = verdict;
    Binding { mapping, port, container_port, state, holder, suggested: None, reason }
}

fn engine_chooses(id: MappingId, mapping: &Mapping) -> Binding {
    let verdict = Verdict::of(BindingState::Free, PlanWords::EngineChooses);
    binding(id, None, mapping.container.first(), verdict)
}

/// Judges a range of which the engine takes any free port: it is in conflict only when it is full.
fn any_of(project: &Project, facts: &Facts, id: MappingId) -> Binding {
    let mapping = mapping_of(project, id);
    let PublishedPort::AnyOf(range) = mapping.published else { return engine_chooses(id, mapping) };
    let free = range.ports().find(|port| {
        let verdict = look(project, facts, mapping, *port);
        !verdict.state.blocks() && verdict.state != BindingState::Unknown
    });
    let verdict = match free {
        Some(_) => Verdict::of(BindingState::Free, PlanWords::EngineChooses),
        None => Verdict::of(BindingState::Conflict, PlanWords::RangeFull { range }),
    };
    binding(id, Some(free.unwrap_or(range.first())), mapping.container.first(), verdict)
}

fn verdict(
    project: &Project,
    facts: &Facts,
    id: MappingId,
    port: Port,
    strict: bool,
    warnings: &mut Vec<Message>,
) -> Verdict {
    let mapping = mapping_of(project, id);
    if host_network(project, &mapping.service) {
        return Verdict::free();
    }
    let verdict = look(project, facts, mapping, port);
    if verdict.state != BindingState::Free {
        return verdict;
    }
    let Some(stopped) = stopped_wanting(project, facts, mapping, port) else { return verdict };
    let container = stopped.identity.name.clone();
    if strict {
        return Verdict {
            state: BindingState::Conflict,
            holder: Some(container_holder(stopped)),
            reason: Some(PlanWords::StoppedWants { container }.into()),
        };
    }
    warnings.push(PlanWords::WarnStopped { port, container: container.clone() }.into());
    Verdict::of(BindingState::Free, PlanWords::StoppedWants { container })
}

fn wanted_by(sibling: &Mapping) -> Verdict {
    Verdict::of(BindingState::Conflict, PlanWords::SiblingWants { service: sibling.service.clone() })
}

/// Looks at one port for one mapping, without regard to siblings and stopped containers.
pub(super) fn look(project: &Project, facts: &Facts, mapping: &Mapping, port: Port) -> Verdict {
    let wanted = Endpoint::published(mapping.host_ip, port, mapping.protocol, facts.ipv6);
    if let Some(verdict) = own(project, facts, &wanted) {
        return verdict;
    }
    if let Some(verdict) = taken(project, facts, &wanted) {
        return verdict;
    }
    if let Some(verdict) = promised(facts, mapping, port) {
        return verdict;
    }
    if let Some(range) = facts.excluded.iter().find(|range| range.contains(port)) {
        return Verdict::of(BindingState::Reserved, PlanWords::SystemExcludes { range: *range });
    }
    if !facts.engine_is_local {
        return Verdict::of(BindingState::Unknown, PlanWords::EngineElsewhere);
    }
    unprivileged(facts, port).or_else(|| unlooked(facts, &wanted)).unwrap_or_else(Verdict::free)
}

/// Finds what of this very project holds one of the endpoints.
fn own(project: &Project, facts: &Facts, wanted: &[Endpoint]) -> Option<Verdict> {
    if let Some(container) = publishing(facts, wanted).find(|container| is_own(project, container)) {
        let name = container.identity.name.clone();
        let verdict = Verdict::of(BindingState::Own, PlanWords::OwnContainer { container: name });
        return Some(Verdict { holder: Some(container_holder(container)), ..verdict });
    }
    let socket = occupying(facts, wanted).find(|socket| socket_is_own(project, facts, socket))?;
    let reason = match (&socket.owner.container, socket.owner.pid) {
        (Some(container), _) => PlanWords::OwnContainer { container: container.name.clone() },
        (None, Some(pid)) => PlanWords::OwnProcess { pid },
        (None, None) => return None,
    };
    Some(Verdict { holder: Some(socket_holder(&socket.owner)), ..Verdict::of(BindingState::Own, reason) })
}

/// Finds what else holds one of the endpoints: a container, a socket, or something that only the kernel knows.
fn taken(project: &Project, facts: &Facts, wanted: &[Endpoint]) -> Option<Verdict> {
    if let Some(container) = publishing(facts, wanted).next() {
        let holder = container_holder(container);
        let reason = match &container.identity.compose {
            Some(compose) if compose.project == project.name => PlanWords::OtherCopy {
                directory: compose.directory.as_ref().map(|path| path.display().to_string()).unwrap_or_default(),
            },
            _ => PlanWords::Taken { holder: holder.clone() },
        };
        return Some(Verdict { holder: Some(holder), ..Verdict::of(BindingState::Conflict, reason) });
    }
    if !facts.engine_is_local {
        return None;
    }
    if let Some(socket) = occupying(facts, wanted).find(|socket| always_blocks(socket.state)) {
        let holder = socket_holder(&socket.owner);
        let reason = match &socket.owner.why_unknown {
            Some(why) if holder.kind == HolderKind::Unknown || holder.pid.is_none() => why.clone(),
            _ => PlanWords::Taken { holder: holder.clone() }.into(),
        };
        return Some(Verdict { state: BindingState::Conflict, holder: Some(holder), reason: Some(reason) });
    }
    refused_by_kernel(facts, wanted)
}

/// Finds another copy of the project that was given the port. Addresses are not told apart: copies are made to be
/// reached beside each other.
fn promised(facts: &Facts, mapping: &Mapping, port: Port) -> Option<Verdict> {
    let holds = |promise: &&Promise| promise.protocol == mapping.protocol && promise.ports.contains(port);
    let reason = match &facts.promised.iter().find(holds)?.instance {
        Some(name) => InstanceWords::PromisedToInstance { name: name.clone() },
        None => InstanceWords::PromisedToProject,
    };
    Some(Verdict { state: BindingState::Conflict, holder: None, reason: Some(reason.into()) })
}

/// Reads the answers of real binds, which see what no table shows.
fn refused_by_kernel(facts: &Facts, wanted: &[Endpoint]) -> Option<Verdict> {
    wanted.iter().find_map(|endpoint| match facts.probes.get(endpoint)? {
        ProbeOutcome::InUse => {
            let holder = occupying(facts, wanted).next().map(|socket| socket_holder(&socket.owner));
            let reason = match &holder {
                Some(holder) => PlanWords::UsedByConnection { holder: holder.clone() },
                None => PlanWords::TakenUnseen,
            };
            let holder = holder.unwrap_or_else(|| socket_holder(&Owner::default()));
            Some(Verdict { holder: Some(holder), ..Verdict::of(BindingState::Conflict, reason) })
        }
        ProbeOutcome::NotLocal => {
            let reason = PlanWords::AddressNotHere { address: endpoint.address.to_string() };
            Some(Verdict::of(BindingState::Conflict, reason))
        }
        _ => None,
    })
}

fn unprivileged(facts: &Facts, port: Port) -> Option<Verdict> {
    let may = facts.privileged_user || facts.engine_is_privileged || port.get() >= facts.unprivileged_from;
    let reason = PlanWords::NeedsPrivilege { first: facts.unprivileged_from };
    (!may).then(|| Verdict::of(BindingState::Privileged, reason))
}

/// Says "unknown" where neither the tables nor a bind could tell.
fn unlooked(facts: &Facts, wanted: &[Endpoint]) -> Option<Verdict> {
    let answers: Vec<_> = wanted.iter().filter_map(|endpoint| facts.probes.get(endpoint)).collect();
    if let Some(ProbeOutcome::Failed(why)) = answers.iter().find(|answer| matches!(answer, ProbeOutcome::Failed(_))) {
        return Some(Verdict::of(BindingState::Unknown, PlanWords::ProbeFailed { why: why.clone() }));
    }
    let denied = answers.contains(&&ProbeOutcome::Denied);
    if denied && !facts.engine_is_privileged {
        return Some(Verdict::of(BindingState::Reserved, PlanWords::BindDenied));
    }
    match &facts.sockets {
        Seen::Unknown(why) if answers.is_empty() || denied => {
            let why = Box::new(why.clone());
            Some(Verdict::of(BindingState::Unknown, PlanWords::CouldNotLook { why }))
        }
        _ => None,
    }
}

/// Tells whether a socket in this state always keeps others from binding. A connection's local port, and `TIME_WAIT`,
/// do so only sometimes (it depends on `SO_REUSEADDR` of both): there the bind probe decides.
fn always_blocks(state: SocketState) -> bool {
    matches!(state, SocketState::Listen | SocketState::Bound | SocketState::Open)
}

fn occupying<'facts>(facts: &'facts Facts, wanted: &'facts [Endpoint]) -> impl Iterator<Item = &'facts Socket> {
    let sockets = facts.sockets.known().map(Vec::as_slice).unwrap_or_default();
    sockets.iter().filter(move |socket| wanted.iter().any(|endpoint| endpoint.conflicts_with(&socket.endpoint)))
}

fn containers(facts: &Facts, state: ContainerState) -> impl Iterator<Item = &Container> {
    let all = facts.containers.known().map(Vec::as_slice).unwrap_or_default();
    all.iter().filter(move |container| container.state == state)
}

fn publishing<'facts>(facts: &'facts Facts, wanted: &'facts [Endpoint]) -> impl Iterator<Item = &'facts Container> {
    containers(facts, ContainerState::Running).filter(move |container| publishes(container, wanted, facts.ipv6))
}

fn publishes(container: &Container, wanted: &[Endpoint], ipv6: bool) -> bool {
    container.published.iter().any(|published| {
        let held = Endpoint::published(published.host_ip, published.host_port, published.protocol, ipv6);
        held.iter().any(|endpoint| wanted.iter().any(|other| other.conflicts_with(endpoint)))
    })
}

/// Finds a stopped container of another project that will want the port when it starts.
pub(super) fn stopped_wanting<'facts>(
    project: &Project,
    facts: &'facts Facts,
    mapping: &Mapping,
    port: Port,
) -> Option<&'facts Container> {
    let wanted = Endpoint::published(mapping.host_ip, port, mapping.protocol, facts.ipv6);
    containers(facts, ContainerState::Stopped)
        .find(|container| !is_own(project, container) && publishes(container, &wanted, facts.ipv6))
}

fn is_own(project: &Project, container: &Container) -> bool {
    let by_label = container.portwright_directory.as_ref() == Some(&project.directory);
    let by_compose = container.identity.compose.as_ref().is_some_and(|compose| {
        compose.project == project.name && compose.directory.as_ref() == Some(&project.directory)
    });
    by_label || by_compose
}

fn socket_is_own(project: &Project, facts: &Facts, socket: &Socket) -> bool {
    let by_pid = socket.owner.pid.is_some_and(|pid| facts.own_pids.contains(&pid));
    let by_container = socket.owner.container.as_ref().is_some_and(|owner| {
        let all = facts.containers.known().map(Vec::as_slice).unwrap_or_default();
        all.iter().any(|container| container.identity.id == owner.id && is_own(project, container))
    });
    by_pid || by_container
}

/// Finds an earlier mapping of the same project that wants the same endpoint.
fn earlier_sibling<'project>(
    project: &'project Project,
    facts: &Facts,
    id: MappingId,
    port: Port,
    leaving: &[MappingId],
) -> Option<&'project Mapping> {
    let mapping = mapping_of(project, id);
    if host_network(project, &mapping.service) || leaving.contains(&id) {
        return None;
    }
    let wanted = Endpoint::published(mapping.host_ip, port, mapping.protocol, facts.ipv6);
    let earlier = project.mappings.iter().enumerate().take(id.0);
    let staying = earlier.filter(|(index, _)| !leaving.contains(&MappingId(*index))).map(|(_, sibling)| sibling);
    staying.into_iter().find(|sibling| {
        let PublishedPort::Fixed(range) = sibling.published else { return false };
        range.contains(port)
            && !host_network(project, &sibling.service)
            && overlaps(&wanted, sibling.host_ip, port, sibling.protocol, facts.ipv6)
    })
}

fn overlaps(wanted: &[Endpoint], host_ip: Option<IpAddr>, port: Port, protocol: Protocol, ipv6: bool) -> bool {
    let held = Endpoint::published(host_ip, port, protocol, ipv6);
    held.iter().any(|endpoint| wanted.iter().any(|other| other.conflicts_with(endpoint)))
}

pub(super) fn mapping_of(project: &Project, id: MappingId) -> &Mapping {
    project.mappings.get(id.0).expect("a mapping id comes from the project it indexes")
}

pub(super) fn host_network(project: &Project, service: &str) -> bool {
    project.services.iter().any(|candidate| candidate.name == service && candidate.host_network)
}

fn container_holder(container: &Container) -> Holder {
    let compose = container.identity.compose.as_ref();
    Holder {
        kind: HolderKind::Container,
        pid: container.pid,
        process: None,
        user: None,
        container: Some(container.identity.name.clone()),
        compose_project: compose.map(|compose| compose.project.clone()),
        compose_service: compose.map(|compose| compose.service.clone()),
    }
}

/// Names the owner of a socket.
#[must_use]
pub fn held_by(owner: &Owner) -> PlanWords {
    PlanWords::Held { holder: socket_holder(owner) }
}

fn socket_holder(owner: &Owner) -> Holder {
    let compose = owner.container.as_ref().and_then(|container| container.compose.as_ref());
    let kind = match (&owner.container, owner.pid) {
        (Some(_), _) => HolderKind::Container,
        (None, Some(_)) => HolderKind::Process,
        (None, None) => HolderKind::Unknown,
    };
    Holder {
        kind,
        pid: owner.pid,
        process: owner.process.clone(),
        user: owner.user.clone(),
        container: owner.container.as_ref().map(|container| container.name.clone()),
        compose_project: compose.map(|compose| compose.project.clone()),
        compose_service: compose.map(|compose| compose.service.clone()),
    }
}
