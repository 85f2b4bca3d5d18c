//! The tunnel client: keeps one session with the server, and comes back when it is lost.

use std::future::Future;
use std::io::{self, Read};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use rand::RngExt;
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep, timeout};
use tracing_subscriber::filter::LevelFilter;

use super::address::ServerAddress;
use super::entry::{Entry, EntryWishes, read_code};
use super::exposure::Exposures;
use super::handshake::{Credentials, DIAL_DEADLINE, GREET_DEADLINE, Greeted, Transport, connect, greet, join};
use super::join_code::JoinCode;
use super::link::{Link, Parting};
use super::machine::Machine;
use super::proto::{GoAwayReason, Limits, Session, Side, StreamId};
use super::relay::Far;
use super::target::{Connect, Targets};
use super::tls::ClientLink;
use super::token::Token;
use super::wire::Wire;
use crate::error::{Error, ErrorKind, Result};
use crate::host::{Notifier, StopSignals, let_link_wait, raise_open_files};
use crate::model::Secret;
use crate::words::trust::TrustWords;
use crate::words::tunnel::TunnelWords;

/// The longest wait before the first attempt after a loss, and before any attempt. Each wait is drawn between nothing
/// and its bound, which doubles: a fleet that lost its server does not come back in step (full jitter).
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// How long a session must have lasted before a loss counts as the first again.
const HEALTHY: Duration = Duration::from_secs(30);

/// How long streams may finish after the client was asked to stop.
const DRAIN_GRACE: Duration = Duration::from_secs(30);

/// The longest token that is read from standard input, in bytes; one has 68.
const TOKEN_BYTES_MAX: u64 = 4096;

/// How often the streams that are left are counted while the client stops.
const LOOK: Duration = Duration::from_millis(50);

/// A client as it was asked for, with nothing read or judged yet.
#[derive(Debug, Clone, Default)]
pub struct ClientOptions {
    /// The server, `HOST:PORT`.
    pub server: Option<String>,
    /// A join code in place of server, token and pin.
    pub join: Option<Secret>,
    /// The token itself, from a variable.
    pub token: Option<Secret>,
    /// The file of the token; `-` for standard input.
    pub token_file: Option<PathBuf>,
    /// The fingerprint of the server's key.
    pub pin: Option<String>,
    /// The certificate of the authority that certifies the server.
    pub ca: Option<PathBuf>,
    /// Certificate and key of the client.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// Whether to do without TLS.
    pub insecure: bool,
    /// Whether the server speaks version 1: no token, no certificate, no encryption.
    pub legacy_v1: bool,
    /// What to be called below the token's name.
    pub name: Option<String>,
    /// What the server may reach, as typed.
    pub exposes: Vec<String>,
    /// How much is logged: 0 warnings, 1 more, 2 everything.
    pub verbose: u8,
    /// The service manager, where one started the client.
    pub notifier: Notifier,
}

impl ClientOptions {
    /// Reads the files and judges the rest.
    fn resolve(&self) -> Result<ClientConfig> {
        let expose = |text: &String| {
            let bad = |wanted| Error::new(ErrorKind::Usage, TunnelWords::BadExpose { text: text.clone(), wanted });
            text.parse().map_err(bad)
        };
        let exposures = Exposures(self.exposes.iter().map(expose).collect::<Result<_>>()?);
        if self.legacy_v1 {
            let (server, link) = Entry::v1(self.server.as_deref(), self.insecure)?;
            return Ok(ClientConfig { server, link, token: None, name: None, exposures });
        }
        let from_stdin = self.token_file.as_ref().is_some_and(|path| path.as_os_str() == "-");
        let wishes = EntryWishes {
            join: self.join.clone(),
            server: self.server.clone(),
            token: if from_stdin { Some(token_from_stdin()?) } else { self.token.clone() },
            token_file: self.token_file.clone().filter(|_| !from_stdin),
            pin: self.pin.clone(),
            ca: self.ca.clone(),
            identity: self.identity.clone(),
            insecure: self.insecure,
        };
        let Entry { server, token, link } = Entry::read(&wishes)?;
        Ok(ClientConfig { server, link, token: Some(token), name: self.name.clone(), exposures })
    }
}

