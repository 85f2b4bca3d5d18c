//! The server's control port: lets clients in, and gives their connections to the thread of the sessions.

use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::BytesMut;
use rand::RngExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::spawn_local;
use tokio::time::Instant;

use super::forward::{Pace, accept};
use super::handshake::{Admitted, Gate, Identity, Permit, Registry, SessionId, TokenRow, Transport, admit};
use super::link::{Link, Parting, Role};
use super::machine::Machine;
use super::proto::hello::{RejectCode, Rejected};
use super::proto::{GoAwayReason, Limits, Open, Session, Side, StreamId};
use super::relay::{Far, reset};
use super::sessions::{Pulse, Running, Sessions};
use super::token::{SessionKey, TokenId};
use super::tokens::Tokens;
use super::wire::Parcel;
use super::yard::{Yard, YardQueue};
use crate::host::let_link_wait;

/// Seconds after which a client whose name is taken may ask again.
const RETRY_AFTER_S: u16 = 5;

/// What the control port needs of the rest of the server.
#[derive(Clone)]
pub(crate) struct Control {
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) queue: YardQueue,
    pub(crate) tokens: Tokens,
    pub(crate) stopping: watch::Receiver<bool>,
}

impl Registry for Control {
    fn token(&self, id: TokenId) -> Option<TokenRow> {
        self.tokens.get(id)
    }

    fn session_key(&self, session: &SessionId) -> Option<SessionKey> {
        self.sessions.find(session).map(|running| running.key)
    }

    fn may_begin<'a>(
        &'a self,
        identity: &'a Identity,
    ) -> Pin<Box<dyn Future<Output = Result<(), Rejected>> + Send + 'a>> {
        Box::pin(async {
            let rejected =
                |code, text: &str| Err(Rejected { code, retry_after_s: RETRY_AFTER_S, text: text.to_owned() });
            if *self.stopping.borrow() {
                return rejected(RejectCode::ShuttingDown, "the server is stopping");
            }
            if self.sessions.of(&identity.name).is_none() {
                return Ok(());
            }
            let name = identity.name.clone();
            self.queue.run(move |yard| yard.link(&name).iter().for_each(|link| link.ask())).await;
            if self.sessions.shows_life(&identity.name).await {
                tracing::warn!(client = identity.name, "a second client of this name was turned away");
                return rejected(RejectCode::Connected, "a client of this name is connected");
            }
            Ok(())
        })
    }
}

/// Accepts connections until the server stops.
pub(crate) async fn serve(listener: TcpListener, gate: Arc<Gate>, control: Control, accepts: Arc<Pace>) {
    let mut stopping = control.stopping.clone();
    loop {
        let (stream, peer) = tokio::select! {
            accepted = accept(&listener, &accepts) => accepted,
            // A sender that is gone means the same as `true`.
            _ = stopping.wait_for(|stop| *stop) => return,
        };
        match gate.enter(peer) {
            Some(permit) => drop(tokio::spawn(receive(stream, peer, permit, Arc::clone(&gate), control.clone()))),
            None => reset(stream),
        }
    }
}

async fn receive(stream: TcpStream, peer: SocketAddr, permit: Permit, gate: Arc<Gate>, control: Control) {
    // Whoever is turned away was counted at the door.
    let Ok(admitted) = admit(stream, peer, permit, &gate).await else { return };
    match admitted {
        Admitted::Session { transport, identity, session, session_key, theirs, leftover } => {
            let pulse = Arc::default();
            let running = Running { session, identity, key: session_key, peer, since: SystemTime::now(), pulse };
            control.begin(transport, running, theirs, leftover).await;
        }
        Admitted::Data { transport, session, stream, leftover } => {
            control.bring(transport, session, stream, leftover).await;
        }
        Admitted::Legacy { stream, leftover } => control.begin_v1(stream, peer, leftover).await,
    }
}

impl Control {
    /// Begins the session of a client that was let in.
    async fn begin(&self, transport: Transport, running: Running, theirs: Limits, leftover: BytesMut) {
        let parcel = match Parcel::pack(transport) {
            Ok(parcel) => parcel,
            Err(error) => {
                tracing::warn!(client = running.identity.name, peer = %running.peer, %error, "the session did not begin");
                return;
            }
        };
        if let Some(token) = running.identity.token {
            self.tokens.seen(token);
        }
        tracing::info!(client = running.identity.name, peer = %running.peer, agent = running.identity.agent, "client connected");
        self.sessions.enter(running.clone());
        self.host(parcel, running, Some(theirs), leftover).await;
    }

