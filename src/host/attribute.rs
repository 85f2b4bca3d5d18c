//! Containers as owners: a port that an engine forwards belongs to the container behind it, not to the forwarder.

use std::collections::HashMap;

use crate::model::{Container, ContainerRef, ContainerState, Endpoint, Owner, Port, Protocol, Published, Socket};

/// Processes that hold ports for containers and for nothing else, by the names that systems show (Linux cuts them to
/// 15 bytes): Docker, Podman, rootless networks, Docker Desktop, WSL, Podman Machine.
const FORWARDERS: [&str; 14] = [
    "docker-proxy",
    "dockerd",
    "conmon",
    "rootlessport",
    "rootlessport-ch",
    "rootlesskit",
    "slirp4netns",
    "pasta",
    "pasta.avx2",
    "com.docker.back",
    "vpnkit",
    "vpnkit-bridge",
    "wslrelay",
    "gvproxy",
];
/// How much of a name Linux keeps.
const KEPT: usize = 15;

/// Names the container of each socket that has one: by published port where an engine or nobody known holds it, by
/// process where the container shares the host's network. The process of a mere forwarder is then left out.
pub fn attribute(sockets: &mut [Socket], containers: &[Container]) {
    let index = Index::of(containers);
    for socket in sockets {
        let Socket { endpoint, owner, .. } = socket;
        let forwarder = owner.process.as_deref().is_some_and(is_forwarder);
        let named = index.by_process(owner).or_else(|| index.by_publication(endpoint, owner, forwarder));
        if let Some(container) = named {
            owner.container = Some(container.clone());
        }
        if owner.container.is_some() && (forwarder || owner.pid.is_none()) {
            owner.pid = None;
            owner.process = None;
            owner.why_unknown = None;
        }
    }
}

/// Tells whether a process of this name only holds ports for containers.
fn is_forwarder(process: &str) -> bool {
    let name = process.strip_suffix(".exe").unwrap_or(process);
    let kept = name.get(..KEPT).unwrap_or(name);
    FORWARDERS.contains(&kept)
}

/// Running containers by everything that a socket may tell of them.
struct Index<'a> {
    ports: HashMap<(Protocol, Port), Vec<(Published, &'a ContainerRef)>>,
    ids: HashMap<&'a str, &'a ContainerRef>,
    pids: HashMap<u32, &'a ContainerRef>,
}

impl<'a> Index<'a> {
    fn of(containers: &'a [Container]) -> Self {
        let mut index = Self { ports: HashMap::new(), ids: HashMap::new(), pids: HashMap::new() };
        for container in containers.iter().filter(|container| container.state == ContainerState::Running) {
            let identity = &container.identity;
            index.ids.insert(&identity.id, identity);
            index.pids.extend(container.pid.map(|pid| (pid, identity)));
            for published in &container.published {
                let key = (published.protocol, published.host_port);
                index.ports.entry(key).or_default().push((*published, identity));
            }
        }
        index
    }

