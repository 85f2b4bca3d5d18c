//! The client's side of a stream: dials what the server asks for, if this client exposes it, and brings data
//! connections for streams that are bulk.

use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UdpSocket};
use tokio::task::spawn_local;

use super::datagrams::DATAGRAM_BYTES_MAX;
use super::dial::{DialFailure, Dials, connect_datagrams, dial};
use super::exposure::Exposures;
use super::ferry;
use super::forward::Pace;
use super::ledger::Traffic;
use super::link::{Link, Role};
use super::policy::{Denial, Host};
use super::proto::{Kind, Open, Reason, StreamId};
use super::proxy_header::header;
use super::relay::{Far, Up};
use super::stream::Stream;
use super::terms::{Patience, Terms};
use crate::model::Port;

/// Datagrams of one visitor that are kept until the target's socket is there.
const EARLY_DATAGRAMS_MAX: usize = 16;

/// Makes a data connection for a stream of the session.
pub(crate) type Connect = Rc<dyn Fn(StreamId) -> Pin<Box<dyn Future<Output = io::Result<Far>>>>>;

/// What a client does with the streams that the server opens.
pub(crate) struct Targets {
    pub(crate) exposures: Arc<Exposures>,
    pub(crate) connect: Connect,
    pub(crate) terms: Arc<Terms>,
    pub(crate) trouble: Rc<Pace>,
    dials: Rc<Queues>,
}

/// The dials under way, by target; a target that nobody dials leaves with the next one that comes.
#[derive(Debug, Default)]
struct Queues(RefCell<HashMap<(String, Port), Weak<Dials>>>);

impl Queues {
    fn of(&self, host: &str, port: Port) -> Rc<Dials> {
        let mut queues = self.0.borrow_mut();
        let target = (host.to_owned(), port);
        if let Some(dials) = queues.get(&target).and_then(Weak::upgrade) {
            return dials;
        }
        queues.retain(|_, dials| dials.strong_count() > 0);
        let dials = Rc::default();
        queues.insert(target, Rc::downgrade(&dials));
        dials
    }
}

impl Targets {
    pub(crate) fn new(exposures: Arc<Exposures>, connect: Connect) -> Self {
        let terms = Terms { patience: Patience::DEFAULT, throttles: None, traffic: Traffic::default() };
        Self { exposures, connect, terms: Arc::new(terms), trouble: Rc::default(), dials: Rc::default() }
    }
}

impl Role for Targets {
    fn open(&self, link: &Rc<Link>, id: StreamId, open: Open) {
        if open.kind == Kind::Udp {
            self.open_datagrams(link, id, open);
            return;
        }
        let stream = link.enter(id, Arc::clone(&self.terms));
        let (link, exposures) = (Rc::clone(link), Arc::clone(&self.exposures));
        let (trouble, dials) = (Rc::clone(&self.trouble), Rc::clone(&self.dials));
        spawn_local(async move {
            let reached = tokio::select! {
                reached = reach(&open, &exposures, &dials) => reached,
                // The visitor has left meanwhile.
                _ = stream.stopped() => Err(Reason::Cancelled),
            };
            match reached {
                Ok(target) => serve(&link, &stream, target, &open).await,
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

impl Targets {
    /// Opens the socket for the datagrams of one visitor. Datagrams that come before it is there are kept, a few.
    fn open_datagrams(&self, link: &Rc<Link>, id: StreamId, open: Open) {
        let socket: Rc<OnceCell<UdpSocket>> = Rc::default();
        let early: Rc<RefCell<Vec<Vec<u8>>>> = Rc::default();
        let (to, kept) = (Rc::clone(&socket), Rc::clone(&early));
        let header = Rc::new(header(open.proxy, Kind::Udp, open.visitor, open.public));
        let heading = Rc::clone(&header);
        let sink = move |bytes: &[u8]| match to.get() {
            Some(socket) => send(socket, &heading, bytes),
            None if kept.borrow().len() < EARLY_DATAGRAMS_MAX => kept.borrow_mut().push(bytes.to_vec()),
            None => {}
        };
        let stream = link.enter_datagrams(id, Box::new(sink), Arc::clone(&self.terms));
        let (link, exposures) = (Rc::clone(link), Arc::clone(&self.exposures));
        spawn_local(async move {
            let reached = tokio::select! {
                reached = reach_datagrams(&open, &exposures) => reached,
                _ = stream.stopped() => Err(Reason::Cancelled),
            };
            match reached {
                Ok(connected) => {
                    let socket = socket.get_or_init(|| connected);
                    link.accept(id);
                    early.take().iter().for_each(|datagram| send(socket, &header, datagram));
                    answer(&link, &stream, socket).await;
                }
                Err(Reason::Cancelled) => {}
                Err(reason) => link.refuse(id, reason),
            }
            link.forget(id);
        });
    }
}

/// Sends a datagram to the target, with the header in front: datagrams get lost, so each has to say whose it is.
fn send(socket: &UdpSocket, header: &[u8], bytes: &[u8]) {
    // A full socket drops datagrams, as the network does.
    let _ = if header.is_empty() { socket.try_send(bytes) } else { socket.try_send(&[header, bytes].concat()) };
}

/// Sends the target's datagrams back until the stream ends or nothing comes for long.
async fn answer(link: &Rc<Link>, stream: &Rc<Stream>, socket: &UdpSocket) {
    let mut datagram = vec![0; DATAGRAM_BYTES_MAX + 1];
    loop {
        tokio::select! {
            _ = stream.stopped() => return,
            received = socket.recv(&mut datagram) => match received {
                Ok(bytes) => link.datagram(stream.id, datagram.get(..bytes).unwrap_or_default()),
                // Nobody listens there at present; the visitor may ask again.
                Err(error) => tracing::debug!(%error, "receiving a datagram"),
            },
        }
    }
}

async fn serve(link: &Rc<Link>, stream: &Rc<Stream>, mut target: TcpStream, open: &Open) {
    let header = header(open.proxy, Kind::Tcp, open.visitor, open.public);
    // A target that is gone already is found out by the first byte.
    let _ = target.write_all(&header).await;
    stream.socket.replace(Some(target));
    link.accept(stream.id);
    ferry::serve(link, stream, false, Up::Near).await;
}

/// Makes a socket that speaks with the target alone.
async fn reach_datagrams(open: &Open, exposures: &Exposures) -> Result<UdpSocket, Reason> {
    let port = Port::new(open.target_port).ok_or(Reason::DialRefused)?;
    let host: Host = open.host.parse().map_err(|_| Reason::NotResolved)?;
    let judge = |name: &str, address| (!exposures.admits(name, address, port)).then_some(Denial::Listed);
    connect_datagrams(&host, port, judge).await.map_err(|failure| reason(&failure))
}

/// Connects to the target that the server asks for.
async fn reach(open: &Open, exposures: &Exposures, queues: &Queues) -> Result<TcpStream, Reason> {
    let port = Port::new(open.target_port).ok_or(Reason::DialRefused)?;
    let host: Host = open.host.parse().map_err(|_| Reason::NotResolved)?;
    let judge = |name: &str, address| (!exposures.admits(name, address, port)).then_some(Denial::Listed);
    let dials = queues.of(&open.host, port);
    dial(&host, port, &dials, judge).await.map_err(|failure| reason(&failure))
}

fn reason(failure: &DialFailure) -> Reason {
    match failure {
        DialFailure::Denied(_) => Reason::TargetDenied,
        DialFailure::Failed(_) => Reason::DialRefused,
        DialFailure::TimedOut => Reason::DialTimedOut,
        DialFailure::NoAddress => Reason::NotResolved,
    }
}
