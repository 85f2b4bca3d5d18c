//! The tunnel server as a whole: reads its configuration, opens what it needs in order, serves, and drains.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::{AbortHandle, JoinHandle, spawn_blocking};
use tokio::time::{Instant, timeout};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::accounts::{Accounts, Recorder};
use super::api::ApiServer;
use super::config::{LogFormat, LogLevel, LogSettings, ServerConfig};
use super::control::{self, Control};
use super::handshake::Gate;
use super::issuing::{self, Sources};
use super::logbook;
use super::mappings::{Mappings, Tunnel};
use super::proto::GoAwayReason;
use super::store::{Contents, Store};
use super::tokens::TokenFile;
use super::yard::YardQueue;
use crate::error::{Error, ErrorKind, Result};
use crate::host::{Notifier, StopSignals, lengthen_backlog, raise_open_files, read_secret, read_text};
use crate::model::{Port, Secret};
use crate::words::tunnel::TunnelWords;

/// How long visitors may finish after the server was asked to stop.
pub const DRAIN_GRACE: Duration = Duration::from_secs(30);

/// How long requests to the API may finish once the mappings are closed.
const API_GRACE: Duration = Duration::from_secs(1);

/// How to stop: for how long visitors may finish, and what ends that early.
pub struct Drain {
    grace: Duration,
    now: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Drain {
    /// Lets visitors finish for `grace`, or until `now` completes.
    pub fn new(grace: Duration, now: impl Future<Output = ()> + Send + 'static) -> Self {
        Self { grace, now: Box::pin(now) }
    }
}

/// What a server did until it stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Visitors whose connections were reset because they did not finish in time.
    pub cut: usize,
}

/// A running server.
pub struct Server {
    api: ApiServer,
    api_address: SocketAddr,
    mappings: Mappings,
    door: Option<Door>,
    /// What takes up the changes of other servers.
    following: Option<AbortHandle>,
    recorder: Recording,
}

/// The task that records traffic; it gives the recorder back when it is told to stop.
struct Recording {
    stop: watch::Sender<bool>,
    task: JoinHandle<Recorder>,
}

/// The control port of a running server.
struct Door {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    queue: YardQueue,
    task: JoinHandle<()>,
    join_code: Option<Secret>,
}

impl Server {
    /// Opens the database, binds the API, restores the mappings and serves, in this order.
    ///
    /// Fails with [`ErrorKind::Busy`] when the database or the API's port is in use, with [`ErrorKind::Missing`] when
    /// either cannot be opened. A mapping that cannot be served does not stop the server.
    pub async fn start(config: ServerConfig) -> Result<Self> {
        let database = config.database.clone();
        let opened = spawn_blocking(move || Store::open(&database)).await;
        let (store, Contents { mappings: rows, totals }) =
            opened.map_err(|error| no_runtime(&io::Error::other(error)))??;
        let listener = TcpListener::bind(config.api.listen).await.map_err(|error| api_taken(&error, &config))?;
        let api_address = listener.local_addr().map_err(|error| api_taken(&error, &config))?;
        let tunnel = config.tunnel.enabled.then(|| open_tunnel(&config)).transpose()?;
        let (listener_of_door, tunnel) = tunnel.unzip();
        let accounts = Arc::new(Accounts::new(totals));
        let recorder = Recorder::new(Arc::clone(&accounts), store.clone(), config.stats);
        let mappings = Mappings::new(config.ports.clone(), config.targets.clone(), store, accounts, tunnel.clone());
        if let Some(port) = Port::new(api_address.port()) {
            mappings.own().add(port);
        }
        let door = match (listener_of_door, tunnel) {
            (Some(listener), Some(tunnel)) => Some(open_door(listener, tunnel, &config, &mappings).await?),
            _ => None,
        };
        mappings.restore(rows).await;
        let following =
            mappings.store().changes().map(|changes| tokio::spawn(mappings.clone().follow(changes)).abort_handle());
        tracing::info!(api = %api_address, ports = %config.ports.range, "serving");
        let api = ApiServer::start(listener, config, mappings.clone());
        Ok(Self { api, api_address, mappings, door, following, recorder: Recording::start(recorder) })
    }

    /// Where the API listens; the real port where the configuration named 0.
    #[must_use]
    pub fn api_address(&self) -> SocketAddr {
        self.api_address
    }

    /// Where clients connect; `None` when the tunnel is switched off.
    #[must_use]
    pub fn tunnel_address(&self) -> Option<SocketAddr> {
        self.door.as_ref().map(|door| door.address)
    }

    /// The code with which a first client joins, at the first start alone; to be shown once.
    #[must_use]
    pub fn join_code(&self) -> Option<&Secret> {
        self.door.as_ref().and_then(|door| door.join_code.as_ref())
    }

