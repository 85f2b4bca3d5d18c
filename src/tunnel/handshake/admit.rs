//! The server's door: finds out what a connection speaks, and lets in who proves to be a client.
//!
//! One deadline for everything. A client of version 1 says nothing for 15 s, so where these are let in a silent
//! connection is moved to one of a few places of its own (`admission`), where it may only become such a client.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use rand::RngExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout_at};

use super::admission::{Admission, Permit, Tally};
use super::wire::{Frame, Wire, WireFault};
use super::{AGENT, SessionId, Transport, seconds_now};
use crate::host::watch_link;
use crate::model::PortRange;
use crate::tunnel::proto::frame::{VERSION, kind};
use crate::tunnel::proto::hello::{Challenge, Hello, Join, Proof, RejectCode, Rejected, SESSION_VERSION, Welcome};
use crate::tunnel::proto::limits::Limits;
use crate::tunnel::tls::ServerTls;
use crate::tunnel::token::{SessionKey, TokenId, Transcript, Verifier};
use crate::tunnel::tokens::{LOOK_EVERY, V1_CLIENT, is_name, resolved_name};

/// The first byte of a TLS connection.
const TLS_HANDSHAKE: u8 = 0x16;

/// How long a stranger may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadlines {
    /// For everything until the peer is known.
    pub(crate) handshake: Duration,
    /// Until the first byte, where clients of version 1 are let in.
    pub(crate) first_sign_of_v1: Duration,
}

impl Deadlines {
    /// 5 s suffice for ten round trips of half a second; version 1 sends its first sign of life after 15 s.
    pub(crate) const OURS: Self = Self { handshake: Duration::from_secs(5), first_sign_of_v1: Duration::from_secs(20) };
}

/// A token as the door needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TokenRow {
    /// Its public name.
    pub(crate) id: TokenId,
    /// What people call it.
    pub(crate) name: String,
    /// What recognises it.
    pub(crate) verifier: Verifier,
    /// The public ports that it may serve; empty means all.
    pub(crate) ports: Vec<PortRange>,
}

/// Who a client has proven to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The token; `None` for a client of version 1, which has proven nothing.
    pub(crate) token: Option<TokenId>,
    /// The client's name: that of the token, or `token/name` where the client goes by a name of its own.
    pub(crate) name: String,
    /// The public ports that it may serve; empty means all.
    pub(crate) ports: Vec<PortRange>,
    /// What the client's program calls itself.
    pub(crate) agent: Option<String>,
}

impl Identity {
    /// Whoever speaks version 1.
    pub(crate) fn v1() -> Self {
        Self { token: None, name: V1_CLIENT.to_owned(), ports: Vec::new(), agent: None }
    }
}

/// What the door asks of the rest of the server. Never blocks the thread.
pub(crate) trait Registry: Send + Sync {
    /// Finds a token that was not revoked.
    fn token(&self, id: TokenId) -> Option<TokenRow>;
    /// Finds the key of a running session.
    fn session_key(&self, session: &SessionId) -> Option<SessionKey>;
    /// Tells whether a client that has proven itself may begin a session now; where one of that name runs, only after
    /// that was asked whether it is still there. Returns the session whose place it may take: one that did not answer.
    fn may_begin<'a>(
        &'a self,
        identity: &'a Identity,
    ) -> Pin<Box<dyn Future<Output = Result<Option<SessionId>, Rejected>> + Send + 'a>>;
}

/// The door of a server.
pub(crate) struct Gate {
    /// The certificate; `None` for plaintext.
    pub(crate) tls: Option<Arc<ServerTls>>,
    /// Whether clients of version 1 are let in.
    pub(crate) legacy_v1: bool,
    /// What this server is ready to hold.
    pub(crate) limits: Limits,
    /// The rest of the server.
    pub(crate) registry: Arc<dyn Registry>,
    /// How long a stranger may take.
    pub(crate) deadlines: Deadlines,
    /// Who stands at the door.
    pub(crate) admission: Arc<Admission>,
    /// Who was sent away.
    pub(crate) tally: Arc<Tally>,
}

impl Gate {
    /// A door with our own limits and deadlines, and nobody before it.
    pub(crate) fn new(tls: Option<Arc<ServerTls>>, legacy_v1: bool, registry: Arc<dyn Registry>) -> Self {
        let (admission, tally) = (Admission::new(), Arc::default());
        Self { tls, legacy_v1, limits: Limits::OURS, registry, deadlines: Deadlines::OURS, admission, tally }
    }

