//! Reaches a target: resolves its name, judges each address, and connects to the first that is allowed and answers.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::{TcpStream, UdpSocket, lookup_host};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout, timeout_at};

use super::policy::{Denial, Host};
use crate::host::prepare_connected;
use crate::model::Port;

/// How long a target may take to answer, name resolution included.
const DIAL_DEADLINE: Duration = Duration::from_secs(10);

/// Dials of one target at a time; further ones wait their turn. A rush of visitors must not overrun the queue in which
/// the system keeps connections until the target accepts them (4096 at most, by Linux's `somaxconn`): what overruns it
/// is dropped or reset.
const DIALS_MAX: usize = 512;

/// The dials of one target that are under way.
#[derive(Debug)]
pub(crate) struct Dials(Semaphore);

impl Default for Dials {
    fn default() -> Self {
        Self(Semaphore::new(DIALS_MAX))
    }
}

/// Why a target was not reached.
#[derive(Debug)]
pub(crate) enum DialFailure {
    /// Every address of it is forbidden.
    Denied(#[expect(dead_code, reason = "read by Debug, in the log")] Denial),
    /// It refused, or there is no way to it.
    Failed(#[expect(dead_code, reason = "read by Debug, in the log")] io::Error),
    /// It did not answer in time.
    TimedOut,
    /// Its name leads nowhere.
    NoAddress,
}

/// Connects to `host`. `judge` is asked for each address that would be dialled, with the name that led to it (empty for
/// a literal address). The wait for a turn among the target's `dials` counts towards the deadline.
pub(crate) async fn dial(
    host: &Host,
    port: Port,
    dials: &Dials,
    judge: impl Fn(&str, IpAddr) -> Option<Denial>,
) -> Result<TcpStream, DialFailure> {
    let deadline = Instant::now() + DIAL_DEADLINE;
    let _turn = timeout_at(deadline, dials.0.acquire()).await.map_err(|_| DialFailure::TimedOut)?;
    let (name, addresses) = resolve(host, port, deadline).await?;
    let mut failure = DialFailure::NoAddress;
    let count = addresses.len();
    for (tried, address) in addresses.into_iter().enumerate() {
        if let Some(denial) = judge(name, address.ip()) {
            failure = DialFailure::Denied(denial);
            continue;
        }
        // Each address gets its share of what is left, so that one that never answers does not use it all.
        let left = deadline.saturating_duration_since(Instant::now());
        let share = left / u32::try_from(count - tried).unwrap_or(1);
        match timeout(share, TcpStream::connect(address)).await {
            // The system may pick the target's own port for our end, and then connects us to ourselves.
            Ok(Ok(target)) if connected_to_itself(&target) => {
                failure = DialFailure::Failed(io::ErrorKind::ConnectionRefused.into());
            }
            Ok(Ok(target)) => {
                prepare_connected(&target);
                return Ok(target);
            }
            Ok(Err(error)) => failure = DialFailure::Failed(error),
            Err(_) => failure = DialFailure::TimedOut,
        }
    }
    Err(failure)
}

/// Makes a UDP socket that speaks with `host` alone; nothing is sent yet. `judge` is asked as by [`dial`].
pub(crate) async fn connect_datagrams(
    host: &Host,
    port: Port,
    judge: impl Fn(&str, IpAddr) -> Option<Denial>,
) -> Result<UdpSocket, DialFailure> {
    let (name, addresses) = resolve(host, port, Instant::now() + DIAL_DEADLINE).await?;
    let mut failure = DialFailure::NoAddress;
    for address in addresses {
        if let Some(denial) = judge(name, address.ip()) {
            failure = DialFailure::Denied(denial);
            continue;
        }
        let own: IpAddr = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let connected = async {
            let socket = UdpSocket::bind((own, 0)).await?;
            socket.connect(address).await?;
            // Until the runtime has looked once, a fresh socket takes nothing that is not waited for.
            socket.writable().await?;
            Ok(socket)
        };
        match connected.await {
            Ok(socket) => return Ok(socket),
            Err(error) => failure = DialFailure::Failed(error),
        }
    }
    Err(failure)
}

async fn resolve(host: &Host, port: Port, deadline: Instant) -> Result<(&str, Vec<SocketAddr>), DialFailure> {
    match host {
        Host::Address(address) => Ok(("", vec![SocketAddr::new(*address, port.get())])),
        Host::Name(name) => {
            let found = timeout_at(deadline, lookup_host((name.as_str(), port.get()))).await;
            let found = found.map_err(|_| DialFailure::TimedOut)?.map_err(|_| DialFailure::NoAddress)?;
            Ok((name, found.collect()))
        }
    }
}

fn connected_to_itself(target: &TcpStream) -> bool {
    target.peer_addr().is_ok_and(|peer| peer.ip().is_loopback() && target.local_addr().is_ok_and(|own| own == peer))
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;
    use tokio::net::TcpListener;

    use super::*;
    use crate::host::lengthen_backlog;

    fn run(test: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(test);
    }

    #[test]
    fn more_dials_than_have_their_turn_wait_and_all_arrive() {
        run(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
            lengthen_backlog(&listener).expect("room for all");
            let port = Port::new(listener.local_addr().expect("an address").port()).expect("a port");
            let host: Host = "127.0.0.1".parse().expect("a host");
            let dials = Dials::default();
            let dialled = join_all((0..DIALS_MAX + 100).map(|_| dial(&host, port, &dials, |_, _| None))).await;
            assert!(dialled.iter().all(Result::is_ok));
            assert_eq!(dials.0.available_permits(), DIALS_MAX, "every turn was given back");
        });
    }

    #[test]
    fn a_dial_waits_for_its_turn() {
        run(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
            let port = Port::new(listener.local_addr().expect("an address").port()).expect("a port");
            let host: Host = "127.0.0.1".parse().expect("a host");
            let dials = Dials::default();
            let turns = dials.0.acquire_many(u32::try_from(DIALS_MAX).expect("a few")).await.expect("all turns");
            let mut waiting = Box::pin(dial(&host, port, &dials, |_, _| None));
            let early = timeout(Duration::from_millis(100), &mut waiting).await;
            assert!(early.is_err(), "dialled before its turn");
            drop(turns);
            assert!(waiting.await.is_ok());
        });
    }
}
