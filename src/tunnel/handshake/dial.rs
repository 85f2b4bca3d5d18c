//! A client's way to its server: names are resolved anew, addresses are tried side by side, TLS is made.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::Transport;
use crate::error::{Error, ErrorKind};
use crate::host::watch_link;
use crate::tunnel::address::ServerAddress;
use crate::tunnel::policy::Host;
use crate::tunnel::tls::{self, ClientLink, LinkFault};
use crate::words::trust::TrustWords;

/// How long the whole way may take: name, connection and TLS.
pub(crate) const DIAL_DEADLINE: Duration = Duration::from_secs(5);

/// The head start of one address before the next is tried beside it (RFC 8305, section 5).
const STAGGER: Duration = Duration::from_millis(250);

/// Addresses of one name that are tried; more is no server of ours.
const ADDRESSES_MAX: usize = 16;

/// Why a server was not reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DialFault {
    /// The name has no address, or could not be looked up.
    Name(String),
    /// No address answered; the last reason.
    Unreachable(String),
    /// It took too long.
    TimedOut,
    /// Plaintext is for this machine only, unless a person insists.
    PlaintextAway,
    /// TLS did not come about.
    Link(LinkFault),
}

impl DialFault {
    /// Tells whether another attempt can only fail in the same way until a person does something.
    pub(crate) fn needs_person(&self) -> bool {
        matches!(self, Self::PlaintextAway | Self::Link(LinkFault::Certificate(_) | LinkFault::WantsCertificate))
    }

    /// Returns the error for people.
    pub(crate) fn error(&self, server: &ServerAddress) -> Error {
        let (missing, server) = (ErrorKind::Missing, server.to_string());
        match self {
            Self::Name(reason) => Error::new(missing, TrustWords::ServerUnknown { server, reason: reason.clone() }),
            Self::Unreachable(reason) => {
                Error::new(missing, TrustWords::ServerUnreachable { server, reason: reason.clone() })
                    .hint(TrustWords::CheckServer)
            }
            Self::TimedOut => Error::new(missing, TrustWords::ServerSilent { server }).hint(TrustWords::CheckServer),
            Self::PlaintextAway => {
                Error::new(ErrorKind::Refused, TrustWords::PlaintextAway { server }).hint(TrustWords::UseTlsOrInsist)
            }
            Self::Link(fault) => fault.error(server),
        }
    }
}

/// Connects to the server within `deadline`.
pub(crate) async fn connect(
    server: &ServerAddress,
    link: &ClientLink,
    deadline: Duration,
) -> Result<Transport, DialFault> {
    timeout(deadline, reach(server, link)).await.unwrap_or(Err(DialFault::TimedOut))
}

async fn reach(server: &ServerAddress, link: &ClientLink) -> Result<Transport, DialFault> {
    let mut addresses = resolve(server).await?;
    if matches!(link, ClientLink::Plain { insecure: false }) {
        addresses.retain(|address| address.ip().to_canonical().is_loopback());
        if addresses.is_empty() {
            return Err(DialFault::PlaintextAway);
        }
    }
    let stream = race(addresses).await.map_err(|error| DialFault::Unreachable(error.to_string()))?;
    watch_link(&stream).map_err(|error| DialFault::Unreachable(error.to_string()))?;
    match link {
        ClientLink::Plain { .. } => Ok(Transport::Plain(stream)),
        ClientLink::Tls(config) => {
            let shaken = tls::connect(config, &server.host, stream).await.map_err(DialFault::Link)?;
            Ok(Transport::Tls(Box::new(shaken)))
        }
    }
}

async fn resolve(server: &ServerAddress) -> Result<Vec<SocketAddr>, DialFault> {
    let port = server.port.get();
    let found: Vec<SocketAddr> = match &server.host {
        Host::Address(address) => vec![SocketAddr::new(*address, port)],
        Host::Name(name) => {
            let found = lookup_host((name.as_str(), port)).await;
            found.map_err(|error| DialFault::Name(error.to_string()))?.collect()
        }
    };
    if found.is_empty() {
        return Err(DialFault::Name(io::Error::from(io::ErrorKind::AddrNotAvailable).to_string()));
    }
    Ok(interleaved(&found))
}

/// Puts the addresses into the order in which they are tried: IPv6 first, then in turn.
fn interleaved(found: &[SocketAddr]) -> Vec<SocketAddr> {
    let mut sixes = found.iter().filter(|address| address.is_ipv6());
    let mut fours = found.iter().filter(|address| address.is_ipv4());
    let mut order = Vec::new();
    loop {
        let pair = [sixes.next(), fours.next()];
        if pair == [None, None] {
            order.truncate(ADDRESSES_MAX);
            return order;
        }
        order.extend(pair.into_iter().flatten());
    }
}

/// Tries one address after the other, each a quarter of a second after the last or as soon as that has failed; the
/// first connection wins.
async fn race(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let mut waiting = addresses.into_iter();
    let mut attempts = JoinSet::new();
    let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
    loop {
        if let Some(address) = waiting.next() {
            attempts.spawn(async move {
                let named = |error: io::Error| io::Error::new(error.kind(), format!("{address}: {error}"));
                TcpStream::connect(address).await.map_err(named)
            });
        }
        let next = async {
            if waiting.len() == 0 {
                std::future::pending::<()>().await;
            }
            sleep(STAGGER).await;
        };
        tokio::select! {
            attempt = attempts.join_next() => match attempt {
                Some(Ok(Ok(stream))) => return Ok(stream),
                Some(Ok(Err(error))) => failure = error,
                Some(Err(_)) => {}
                None => return Err(failure),
            },
            () = next => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipv6_goes_first_and_families_take_turns() {
        let found: Vec<SocketAddr> =
            ["1.1.1.1:1", "2.2.2.2:1", "3.3.3.3:1", "[::2]:1", "[::3]:1"].map(|text| text.parse().unwrap()).into();
        let order: Vec<String> = interleaved(&found).iter().map(ToString::to_string).collect();
        assert_eq!(order, ["[::2]:1", "1.1.1.1:1", "[::3]:1", "2.2.2.2:1", "3.3.3.3:1"]);
        assert!(interleaved(&[found[0]; 99]).len() == ADDRESSES_MAX);
    }

    #[tokio::test]
    async fn an_address_that_refuses_or_is_silent_does_not_hold_the_next_one_up() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let alive = listener.local_addr().unwrap();
        let closed = {
            let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            gone.local_addr().unwrap()
        };
        let started = std::time::Instant::now();
        let stream = race(vec![closed, alive]).await.expect("the second");
        assert_eq!(stream.peer_addr().unwrap(), alive);
        assert!(started.elapsed() < STAGGER, "a refusal is not waited out");
        assert!(race(vec![closed]).await.unwrap_err().to_string().starts_with("127.0.0.1:"));
        assert!(race(vec![]).await.is_err());
    }
}