    /// Lets a connection wait at the door. `None`: there are too many; reset it.
    pub(crate) fn enter(&self, peer: SocketAddr) -> Option<Permit> {
        let permit = self.admission.enter(peer.ip());
        if permit.is_none() {
            self.tally.note(Denied::Crowded.label(), peer.ip());
        }
        permit
    }
}

/// What a connection turned out to be.
#[derive(Debug)]
pub(crate) enum Admitted {
    /// A client that begins a session.
    Session {
        /// The connection.
        transport: Transport,
        /// Who it is.
        identity: Identity,
        /// The session's name.
        session: SessionId,
        /// The key of its data connections.
        session_key: SessionKey,
        /// The session whose place it may take.
        former: Option<SessionId>,
        /// What the client is ready to hold.
        theirs: Limits,
        /// The last frame of the handshake, which is to be sent once the session is there.
        welcome: BytesMut,
        /// What came after the handshake.
        leftover: BytesMut,
    },
    /// A data connection of a running session.
    Data {
        /// The connection.
        transport: Transport,
        /// The session.
        session: SessionId,
        /// The stream that it carries.
        stream: u32,
        /// What came after the handshake.
        leftover: BytesMut,
    },
    /// A client of version 1 that has given its first sign of life, which is at the front of `leftover`.
    Legacy {
        /// The connection.
        stream: TcpStream,
        /// What came so far.
        leftover: BytesMut,
    },
}

/// Why a connection was turned away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Denied {
    /// Too many stand at the door.
    Crowded,
    /// It said nothing.
    Silent,
    /// It did not finish in time.
    Slow,
    /// It hung up without a word, as whoever only looks does.
    Left,
    /// It hung up or broke.
    Gone,
    /// What it speaks is not ours.
    Nonsense(&'static str),
    /// It wants TLS of a server without.
    TlsUnwanted,
    /// It wants no TLS of a server with.
    Plaintext,
    /// TLS did not come about.
    Tls(String),
    /// The token was unknown, revoked or not proven.
    Token,
    /// A data connection that belongs to no session.
    Join,
    /// It was rejected otherwise.
    Rejected(RejectCode),
}

impl Denied {
    /// Returns the word for it in logs.
    pub(crate) const fn label(&self) -> &'static str {
        match self {
            Self::Crowded => "crowded",
            Self::Silent => "silent",
            Self::Slow => "slow",
            Self::Left => "left",
            Self::Gone => "gone",
            Self::Nonsense(_) => "nonsense",
            Self::TlsUnwanted => "unwanted TLS",
            Self::Plaintext => "plaintext",
            Self::Tls(_) => "failed TLS",
            Self::Token => "wrong token",
            Self::Join => "wrong data connection",
            Self::Rejected(_) => "rejected",
        }
    }
}

impl From<WireFault> for Denied {
    fn from(fault: WireFault) -> Self {
        match fault {
            WireFault::Closed | WireFault::Broken(_) => Self::Gone,
            WireFault::Fault(fault) => Self::Nonsense(fault.detail),
        }
    }
}

/// A connection that is turned away, and what it is told before it is closed.
struct TurnedAway {
    denied: Denied,
    told: Option<(Wire, BytesMut)>,
}

impl<D: Into<Denied>> From<D> for TurnedAway {
    fn from(denied: D) -> Self {
        Self { denied: denied.into(), told: None }
    }
}

/// Finds out who has connected. The connection is closed, and the refusal counted, when this fails.
pub(crate) async fn admit(
    stream: TcpStream,
    peer: SocketAddr,
    permit: Permit,
    gate: &Gate,
) -> Result<Admitted, Denied> {
    // A socket that died meanwhile refuses options; the first read finds out.
    let _ = watch_link(&stream);
    let mut permit = Some(permit);
    let TurnedAway { denied, told } = match judge(stream, &mut permit, gate).await {
        Ok(admitted) => return Ok(admitted),
        Err(turned_away) => turned_away,
    };
    tracing::debug!(%peer, ?denied, "connection refused");
    // A look at the port, such as that of `doctor` or of a load balancer, is nobody who was turned away.
    if denied != Denied::Left {
        gate.tally.note(denied.label(), peer.ip());
    }
    if let Some((wire, frame)) = told {
        wire.part(&frame).await;
    }
    Err(denied)
}

