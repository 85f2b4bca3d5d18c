//! The client's side of the handshake: proves the token, and makes the server prove that it knows it.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use rand::RngExt;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::wire::{Frame, Wire, WireFault};
use super::{AGENT, SessionId, Transport, seconds_now};
use crate::error::{Error, ErrorKind};
use crate::model::ClockSight;
use crate::tunnel::address::ServerAddress;
use crate::tunnel::proto::Fault;
use crate::tunnel::proto::frame::kind;
use crate::tunnel::proto::hello::{Challenge, Hello, Join, Proof, RejectCode, Rejected, SESSION_VERSION, Welcome};
use crate::tunnel::proto::limits::Limits;
use crate::tunnel::tls::LinkFault;
use crate::tunnel::token::{SessionKey, Token, Transcript};
use crate::words::Message;
use crate::words::trust::TrustWords;

/// How long the server may take to answer.
pub(crate) const GREET_DEADLINE: Duration = Duration::from_secs(5);

/// What a client brings.
#[derive(Debug, Clone)]
pub(crate) struct Credentials {
    /// What it proves.
    pub(crate) token: Token,
    /// What it wants to be called below the token's name; `None` for that name itself.
    pub(crate) name: Option<String>,
    /// What it is ready to hold.
    pub(crate) limits: Limits,
}

/// A session that has begun.
#[derive(Debug)]
pub(crate) struct Greeted {
    /// The connection.
    pub(crate) transport: Transport,
    /// The session's name.
    pub(crate) session: SessionId,
    /// The key of its data connections.
    pub(crate) session_key: SessionKey,
    /// What the server is ready to hold.
    pub(crate) theirs: Limits,
    /// What the server calls this client.
    pub(crate) name: String,
    /// What the server's program calls itself.
    pub(crate) agent: Option<String>,
    /// What came after the handshake.
    pub(crate) leftover: BytesMut,
}

/// Why no session began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum GreetFault {
    /// The server did not answer in time.
    TimedOut,
    /// The server hung up.
    Closed,
    /// The connection failed.
    Broken(String),
    /// What answers is not a server of ours.
    Foreign(&'static str),
    /// TLS ended the connection: a server that wants a certificate says so only now.
    Link(LinkFault),
    /// The server does not know the token that it pretends to check.
    Impostor,
    /// The server said no.
    Rejected(Rejected),
}

impl From<WireFault> for GreetFault {
    fn from(fault: WireFault) -> Self {
        match fault {
            WireFault::Closed => Self::Closed,
            WireFault::Broken(error) => match LinkFault::of(&error) {
                LinkFault::Broken(reason) => Self::Broken(reason),
                fault => Self::Link(fault),
            },
            WireFault::Fault(fault) => Self::Foreign(fault.detail),
        }
    }
}

impl From<Fault> for GreetFault {
    fn from(fault: Fault) -> Self {
        Self::Foreign(fault.detail)
    }
}

impl GreetFault {
    /// Tells whether another attempt can only fail in the same way until a person does something.
    pub(crate) fn needs_person(&self) -> bool {
        use RejectCode as C;
        match self {
            Self::Impostor | Self::Link(LinkFault::WantsCertificate) => true,
            Self::Rejected(rejected) => {
                matches!(rejected.code, C::Version | C::Token | C::Proof | C::Revoked | C::Name | C::Plaintext)
            }
            _ => false,
        }
    }

    /// Returns when the server wants to be asked again.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Rejected(Rejected { retry_after_s: seconds @ 1.., .. }) => {
                Some(Duration::from_secs(u64::from(*seconds)))
            }
            _ => None,
        }
    }

    /// Returns the error for people.
    pub(crate) fn error(&self, server: &ServerAddress) -> Error {
        let (missing, server) = (ErrorKind::Missing, server.to_string());
        match self {
            Self::TimedOut => Error::new(missing, TrustWords::ServerSilent { server }).hint(TrustWords::CheckServer),
            Self::Closed => Error::new(missing, TrustWords::ServerHungUp { server }).hint(TrustWords::HungUpReasons),
            Self::Broken(reason) => {
                Error::new(missing, TrustWords::ServerUnreachable { server, reason: reason.clone() })
            }
            Self::Foreign(detail) => {
                let reason = (*detail).to_owned();
                Error::new(missing, TrustWords::ServerForeign { server, reason }).hint(TrustWords::CheckServer)
            }
            Self::Link(fault) => fault.error(server),
            Self::Impostor => Error::new(ErrorKind::Refused, TrustWords::ServerImpostor { server }),
            Self::Rejected(rejected) => rejected_error(rejected, server),
        }
    }
}