    fn by_process(&self, owner: &Owner) -> Option<&'a ContainerRef> {
        let by_id = owner.container.as_ref().and_then(|known| self.ids.get(known.id.as_str()));
        by_id.or_else(|| owner.pid.and_then(|pid| self.pids.get(&pid))).copied()
    }

    /// A forwarder may hold more than was published (`[::]` for `0.0.0.0`), so there an overlap is enough; a socket of
    /// unknown owner has to be exactly the published one.
    fn by_publication(&self, endpoint: &Endpoint, owner: &Owner, forwarder: bool) -> Option<&'a ContainerRef> {
        if !forwarder && owner.pid.is_some() {
            return None;
        }
        let published = self.ports.get(&(endpoint.protocol, endpoint.port))?;
        let endpoints = |one: &Published| Endpoint::published(one.host_ip, one.host_port, one.protocol, true);
        let exact = |one: &Published| endpoints(one).iter().any(|published| published.address == endpoint.address);
        let overlaps = |one: &Published| endpoints(one).iter().any(|published| published.conflicts_with(endpoint));
        let found = published.iter().find(|(one, _)| exact(one));
        let found = found.or_else(|| published.iter().find(|(one, _)| forwarder && overlaps(one)));
        found.map(|(_, identity)| *identity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::SocketState;
    use crate::words::host::HostWords;

    fn identity(name: &str) -> ContainerRef {
        ContainerRef { id: format!("id of {name}"), name: name.to_owned(), compose: None }
    }

    fn container(name: &str, published: &[(Option<&str>, u16)]) -> Container {
        let published = published.iter().map(|(host_ip, port)| Published {
            host_ip: host_ip.map(|ip| ip.parse().expect("an address")),
            host_port: Port::new(*port).expect("a port"),
            container_port: Port::new(80).expect("a port"),
            protocol: Protocol::Tcp,
        });
        Container {
            identity: identity(name),
            state: ContainerState::Running,
            restarts: false,
            pid: Some(77),
            published: published.collect(),
            portwright_directory: None,
        }
    }

    fn socket(address: &str, port: u16, process: Option<(u32, &str)>) -> Socket {
        let endpoint = Endpoint {
            address: address.parse().expect("an address"),
            port: Port::new(port).expect("a port"),
            protocol: Protocol::Tcp,
            v6only: false,
        };
        let owner = Owner {
            pid: process.map(|(pid, _)| pid),
            process: process.map(|(_, name)| name.to_owned()),
            why_unknown: process.is_none().then(|| HostWords::OwnerHidden.into()),
            ..Owner::default()
        };
        Socket { endpoint, state: SocketState::Listen, owner }
    }

    fn attributed(socket: Socket, container: Container) -> Owner {
        let mut sockets = [socket];
        attribute(&mut sockets, &[container]);
        sockets[0].owner.clone()
    }

    /// As measured: `docker-proxy` by default, `dockerd` with `userland-proxy=false`, `conmon` with Podman.
    #[test]
    fn the_container_stands_in_for_every_forwarder() {
        for name in ["docker-proxy", "dockerd", "conmon", "rootlessport", "com.docker.backend", "wslrelay.exe"] {
            for address in ["0.0.0.0", "::"] {
                let owner = attributed(socket(address, 8000, Some((5, name))), container("web", &[(None, 8000)]));
                assert_eq!(owner, Owner { container: Some(identity("web")), ..Owner::default() }, "{name} {address}");
            }
        }
    }

    #[test]
    fn a_published_port_of_an_unknown_process_belongs_to_its_container() {
        let owner = attributed(socket("0.0.0.0", 8000, None), container("web", &[(Some("0.0.0.0"), 8000)]));
        assert_eq!(owner, Owner { container: Some(identity("web")), ..Owner::default() });
    }

    #[test]
    fn a_known_process_on_another_address_keeps_its_port() {
        let python = socket("127.0.0.2", 8000, Some((5, "python3")));
        let owner = attributed(python.clone(), container("web", &[(Some("127.0.0.1"), 8000)]));
        assert_eq!(owner, python.owner);
        let unknown = socket("127.0.0.2", 8000, None);
        assert_eq!(attributed(unknown.clone(), container("web", &[(Some("127.0.0.1"), 8000)])), unknown.owner);
    }

    #[test]
    fn the_forwarder_stays_named_when_no_container_is_known() {
        let owner = attributed(socket("0.0.0.0", 8000, Some((5, "docker-proxy"))), container("web", &[(None, 9000)]));
        assert_eq!((owner.pid, owner.process.as_deref()), (Some(5), Some("docker-proxy")));
    }

    #[test]
    fn a_process_in_the_hosts_network_keeps_its_pid_beside_its_container() {
        let mut server = socket("0.0.0.0", 8000, Some((900, "nginx")));
        server.owner.container = Some(ContainerRef { id: identity("web").id, name: "id of web".into(), compose: None });
        let owner = attributed(server, container("web", &[]));
        assert_eq!(owner.container, Some(identity("web")));
        assert_eq!((owner.pid, owner.process.as_deref()), (Some(900), Some("nginx")));
        let first = attributed(socket("0.0.0.0", 8000, Some((77, "nginx"))), container("web", &[]));
        assert_eq!(first.container, Some(identity("web")));
    }

    #[test]
    fn a_stopped_container_owns_nothing() {
        let stopped = Container { state: ContainerState::Stopped, ..container("web", &[(None, 8000)]) };
        let proxy = socket("0.0.0.0", 8000, Some((5, "docker-proxy")));
        assert_eq!(attributed(proxy.clone(), stopped), proxy.owner);
    }
}
