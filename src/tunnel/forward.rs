//! One listener of a mapping: accepts visitors, dials the target for each, and joins the two.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::dial::{Dials, dial};
use super::ledger::Refused;
use super::policy::{Host, TargetPolicy};
use super::relay::{End, Left, Up, join, reset};
use super::rules::Rules;
use crate::host::prepare_accepted;
use crate::model::Port;

/// Visitors of one mapping at a time; further ones are reset. An idle one holds a few KiB, one that transfers at most
/// 256 KiB in the system's pipes.
pub(super) const VISITORS_MAX: usize = 16_384;

/// The first and the longest pause after a failed accept: descriptors come back within moments or not at all.
const ACCEPT_PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// The least time between two log lines about the same trouble.
const LOG_PACE: Duration = Duration::from_secs(10);

/// Lets one event through in ten seconds, and remembers the last.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    last_seen: Mutex<Option<Instant>>,
    last_line: Mutex<Option<Instant>>,
}

impl Pace {
    /// Notes an event, and tells whether it should be logged.
    pub(crate) fn due(&self) -> bool {
        let now = Instant::now();
        *self.last_seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
        let mut last = self.last_line.lock().unwrap_or_else(PoisonError::into_inner);
        let due = last.is_none_or(|last| now.duration_since(last) >= LOG_PACE);
        if due {
            *last = Some(now);
        }
        due
    }

    /// Tells whether there was an event in the last ten seconds.
    pub(crate) fn recent(&self) -> bool {
        let last = *self.last_seen.lock().unwrap_or_else(PoisonError::into_inner);
        last.is_some_and(|last| last.elapsed() < LOG_PACE)
    }
}

/// The ports that this server itself listens on, so that no mapping leads back into it.
#[derive(Debug, Default)]
pub(crate) struct OwnPorts(RwLock<Vec<Port>>);

impl OwnPorts {
    pub(crate) fn add(&self, port: Port) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).push(port);
    }

    pub(crate) fn remove(&self, port: Port) {
        let mut ports = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = ports.iter().position(|own| *own == port) {
            ports.swap_remove(place);
        }
    }

    /// Tells whether `port` is one of ours and `address` this machine's: the system lets only those be bound.
    pub(crate) fn covers(&self, address: IpAddr, port: Port) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).contains(&port) && this_machine(address)
    }
}

/// Tells whether `address` belongs to this machine. Where the system cannot say, for lack of descriptors, it counts as
/// ours, so that no loop gets through.
pub(crate) fn this_machine(address: IpAddr) -> bool {
    address.is_loopback()
        || !matches!(UdpSocket::bind((address, 0)), Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable)
}

/// Accepts from `listener` and pauses while the system has no descriptors left; never gives up and never spins.
pub(crate) async fn accept(listener: &TcpListener, trouble: &Pace) -> (TcpStream, SocketAddr) {
    let mut pause = ACCEPT_PAUSE.0;
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            // A visitor that left before it was accepted.
            Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) => {
            }
            Err(error) => {
                if trouble.due() {
                    tracing::error!(%error, "cannot accept connections; trying again");
                }
                sleep(pause).await;
                pause = (pause * 2).min(ACCEPT_PAUSE.1);
            }
        }
    }
}

/// What a listener does with its visitors.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) port: Port,
    pub(crate) host: Host,
    pub(crate) target_port: Port,
    pub(crate) rules: Arc<Rules>,
    pub(crate) policy: Arc<TargetPolicy>,
    pub(crate) own: Arc<OwnPorts>,
    pub(crate) accepts: Arc<Pace>,
    pub(crate) dials: Dials,
    /// Failed dials and refused visitors of this route.
    pub(crate) trouble: Pace,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    Serve,
    Drain,
    Cut,
}

/// A running listener. Dropping it resets its visitors.
#[derive(Debug)]
pub(crate) struct Forwarder {
    phase: watch::Sender<Phase>,
    closed: oneshot::Receiver<()>,
    cut: oneshot::Receiver<usize>,
}

impl Forwarder {
    /// Serves the visitors of `listener` in a task of its own.
    pub(crate) fn start(listener: TcpListener, route: Route) -> Self {
        let (phase, phases) = watch::channel(Phase::Serve);
        let (closing, closed) = oneshot::channel();
        let (done, cut) = oneshot::channel();
        // Nobody waits for the number when the forwarder was dropped.
        tokio::spawn(async move {
            let _ = done.send(serve(listener, Arc::new(route), phases, closing).await);
        });
        Self::new(phase, closed, cut)
    }