/// What a join code says.
#[derive(Debug, Clone)]
pub struct Redeemed {
    /// The server, `HOST:PORT`.
    pub server: String,
    /// The token.
    pub token: Secret,
    /// The fingerprint of the server's key; `None` for a server in plaintext.
    pub pin: Option<String>,
}

/// Takes a join code apart, for whoever keeps its parts.
///
/// # Errors
/// `Usage` for what is none or is damaged; `Refused` for one of a later version.
pub fn redeem(code: &Secret) -> Result<Redeemed> {
    let JoinCode { server, token, pin } = read_code(code)?;
    let pin = pin.map(|pin| pin.to_string());
    Ok(Redeemed { server: server.to_string(), token: Secret::new(token.expose()), pin })
}

/// Reads all files and judges all options as a start would, and does not start.
///
/// # Errors
/// As [`main_entry`], before it connects.
pub fn check(options: &ClientOptions) -> Result<()> {
    options.resolve().map(|_| ())
}

fn token_from_stdin() -> Result<Secret> {
    let mut text = String::new();
    match io::stdin().take(TOKEN_BYTES_MAX).read_to_string(&mut text) {
        Ok(_) => Ok(Secret::new(text)),
        Err(error) => {
            let reason = TunnelWords::StandardInput { reason: error.to_string() };
            Err(Error::new(ErrorKind::Missing, TrustWords::TokenUnreadable).context(reason))
        }
    }
}

/// Runs a client on this thread until SIGTERM or SIGINT.
///
/// # Errors
/// [`ErrorKind::Usage`] for options that cannot be understood; [`ErrorKind::Missing`] and [`ErrorKind::Refused`] for
/// files, certificates and tokens that cannot be used, and for what the server refuses for good at the first attempt.
pub fn main_entry(options: &ClientOptions, mut progress: impl FnMut(Progress)) -> Result<()> {
    start_logging(match options.verbose {
        0 => LevelFilter::WARN,
        1 => LevelFilter::INFO,
        _ => LevelFilter::DEBUG,
    });
    let config = options.resolve()?;
    // Each target takes one; a system that gives no more serves fewer.
    raise_open_files();
    let notifier = &options.notifier;
    let told = |news: Progress| {
        notifier.status(&news.english());
        progress(news);
    };
    block_on(async {
        let failed =
            |error: io::Error| Error::new(ErrorKind::Missing, TunnelWords::NoRuntime { reason: error.to_string() });
        let mut signals = StopSignals::listen().map_err(failed)?;
        // A server that is away is no fault of the client, which waits for it: it is ready before it is connected.
        notifier.ready();
        tokio::task::spawn_local(beats(notifier.clone()));
        let stop = async || {
            signals.next().await;
            notifier.stopping();
        };
        run(config, told, stop).await
    })?
}

/// Tells the service manager again and again that the client's one thread is not stuck.
async fn beats(notifier: Notifier) {
    let Some(beat) = notifier.beat() else { return };
    loop {
        notifier.alive();
        sleep(beat).await;
    }
}

fn start_logging(level: LevelFilter) {
    let lines = tracing_subscriber::fmt().with_writer(io::stderr).with_max_level(level).with_target(false);
    // A program that already logs keeps its own way of doing so.
    let _ = lines.with_ansi(false).try_init();
}

/// Everything a client needs to know.
#[derive(Debug)]
pub(crate) struct ClientConfig {
    pub(crate) server: ServerAddress,
    pub(crate) link: ClientLink,
    /// What it proves; `None` for a server of version 1.
    pub(crate) token: Option<Token>,
    /// What it wants to be called below the token's name.
    pub(crate) name: Option<String>,
    pub(crate) exposures: Exposures,
}