async fn judge(stream: TcpStream, place: &mut Option<Permit>, gate: &Gate) -> Result<Admitted, TurnedAway> {
    let started = Instant::now();
    let deadline = started + gate.deadlines.handshake;
    let permit = place.take().ok_or(Denied::Crowded)?;
    let mut first = [0];
    let spoke = tokio::select! {
        spoke = timeout_at(deadline, stream.peek(&mut first)) => spoke,
        () = permit.evicted() => return Err(Denied::Crowded.into()),
    };
    match spoke {
        Err(_) if gate.legacy_v1 => return Ok(sign_of_v1(stream, permit, gate, started).await?),
        Err(_) => return Err(Denied::Silent.into()),
        Ok(Ok(0)) => return Err(Denied::Left.into()),
        Ok(Err(_)) => return Err(Denied::Gone.into()),
        Ok(Ok(_)) => {}
    }
    let permit = place.insert(permit);
    let shaken = timeout_at(deadline, async {
        permit.spoke().await;
        match first {
            [TLS_HANDSHAKE] => encrypted(stream, gate).await,
            [VERSION] => plaintext(stream, gate).await,
            _ => Err(Denied::Nonsense("the first byte").into()),
        }
    });
    shaken.await.unwrap_or(Err(Denied::Slow.into()))
}

/// Waits until a silent connection gives the sign of life of version 1; nothing else is accepted from it any more.
async fn sign_of_v1(stream: TcpStream, permit: Permit, gate: &Gate, started: Instant) -> Result<Admitted, Denied> {
    let _quiet = permit.wait_quietly().ok_or(Denied::Crowded)?;
    let mut wire = Wire::new(Transport::Plain(stream));
    let first = timeout_at(started + gate.deadlines.first_sign_of_v1, wire.more());
    first.await.map_err(|_| Denied::Silent)??;
    let frame = timeout_at(Instant::now() + gate.deadlines.handshake, wire.frame());
    let frame = frame.await.map_err(|_| Denied::Slow)??;
    legacy(wire, &frame)
}

/// A client of version 1 begins with an empty `KeepAlive`; it has nothing else to say before it was asked.
fn legacy(wire: Wire, frame: &Frame) -> Result<Admitted, Denied> {
    match wire.transport {
        Transport::Plain(stream) if frame.kind == kind::KEEP_ALIVE && frame.payload().is_empty() => {
            let mut leftover = BytesMut::from(&*frame.whole);
            leftover.extend_from_slice(&wire.held);
            Ok(Admitted::Legacy { stream, leftover })
        }
        _ => Err(Denied::Nonsense("the first frame")),
    }
}

async fn encrypted(stream: TcpStream, gate: &Gate) -> Result<Admitted, TurnedAway> {
    let tls = gate.tls.as_ref().ok_or(Denied::TlsUnwanted)?;
    let shaken = tls.accept(stream).await.map_err(|error| Denied::Tls(error.to_string()))?;
    if !shaken.is_ours() {
        return Err(Denied::Nonsense("the protocol within TLS").into());
    }
    let mut wire = Wire::new(Transport::Tls(Box::new(shaken)));
    let frame = match wire.frame().await {
        Err(WireFault::Closed) if wire.held.is_empty() => return Err(Denied::Left.into()),
        frame => frame?,
    };
    shake(wire, frame, gate).await
}

async fn plaintext(stream: TcpStream, gate: &Gate) -> Result<Admitted, TurnedAway> {
    let mut wire = Wire::new(Transport::Plain(stream));
    let frame = wire.frame().await?;
    match frame.kind {
        kind::HELLO | kind::JOIN if gate.tls.is_none() => shake(wire, frame, gate).await,
        kind::HELLO => Err(reject(wire, Denied::Plaintext, RejectCode::Plaintext, "this server wants TLS")),
        kind::JOIN => Err(Denied::Plaintext.into()),
        _ if gate.legacy_v1 => Ok(legacy(wire, &frame)?),
        _ => Err(Denied::Nonsense("the first frame").into()),
    }
}

async fn shake(wire: Wire, frame: Frame, gate: &Gate) -> Result<Admitted, TurnedAway> {
    match frame.kind {
        kind::HELLO => begin(wire, &frame, gate).await,
        kind::JOIN => Ok(data(wire, &frame, gate)?),
        _ => Err(Denied::Nonsense("the first frame").into()),
    }
}