    /// Takes charge of a listener that runs already: it follows `phase`, says by `closed` that its port is free, and by
    /// `cut` how many visitors it cut off in the end.
    pub(super) fn new(
        phase: watch::Sender<Phase>,
        closed: oneshot::Receiver<()>,
        cut: oneshot::Receiver<usize>,
    ) -> Self {
        Self { phase, closed, cut }
    }

    /// Stops accepting; the port is free when this returns. Visitors stay until [`Draining::finish`].
    pub(crate) async fn stop(self) -> Draining {
        let Self { phase, closed, cut } = self;
        phase.send_replace(Phase::Drain);
        // Fails only when the task is gone, and the listener with it.
        let _ = closed.await;
        Draining { phase, cut }
    }
}

/// A listener that is closed, with visitors that may still be there.
#[derive(Debug)]
pub(crate) struct Draining {
    phase: watch::Sender<Phase>,
    cut: oneshot::Receiver<usize>,
}

impl Draining {
    /// Waits until the visitors have left or `deadline` completes, resets the rest and returns how many that were.
    pub(crate) async fn finish(mut self, deadline: impl Future<Output = ()>) -> usize {
        tokio::select! {
            cut = &mut self.cut => return cut.unwrap_or_default(),
            () = deadline => {}
        }
        self.phase.send_replace(Phase::Cut);
        self.cut.await.unwrap_or_default()
    }
}

async fn serve(
    listener: TcpListener,
    route: Arc<Route>,
    mut phases: watch::Receiver<Phase>,
    closing: oneshot::Sender<()>,
) -> usize {
    let mut visitors = JoinSet::new();
    let mut cut = 0;
    loop {
        tokio::select! {
            () = reached(&mut phases, Phase::Drain) => break,
            Some(left) = visitors.join_next() => cut += usize::from(left.unwrap_or_default()),
            (visitor, peer) = accept(&listener, &route.accepts) => {
                if visitors.len() < VISITORS_MAX {
                    visitors.spawn(visit(visitor, peer, Arc::clone(&route), phases.clone()));
                } else {
                    route.rules.ledger().refuse(Refused::Crowded);
                    if route.trouble.due() {
                        tracing::warn!(port = %route.port, limit = VISITORS_MAX, "too many visitors");
                    }
                    reset(visitor);
                }
            }
        }
    }
    drop(listener);
    // Nobody waits for it when the forwarder was dropped.
    let _ = closing.send(());
    while let Some(left) = visitors.join_next().await {
        cut += usize::from(left.unwrap_or_default());
    }
    cut
}

/// Serves one visitor and tells whether it had to be cut off.
async fn visit(visitor: TcpStream, peer: SocketAddr, route: Arc<Route>, mut phases: watch::Receiver<Phase>) -> bool {
    if !route.rules.admits(peer.ip()) {
        route.rules.ledger().refuse(Refused::AccessList);
        if route.trouble.due() {
            tracing::info!(port = %route.port, visitor = %peer.ip(), "refused by the access list");
        }
        reset(visitor);
        return false;
    }
    let own = |address, port| route.own.covers(address, port);
    let judge = |name: &str, address| route.policy.judge(name, address, route.target_port, own);
    let dialled = tokio::select! {
        dialled = dial(&route.host, route.target_port, &route.dials, judge) => dialled,
        () = reached(&mut phases, Phase::Cut) => {
            reset(visitor);
            return true;
        }
    };
    let target = match dialled {
        Ok(target) => target,
        Err(reason) => {
            route.rules.ledger().refuse(Refused::Unreachable);
            if route.trouble.due() {
                tracing::warn!(port = %route.port, target = %route.host, target_port = %route.target_port, ?reason,
                    "cannot reach the target");
            }
            reset(visitor);
            return false;
        }
    };
    prepare_accepted(&visitor);
    let cut = reached(&mut phases, Phase::Cut);
    let terms = route.rules.terms(peer, "");
    let end = join(visitor, target.into(), Left::BOTH, Up::Far, &terms, cut).await;
    tracing::debug!(port = %route.port, visitor = %peer.ip(), ?end, "visitor left");
    end == End::Cut
}

pub(super) async fn reached(phases: &mut watch::Receiver<Phase>, wanted: Phase) {
    // A sender that is gone is a forwarder that was dropped, which ends every phase.
    let _ = phases.wait_for(|phase| *phase >= wanted).await;
}
