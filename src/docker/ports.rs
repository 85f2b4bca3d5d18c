//! The containers of the engine with the ports that they publish, or will publish when they start.

use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use futures_util::StreamExt as _;

use super::LABEL_DIRECTORY;
use super::address::{self, Address};
use super::engine::{CALL_DEADLINE, Choice, Engine, explain, first_to_answer};
use super::failure::{Failure, within};
use super::reply::{Binding, Inspected, Listed, ListedPort};
use super::transport::{Link, query_value};
use crate::error::Result;
use crate::model::{ComposeIdentity, Container, ContainerRef, ContainerState, Port, PortRange, Protocol, Published};

/// How many containers are inspected at a time: enough to hide the latency, few enough not to load the daemon.
const INSPECT_AT_ONCE: usize = 8;

/// How long all inspections may take together; what is not inspected by then keeps what the list told.
const INSPECT_DEADLINE: Duration = Duration::from_secs(10);

/// The most ports of one stopped container that are listed: a range may be written as 1-65535, many times.
const WANTED_LIMIT: usize = 65_535;

/// The call in errors, and its path: every container, the stopped ones too.
const LIST_CALL: &str = "GET /containers/json";
const LIST_PATH: &str = "/containers/json?all=true";

impl Engine {
    /// Returns every container, running and stopped, with its ports.
    ///
    /// A container that vanishes, or cannot be inspected, between the list and its inspection keeps what the list
    /// told: its name, labels and current ports.
    pub async fn containers(&self) -> Result<Vec<Container>> {
        let listed = self.list(None).await?;
        Ok(described(&self.link, listed).await)
    }

    /// Lists containers, running and stopped: all, or those with all these labels (`name` or `name=value`).
    pub(super) async fn list(&self, labels: Option<&[String]>) -> Result<Vec<Listed>, Failure> {
        let mut path = LIST_PATH.to_owned();
        if let Some(labels) = labels {
            path.push_str("&filters=");
            path.push_str(&query_value(&serde_json::json!({ "label": labels }).to_string()));
        }
        within(LIST_CALL, CALL_DEADLINE, self.link.get(&path)).await
    }

    /// Inspects a container by its id or a checked name.
    pub(super) async fn inspect(&self, id: &str) -> Result<Inspected, Failure> {
        inspect(&self.link, id).await
    }
}

/// The containers of the first engine that answers, and whether it runs on this host. One call and one more for each
/// container: who the engine is does not matter for a list, and asking takes it ten times as long.
///
/// # Errors
/// As [`super::connect`].
pub fn containers(
    choice: Choice,
    env: &dyn Fn(&str) -> Option<String>,
) -> impl Future<Output = Result<(Vec<Container>, bool)>> + Send + use<> {
    let candidates = address::candidates(choice, env);
    async move {
        let list = |address: Address, budget: Duration| async move {
            // Without a version in the path every engine speaks its newest one, and a list is the same in all.
            let link = Link::new(&address, None);
            let listing = within(LIST_CALL, budget, link.get::<Vec<Listed>>(LIST_PATH));
            let listed = listing.await.map_err(|failure| explain(&address, &failure))?;
            Ok((described(&link, listed).await, address.is_local()))
        };
        first_to_answer(&candidates?, list).await
    }
}

async fn described(link: &Link, listed: Vec<Listed>) -> Vec<Container> {
    let end = tokio::time::Instant::now() + INSPECT_DEADLINE;
    let inspected = futures_util::stream::iter(listed).map(|summary| async move {
        let id = summary.id.clone().unwrap_or_default();
        let details = tokio::time::timeout_at(end, inspect(link, &id)).await;
        container(&summary, details.ok().and_then(Result::ok).as_ref())
    });
    inspected.buffered(INSPECT_AT_ONCE).collect().await
}

async fn inspect(link: &Link, id: &str) -> Result<Inspected, Failure> {
    let path = format!("/containers/{}/json", query_value(id));
    within("GET /containers/{id}/json", CALL_DEADLINE, link.get(&path)).await
}