    /// Tells the service manager again and again that the server is not stuck. The thread of the sessions is asked each
    /// time, because it is the one that a fault could hold up.
    fn beats(&self, notifier: Notifier) -> impl Future<Output = ()> + Send + 'static {
        let queue = self.door.as_ref().map(|door| door.queue.clone());
        async move {
            let Some(beat) = notifier.beat() else { return };
            loop {
                if let Some(queue) = &queue {
                    let (answer, answered) = oneshot::channel();
                    queue.run(|_| answer.send(()).unwrap_or_default()).await;
                    if answered.await.is_err() {
                        // The thread has ended, as it does when the server stops.
                        return;
                    }
                }
                notifier.alive();
                tokio::time::sleep(beat).await;
            }
        }
    }

    /// Serves until `shutdown` completes, then accepts nothing more, lets visitors finish, and resets the rest.
    pub async fn finish(self, shutdown: impl Future<Output = Drain>) -> Summary {
        let Drain { grace, now } = shutdown.await;
        tracing::info!(seconds = grace.as_secs(), "stopping; visitors may finish");
        let api = tokio::spawn(self.api.stop());
        if let Some(door) = &self.door {
            door.stop.send_replace(true);
            door.queue
                .run(|yard| yard.sessions().iter().for_each(|(_, link)| link.go_away(GoAwayReason::ShuttingDown)))
                .await;
        }
        if let Some(following) = self.following {
            following.abort();
        }
        let cut = self.mappings.close(Instant::now() + grace, now).await;
        if let Some(door) = self.door {
            door.task.abort();
            door.queue
                .run(|yard| yard.sessions().iter().for_each(|(_, link)| link.cut(GoAwayReason::ShuttingDown)))
                .await;
            door.queue.rest().await;
        }
        self.recorder.finish().await;
        // What is still asked after that is answered by a closed connection.
        let _ = timeout(API_GRACE, api).await;
        tracing::info!(cut, "stopped");
        Summary { cut }
    }
}

impl Recording {
    fn start(mut recorder: Recorder) -> Self {
        let (stop, mut stopping) = watch::channel(false);
        let task = tokio::spawn(async move {
            tokio::select! {
                () = recorder.run() => {}
                // A sender that is gone means the same as `true`.
                _ = stopping.wait_for(|stop| *stop) => {}
            }
            recorder
        });
        Self { stop, task }
    }

    /// Writes what has moved up to the end.
    async fn finish(self) {
        self.stop.send_replace(true);
        if let Ok(mut recorder) = self.task.await {
            recorder.record().await;
        }
    }
}

/// Binds the control port and starts the thread of the sessions.
fn open_tunnel(config: &ServerConfig) -> Result<(std::net::TcpListener, Tunnel)> {
    let address = config.tunnel.listen;
    let bound = std::net::TcpListener::bind(address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    let listener = bound.map_err(|error| {
        let address = address.to_string();
        if error.kind() == io::ErrorKind::AddrInUse {
            return Error::new(ErrorKind::Busy, TunnelWords::ControlPortTaken { address })
                .hint(TunnelWords::OtherControlPort { port: config.tunnel.listen.port() });
        }
        Error::new(ErrorKind::Missing, TunnelWords::ControlUnavailable { address, reason: error.to_string() })
            .hint(TunnelWords::CheckControlAddress)
    })?;
    let queue = YardQueue::start().map_err(|error| no_runtime(&error))?;
    Ok((listener, Tunnel { queue, sessions: Arc::default() }))
}

/// Opens the control port for clients.
async fn open_door(
    listener: std::net::TcpListener,
    tunnel: Tunnel,
    config: &ServerConfig,
    mappings: &Mappings,
) -> Result<Door> {
    let listener = TcpListener::from_std(listener).map_err(|error| no_runtime(&error))?;
    lengthen_backlog(&listener).map_err(|error| no_runtime(&error))?;
    let address = listener.local_addr().map_err(|error| no_runtime(&error))?;
    let (wanted, insecure, store) = (config.clone(), config.tunnel.insecure, mappings.store().clone());
    // Reads files, and asks a database that may take its time.
    let opened = spawn_blocking(move || {
        let file = TokenFile::of(&store, &wanted.database)?;
        issuing::Door::open(&wanted, file, insecure)
    })
    .await;
    let issuing::Door { tls, tokens, join_code } = opened.map_err(|error| no_runtime(&io::Error::other(error)))??;
    let (stop, stopping) = watch::channel(false);
    let control = Control { sessions: tunnel.sessions, queue: tunnel.queue.clone(), tokens, stopping };
    tracing::info!(tunnel = %address, tls = tls.is_some(), "waiting for clients");
    if let Some(port) = Port::new(address.port()) {
        mappings.own().add(port);
    }
    if config.tunnel.legacy_v1 {
        tracing::warn!(
            "tunnel.legacy_v1 is on: whoever connects may become the client of version 1, without proof or encryption"
        );
    }
    let gate = Arc::new(Gate::new(tls, config.tunnel.legacy_v1, Arc::new(control.clone())));
    let revocations = control.clone().cut_revoked();
    let serving = control::serve(listener, gate, control, Arc::clone(mappings.accepts()));
    let task = tokio::spawn(async {
        tokio::join!(serving, revocations);
    });
    Ok(Door { address, stop, queue: tunnel.queue, task, join_code })
}

/// Starts a server and serves until `shutdown` completes.
pub async fn run(config: ServerConfig, shutdown: impl Future<Output = Drain>) -> Result<Summary> {
    Ok(Server::start(config).await?.finish(shutdown).await)
}

/// What only the command line of a server can say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Insistence {
    /// Plaintext that other machines can reach is wanted.
    pub insecure: bool,
    /// A first start makes a token, whose join code is shown; without, tokens are made by `tunnel token` alone.
    pub first_token: bool,
}

