//! The mappings of a running server: what is stored, what listens, and what should but cannot.
//!
//! A port is bound before its row is written, because only the system knows whether it is free; a row is deleted before
//! its listener closes. So what was acknowledged is on disk, and what was removed never returns.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::RngExt;
use serde::Serialize;
use serde_json::Value;
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::config::MappingPorts;
use super::datagrams;
use super::forward::{Draining, Forwarder, OwnPorts, Pace, Route, this_machine};
use super::policy::{Denial, Host, TargetPolicy};
use super::proto::Kind;
use super::refusal::Refusal;
use super::relay::{Patience, Terms, Throttle, Traffic};
use super::request::{self, TCP, Wanted};
use super::sessions::{Running, Sessions};
use super::store::{NewMapping, Store, StoredMapping};
use super::visitors::{self, Entry};
use super::yard::YardQueue;
use crate::host::prepare_listener;
use crate::model::Port;
use crate::words::tunnel::TunnelWords;
use crate::words::{Lang, Say};

/// How long visitors of a removed mapping may finish.
const REMOVAL_GRACE: Duration = Duration::from_secs(5);

/// The first and the longest wait before a listener that could not be opened is tried again.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));

/// The part by which a wait is shortened or lengthened at random, so that retries do not march in step.
const RETRY_JITTER: f64 = 0.2;

/// The most mappings; each holds a listener, and the range bounds them anyway.
const MAPPINGS_MAX: usize = 10_000;

/// The mappings of a server. Clones share them.
#[derive(Clone)]
pub(crate) struct Mappings(Arc<Inner>);

struct Inner {
    ports: MappingPorts,
    policy: Arc<TargetPolicy>,
    own: Arc<OwnPorts>,
    accepts: Arc<Pace>,
    store: Store,
    /// The way to the sessions; absent where the tunnel is switched off.
    tunnel: Option<Tunnel>,
    /// Held while a mapping is made, removed or retried, so that each sees the others whole.
    changes: tokio::sync::Mutex<Stage>,
    live: Mutex<BTreeMap<Port, Live>>,
    tasks: Mutex<JoinSet<()>>,
}

/// What mappings need of the tunnel.
#[derive(Clone)]
pub(crate) struct Tunnel {
    pub(crate) queue: YardQueue,
    pub(crate) sessions: Arc<Sessions>,
}

/// A bound port with what is done with its visitors.
enum Opened {
    Directly(TcpListener, Route),
    ThroughTunnel(TcpListener, Entry),
    Datagrams(UdpSocket, Entry),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Open,
    Closing,
}

struct Live {
    stored: StoredMapping,
    state: State,
}

enum State {
    /// Served; a port of TCP is one of [`OwnPorts`].
    Active(Forwarder),
    Failed(Refusal),
}

/// A mapping as `list` and `create` show it.
#[derive(Debug, Serialize)]
pub(crate) struct Listed {
    id: i64,
    name: String,
    protocol: String,
    proxy_protocol: String,
    client: String,
    source_port: Port,
    /// The target where it is an address; `null` for a name.
    target_ip: Option<String>,
    target_host: String,
    target_port: Port,
    use_tunnel: bool,
    bandwidth_limit: u64,
    access_rule: String,
    access_ips: Value,
    created_at: String,
    state: &'static str,
    error: Option<String>,
}

impl Mappings {
    pub(crate) fn new(ports: MappingPorts, policy: TargetPolicy, store: Store, tunnel: Option<Tunnel>) -> Self {
        Self(Arc::new(Inner {
            ports,
            policy: Arc::new(policy),
            own: Arc::default(),
            accepts: Arc::default(),
            store,
            tunnel,
            changes: tokio::sync::Mutex::new(Stage::Open),
            live: Mutex::default(),
            tasks: Mutex::default(),
        }))
    }

    /// The ports of this server, to which its other listeners are added.
    pub(crate) fn own(&self) -> &OwnPorts {
        &self.0.own
    }

    /// What happened to accepts; the API's listener notes its own there.
    pub(crate) fn accepts(&self) -> &Arc<Pace> {
        &self.0.accepts
    }

