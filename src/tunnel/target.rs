//! The client's side of a stream: dials what the server asks for, if this client exposes it, and brings data
//! connections for streams that are bulk.

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::task::spawn_local;

use super::dial::{DialFailure, dial};
use super::exposure::Exposures;
use super::ferry;
use super::forward::Pace;
use super::link::{Link, Role};
use super::policy::{Denial, Host};
use super::proto::{Kind, Open, Reason, StreamId};
use super::relay::{Far, Patience, Terms, Traffic, Up};
use super::stream::Stream;
use crate::model::Port;

/// Dials at a time; more are refused. Each holds a descriptor for ten seconds at most.
const DIALS_MAX: usize = 1024;

/// Makes a data connection for a stream of the session.
pub(crate) type Connect = Rc<dyn Fn(StreamId) -> Pin<Box<dyn Future<Output = io::Result<Far>>>>>;

/// What a client does with the streams that the server opens.
pub(crate) struct Targets {
    pub(crate) exposures: Arc<Exposures>,
    pub(crate) connect: Connect,
    pub(crate) terms: Arc<Terms>,
    pub(crate) dials: Rc<Cell<usize>>,
    pub(crate) trouble: Rc<Pace>,
}

impl Targets {
    pub(crate) fn new(exposures: Arc<Exposures>, connect: Connect) -> Self {
        let terms = Terms { patience: Patience::DEFAULT, throttles: None, traffic: Traffic::default() };
        Self { exposures, connect, terms: Arc::new(terms), dials: Rc::default(), trouble: Rc::default() }
    }
}

impl Role for Targets {
    fn open(&self, link: &Rc<Link>, id: StreamId, open: Open) {
        let stream = link.enter(id, Arc::clone(&self.terms));
        if self.dials.get() >= DIALS_MAX || open.kind != Kind::Tcp {
            link.refuse(id, Reason::TooManyStreams);
            return;
        }
        self.dials.set(self.dials.get() + 1);
        let (link, exposures) = (Rc::clone(link), Arc::clone(&self.exposures));
        let (dials, trouble) = (Rc::clone(&self.dials), Rc::clone(&self.trouble));
        spawn_local(async move {
            let reached = tokio::select! {
                reached = reach(&open, &exposures) => reached,
                // The visitor has left meanwhile.
                _ = stream.stopped() => Err(Reason::Cancelled),
            };
            dials.set(dials.get() - 1);
            match reached {
                Ok(target) => serve(&link, &stream, target).await,
                Err(Reason::Cancelled) => link.forget(id),
                Err(reason) => {
                    if trouble.due() {
                        tracing::warn!(target = open.host, port = open.target_port, ?reason, "target not reached");
                    }
                    link.refuse(id, reason);
                }
            }
        });
    }

    fn lift(&self, link: &Rc<Link>, id: StreamId) {
        let (link, connecting) = (Rc::clone(link), (self.connect)(id));
        spawn_local(async move {
            match connecting.await {
                Ok(carrier) => link.bring(id, carrier),
                // The stream simply stays on the session.
                Err(error) => tracing::debug!(%error, "no data connection"),
            }
        });
    }

    fn heard(&self) {}

    fn counted(&self, _: usize) {}
}

async fn serve(link: &Rc<Link>, stream: &Rc<Stream>, target: TcpStream) {
    stream.socket.replace(Some(target));
    link.accept(stream.id);
    ferry::serve(link, stream, false, Up::Near).await;
}

/// Connects to the target that the server asks for.
async fn reach(open: &Open, exposures: &Exposures) -> Result<TcpStream, Reason> {
    let port = Port::new(open.target_port).ok_or(Reason::DialRefused)?;
    let host: Host = open.host.parse().map_err(|_| Reason::NotResolved)?;
    let judge = |name: &str, address| (!exposures.admits(name, address, port)).then_some(Denial::Listed);
    match dial(&host, port, judge).await {
        Ok(target) => Ok(target),
        Err(DialFailure::Denied(_)) => Err(Reason::TargetDenied),
        Err(DialFailure::Failed(_)) => Err(Reason::DialRefused),
        Err(DialFailure::TimedOut) => Err(Reason::DialTimedOut),
        Err(DialFailure::NoAddress) => Err(Reason::NotResolved),
    }
}
