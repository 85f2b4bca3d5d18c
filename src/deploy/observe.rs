//! Looks at the machine: sockets and their owners, containers, the system's rules for ports, real binds. Changes
//! nothing, and never fails as a whole: what cannot be seen becomes `Unknown` with its reason.

use std::collections::BTreeMap;
use std::thread;

use tokio::sync::oneshot;

use super::order::{ProjectOrder, RuntimeChoice};
use crate::docker::{self, Engine};
use crate::error::Error;
use crate::host::{self, Look, Owners};
use crate::model::{
    Container, Endpoint, Facts, Mapping, Port, PortRange, Project, Promise, PublishedPort, Seen, Socket, SocketState,
    Unseen,
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
    let asked = async {
        let engine = connect(order).await;
        let containers = match &engine {
            Ok(engine) => seen(engine.containers().await),
            Err(error) => Seen::Unknown(error.message().clone()),
        };
        (engine, containers)
    };
    let (listed, (engine, containers)) = tokio::join!(sockets(&look), asked);
    let identity = engine.as_ref().ok().map(Engine::identity);
    let local = identity.is_none_or(|identity| identity.local);
    let mut facts = machine(listed, containers, local);
    facts.engine_is_privileged =
        identity.is_some_and(|identity| !identity.rootless) && order.runtime != RuntimeChoice::Native;
    facts.sticky = memory.sticky;
    facts.own_pids = memory.own_pids;
    facts.promised = memory.promised;
    for mapping in &project.mappings {
        for endpoint in endpoints(mapping, facts.ipv6) {
            probe(&mut facts, endpoint);
        }
    }
    Observed { facts, engine }
}

/// Looks at all sockets with their owners, for listings.
pub async fn observe_all(order: &ProjectOrder) -> Facts {
    look_at(order, Look { wanted: Vec::new(), owners: Owners::All }).await
}

/// Names who holds a TCP or UDP port on any address.
pub(super) async fn holder(order: &ProjectOrder, port: Port) -> Message {
    let owners = Owners::Only([port].into_iter().collect());
    let facts = look_at(order, Look { wanted: vec![PortRange::single(port)], owners }).await;
    let sockets = facts.sockets.known().map(Vec::as_slice).unwrap_or_default();
    let mut holding = sockets.iter().filter(|socket| socket.endpoint.port == port);
    let found = holding.find(|socket| socket.state != SocketState::TimeWait);
    found.map_or_else(|| PlanWords::HeldByUnknown.into(), |socket| Message::from(plan::held_by(&socket.owner)))
}

/// Looks at sockets; the engine is asked for its containers and for nothing else.
pub(super) async fn look_at(order: &ProjectOrder, look: Look) -> Facts {
    let lookup = |name: &str| order.environment.get(name).cloned();
    let asked = docker::containers(engine_choice(order.runtime), &lookup);
    let (listed, asked) = tokio::join!(sockets(&look), asked);
    let local = asked.as_ref().map_or(true, |(_, local)| *local);
    machine(listed, seen(asked.map(|(containers, _)| containers)), local)
}

/// Binds the endpoint for real and remembers the kernel's answer.
pub fn probe(facts: &mut Facts, endpoint: Endpoint) {
    if facts.engine_is_local {
        facts.probes.entry(endpoint).or_insert_with(|| host::probe(&endpoint));
    }
}

type Listed = (Seen<Vec<Socket>>, Vec<Unseen>);

/// Lists sockets on a thread of its own, while the engine thinks.
async fn sockets(look: &Look) -> Listed {
    let (send, receive) = oneshot::channel();
    let sought = look.clone();
    let thread = thread::Builder::new().spawn(move || drop(send.send(host::sockets(&sought))));
    match (thread, receive.await) {
        (Ok(_), Ok(listed)) => listed,
        // Where no more threads are allowed, one thing comes after the other.
        _ => host::sockets(look),
    }
}

fn seen(containers: Result<Vec<Container>, Error>) -> Seen<Vec<Container>> {
    match containers {
        Ok(containers) => Seen::Known(containers),
        Err(error) => Seen::Unknown(error.message().clone()),
    }
}

/// Puts together what was seen; containers of an engine on another host own no socket of this one.
fn machine((mut sockets, mut unseen): Listed, containers: Seen<Vec<Container>>, engine_is_local: bool) -> Facts {
    if let Seen::Unknown(why) = &containers {
        let why: Message = DeployWords::EngineUnseen { why: Box::new(why.clone()) }.into();
        unseen.push(Unseen { what: "containers", why });
    }
    if let (Seen::Known(sockets), Seen::Known(containers), true) = (&mut sockets, &containers, engine_is_local) {
        host::attribute(sockets, containers);
    }
    let rules = host::port_rules();
    Facts {
        os: host::os(),
        privileged_user: host::privileged_user(),
        ipv6: host::ipv6_available(),
        sockets,
        containers,
        ephemeral: rules.ephemeral,
        excluded: rules.excluded,
        reserved: rules.reserved,
        unprivileged_from: rules.unprivileged_from,
        engine_is_local,
        engine_is_privileged: false,
        probes: BTreeMap::new(),
        sticky: BTreeMap::new(),
        promised: Vec::new(),
        own_pids: Vec::new(),
        unseen,
    }
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