/// What a client tells whoever started it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// A session began, under this name.
    Connected {
        /// The server.
        server: String,
        /// The name that the server gives this client.
        name: String,
    },
    /// A connection to a server of version 1 stands; whether the server takes it shows only with the first visitor.
    ConnectedV1 {
        /// The server.
        server: String,
    },
    /// The session is gone, or none came about; the client tries again after the wait.
    Waiting {
        /// Why.
        error: Error,
        /// For how long.
        wait: Duration,
    },
}

impl Progress {
    /// Returns it as a line for those who ask the service manager.
    fn english(&self) -> String {
        match self {
            Self::Connected { server, name } => format!("connected to {server} as {name}"),
            Self::ConnectedV1 { server } => format!("connected to {server} (version 1)"),
            Self::Waiting { error, .. } => format!("not connected: {error}"),
        }
    }
}

/// Runs a client until `stop` completes; a second completion ends the draining at once.
///
/// # Errors
/// What no further attempt can mend before a first session came about: a certificate, a token or a name that is
/// refused. Later the same faults are reported and tried again, because a server may be put right.
pub(crate) async fn run(
    config: ClientConfig,
    mut progress: impl FnMut(Progress),
    mut stop: impl AsyncFnMut(),
) -> Result<()> {
    let client = Rc::new(Client {
        exposures: Arc::new(config.exposures),
        credentials: config.token.map(|token| Credentials { token, name: config.name, limits: Limits::OURS }),
        server: config.server,
        link: config.link,
    });
    let mut bound = RETRY.0;
    let mut met = false;
    loop {
        let started = Instant::now();
        let begun = tokio::select! {
            begun = client.begin() => begun,
            () = stop() => return Ok(()),
        };
        let error = match begun {
            Ok(begun) => {
                met = true;
                let server = client.server.to_string();
                progress(match &begun {
                    Begun::Ours(greeted) => Progress::Connected { server, name: greeted.name.clone() },
                    Begun::V1(_) => Progress::ConnectedV1 { server },
                });
                match client.serve(begun, &mut stop).await {
                    None => return Ok(()),
                    Some(parting) => client.lost(&parting),
                }
            }
            Err(fault) if fault.needs_person && !met => return Err(fault.error),
            Err(fault) => {
                bound = bound.max(fault.retry_after.unwrap_or_default());
                fault.error
            }
        };
        if started.elapsed() >= HEALTHY {
            bound = RETRY.0;
        }
        let wait = bound.mul_f64(rand::rng().random_range(0.0..=1.0));
        bound = (bound * 2).min(RETRY.1);
        progress(Progress::Waiting { error, wait });
        tokio::select! {
            () = sleep(wait) => {}
            () = stop() => return Ok(()),
        }
    }
}

/// Runs [`run`] on the calling thread.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let failed =
        |error: io::Error| Error::new(ErrorKind::Missing, TunnelWords::NoRuntime { reason: error.to_string() });
    Ok(LocalSet::new().block_on(&runtime.map_err(failed)?, future))
}

struct Client {
    server: ServerAddress,
    link: ClientLink,
    /// `None` for a server of version 1.
    credentials: Option<Credentials>,
    exposures: Arc<Exposures>,
}

/// A session that may begin.
enum Begun {
    Ours(Box<Greeted>),
    V1(Transport),
}

/// Why no session came about.
struct Fault {
    error: Error,
    needs_person: bool,
    retry_after: Option<Duration>,
}

impl Client {
    async fn begin(&self) -> std::result::Result<Begun, Fault> {
        let transport = connect(&self.server, &self.link, DIAL_DEADLINE).await.map_err(|fault| Fault {
            error: fault.error(&self.server),
            needs_person: fault.needs_person(),
            retry_after: None,
        })?;
        let Some(credentials) = &self.credentials else { return Ok(Begun::V1(transport)) };
        let greeted = greet(transport, credentials, GREET_DEADLINE).await.map_err(|fault| Fault {
            error: fault.error(&self.server),
            needs_person: fault.needs_person(),
            retry_after: fault.retry_after(),
        })?;
        tracing::info!(agent = greeted.agent, "the server's program");
        Ok(Begun::Ours(Box::new(greeted)))
    }

