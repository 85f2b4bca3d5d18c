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
    ) -> Pin<Box<dyn Future<Output = Result<Option<SessionId>, Rejected>> + Send + 'a>> {
        Box::pin(async {
            let rejected =
                |code, text: &str| Err(Rejected { code, retry_after_s: RETRY_AFTER_S, text: text.to_owned() });
            if *self.stopping.borrow() {
                return rejected(RejectCode::ShuttingDown, "the server is stopping");
            }
            let Some(there) = self.sessions.of(&identity.name) else { return Ok(None) };
            let name = identity.name.clone();
            self.queue.run(move |yard| yard.link(&name).iter().for_each(|link| link.ask())).await;
            if self.sessions.shows_life(&there).await {
                tracing::warn!(client = identity.name, "a second client of this name was turned away");
                return rejected(RejectCode::Connected, "a client of this name is connected");
            }
            Ok(Some(there.session))
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
        Admitted::Session { transport, identity, session, session_key, former, theirs, welcome, leftover } => {
            let pulse = Arc::default();
            let running = Running { session, identity, key: session_key, peer, since: SystemTime::now(), pulse };
            control.begin(transport, running, Greeting { former, theirs, welcome }, leftover).await;
        }
        Admitted::Data { transport, session, stream, leftover } => {
            control.bring(transport, session, stream, leftover).await;
        }
        Admitted::Legacy { stream, leftover } => control.begin_v1(stream, peer, leftover).await,
    }
}

impl Control {
    /// Begins the session of a client that was let in.
    async fn begin(&self, transport: Transport, running: Running, greeting: Greeting, leftover: BytesMut) {
        match Parcel::pack(transport) {
            Ok(parcel) => {
                if let Some(token) = running.identity.token {
                    self.tokens.seen(token);
                }
                self.host(parcel, running, Some(greeting), leftover).await;
            }
            Err(error) => {
                tracing::warn!(client = running.identity.name, peer = %running.peer, %error, "the session did not begin");
            }
        }
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
        self.host(parcel, running, None, leftover).await;
    }

