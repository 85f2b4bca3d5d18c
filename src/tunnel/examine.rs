//! A client's way to its server, step by step, for a diagnosis: which step fails, and why. Begins a session under a name
//! of its own, which takes nobody's place, and ends it at once.

use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout_at};

use super::client::ClientOptions;
use super::entry::{Entry, EntryWishes};
use super::handshake::{Credentials, DialFault, GreetFault, connect, greet_and_note};
use super::policy::Host;
use super::proto::Limits;
use super::tls::LinkFault;
use crate::error::Error;
use crate::model::ClockSight;

/// What the session is called below the name of its token.
const NAME: &str = "doctor";

/// A step of the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// What was told of the server is understood.
    Entry,
    /// Its name has an address.
    Name,
    /// The address answers.
    Reach,
    /// TLS is made with the right certificate.
    Link,
    /// The server takes the token.
    Session,
}

impl Step {
    /// Returns the stable name used in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Entry => "entry",
            Self::Name => "name",
            Self::Reach => "reach",
            Self::Link => "link",
            Self::Session => "session",
        }
    }
}

/// How far the way was gone.
#[derive(Debug, Clone)]
pub struct Examined {
    /// The server, `HOST:PORT`; empty where even that was not understood.
    pub server: String,
    /// The step that failed, and why.
    pub failed: Option<(Step, Error)>,
    /// What the server's program calls itself: `portwright 1.2.0`.
    pub agent: Option<String>,
    /// The server's clock beside ours; `None` where it was not told.
    pub clocks: Option<ClockSight>,
}

/// Goes the way to the server that `options` name, within `patience` in all.
pub async fn examine(options: &ClientOptions, patience: Duration) -> Examined {
    let wishes = EntryWishes {
        join: options.join.clone(),
        server: options.server.clone(),
        token: options.token.clone(),
        token_file: options.token_file.clone(),
        pin: options.pin.clone(),
        ca: options.ca.clone(),
        identity: options.identity.clone(),
        insecure: options.insecure,
    };
    match Entry::read(&wishes) {
        Ok(entry) => {
            let server = entry.server.to_string();
            let mut clocks = None;
            match go(&entry, patience, &mut clocks).await {
                Ok(agent) => Examined { server, failed: None, agent, clocks },
                Err(failed) => Examined { server, failed: Some(failed), agent: None, clocks },
            }
        }
        Err(error) => Examined {
            server: options.server.clone().unwrap_or_default(),
            failed: Some((Step::Entry, error)),
            agent: None,
            clocks: None,
        },
    }
}

async fn go(
    entry: &Entry,
    patience: Duration,
    clocks: &mut Option<ClockSight>,
) -> Result<Option<String>, (Step, Error)> {
    let end = Instant::now() + patience;
    let Entry { server, token, link } = entry;
    let late = || DialFault::TimedOut.error(server);
    let port = server.port.get();
    let addresses: Vec<_> = match &server.host {
        Host::Address(address) => vec![(*address, port).into()],
        Host::Name(name) => {
            let found = timeout_at(end, lookup_host((name.as_str(), port))).await.map_err(|_| (Step::Name, late()))?;
            let found = found.map_err(|error| (Step::Name, DialFault::Name(error.to_string()).error(server)))?;
            found.collect()
        }
    };
    let reached = timeout_at(end, TcpStream::connect(addresses.as_slice())).await.map_err(|_| (Step::Reach, late()))?;
    drop(reached.map_err(|error| (Step::Reach, DialFault::Unreachable(error.to_string()).error(server)))?);
    let left = || end.saturating_duration_since(Instant::now());
    // An address that answered a moment ago is not what fails now.
    let transport = connect(server, link, left()).await.map_err(|fault| (Step::Link, fault.error(server)))?;
    let name = Some(NAME.to_owned());
    let credentials = Credentials { token: token.clone(), name, limits: Limits::OURS };
    let greeted = greet_and_note(transport, &credentials, left(), clocks).await.map_err(|fault| {
        let wants_certificate = matches!(fault, GreetFault::Link(LinkFault::WantsCertificate));
        (if wants_certificate { Step::Link } else { Step::Session }, fault.error(server))
    })?;
    Ok(greeted.agent)
}