    /// Opens a listener for every stored row. One that cannot be opened is `failed` with its reason and is tried again
    /// while the reason may pass; the others are served.
    pub(crate) async fn restore(&self, rows: Vec<StoredMapping>) {
        for stored in rows {
            let port = stored.mapping.source_port;
            let opened = match request::restored(stored.mapping.clone(), &self.0.ports) {
                Ok(wanted) => match self.0.open(&wanted).await {
                    Ok(opened) => Ok((opened, wanted)),
                    Err(refusal) => Err((refusal, Some(wanted))),
                },
                Err(refusal) => Err((refusal, None)),
            };
            let served = match opened {
                Ok((opened, wanted)) => self.0.serve(opened).await.map_err(|refusal| (refusal, Some(wanted))),
                Err(failed) => Err(failed),
            };
            let state = match served {
                Ok(forwarder) => State::Active(forwarder),
                Err((refusal, wanted)) => {
                    let reason = refusal.words.say(Lang::En);
                    tracing::error!(%port, code = refusal.code, reason, "cannot restore a mapping");
                    if let Some(wanted) = wanted.filter(|_| passing(&refusal)) {
                        self.spawn(retry(Arc::clone(&self.0), stored.id, wanted));
                    }
                    State::Failed(refusal)
                }
            };
            self.0.live().insert(port, Live { stored, state });
        }
    }

    /// Makes a mapping: bind, store, serve, in this order.
    pub(crate) async fn create(&self, wanted: Wanted) -> Result<StoredMapping, Refusal> {
        let port = wanted.row.source_port;
        let change = self.0.changes.lock().await;
        if *change == Stage::Closing {
            return Err(Refusal::new(503, "shutting_down", TunnelWords::ShuttingDown));
        }
        let count = {
            let live = self.0.live();
            if let Some(Live { stored, .. }) = live.get(&port) {
                let protocol = &stored.mapping.protocol;
                let same = *protocol == wanted.row.protocol;
                return Err(if same { Refusal::exists(port) } else { Refusal::exists_as(port, protocol.clone()) });
            }
            live.len()
        };
        if count >= MAPPINGS_MAX {
            return Err(Refusal::new(409, "too_many_mappings", TunnelWords::TooManyMappings { limit: MAPPINGS_MAX }));
        }
        let opened = self.0.open(&wanted).await?;
        let stored = self.0.store.insert(wanted.row).await.map_err(|fault| Refusal::store(fault, port))?;
        let state = State::Active(self.0.serve(opened).await?);
        self.0.live().insert(port, Live { stored: stored.clone(), state });
        let NewMapping { target_host, target_port, .. } = &stored.mapping;
        tracing::info!(%port, target_host, %target_port, "mapping created");
        Ok(stored)
    }

    /// Removes the mapping of `port`: off the disk first, then its listener; visitors have five seconds to finish.
    pub(crate) async fn remove(&self, port: Port) -> Result<(), Refusal> {
        let _change = self.0.changes.lock().await;
        let stored = self.0.store.remove(port).await.map_err(|fault| Refusal::store(fault, port))?;
        let live = self.0.live().remove(&port);
        if !stored && live.is_none() {
            return Err(Refusal::new(404, "mapping_not_found", TunnelWords::MappingNotFound { port }));
        }
        if let Some(Live { state: State::Active(forwarder), stored }) = live {
            let draining = forwarder.stop().await;
            if stored.mapping.protocol == TCP {
                self.0.own.remove(port);
            }
            self.spawn(async move {
                let cut = draining.finish(sleep(REMOVAL_GRACE)).await;
                tracing::info!(%port, cut, "visitors of the removed mapping are gone");
            });
        }
        tracing::info!(%port, "mapping removed");
        Ok(())
    }

    /// Lists every mapping in the order of the ports.
    pub(crate) fn list(&self, lang: Lang) -> Vec<Listed> {
        self.0.live().values().map(|live| self.0.listed(live, lang)).collect()
    }

    /// Shows one mapping as the list does.
    pub(crate) fn show(&self, port: Port, lang: Lang) -> Option<Listed> {
        self.0.live().get(&port).map(|live| self.0.listed(live, lang))
    }

    /// Returns the clients that are connected.
    pub(crate) fn clients(&self) -> Vec<Running> {
        self.0.tunnel.as_ref().map(|tunnel| tunnel.sessions.list()).unwrap_or_default()
    }

    /// Tells whether every mapping is served and the system has descriptors left.
    pub(crate) fn healthy(&self) -> bool {
        !self.0.accepts.recent() && self.0.live().values().all(|live| matches!(live.state, State::Active(_)))
    }