fn container(summary: &Listed, details: Option<&Inspected>) -> Container {
    let no_labels = HashMap::new();
    let labels = summary.labels.as_ref().unwrap_or(&no_labels);
    let running = matches!(summary.state.as_deref(), Some("running" | "paused" | "restarting" | "stopping"));
    let host = details.and_then(|details| details.host_config.as_ref());
    let mut published = published_now(summary.ports.as_deref().unwrap_or_default());
    if !running && let Some(bindings) = host.and_then(|host| host.port_bindings.as_ref()) {
        published = published_later(bindings);
    }
    let policy = host.and_then(|host| host.restart_policy.as_ref()).and_then(|policy| policy.name.as_deref());
    let pid = details.and_then(|details| details.state.as_ref()).and_then(|state| state.pid);
    Container {
        identity: ContainerRef {
            id: summary.id.clone().unwrap_or_default(),
            name: name(summary),
            compose: compose_identity(labels),
        },
        state: if running { ContainerState::Running } else { ContainerState::Stopped },
        restarts: matches!(policy, Some("always" | "unless-stopped")),
        pid: pid.and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid > 0),
        published,
        portwright_directory: labels.get(LABEL_DIRECTORY).map(PathBuf::from),
    }
}

/// Returns a container's name without the slash; of several (links), the one without a second slash.
pub(super) fn name(summary: &Listed) -> String {
    let names = summary.names.as_deref().unwrap_or_default();
    let plain = names.iter().map(|name| name.trim_start_matches('/')).find(|name| !name.contains('/'));
    plain.or_else(|| names.first().map(String::as_str)).or(summary.id.as_deref()).unwrap_or_default().to_owned()
}

fn compose_identity(labels: &HashMap<String, String>) -> Option<ComposeIdentity> {
    Some(ComposeIdentity {
        project: labels.get("com.docker.compose.project")?.clone(),
        service: labels.get("com.docker.compose.service").cloned().unwrap_or_default(),
        directory: labels.get("com.docker.compose.project.working_dir").map(PathBuf::from),
    })
}

/// Reads the ports of a list entry. Both wildcard addresses of one port are one entry without an address; Podman
/// leaves the address empty instead.
pub(super) fn published_now(ports: &[ListedPort]) -> Vec<Published> {
    let rows: BTreeSet<(u16, u16, Protocol, Option<IpAddr>)> = ports
        .iter()
        .filter_map(|port| {
            let ip = port.ip.as_deref().filter(|ip| !ip.is_empty()).map(str::parse).transpose().ok()?;
            let protocol = protocol_of(port.protocol.as_deref().unwrap_or("tcp"))?;
            Some((port.public_port?, port.private_port?, protocol, ip))
        })
        .collect();
    let everywhere = |port: u16, inner: u16, protocol: Protocol| {
        ["0.0.0.0", "::"].iter().all(|any| rows.contains(&(port, inner, protocol, any.parse().ok())))
    };
    let merged: BTreeSet<_> = rows
        .iter()
        .map(|&(port, inner, protocol, ip)| {
            let wildcard = ip.is_some_and(|ip| ip.is_unspecified()) && everywhere(port, inner, protocol);
            (port, inner, protocol, if wildcard { None } else { ip })
        })
        .collect();
    merged
        .into_iter()
        .filter_map(|(port, inner, protocol, host_ip)| {
            Some(Published { host_ip, host_port: Port::new(port)?, container_port: Port::new(inner)?, protocol })
        })
        .collect()
}

fn protocol_of(name: &str) -> Option<Protocol> {
    match name {
        "tcp" => Some(Protocol::Tcp),
        "udp" => Some(Protocol::Udp),
        _ => None,
    }
}