/// A data connection: the proof is bound to this very connection, so it cannot be used on another.
fn data(wire: Wire, frame: &Frame, gate: &Gate) -> Result<Admitted, Denied> {
    let join = Join::decode(frame.payload()).map_err(|fault| Denied::Nonsense(fault.detail))?;
    let exporter = wire.transport.exporter().map_err(|error| Denied::Tls(error.to_string()))?;
    let known = gate.registry.session_key(&join.session);
    let key = known.unwrap_or_else(SessionKey::of_nobody);
    if !key.admits(&join.mac, &join.session, join.stream, &join.nonce, &exporter) {
        return Err(Denied::Join);
    }
    let Wire { transport, held } = wire;
    Ok(Admitted::Data { transport, session: join.session, stream: join.stream, leftover: held })
}

async fn begin(mut wire: Wire, hello_frame: &Frame, gate: &Gate) -> Result<Admitted, TurnedAway> {
    let hello = match Hello::decode(hello_frame.payload()) {
        Ok(hello) => hello,
        Err(fault) => {
            return Err(reject(wire, Denied::Nonsense(fault.detail), RejectCode::Protocol, fault.detail));
        }
    };
    if !(hello.lowest..=hello.highest).contains(&SESSION_VERSION) {
        let denied = Denied::Rejected(RejectCode::Version);
        return Err(reject(wire, denied, RejectCode::Version, "no version in common"));
    }
    let mut challenge = BytesMut::new();
    let nonce = rand::rng().random();
    let clock_s = seconds_now();
    Challenge { version: SESSION_VERSION, nonce, agent: Some(AGENT.to_owned()), clock_s }.encode(&mut challenge);
    wire.send(&challenge).await?;
    let exporter = wire.transport.exporter().map_err(|error| Denied::Tls(error.to_string()))?;
    let transcript = Transcript::new(&hello_frame.whole, &challenge, &exporter);
    let answer = wire.frame().await?;
    if answer.kind != kind::PROOF {
        return Err(Denied::Nonsense("no proof after the challenge").into());
    }
    let proof = Proof::decode(answer.payload()).map_err(|fault| Denied::Nonsense(fault.detail))?;
    let mut row = gate.registry.token(TokenId(hello.token));
    if row.is_none() {
        // It may have been made a moment ago, by another process.
        sleep(LOOK_EVERY * 2).await;
        row = gate.registry.token(TokenId(hello.token));
    }
    // As much work for a token that nobody has as for a wrong proof, and the same answer.
    let verifier = row.as_ref().map_or_else(Verifier::of_nobody, |row| row.verifier.clone());
    let (Some(session_key), Some(row)) = (verifier.judge(&proof.0, &transcript).session_key(), row) else {
        return Err(reject(wire, Denied::Token, RejectCode::Token, "the token is not accepted"));
    };
    welcome(wire, hello, row, &transcript, session_key, gate).await
}

async fn welcome(
    wire: Wire,
    hello: Hello,
    row: TokenRow,
    transcript: &Transcript,
    session_key: SessionKey,
    gate: &Gate,
) -> Result<Admitted, TurnedAway> {
    if hello.name.as_deref().is_some_and(|name| !is_name(name)) {
        let text = "a name has at most 31 letters, digits and the signs - _ .";
        return Err(reject(wire, Denied::Rejected(RejectCode::Name), RejectCode::Name, text));
    }
    let name = resolved_name(&row.name, hello.name.as_deref());
    let identity = Identity { token: Some(row.id), name, ports: row.ports, agent: hello.agent };
    let former = match gate.registry.may_begin(&identity).await {
        Ok(former) => former,
        Err(rejected) => return Err(turn_away(wire, Denied::Rejected(rejected.code), &rejected)),
    };
    let session: SessionId = rand::rng().random();
    let signature = row.verifier.sign(transcript, &session, &identity.name);
    let mut welcome = BytesMut::new();
    let (name, agent) = (Some(identity.name.clone()), Some(AGENT.to_owned()));
    Welcome { session, signature, limits: gate.limits, name, agent }.encode(&mut welcome);
    let Wire { transport, held: leftover } = wire;
    let theirs = hello.limits;
    Ok(Admitted::Session { transport, identity, session, session_key, former, theirs, welcome, leftover })
}

fn reject(wire: Wire, denied: Denied, code: RejectCode, text: &str) -> TurnedAway {
    turn_away(wire, denied, &Rejected { code, retry_after_s: 0, text: text.to_owned() })
}

fn turn_away(wire: Wire, denied: Denied, rejected: &Rejected) -> TurnedAway {
    let mut frame = BytesMut::new();
    rejected.encode(&mut frame);
    TurnedAway { denied, told: Some((wire, frame)) }
}
