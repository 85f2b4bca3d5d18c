//! Who is connected: one entry for each session, seen from every thread of the server.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, sleep};

use super::handshake::{Identity, SessionId};
use super::token::SessionKey;
use crate::model::{Port, PortRange};

/// The client that serves mappings which name none.
const DEFAULT_CLIENT: &str = "default";

/// How long a session may take to show that it is still there when another client of its name knocks.
const SILENCE: Duration = Duration::from_secs(2);

/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// What the thread of the session tells the others.
#[derive(Debug, Default)]
pub(crate) struct Pulse {
    /// How often something was received.
    heard: AtomicU64,
    streams: AtomicUsize,
}

impl Pulse {
    /// Notes that something was received.
    pub(crate) fn hear(&self) {
        self.heard.fetch_add(1, Relaxed);
    }

    /// Notes how many streams there are.
    pub(crate) fn count(&self, streams: usize) {
        self.streams.store(streams, Relaxed);
    }
}

/// A running session.
#[derive(Debug, Clone)]
pub(crate) struct Running {
    pub(crate) session: SessionId,
    pub(crate) identity: Identity,
    pub(crate) key: SessionKey,
    pub(crate) peer: SocketAddr,
    pub(crate) since: SystemTime,
    pub(crate) pulse: Arc<Pulse>,
}

impl Running {
    /// Tells whether this client may serve a mapping of `port`.
    pub(crate) fn may_serve(&self, port: Port) -> bool {
        may_serve(&self.identity.ports, port)
    }

    /// Returns how many streams there are.
    pub(crate) fn streams(&self) -> usize {
        self.pulse.streams.load(Relaxed)
    }
}

/// Returns which of the `connected` clients serves a mapping that names `client`: an unnamed one is the client called
/// `default`, or else the only one.
pub(crate) fn usual_client<'a>(client: &'a str, mut connected: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if !client.is_empty() {
        return Some(client);
    }
    let first = connected.next()?;
    let mut rest = connected.peekable();
    if first == DEFAULT_CLIENT || rest.peek().is_none() {
        return Some(first);
    }
    rest.find(|name| *name == DEFAULT_CLIENT)
}

/// Tells whether a token that is limited to `ports` may serve `port`; none means all.
pub(crate) fn may_serve(ports: &[PortRange], port: Port) -> bool {
    ports.is_empty() || ports.iter().any(|range| range.contains(port))
}

/// The sessions of a server, by the name of the client.
#[derive(Debug, Default)]
pub(crate) struct Sessions(Mutex<HashMap<String, Running>>);

impl Sessions {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Running>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters a session, which may take the place of `former`, and tells whether that was to be had: another one of the
    /// same name keeps its place.
    #[must_use]
    pub(crate) fn enter(&self, running: Running, former: Option<SessionId>) -> bool {
        let mut sessions = self.lock();
        let free = sessions.get(&running.identity.name).is_none_or(|there| Some(there.session) == former);
        if free {
            sessions.insert(running.identity.name.clone(), running);
        }
        free
    }

    /// Removes a session, unless another has taken its place.
    pub(crate) fn leave(&self, name: &str, session: &SessionId) {
        let mut sessions = self.lock();
        if sessions.get(name).is_some_and(|running| running.session == *session) {
            sessions.remove(name);
        }
    }

    /// Finds the session of a client.
    pub(crate) fn of(&self, name: &str) -> Option<Running> {
        self.lock().get(name).cloned()
    }

    /// Finds a session by its name on the wire.
    pub(crate) fn find(&self, session: &SessionId) -> Option<Running> {
        self.lock().values().find(|running| running.session == *session).cloned()
    }

    /// Returns every session, by the names of the clients.
    pub(crate) fn list(&self) -> Vec<Running> {
        let mut list: Vec<_> = self.lock().values().cloned().collect();
        list.sort_by(|one, other| one.identity.name.cmp(&other.identity.name));
        list
    }

    /// Finds the session that serves the mapping of `port` which names `client`. A mapping without a client is served
    /// by the one called `default`, or else by the only one that is connected.
    pub(crate) fn server_of(&self, client: &str, port: Port) -> Option<Running> {
        let sessions = self.lock();
        let name = usual_client(client, sessions.keys().map(String::as_str))?;
        sessions.get(name).filter(|running| running.may_serve(port)).cloned()
    }

    /// Waits until a session, which was just asked for a sign of life, gives one: `true`. `false` when it stays silent,
    /// or has ended.
    pub(crate) async fn shows_life(&self, running: &Running) -> bool {
        let before = running.pulse.heard.load(Relaxed);
        let give_up = Instant::now() + SILENCE;
        while Instant::now() < give_up {
            sleep(LOOK).await;
            if running.pulse.heard.load(Relaxed) != before {
                return self.of(&running.identity.name).is_some_and(|current| current.session == running.session);
            }
        }
        false
    }
}