fn rejected_error(rejected: &Rejected, server: String) -> Error {
    use RejectCode as C;
    let (kind, reason, hint): (_, Message, Option<TrustWords>) = match rejected.code {
        C::Version => (ErrorKind::Refused, TrustWords::RejectedVersion.into(), Some(TrustWords::SameVersions)),
        C::Token | C::Proof | C::Revoked => {
            (ErrorKind::Refused, TrustWords::RejectedToken.into(), Some(TrustWords::NewToken))
        }
        C::Connected => (ErrorKind::Busy, TrustWords::RejectedConnected.into(), Some(TrustWords::OtherName)),
        C::Name => (ErrorKind::Refused, TrustWords::RejectedName.into(), None),
        C::Busy => (ErrorKind::Busy, TrustWords::RejectedBusy.into(), None),
        C::ShuttingDown => (ErrorKind::Busy, TrustWords::RejectedStopping.into(), None),
        C::Plaintext => (ErrorKind::Refused, TrustWords::RejectedPlaintext.into(), Some(TrustWords::GivePin)),
        C::Protocol | C::Other(_) => {
            let (code, text) = (rejected.code.code(), rejected.text.clone());
            (ErrorKind::Refused, TrustWords::RejectedOther { code, text }.into(), None)
        }
    };
    let error = Error::new(kind, TrustWords::Rejected { server, reason: Box::new(reason) });
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

/// Begins a session on a fresh connection, within `deadline`.
pub(crate) async fn greet(
    transport: Transport,
    credentials: &Credentials,
    deadline: Duration,
) -> Result<Greeted, GreetFault> {
    greet_and_note(transport, credentials, deadline, &mut None).await
}

/// Does the same, and notes the server's clock and ours as soon as it is told: also of a server that then says no.
pub(crate) async fn greet_and_note(
    transport: Transport,
    credentials: &Credentials,
    deadline: Duration,
    clocks: &mut Option<ClockSight>,
) -> Result<Greeted, GreetFault> {
    timeout(deadline, shake(Wire::new(transport), credentials, clocks)).await.unwrap_or(Err(GreetFault::TimedOut))
}

async fn shake(
    mut wire: Wire,
    credentials: &Credentials,
    clocks: &mut Option<ClockSight>,
) -> Result<Greeted, GreetFault> {
    let Credentials { token, name, limits } = credentials;
    let mut hello = BytesMut::new();
    let message = Hello {
        lowest: SESSION_VERSION,
        highest: SESSION_VERSION,
        nonce: rand::rng().random(),
        token: token.id().0,
        limits: *limits,
        name: name.clone(),
        agent: Some(AGENT.to_owned()),
    };
    message.encode(&mut hello);
    wire.send(&hello).await?;
    let frame = answer(&mut wire, kind::CHALLENGE).await?;
    let challenge = Challenge::decode(frame.payload())?;
    *clocks = challenge.clock_s.zip(seconds_now()).map(|(theirs_s, ours_s)| ClockSight { theirs_s, ours_s });
    if challenge.version != SESSION_VERSION {
        return Err(GreetFault::Foreign("a version that was not offered"));
    }
    let exporter = wire.transport.exporter().map_err(|error| GreetFault::Broken(error.to_string()))?;
    let transcript = Transcript::new(&hello, &frame.whole, &exporter);
    let mut proof = BytesMut::new();
    Proof(token.prove(&transcript)).encode(&mut proof);
    wire.send(&proof).await?;
    let welcome = Welcome::decode(answer(&mut wire, kind::WELCOME).await?.payload())?;
    let name = welcome.name.unwrap_or_default();
    if !token.recognises(&welcome.signature, &transcript, &welcome.session, &name) {
        return Err(GreetFault::Impostor);
    }
    let Wire { transport, held } = wire;
    Ok(Greeted {
        transport,
        session: welcome.session,
        session_key: token.session_key(&transcript),
        theirs: welcome.limits,
        name,
        agent: welcome.agent,
        leftover: held,
    })
}

/// Waits for a frame of this kind, or for the server's no.
async fn answer(wire: &mut Wire, wanted: u8) -> Result<Frame, GreetFault> {
    let frame = wire.frame().await?;
    match frame.kind {
        kind::REJECTED => Err(GreetFault::Rejected(Rejected::decode(frame.payload())?)),
        kind if kind == wanted => Ok(frame),
        _ => Err(GreetFault::Foreign("a frame out of turn")),
    }
}

/// Ties a fresh connection to a stream of a session; what follows on it are the stream's own bytes.
pub(crate) async fn join(
    transport: &mut Transport,
    session: &SessionId,
    key: &SessionKey,
    stream: u32,
) -> io::Result<()> {
    let nonce = rand::rng().random();
    let mac = key.join_mac(session, stream, &nonce, &transport.exporter()?);
    let mut frame = BytesMut::new();
    Join { session: *session, stream, nonce, mac }.encode(&mut frame);
    transport.write_all(&frame).await?;
    transport.flush().await
}