    /// Closes every listener, lets visitors finish until `deadline` or `now`, resets the rest and returns how many that
    /// were. Nothing can be made afterwards.
    pub(crate) async fn close(&self, deadline: Instant, now: impl Future<Output = ()>) -> usize {
        *self.0.changes.lock().await = Stage::Closing;
        let mut retries = std::mem::take(&mut *self.0.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        retries.abort_all();
        let live = std::mem::take(&mut *self.0.live());
        let mut draining: Vec<Draining> = Vec::new();
        for live in live.into_values() {
            if let State::Active(forwarder) = live.state {
                draining.push(forwarder.stop().await);
            }
        }
        let over = tokio::sync::watch::Sender::new(false);
        let finish = futures_util::future::join_all(draining.into_iter().map(|draining| {
            let mut over = over.subscribe();
            // The sender lives until all have finished.
            draining.finish(async move { drop(over.wait_for(|over| *over).await) })
        }));
        let timer = async {
            tokio::select! {
                () = sleep_until(deadline) => {}
                () = now => {}
            }
            over.send_replace(true);
            std::future::pending::<()>().await;
        };
        tokio::select! {
            cut = finish => cut.into_iter().sum(),
            () = timer => 0,
        }
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.0.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }
}

impl Inner {
    fn listed(&self, live: &Live, lang: Lang) -> Listed {
        let StoredMapping { id, created_at, mapping } = &live.stored;
        let host = mapping.target_host.parse();
        let (state, error) = match &live.state {
            State::Active(_) if mapping.use_tunnel && !self.is_served(mapping) => {
                ("waiting", Some(TunnelWords::NoClient.say(lang)))
            }
            State::Active(_) => ("active", None),
            State::Failed(refusal) => ("failed", Some(refusal.words.say(lang))),
        };
        Listed {
            id: *id,
            name: mapping.name.clone(),
            protocol: mapping.protocol.clone(),
            proxy_protocol: mapping.proxy_protocol.clone(),
            client: mapping.client.clone(),
            source_port: mapping.source_port,
            target_ip: matches!(host, Ok(Host::Address(_))).then(|| mapping.target_host.clone()),
            target_host: mapping.target_host.clone(),
            target_port: mapping.target_port,
            use_tunnel: mapping.use_tunnel,
            bandwidth_limit: mapping.bandwidth_limit,
            access_rule: mapping.access_rule.clone(),
            access_ips: serde_json::from_str(&mapping.access_ips).unwrap_or_else(|_| Value::Array(Vec::new())),
            created_at: created_at.clone(),
            state,
            error,
        }
    }

    /// Tells whether the client of a mapping is connected.
    fn is_served(&self, mapping: &NewMapping) -> bool {
        let Some(tunnel) = &self.tunnel else { return false };
        tunnel.sessions.server_of(&mapping.client, mapping.source_port).is_some()
    }

    fn live(&self) -> MutexGuard<'_, BTreeMap<Port, Live>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Judges the target and binds the public port.
    async fn open(&self, wanted: &Wanted) -> Result<Opened, Refusal> {
        let row = &wanted.row;
        if row.use_tunnel {
            return self.open_through_tunnel(wanted).await;
        }
        let own = |address, port| self.own.covers(address, port) || (port == row.source_port && this_machine(address));
        if let Host::Address(address) = wanted.host
            && let Some(denial) = self.policy.judge("", address, row.target_port, own)
        {
            return Err(Refusal::target(denial, SocketAddr::new(address, row.target_port.get()).to_string()));
        }
        let listener = self.bind(row.source_port).await?;
        let route = Route {
            port: row.source_port,
            host: wanted.host.clone(),
            target_port: row.target_port,
            access: wanted.access.clone(),
            terms: terms(row),
            policy: Arc::clone(&self.policy),
            own: Arc::clone(&self.own),
            accepts: Arc::clone(&self.accepts),
            trouble: Pace::default(),
        };
        Ok(Opened::Directly(listener, route))
    }