/// Reads the bindings that a stopped container will ask for. A range stands for all its ports, since the engine may
/// take any of them; 0 and the empty text mean that the engine chooses, which is in nobody's way.
fn published_later(bindings: &HashMap<String, Option<Vec<Binding>>>) -> Vec<Published> {
    let mut found = Vec::new();
    for (inner, hosts) in bindings {
        let (number, protocol) = inner.split_once('/').unwrap_or((inner, "tcp"));
        let Some(protocol) = protocol_of(protocol) else { continue };
        let Ok(container_port) = number.parse::<Port>() else { continue };
        for host in hosts.iter().flatten() {
            let Some(range) = host.host_port.as_deref().and_then(|text| text.parse::<PortRange>().ok()) else {
                continue;
            };
            let ip = host.host_ip.as_deref().filter(|ip| !ip.is_empty()).and_then(|ip| ip.parse().ok());
            let left = WANTED_LIMIT.saturating_sub(found.len());
            let wanted = range.ports().map(|host_port| Published { host_ip: ip, host_port, container_port, protocol });
            found.extend(wanted.take(left));
        }
    }
    found.sort_by_key(|port| (port.host_port, port.container_port, port.protocol, port.host_ip));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(json: &str) -> Listed {
        serde_json::from_str(json).expect("a list entry")
    }

    fn details(json: &str) -> Inspected {
        serde_json::from_str(json).expect("an inspection")
    }

    fn shown(ports: &[Published]) -> Vec<String> {
        let text = |port: &Published| {
            let ip = port.host_ip.map_or_else(|| "*".to_owned(), |ip| ip.to_string());
            format!("{ip}:{}->{}/{}", port.host_port, port.container_port, port.protocol)
        };
        ports.iter().map(text).collect()
    }

    #[test]
    fn a_compose_container_is_read_with_its_labels_and_ports() {
        let listed = summary(
            r#"{"Id":"ab","Names":["/app_web_1"],"State":"running","Labels":{"com.docker.compose.project":"app",
            "com.docker.compose.service":"web","com.docker.compose.project.working_dir":"/srv/app"},"Ports":[
            {"IP":"0.0.0.0","PrivatePort":8000,"PublicPort":18400,"Type":"tcp"},
            {"IP":"::","PrivatePort":8000,"PublicPort":18400,"Type":"tcp"},
            {"IP":"127.0.0.1","PrivatePort":53,"PublicPort":5353,"Type":"udp"},
            {"IP":"","PrivatePort":81,"PublicPort":8081,"Type":"tcp"},
            {"IP":"0.0.0.0","PrivatePort":7,"PublicPort":7,"Type":"sctp"},
            {"PrivatePort":9000,"Type":"tcp"}]}"#,
        );
        let inspected = details(r#"{"State":{"Pid":4242},"HostConfig":{"RestartPolicy":{"Name":"always"}}}"#);
        let found = container(&listed, Some(&inspected));
        assert_eq!(found.identity.name, "app_web_1");
        assert_eq!(found.identity.compose.expect("compose").directory, Some(PathBuf::from("/srv/app")));
        assert_eq!(shown(&found.published), ["127.0.0.1:5353->53/udp", "*:8081->81/tcp", "*:18400->8000/tcp"]);
        assert_eq!((found.state, found.restarts, found.pid), (ContainerState::Running, true, Some(4242)));
    }

    #[test]
    fn a_stopped_container_shows_what_it_will_want() {
        let listed = summary(r#"{"Id":"cd","Names":["/a/alias","/db"],"State":"exited","Ports":[]}"#);
        let inspected = details(
            r#"{"State":{"Pid":0},"HostConfig":{"RestartPolicy":{"Name":"no"},"PortBindings":{
            "80/tcp":[{"HostIp":"","HostPort":"8080-8082"}],"53/udp":[{"HostIp":"127.0.0.1","HostPort":"53"}],
            "90/tcp":[{"HostIp":"","HostPort":""}],"91/tcp":[{"HostIp":"","HostPort":"0"}],"92/tcp":null,
            "x/tcp":[{"HostPort":"1"}],"93/tcp":[{"HostPort":"9-8"}]}}}"#,
        );
        let found = container(&listed, Some(&inspected));
        assert_eq!(found.identity.name, "db");
        assert_eq!(
            shown(&found.published),
            ["127.0.0.1:53->53/udp", "*:8080->80/tcp", "*:8081->80/tcp", "*:8082->80/tcp"]
        );
        assert_eq!((found.state, found.restarts, found.pid), (ContainerState::Stopped, false, None));
    }

    #[test]
    fn an_entry_without_any_field_is_no_failure() {
        let found = container(&summary("{}"), None);
        assert!(found.published.is_empty() && found.identity.name.is_empty());
    }

    #[test]
    fn a_state_that_nobody_knows_is_a_stopped_container() {
        let found = container(&summary(r#"{"Id":"gh","State":"initialized","Labels":null,"Ports":null}"#), None);
        assert_eq!(found.state, ContainerState::Stopped);
    }

    #[test]
    fn our_own_containers_carry_their_folder() {
        let listed = summary(r#"{"Id":"ef","State":"running","Labels":{"dev.portwright.directory":"/home/a"}}"#);
        assert_eq!(container(&listed, None).portwright_directory, Some(PathBuf::from("/home/a")));
    }
}
