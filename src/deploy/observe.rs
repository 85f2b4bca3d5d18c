//! Looks at the machine: sockets and their owners, containers, the system's rules for ports, real binds. Changes
//! nothing, and never fails as a whole: what cannot be seen becomes `Unknown` with its reason.

use std::collections::BTreeMap;

use super::order::{ProjectOrder, RuntimeChoice};
use crate::docker::{self, Engine};
use crate::error::Error;
use crate::host::{self, Look, Owners};
use crate::model::{
    Endpoint, Facts, Mapping, Port, PortRange, Project, Promise, PublishedPort, Seen, SocketState, Unseen,
};
use crate::plan;
use crate::words::Message;
use crate::words::deploy::DeployWords;
use crate::words::plan::PlanWords;

/// The machine as it was seen, with the engine that answered.
#[derive(Debug)]
pub struct Observed {
    /// What was seen.
    pub facts: Facts,
    /// The engine, or why there is none.
    pub engine: Result<Engine, Error>,
}

/// What else is known of the project before the look.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    /// Ports chosen before, by mapping name.
    pub sticky: BTreeMap<String, Port>,
    /// Ports that other copies of the project have been given.
    pub promised: Vec<Promise>,
    /// Process ids of the project's own native service.
    pub own_pids: Vec<u32>,
}

/// Looks at everything that decides the ports of `project`.
pub async fn observe(order: &ProjectOrder, project: &Project, memory: Memory) -> Observed {
    let wanted = wanted_ranges(project);
    let owners = Owners::Only(wanted.iter().flat_map(|range| range.ports()).collect());
    let look = Look { wanted, owners };
    let (mut observed, sockets) = machine(order, &look).await;
    let facts = &mut observed.facts;
    facts.sockets = sockets;
    facts.sticky = memory.sticky;
    facts.own_pids = memory.own_pids;
    facts.promised = memory.promised;
    for mapping in &project.mappings {
        for endpoint in endpoints(mapping, facts.ipv6) {
            probe(facts, endpoint);
        }
    }
    observed
}

/// Looks at all sockets with their owners, for listings.
pub async fn observe_all(order: &ProjectOrder) -> Observed {
    let look = Look { wanted: Vec::new(), owners: Owners::All };
    let (mut observed, sockets) = machine(order, &look).await;
    observed.facts.sockets = sockets;
    observed
}

/// Names who holds a TCP or UDP port on any address.
pub(super) async fn holder(order: &ProjectOrder, port: Port) -> Message {
    let wanted = PortRange::single(port);
    let look = Look { wanted: vec![wanted], owners: Owners::Only([port].into_iter().collect()) };
    let (_, sockets) = machine(order, &look).await;
    let sockets = sockets.known().map(Vec::as_slice).unwrap_or_default();
    let mut holding = sockets.iter().filter(|socket| socket.endpoint.port == port);
    let found = holding.find(|socket| socket.state != SocketState::TimeWait);
    found.map_or_else(|| PlanWords::HeldByUnknown.into(), |socket| Message::from(plan::held_by(&socket.owner)))
}

/// Binds the endpoint for real and remembers the kernel's answer.
pub fn probe(facts: &mut Facts, endpoint: Endpoint) {
    if facts.engine_is_local {
        facts.probes.entry(endpoint).or_insert_with(|| host::probe(&endpoint));
    }
}

async fn machine(order: &ProjectOrder, look: &Look) -> (Observed, Seen<Vec<crate::model::Socket>>) {
    let (mut sockets, mut unseen) = host::sockets(look);
    let engine = connect(order).await;
    let containers = match &engine {
        Ok(engine) => match engine.containers().await {
            Ok(containers) => Seen::Known(containers),
            Err(error) => Seen::Unknown(error.message().clone()),
        },
        Err(error) => Seen::Unknown(error.message().clone()),
    };
    if let Seen::Unknown(why) = &containers {
        let why: Message = DeployWords::EngineUnseen { why: Box::new(why.clone()) }.into();
        unseen.push(Unseen { what: "containers", why });
    }
    if let (Seen::Known(sockets), Seen::Known(containers)) = (&mut sockets, &containers) {
        host::attribute(sockets, containers);
    }
    let rules = host::port_rules();
    let identity = engine.as_ref().ok().map(Engine::identity);
    let facts = Facts {
        os: host::os(),
        privileged_user: host::privileged_user(),
        ipv6: host::ipv6_available(),
        sockets: Seen::Known(Vec::new()),
        containers,
        ephemeral: rules.ephemeral,
        excluded: rules.excluded,
        reserved: rules.reserved,
        unprivileged_from: rules.unprivileged_from,
        engine_is_local: identity.is_none_or(|identity| identity.local),
        engine_is_privileged: identity.is_some_and(|identity| !identity.rootless)
            && order.runtime != RuntimeChoice::Native,
        probes: BTreeMap::new(),
        sticky: BTreeMap::new(),
        promised: Vec::new(),
        own_pids: Vec::new(),
        unseen,
    };
    (Observed { facts, engine }, sockets)
}

/// Connects to the engine that the order wants.
pub(super) async fn connect(order: &ProjectOrder) -> Result<Engine, Error> {
    docker::connect(engine_choice(order.runtime), &|name| order.environment.get(name).cloned()).await
}

/// Which engine is asked; a native service is judged beside the containers all the same.
fn engine_choice(runtime: RuntimeChoice) -> docker::Choice {
    match runtime {
        RuntimeChoice::Docker => docker::Choice::Docker,
        RuntimeChoice::Podman => docker::Choice::Podman,
        RuntimeChoice::Auto | RuntimeChoice::Native | RuntimeChoice::None => docker::Choice::Auto,
    }
}

fn wanted_ranges(project: &Project) -> Vec<PortRange> {
    let ranges = project.mappings.iter().filter_map(|mapping| match mapping.published {
        PublishedPort::Fixed(range) | PublishedPort::AnyOf(range) => Some(range),
        PublishedPort::Random => None,
    });
    ranges.collect()
}

fn endpoints(mapping: &Mapping, ipv6: bool) -> Vec<Endpoint> {
    let (PublishedPort::Fixed(range) | PublishedPort::AnyOf(range)) = mapping.published else { return Vec::new() };
    let ports = range.ports();
    ports.flat_map(|port| Endpoint::published(mapping.host_ip, port, mapping.protocol, ipv6)).collect()
}
