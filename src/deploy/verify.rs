//! Proves that what was launched answers: its health by HTTP, its ports from outside the container.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::bundled::{self, ProjectKind};
use super::launch::{Handle, Launched};
use super::{Audience, Planned, Run};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Mapping, Port, PortRange, Project, Protocol, PublishedPort};
use crate::tunnel::{self, Health};
use crate::words::Message;
use crate::words::deploy::DeployWords;

/// A pause between two looks: short beside what a person notices.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How long one probe may take.
const PROBE_DEADLINE: Duration = Duration::from_secs(2);

/// How long an accepted connection must stay open to count as reached: a port forwarder accepts first and resets when
/// nothing listens behind it.
const SETTLE: Duration = Duration::from_millis(150);

/// An address at which something answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// The service, with the container's port where it publishes several.
    pub name: String,
    /// The address to open.
    pub url: String,
}

/// What was found of a service that answers.
#[derive(Debug)]
pub(super) struct Verified {
    /// Where it answers.
    pub(super) urls: Vec<Url>,
    /// Whether it is a tunnel server whose control port was reached.
    pub(super) takes_clients: bool,
}

/// Waits until everything that was launched answers, and returns where.
///
/// # Errors
/// `Unhealthy` with what was seen last; `Partial` when a signal came.
pub(super) async fn verify(
    run: &Run<'_>,
    planned: &Planned,
    launched: &Launched,
    audience: &mut dyn Audience,
) -> Result<Verified> {
    audience.step(DeployWords::StepVerify.into());
    let started = Instant::now();
    let deadline = started + run.order.wait;
    let project = &planned.after;
    let watch = async {
        match &launched.handle {
            Handle::Native { .. } | Handle::Container { .. } => server(run, launched, project, deadline).await,
            Handle::Compose { .. } => composed(launched, project, deadline).await.map(|()| false),
        }
    };
    let takes_clients = tokio::select! {
        result = watch => result?,
        () = run.interrupt.wait() => {
            let list = crate::words::ListOf(vec![DeployWords::Started { name: launched.name.clone() }.into()]);
            let error = Error::new(ErrorKind::Interrupted, DeployWords::InterruptedLaunch { list });
            return Err(error.hint(DeployWords::HintContinue));
        }
    };
    let seconds = format!("{:.1}", started.elapsed().as_secs_f64());
    audience.note(DeployWords::Healthy { seconds }.into());
    Ok(Verified { urls: urls(project, planned.loaded.kind), takes_clients })
}