    /// Begins the session of a client of version 1, unless there is one. That one is gone after 45 s of silence.
    async fn begin_v1(&self, stream: TcpStream, peer: SocketAddr, leftover: BytesMut) {
        let running = Running {
            session: rand::rng().random(),
            identity: Identity::v1(),
            key: SessionKey::of_nobody(),
            peer,
            since: SystemTime::now(),
            pulse: Arc::default(),
        };
        if *self.stopping.borrow() || self.sessions.of(&running.identity.name).is_some() {
            tracing::warn!(%peer, "a second client of version 1 was turned away");
            reset(stream);
            return;
        }
        // Whoever of version 1 has no room stops reading, and is alive.
        let Ok(parcel) = let_link_wait(&stream).and_then(|()| Parcel::pack(Transport::Plain(stream))) else { return };
        if self.sessions.enter_if_free(running.clone()) {
            tracing::warn!(%peer, "client of version 1 connected: it has proven nothing, and nothing is encrypted");
            self.host(parcel, running, None, leftover).await;
        }
    }

    /// Has the thread of the sessions drive one; `theirs` is `None` for version 1.
    async fn host(&self, parcel: Parcel, running: Running, theirs: Option<Limits>, leftover: BytesMut) {
        let (sessions, tokens) = (Arc::clone(&self.sessions), self.tokens.clone());
        let job = move |yard: &Rc<Yard>| {
            let yard = Rc::clone(yard);
            spawn_local(async move {
                let name = running.identity.name.clone();
                let parting = drive(&yard, parcel, &running, theirs, leftover, &tokens).await;
                sessions.leave(&name, &running.session);
                tracing::info!(client = name, ?parting, "client disconnected");
            });
        };
        self.queue.run(job).await;
    }

    /// Cuts off clients whose token was revoked, until the server stops.
    pub(crate) async fn cut_revoked(self) {
        let mut table = self.tokens.table();
        let mut stopping = self.stopping.clone();
        loop {
            tokio::select! {
                changed = table.changed() => if changed.is_err() { return },
                _ = stopping.wait_for(|stop| *stop) => return,
            }
            let valid = Arc::clone(&table.borrow_and_update());
            let cut = move |yard: &Rc<Yard>| {
                for (running, link) in yard.sessions() {
                    if running.identity.token.is_some_and(|token| valid.get(token).is_none()) {
                        link.cut(GoAwayReason::Revoked);
                    }
                }
            };
            self.queue.run(cut).await;
        }
    }

    /// Gives a data connection to the stream that it was made for.
    async fn bring(&self, transport: Transport, session: SessionId, stream: u32, leftover: BytesMut) {
        let parcel = match Parcel::pack(transport) {
            Ok(parcel) => parcel,
            Err(error) => {
                tracing::warn!(stream, %error, "a data connection did not begin; its stream stays on the session");
                return;
            }
        };
        let job = move |yard: &Rc<Yard>| {
            // Of this very session: the client's next one counts its streams from the start again.
            let Some(link) = yard.session(&session) else { return };
            if let Ok(wire) = parcel.unpack() {
                link.bring(StreamId::new(stream), Far { wire, early: leftover });
            }
        };
        self.queue.run(job).await;
    }
}

async fn drive(
    yard: &Yard,
    parcel: Parcel,
    running: &Running,
    theirs: Option<Limits>,
    leftover: BytesMut,
    tokens: &Tokens,
) -> Parting {
    let wire = match parcel.unpack() {
        Ok(wire) => wire,
        Err(error) => return Parting::Broken(error),
    };
    let now = Instant::now().into_std();
    let machine = match theirs {
        Some(theirs) => Session::new(Side::Server, Limits::OURS, theirs, now).into(),
        None => Machine::v1(Side::Server, now),
    };
    let link = Link::new(machine, Box::new(Visited { pulse: Arc::clone(&running.pulse) }));
    let name = &running.identity.name;
    if let Some(former) = yard.enter(running.clone(), Rc::clone(&link)) {
        former.cut(GoAwayReason::Replaced);
    }
    // Revoked while the client was let in: whoever cuts the revoked off did not see it yet.
    if running.identity.token.is_some_and(|token| tokens.get(token).is_none()) {
        link.cut(GoAwayReason::Revoked);
    }
    let parting = link.run(wire, leftover).await;
    yard.leave(name, &link);
    parting
}

/// The server's side of a session: it is never asked to dial.
struct Visited {
    pulse: Arc<Pulse>,
}

impl Role for Visited {
    fn open(&self, _: &Rc<Link>, _: StreamId, _: Open) {}

    fn lift(&self, _: &Rc<Link>, _: StreamId) {}

    fn heard(&self) {
        self.pulse.hear();
    }

    fn counted(&self, streams: usize) {
        self.pulse.count(streams);
    }
}
