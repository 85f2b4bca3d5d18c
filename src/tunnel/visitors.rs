//! The listener of a mapping that goes through the tunnel: accepts visitors on the thread of the sessions and opens a
//! stream for each.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::spawn_local;

use super::ferry;
use super::forward::{Forwarder, Pace, Phase, VISITORS_MAX, accept, reached};
use super::ledger::Refused;
use super::proto::{Kind, Open, OpenFault, Proxy, Reason};
use super::relay::{Up, reset};
use super::rules::Rules;
use super::stream::{Ending, Stream};
use super::yard::{Yard, YardQueue};
use crate::host::prepare_accepted;
use crate::model::Port;

/// What the listener of a mapping does with its visitors.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) port: Port,
    /// The client that dials the target; empty for the usual one.
    pub(crate) client: String,
    pub(crate) host: String,
    pub(crate) target_port: Port,
    pub(crate) proxy: Proxy,
    pub(crate) rules: Arc<Rules>,
    pub(crate) accepts: Arc<Pace>,
    /// Visitors who were refused, or whose stream could not be opened.
    pub(crate) trouble: Pace,
}

/// Serves the visitors of `listener` on the thread of the sessions.
pub(crate) async fn start(queue: &YardQueue, listener: TcpListener, entry: Entry) -> io::Result<Forwarder> {
    let listener = listener.into_std()?;
    let (phase, phases) = watch::channel(Phase::Serve);
    let (closing, closed) = oneshot::channel();
    let (done, cut) = oneshot::channel();
    let job = move |yard: &Rc<Yard>| {
        let yard = Rc::clone(yard);
        spawn_local(async move {
            match TcpListener::from_std(listener) {
                // Nobody waits for the number when the forwarder was dropped.
                Ok(listener) => drop(done.send(serve(&yard, listener, Rc::new(entry), phases, closing).await)),
                Err(error) => tracing::error!(%error, port = %entry.port, "cannot serve a mapping"),
            }
        });
    };
    if queue.run(job).await { Ok(Forwarder::new(phase, closed, cut)) } else { Err(io::ErrorKind::BrokenPipe.into()) }
}

async fn serve(
    yard: &Rc<Yard>,
    listener: TcpListener,
    entry: Rc<Entry>,
    mut phases: watch::Receiver<Phase>,
    closing: oneshot::Sender<()>,
) -> usize {
    let crowd = Rc::new(Crowd::default());
    loop {
        tokio::select! {
            () = reached(&mut phases, Phase::Drain) => break,
            (visitor, peer) = accept(&listener, &entry.accepts) => admit(yard, &entry, &crowd, visitor, peer),
        }
    }
    drop(listener);
    // Nobody waits for it when the forwarder was dropped.
    let _ = closing.send(());
    tokio::select! {
        () = crowd.gone() => return 0,
        () = reached(&mut phases, Phase::Cut) => {}
    }
    let cut = crowd.stop(Ending::Cut);
    crowd.gone().await;
    cut
}

fn admit(yard: &Rc<Yard>, entry: &Rc<Entry>, crowd: &Rc<Crowd>, visitor: TcpStream, peer: SocketAddr) {
    let Err((reason, why)) = open(yard, entry, crowd, visitor, peer) else { return };
    entry.rules.ledger().refuse(reason);
    if entry.trouble.due() {
        tracing::info!(port = %entry.port, visitor = %peer.ip(), client = entry.client, why, "visitor refused");
    }
}

/// Why a visitor is not served, as a reason that is counted and in words for the log.
pub(super) type Refusal = (Refused, &'static str);

pub(super) const NOT_ADMITTED: Refusal = (Refused::AccessList, "access list");
pub(super) const TOO_MANY: Refusal = (Refused::Crowded, "too many visitors");
pub(super) const NO_CLIENT: Refusal = (Refused::NoClient, "no client is connected");
pub(super) const NO_MORE_STREAMS: Refusal = (Refused::Crowded, "the client's session takes no more streams");

/// Opens a stream for a visitor, or resets it and says why.
fn open(
    yard: &Rc<Yard>,
    entry: &Rc<Entry>,
    crowd: &Rc<Crowd>,
    visitor: TcpStream,
    peer: SocketAddr,
) -> Result<(), Refusal> {
    if !entry.rules.admits(peer.ip()) {
        reset(visitor);
        return Err(NOT_ADMITTED);
    }
    if crowd.count() >= VISITORS_MAX {
        reset(visitor);
        return Err(TOO_MANY);
    }
    let Some((client, link)) = yard.server_of(&entry.client, entry.port) else {
        reset(visitor);
        return Err(NO_CLIENT);
    };
    prepare_accepted(&visitor);
    let open = Open {
        kind: Kind::Tcp,
        proxy: entry.proxy,
        target_port: entry.target_port.get(),
        host: entry.host.clone(),
        visitor: Some(peer),
        public: visitor.local_addr().ok().filter(|_| entry.proxy != Proxy::Off),
    };
    let terms = Arc::new(entry.rules.terms(peer, &client));
    let stream = link.open(&open, visitor, terms).map_err(|fault| match fault {
        OpenFault::NotInVersion1 => (Refused::Version1, "version 1 has no PROXY header"),
        _ => NO_MORE_STREAMS,
    })?;
    let ticket = crowd.enter(Rc::clone(&stream));
    let crowd = Rc::clone(crowd);
    let entry = Rc::clone(entry);
    spawn_local(async move {
        let ending = ferry::serve(&link, &stream, true, Up::Far).await;
        crowd.leave(ticket);
        if matches!(ending, Ending::Reset(reason) if was_not_dialled(reason)) {
            entry.rules.ledger().refuse(Refused::Unreachable);
        }
        if matches!(ending, Ending::Reset(_)) && entry.trouble.due() {
            tracing::info!(port = %entry.port, target = entry.host, ?ending, "stream ended by the client");
        }
    });
    Ok(())
}

fn was_not_dialled(reason: Reason) -> bool {
    matches!(reason, Reason::DialRefused | Reason::DialTimedOut | Reason::NotResolved | Reason::TargetDenied)
}

/// The visitors of one mapping.
#[derive(Default)]
struct Crowd {
    streams: RefCell<HashMap<u64, Rc<Stream>>>,
    next: Cell<u64>,
    waiting: RefCell<Option<Waker>>,
}

impl Crowd {
    fn count(&self) -> usize {
        self.streams.borrow().len()
    }

    fn enter(&self, stream: Rc<Stream>) -> u64 {
        let ticket = self.next.get();
        self.next.set(ticket + 1);
        self.streams.borrow_mut().insert(ticket, stream);
        ticket
    }

    fn leave(&self, ticket: u64) {
        self.streams.borrow_mut().remove(&ticket);
        if self.count() == 0
            && let Some(waiting) = self.waiting.take()
        {
            waiting.wake();
        }
    }

    /// Ends all of them and returns how many they were.
    fn stop(&self, ending: Ending) -> usize {
        let streams: Vec<_> = self.streams.borrow().values().cloned().collect();
        for stream in &streams {
            stream.stop(ending);
        }
        streams.len()
    }

    /// Waits until all have left.
    async fn gone(&self) {
        std::future::poll_fn(|cx| {
            if self.count() == 0 {
                return Poll::Ready(());
            }
            self.waiting.replace(Some(cx.waker().clone()));
            Poll::Pending
        })
        .await;
    }
}