    async fn open_through_tunnel(&self, wanted: &Wanted) -> Result<Opened, Refusal> {
        let row = &wanted.row;
        if self.tunnel.is_none() {
            return Err(Refusal::new(503, "tunnel_unavailable", TunnelWords::TunnelUnavailable));
        }
        // The client judges the address that it dials; what no mapping may reach is refused here already.
        if let Host::Address(address) = wanted.host
            && let Some(denial @ (Denial::Special | Denial::Listed)) =
                self.policy.judge("", address, row.target_port, |_, _| false)
        {
            return Err(Refusal::target(denial, SocketAddr::new(address, row.target_port.get()).to_string()));
        }
        let entry = Entry {
            port: row.source_port,
            client: row.client.clone(),
            host: wanted.host.to_string(),
            target_port: row.target_port,
            proxy: wanted.proxy,
            access: wanted.access.clone(),
            terms: Arc::new(terms(row)),
            accepts: Arc::clone(&self.accepts),
            trouble: Pace::default(),
        };
        match wanted.kind {
            Kind::Tcp => Ok(Opened::ThroughTunnel(self.bind(row.source_port).await?, entry)),
            Kind::Udp => {
                let address = SocketAddr::new(self.ports.listen, row.source_port.get());
                let socket = UdpSocket::bind(address).await;
                Ok(Opened::Datagrams(socket.map_err(|error| bind_refusal(&error, row.source_port))?, entry))
            }
        }
    }

    async fn bind(&self, port: Port) -> Result<TcpListener, Refusal> {
        let address = SocketAddr::new(self.ports.listen, port.get());
        let listener = TcpListener::bind(address).await.map_err(|error| bind_refusal(&error, port))?;
        prepare_listener(&listener).map_err(|error| bind_refusal(&error, port))?;
        Ok(listener)
    }

    async fn serve(&self, opened: Opened) -> Result<Forwarder, Refusal> {
        let (port, forwarder) = match (opened, &self.tunnel) {
            (Opened::Directly(listener, route), _) => (route.port, Forwarder::start(listener, route)),
            (Opened::ThroughTunnel(listener, entry), Some(tunnel)) => {
                let port = entry.port;
                let started = visitors::start(&tunnel.queue, listener, entry).await;
                (port, started.map_err(|error| bind_refusal(&error, port))?)
            }
            (Opened::Datagrams(socket, entry), Some(tunnel)) => {
                let port = entry.port;
                let started = datagrams::start(&tunnel.queue, socket, entry).await;
                // Direct mappings connect with TCP, which a port of UDP cannot lead back here.
                return started.map_err(|error| bind_refusal(&error, port));
            }
            (Opened::ThroughTunnel(..) | Opened::Datagrams(..), None) => return Err(Refusal::internal()),
        };
        self.own.add(port);
        Ok(forwarder)
    }
}

fn terms(row: &NewMapping) -> Terms {
    let throttle = || Arc::new(Throttle::new(row.bandwidth_limit));
    Terms {
        patience: Patience::DEFAULT,
        throttles: (row.bandwidth_limit > 0).then(|| [throttle(), throttle()]),
        traffic: Traffic::default(),
    }
}

fn bind_refusal(error: &io::Error, port: Port) -> Refusal {
    match error.kind() {
        io::ErrorKind::AddrInUse => Refusal::new(409, "port_in_use", TunnelWords::PortInUse { port }),
        io::ErrorKind::PermissionDenied => Refusal::new(403, "port_privileged", TunnelWords::PortPrivileged { port }),
        _ => Refusal::new(503, "port_unavailable", TunnelWords::PortUnavailable { port, reason: error.to_string() }),
    }
}

/// Whether what stood in the way may go away by itself.
fn passing(refusal: &Refusal) -> bool {
    ["port_in_use", "port_unavailable"].contains(&refusal.code)
}

/// Tries to open a failed mapping until it is open, removed, or failed for good.
async fn retry(inner: Arc<Inner>, id: i64, wanted: Wanted) {
    let port = wanted.row.source_port;
    let mut wait = RETRY.0;
    loop {
        let jitter = rand::rng().random_range(1.0 - RETRY_JITTER..=1.0 + RETRY_JITTER);
        sleep(wait.mul_f64(jitter)).await;
        wait = (wait * 2).min(RETRY.1);
        let _change = inner.changes.lock().await;
        let still_failed = matches!(
            inner.live().get(&port),
            Some(Live { stored, state: State::Failed(_) }) if stored.id == id
        );
        if !still_failed {
            return;
        }
        let served = match inner.open(&wanted).await {
            Ok(opened) => inner.serve(opened).await,
            Err(refusal) => Err(refusal),
        };
        let state = served.map_or_else(State::Failed, State::Active);
        let settled = !matches!(&state, State::Failed(refusal) if passing(refusal));
        if matches!(state, State::Active(_)) {
            tracing::info!(%port, "mapping restored");
        }
        if let Some(live) = inner.live().get_mut(&port) {
            live.state = state;
        }
        if settled {
            return;
        }
    }
}