    /// Serves a session; `None` when the client was asked to stop.
    async fn serve(self: &Rc<Self>, begun: Begun, stop: &mut impl AsyncFnMut()) -> Option<Parting> {
        let now = Instant::now().into_std();
        let exposures = Arc::clone(&self.exposures);
        let (link, transport, received) = match begun {
            Begun::Ours(greeted) => {
                let targets = Targets::new(exposures, self.data_connections(&greeted));
                let session = Session::new(Side::Client, Limits::OURS, greeted.theirs, now);
                (Link::new(session, Box::new(targets)), greeted.transport, greeted.leftover)
            }
            Begun::V1(transport) => {
                // A server of version 1 that has no room stops reading, and is alive.
                if let Err(error) = let_link_wait(transport.tcp()) {
                    return Some(Parting::Broken(error));
                }
                let none: Connect = Rc::new(|_| Box::pin(async { Err(io::ErrorKind::Unsupported.into()) }));
                let link = Link::new(Machine::v1(Side::Client, now), Box::new(Targets::new(exposures, none)));
                (link, transport, BytesMut::new())
            }
        };
        let wire = match Wire::try_from(transport) {
            Ok(wire) => wire,
            Err(error) => return Some(Parting::Broken(error)),
        };
        let running = link.run(wire, received);
        tokio::pin!(running);
        tokio::select! {
            parting = &mut running => return Some(parting),
            () = stop() => {}
        }
        link.go_away(GoAwayReason::ShuttingDown);
        let drained = async {
            while link.streams() > 0 {
                sleep(LOOK).await;
            }
        };
        tokio::select! {
            _ = &mut running => return None,
            _ = timeout(DRAIN_GRACE, drained) => {}
            () = stop() => {}
        }
        link.cut(GoAwayReason::ShuttingDown);
        running.await;
        None
    }

    /// Returns how data connections of a session are made.
    fn data_connections(self: &Rc<Self>, greeted: &Greeted) -> Connect {
        let client = Rc::clone(self);
        let (session, key) = (greeted.session, greeted.session_key.clone());
        Rc::new(move |id: StreamId| {
            let (client, key) = (Rc::clone(&client), key.clone());
            Box::pin(async move {
                let connecting = connect(&client.server, &client.link, DIAL_DEADLINE);
                let mut transport = connecting.await.map_err(|fault| io::Error::other(format!("{fault:?}")))?;
                join(&mut transport, &session, &key, id.get()).await?;
                let_link_wait(transport.tcp())?;
                Ok(Far { wire: Wire::try_from(transport)?, early: BytesMut::new() })
            })
        })
    }

    fn lost(&self, parting: &Parting) -> Error {
        let server = self.server.to_string();
        let (kind, words) = match parting {
            Parting::Fault(fault) if fault.reason == GoAwayReason::DeadPeer => {
                (ErrorKind::Missing, TunnelWords::LinkSilent { server })
            }
            Parting::GoneAway(GoAwayReason::ShuttingDown) => {
                (ErrorKind::Missing, TunnelWords::ServerStopped { server })
            }
            Parting::GoneAway(GoAwayReason::Revoked) => (ErrorKind::Refused, TunnelWords::TokenRevoked { server }),
            Parting::GoneAway(GoAwayReason::Replaced) => (ErrorKind::Busy, TunnelWords::ClientReplaced { server }),
            Parting::Broken(error) => {
                (ErrorKind::Missing, TunnelWords::LinkBroken { server, reason: error.to_string() })
            }
            Parting::Closed => (ErrorKind::Missing, TunnelWords::LinkClosed { server }),
            Parting::Fault(_) | Parting::GoneAway(_) | Parting::Cut(_) => {
                (ErrorKind::Missing, TunnelWords::LinkBroken { server, reason: format!("{parting:?}") })
            }
        };
        Error::new(kind, words)
    }
}