/// `tunnel server`: reads the configuration, starts logging to stderr, and serves until SIGTERM or SIGINT; a second
/// signal ends the draining at once.
///
/// `environment` is the process's own; variables of `env_file` stand where it is silent. Without `config_file`
/// everything comes from variables and defaults.
///
/// `announce` is given the join code of a first start.
pub fn main_entry(from: Sources<'_>, wanted: Insistence, announce: impl FnOnce(&Secret)) -> Result<Summary> {
    let mut config = load(from.config, from.env_file, from.environment)?;
    config.tunnel.insecure = wanted.insecure;
    config.first_token = wanted.first_token;
    // Each visitor takes one; a system that gives no more serves fewer.
    raise_open_files();
    logbook::hide(&config.api.key);
    start_logging(config.log);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| no_runtime(&error))?;
    let notifier = Notifier::from_variables(from.environment);
    runtime.block_on(async {
        let mut signals = StopSignals::listen().map_err(|error| no_runtime(&error))?;
        let stopping = notifier.clone();
        let shutdown = async move {
            signals.next().await;
            stopping.stopping();
            Drain::new(DRAIN_GRACE, async move { signals.next().await })
        };
        let server = Server::start(config).await?;
        server.join_code().map(announce);
        notifier.ready();
        tokio::spawn(server.beats(notifier));
        Ok(server.finish(shutdown).await)
    })
}

/// Reads the configuration as [`main_entry`] does.
pub fn load(
    config_file: Option<&Path>,
    env_file: Option<&Path>,
    environment: &BTreeMap<String, String>,
) -> Result<ServerConfig> {
    let (yaml, environment) = sources(config_file, env_file, environment)?;
    ServerConfig::parse(&yaml, &environment, read_key).map_err(|error| at(error, config_file))
}

/// Reads the configuration of a server that shall run as a service, without this process's variables; returns with it
/// the file that holds the API's key, where one does.
pub fn load_for_service(config_file: &Path, env_file: Option<&Path>) -> Result<(ServerConfig, Option<PathBuf>)> {
    let (yaml, environment) = sources(Some(config_file), env_file, &BTreeMap::new())?;
    let mut key_file = None;
    let read = |path: &Path| {
        key_file = Some(path.to_path_buf());
        read_key(path)
    };
    let config = ServerConfig::parse(&yaml, &environment, read).map_err(|error| at(error, Some(config_file)))?;
    Ok((config, key_file))
}

/// Reads where the API listens, as [`load`] would; for `tunnel health`, which needs no key.
pub fn api_address(
    config_file: Option<&Path>,
    env_file: Option<&Path>,
    environment: &BTreeMap<String, String>,
) -> Result<SocketAddr> {
    let (yaml, environment) = sources(config_file, env_file, environment)?;
    ServerConfig::api_address(&yaml, &environment).map_err(|error| at(error, config_file))
}

/// Reads the server's own settings from a `.env` file, in the order of the lines.
pub fn load_env_file(path: &Path) -> Result<Vec<(String, String)>> {
    let text = read_text(path, TunnelWords::EnvFileUnreadable)?;
    let variables = dotenvy::from_read_iter(text.as_bytes()).collect::<Result<Vec<_>, _>>();
    // The reader's own error repeats the line, which may hold a secret.
    variables.map_err(|_| {
        Error::new(ErrorKind::Usage, TunnelWords::EnvFileBroken)
            .context(TunnelWords::InFile { path: path.to_path_buf() })
    })
}