/// Waits for the bundled server: it must be our own instance that answers, not whatever else has the port. Tells
/// whether clients of a tunnel reach it.
async fn server(run: &Run<'_>, launched: &Launched, project: &Project, deadline: Instant) -> Result<bool> {
    let Some(address) = bundled::api(project).map(address_of) else { return Ok(false) };
    let url = format!("http://{address}/health");
    let mut last = Message::from(DeployWords::NotReached { url: url.clone(), seconds: run.order.wait.as_secs() });
    while Instant::now() < deadline {
        match health(address).await {
            Some(health) if launched.instance.as_ref().is_none_or(|wanted| *wanted == health.instance) => {
                let control = bundled::control(project).filter(|_| health.tunnel_enabled);
                let Some((mapping, range)) = control else { return Ok(false) };
                // A process of ours that says so has bound the port itself; before a container stands the engine.
                let is_own = matches!(launched.handle, Handle::Native { .. });
                if is_own || takes_clients(address_of((mapping, range))).await {
                    return Ok(true);
                }
                let service = mapping.service.clone();
                last = DeployWords::PortNotReached { service, port: range.first() }.into();
            }
            Some(_) => last = DeployWords::Foreign { url: url.clone() }.into(),
            None => {}
        }
        if let Some(why) = launched.failed().await {
            return Err(unhealthy(launched, &why).await);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Err(unhealthy(launched, &last).await)
}

/// Tells whether clients get to the control port. A server with tunnel.tls: off shows no certificate, and is reached
/// all the same.
pub(super) async fn takes_clients(address: SocketAddr) -> bool {
    tunnel::shows_certificate(address).await || reached(address).await
}

/// Waits for a compose project: every container runs and is healthy, every published TCP port is reached.
async fn composed(launched: &Launched, project: &Project, deadline: Instant) -> Result<()> {
    let mut last: Option<Message>;
    loop {
        last = launched.failed().await;
        if last.is_none() {
            last = first_unreached(project).await;
        }
        if last.is_none() {
            return Ok(());
        }
        if Instant::now() >= deadline || launched.is_over().await {
            break;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let why = last.unwrap_or_else(|| DeployWords::NothingRuns.into());
    Err(unhealthy(launched, &why).await)
}

async fn first_unreached(project: &Project) -> Option<Message> {
    for mapping in &project.mappings {
        let PublishedPort::Fixed(range) = mapping.published else { continue };
        if mapping.protocol != Protocol::Tcp || super::launch::in_host_network(project, mapping) {
            continue;
        }
        if !reached(SocketAddr::new(reachable(mapping.host_ip), range.first().get())).await {
            let service = mapping.service.clone();
            return Some(DeployWords::PortNotReached { service, port: range.first() }.into());
        }
    }
    None
}

/// Tells whether something behind the port keeps a connection: it is accepted, and not closed at once.
pub(super) async fn reached(address: SocketAddr) -> bool {
    let Ok(Ok(mut stream)) = timeout(PROBE_DEADLINE, TcpStream::connect(address)).await else { return false };
    let mut byte = [0];
    match timeout(SETTLE, stream.read(&mut byte)).await {
        Err(_) | Ok(Ok(1..)) => true,
        Ok(Ok(0) | Err(_)) => false,
    }
}

async fn unhealthy(launched: &Launched, why: &Message) -> Error {
    let lines = launched.last_lines().await;
    let words = DeployWords::Unhealthy { name: launched.name.clone(), why: Box::new(why.clone()) };
    let error = Error::new(ErrorKind::Unhealthy, words).hint(DeployWords::HintUnhealthy);
    if lines.is_empty() { error } else { error.context(DeployWords::UnhealthyLog { lines: lines.join("\n") }) }
}

/// The address by which this host reaches a single published port.
pub(super) fn address_of((mapping, range): (&Mapping, PortRange)) -> SocketAddr {
    SocketAddr::new(reachable(mapping.host_ip), range.first().get())
}

/// Asks a server how it is; `None` when none of ours answers.
pub(super) async fn health(address: SocketAddr) -> Option<Health> {
    let probe = tokio::task::spawn_blocking(move || tunnel::health_probe(address));
    match timeout(PROBE_DEADLINE, probe).await {
        Ok(Ok(Ok(health))) => Some(health),
        _ => None,
    }
}

/// Tells whether the bundled server of the project answers, as the instance that is meant.
pub(super) async fn answers(project: &Project, instance: Option<&str>) -> bool {
    let Some(address) = bundled::api(project).map(address_of) else { return false };
    health(address).await.is_some_and(|found| instance.is_none_or(|wanted| wanted == found.instance))
}

/// The address by which this host reaches a port that is published on `host_ip`.
pub(super) fn reachable(host_ip: Option<IpAddr>) -> IpAddr {
    match host_ip {
        None => Ipv4Addr::LOCALHOST.into(),
        Some(IpAddr::V4(address)) if address.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        Some(IpAddr::V6(address)) if address.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        Some(address) => address,
    }
}

/// Lists the addresses of a project: `http` for TCP ports that are not known to speak something else.
pub(super) fn urls(project: &Project, kind: ProjectKind) -> Vec<Url> {
    let control = bundled::control(project).filter(|_| kind == ProjectKind::Bundled).map(|(mapping, _)| mapping);
    let fixed = project.mappings.iter().filter_map(|mapping| match mapping.published {
        PublishedPort::Fixed(range) => Some((mapping, range)),
        PublishedPort::AnyOf(_) | PublishedPort::Random => None,
    });
    let single = fixed.filter(|(_, range)| range.count() == 1);
    single
        .map(|(mapping, range)| {
            let several = project.mappings.iter().filter(|other| other.service == mapping.service).count() > 1;
            let exact = || format!("{}:{}", mapping.service, mapping.container.first());
            let name = if several { exact() } else { mapping.service.clone() };
            let is_control = Some(mapping) == control;
            let scheme = if is_control { "tcp" } else { scheme(mapping.container.first(), mapping.protocol) };
            Url { name, url: format!("{scheme}://{}", address_of((mapping, range))) }
        })
        .collect()
}

/// Names the protocol that a container's port speaks by convention (IANA registry); `http` where it has none, which is
/// what most published ports speak.
fn scheme(container_port: Port, protocol: Protocol) -> &'static str {
    match (protocol, container_port.get()) {
        (Protocol::Udp, _) => "udp",
        (Protocol::Tcp, 443 | 8443) => "https",
        (Protocol::Tcp, 22 | 2222) => "ssh",
        (Protocol::Tcp, 3306) => "mysql",
        (Protocol::Tcp, 5432) => "postgresql",
        (Protocol::Tcp, 6379) => "redis",
        (Protocol::Tcp, 27017) => "mongodb",
        (Protocol::Tcp, 5672) => "amqp",
        (Protocol::Tcp, 1883) => "mqtt",
        (Protocol::Tcp, 21 | 25 | 53 | 110 | 143 | 465 | 587 | 993 | 995 | 9092) => "tcp",
        (Protocol::Tcp, _) => "http",
    }
}