    /// Has the thread of the sessions drive one; `greeting` is `None` for version 1.
    async fn host(&self, parcel: Parcel, running: Running, greeting: Option<Greeting>, leftover: BytesMut) {
        let (sessions, tokens) = (Arc::clone(&self.sessions), self.tokens.clone());
        let job = move |yard: &Rc<Yard>| {
            let Some(link) = enter(yard, &running, greeting, &sessions, &tokens) else { return };
            let yard = Rc::clone(yard);
            spawn_local(async move {
                let parting = match parcel.unpack() {
                    Ok(wire) => link.run(wire, leftover).await,
                    Err(error) => Parting::Broken(error),
                };
                let name = &running.identity.name;
                yard.leave(name, &link);
                sessions.leave(name, &running.session);
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

/// What our own protocol begins with.
struct Greeting {
    /// The session whose place it may take.
    former: Option<SessionId>,
    /// What the client is ready to hold.
    theirs: Limits,
    /// What is said to it first.
    welcome: BytesMut,
}

/// Makes a session known, to the thread of the sessions and to the others. Its visitors are served from here on, and only
/// then is the client told. `None` when another client of its name was there a moment before.
fn enter(
    yard: &Yard,
    running: &Running,
    greeting: Option<Greeting>,
    sessions: &Sessions,
    tokens: &Tokens,
) -> Option<Rc<Link>> {
    let (identity, peer) = (&running.identity, running.peer);
    let now = Instant::now().into_std();
    if !sessions.enter(running.clone(), greeting.as_ref().and_then(|greeting| greeting.former)) {
        tracing::warn!(client = identity.name, %peer, "a second client of this name was turned away");
        return None;
    }
    let machine = if let Some(Greeting { theirs, welcome, .. }) = greeting {
        tracing::info!(client = identity.name, %peer, agent = identity.agent, "client connected");
        let mut session = Session::new(Side::Server, Limits::OURS, theirs, now);
        session.out().unsplit(welcome);
        session.into()
    } else {
        tracing::warn!(%peer, "client of version 1 connected: it has proven nothing, and nothing is encrypted");
        Machine::v1(Side::Server, now)
    };
    let link = Link::new(machine, Box::new(Visited { pulse: Arc::clone(&running.pulse) }));
    if let Some(former) = yard.enter(running.clone(), Rc::clone(&link)) {
        former.cut(GoAwayReason::Replaced);
    }
    // Revoked while the client was let in: whoever cuts the revoked off did not see it yet.
    if identity.token.is_some_and(|token| tokens.get(token).is_none()) {
        link.cut(GoAwayReason::Revoked);
    }
    Some(link)
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

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use tokio::io::AsyncReadExt;
    use tokio::sync::oneshot;

    use super::*;
    use crate::tunnel::config::DatabaseSettings;
    use crate::tunnel::tokens::TokenFile;

    /// The server's part of this, with a thread for the sessions.
    fn control(folder: &tempfile::TempDir, stopping: watch::Receiver<bool>) -> Control {
        let database = DatabaseSettings { path: folder.path().join("mappings.db"), shared: None };
        let tokens = TokenFile::open(&database).and_then(Tokens::watch).expect("tokens");
        Control { sessions: Arc::default(), queue: YardQueue::start().expect("a thread"), tokens, stopping }
    }

    /// Begins a session of the one client that there is, and returns the client's end.
    async fn begun(control: &Control, session: u8, former: Option<u8>) -> TcpStream {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let connecting = TcpStream::connect(listener.local_addr().expect("an address"));
        let (client, accepted) = tokio::join!(connecting, listener.accept());
        let (stream, peer) = accepted.expect("accepted");
        let (identity, key, since) = (Identity::v1(), SessionKey::of_nobody(), SystemTime::now());
        let running = Running { session: [session; 16], identity, key, peer, since, pulse: Arc::default() };
        let welcome = BytesMut::from(&b"welcome"[..]);
        let greeting = Greeting { former: former.map(|former| [former; 16]), theirs: Limits::OURS, welcome };
        control.begin(Transport::Plain(stream), running, greeting, BytesMut::new()).await;
        client.expect("connected")
    }

    async fn is_welcomed(client: &mut TcpStream) -> bool {
        let mut said = [0; 7];
        client.read_exact(&mut said).await.is_ok_and(|_| &said == b"welcome")
    }

    /// A visitor who comes the moment the client was welcomed is served: the thread of the sessions knows it by then, and
    /// so does whoever asks the API, which lists nobody whose visitors would be turned away.
    #[tokio::test]
    async fn nobody_hears_of_a_session_before_its_visitors_are_served() {
        let folder = tempfile::tempdir().expect("a folder");
        let (_stop, stopping) = watch::channel(false);
        let control = control(&folder, stopping);
        let (release, released) = mpsc::channel();
        assert!(control.queue.run(move |_| released.recv().expect("released")).await);
        let mut client = begun(&control, 1, None).await;
        assert!(control.sessions.list().is_empty(), "not before the thread of the sessions has it");
        assert_eq!(client.try_read(&mut [0; 7]).expect_err("nothing").kind(), std::io::ErrorKind::WouldBlock);

        release.send(()).expect("waiting");
        assert!(is_welcomed(&mut client).await);
        let name = Identity::v1().name;
        assert!(control.sessions.of(&name).is_some());
        let (answer, answered) = oneshot::channel();
        assert!(control.queue.run(move |yard| answer.send(yard.link(&name).is_some()).expect("awaited")).await);
        assert!(answered.await.expect("an answer"));
    }

    /// Both were let in while nobody had the name, or while the same dead one had it.
    #[tokio::test]
    async fn of_two_clients_that_come_at_the_same_moment_the_first_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let (_stop, stopping) = watch::channel(false);
        let control = control(&folder, stopping);
        let (mut dead, mut late) = (begun(&control, 1, None).await, begun(&control, 2, None).await);
        assert!(is_welcomed(&mut dead).await && !is_welcomed(&mut late).await);
        let (mut first, mut second) = (begun(&control, 3, Some(1)).await, begun(&control, 4, Some(1)).await);
        assert!(is_welcomed(&mut first).await && !is_welcomed(&mut second).await);
        assert_eq!(control.sessions.of(&Identity::v1().name).expect("a session").session, [3; 16]);
        let farewell = tokio::time::timeout(Duration::from_secs(20), dead.read_to_end(&mut Vec::new())).await;
        farewell.expect("the one whose place was taken is cut off").expect("an end");
    }
}