/// Reads the texts that a configuration is made of.
pub(super) fn sources(
    config_file: Option<&Path>,
    env_file: Option<&Path>,
    environment: &BTreeMap<String, String>,
) -> Result<(String, BTreeMap<String, String>)> {
    let yaml = config_file.map(|path| read_text(path, TunnelWords::ConfigUnreadable)).transpose()?.unwrap_or_default();
    let mut variables: BTreeMap<String, String> = match env_file {
        Some(path) => load_env_file(path)?.into_iter().collect(),
        None => BTreeMap::new(),
    };
    variables.extend(environment.iter().map(|(name, value)| (name.clone(), value.clone())));
    Ok((yaml, variables))
}

/// Says in which file it happened.
pub(super) fn at(error: Error, config_file: Option<&Path>) -> Error {
    match config_file {
        Some(path) => error.context(TunnelWords::InFile { path: path.to_path_buf() }),
        None => error,
    }
}

/// Reads the file of `api.api_key_file`, which nobody else may read.
pub(super) fn read_key(path: &Path) -> Result<String> {
    read_secret(
        path,
        TunnelWords::KeyFileUnreadable,
        |path| TunnelWords::KeyFileOpen { path }.into(),
        |path| TunnelWords::CloseKeyFile { path }.into(),
    )
}

fn no_runtime(error: &io::Error) -> Error {
    Error::new(ErrorKind::Missing, TunnelWords::NoRuntime { reason: error.to_string() })
}

fn api_taken(error: &io::Error, config: &ServerConfig) -> Error {
    let address = config.api.listen.to_string();
    if error.kind() == io::ErrorKind::AddrInUse {
        let port = config.api.listen.port();
        return Error::new(ErrorKind::Busy, TunnelWords::ApiPortTaken { address })
            .hint(TunnelWords::OtherApiPort { port });
    }
    Error::new(ErrorKind::Missing, TunnelWords::ApiUnavailable { address, reason: error.to_string() })
        .hint(TunnelWords::CheckApiAddress)
}

fn start_logging(log: LogSettings) {
    let level = match log.level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_target(false);
    let kept = tracing_subscriber::registry().with(level).with(logbook::Layer);
    // A program that already logs keeps its own way of doing so.
    let _ = match log.format {
        LogFormat::Text => kept.with(lines.with_ansi(false)).try_init(),
        LogFormat::Json => kept.with(lines.json()).try_init(),
    };
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::host::open_to_others;

    const KEY: &str = "8f1d2c3b4a5968778695a4b3c2d1e0ff";

    #[test]
    fn the_process_wins_over_the_environment_file_and_both_over_the_configuration() {
        let folder = tempfile::tempdir().expect("a folder");
        let (yaml, env) = (folder.path().join("config.yaml"), folder.path().join("env"));
        fs::write(&yaml, "api: { listen_port: 1001, rate_limit: 1 }\nlog: { level: warn }\n").expect("a file");
        let lines = format!("# a remark\nPORTWRIGHT_API_API_KEY={KEY}\nPORTWRIGHT_API_RATE_LIMIT=2\nAPI_PORT=x\n");
        fs::write(&env, format!("{lines}PORTWRIGHT_API_LISTEN_PORT=1002\n")).expect("a file");
        let environment = [("PORTWRIGHT_API_LISTEN_PORT".to_owned(), "1003".to_owned())].into();
        let config = load(Some(&yaml), Some(&env), &environment).expect("a configuration");
        assert_eq!((config.api.listen.port(), config.api.rate_limit, config.log.level), (1003, 2, LogLevel::Warn));
        let address = api_address(Some(&yaml), None, &BTreeMap::new()).expect("no key is needed");
        assert_eq!(address.port(), 1001);
        fs::write(&env, "PORTWRIGHT_API_API_KEY='canary").expect("a file");
        let error = load(Some(&yaml), Some(&env), &environment).expect_err("broken");
        assert!(error.kind() == ErrorKind::Usage && !error.to_string().contains("canary"), "{error}");
        let error = load(Some(folder.path()), None, &environment).expect_err("a folder");
        assert_eq!(error.kind(), ErrorKind::Missing);
    }

    #[test]
    fn a_key_file_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let key = folder.path().join("key");
        fs::write(&key, format!("{KEY}\n")).expect("a file");
        let environment = [("PORTWRIGHT_API_API_KEY_FILE".to_owned(), key.display().to_string())].into();
        let metadata = fs::metadata(&key).expect("a file");
        if open_to_others(&metadata) {
            let error = load(None, None, &environment).expect_err("open to others");
            assert_eq!(error.kind(), ErrorKind::Refused);
            assert!(error.way_out().expect("a way out").to_string().contains("chmod 600"));
        }
        let private = tempfile::NamedTempFile::new().expect("a private file");
        fs::write(private.path(), format!("{KEY}\n")).expect("written");
        let environment = [("PORTWRIGHT_API_API_KEY_FILE".to_owned(), private.path().display().to_string())].into();
        assert!(load(None, None, &environment).expect("a configuration").api.key.matches(KEY.as_bytes()));
    }
}
