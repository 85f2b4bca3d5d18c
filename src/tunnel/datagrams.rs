//! The public UDP port of a mapping: each visitor's address is a stream of its own, so that answers find their way.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::{oneshot, watch};
use tokio::task::spawn_local;
use tokio::time::{Instant, interval};

use super::forward::{Forwarder, Phase, VISITORS_MAX, reached};
use super::ledger::Refused;
use super::link::Link;
use super::proto::{Kind, Open, OpenFault, Proxy, Reason};
use super::stream::{Ending, Stream};
use super::visitors::{Entry, NO_CLIENT, NO_MORE_STREAMS, NOT_ADMITTED, Refusal, TOO_MANY};
use super::yard::{Yard, YardQueue};

/// The silence after which a visitor is forgotten. NATs forget UDP after 30 s to some minutes (RFC 4787 asks for two).
pub(crate) const SILENCE: Duration = Duration::from_mins(2);

/// The longest datagram over IPv4 (RFC 768: 16 bits of length, less the headers), and the room for one.
pub(crate) const DATAGRAM_BYTES_MAX: usize = 65_507;

/// Serves the visitors of `socket` on the thread of the sessions.
pub(crate) async fn start(queue: &YardQueue, socket: UdpSocket, entry: Entry) -> io::Result<Forwarder> {
    let socket = socket.into_std()?;
    let (phase, phases) = watch::channel(Phase::Serve);
    let (closing, closed) = oneshot::channel();
    let (done, cut) = oneshot::channel();
    let job = move |yard: &Rc<Yard>| {
        let yard = Rc::clone(yard);
        spawn_local(async move {
            match UdpSocket::from_std(socket) {
                Ok(socket) => {
                    let visitors = Visitors::new(yard, socket, entry);
                    visitors.serve(phases).await;
                    // Nobody waits for either when the forwarder was dropped.
                    let _ = closing.send(());
                    let _ = done.send(0);
                }
                Err(error) => tracing::error!(%error, port = %entry.port, "cannot serve a mapping"),
            }
        });
    };
    if queue.run(job).await { Ok(Forwarder::new(phase, closed, cut)) } else { Err(io::ErrorKind::BrokenPipe.into()) }
}

struct Visitors {
    yard: Rc<Yard>,
    socket: Rc<UdpSocket>,
    entry: Entry,
    known: RefCell<HashMap<SocketAddr, Visitor>>,
}

struct Visitor {
    link: Rc<Link>,
    stream: Rc<Stream>,
    last: Rc<Cell<Instant>>,
}

impl Visitors {
    fn new(yard: Rc<Yard>, socket: UdpSocket, entry: Entry) -> Self {
        Self { yard, socket: Rc::new(socket), entry, known: RefCell::default() }
    }

    async fn serve(&self, mut phases: watch::Receiver<Phase>) {
        let mut datagram = vec![0; DATAGRAM_BYTES_MAX + 1];
        let mut sweeps = interval(SILENCE / 8);
        loop {
            tokio::select! {
                () = reached(&mut phases, Phase::Drain) => break,
                _ = sweeps.tick() => self.sweep(),
                received = self.socket.recv_from(&mut datagram) => match received {
                    Ok((bytes, peer)) => self.pass(peer, datagram.get(..bytes).unwrap_or_default()),
                    // An answer that could not be delivered comes back as an error of the socket (ICMP).
                    Err(error) => tracing::debug!(%error, port = %self.entry.port, "receiving a datagram"),
                },
            }
        }
        for (_, visitor) in self.known.take() {
            visitor.leave(Reason::Cancelled);
        }
    }

    /// Sends a datagram of `peer` through the tunnel; there is no one to tell when it cannot be sent.
    fn pass(&self, peer: SocketAddr, bytes: &[u8]) {
        let mut known = self.known.borrow_mut();
        if known.get(&peer).is_some_and(|visitor| visitor.stream.is_stopped()) {
            known.remove(&peer);
        }
        if !known.contains_key(&peer) {
            match self.welcome(peer, known.len()) {
                Ok(visitor) => drop(known.insert(peer, visitor)),
                Err((reason, why)) => {
                    self.entry.rules.ledger().refuse(reason);
                    if self.entry.trouble.due() {
                        tracing::info!(port = %self.entry.port, visitor = %peer.ip(), why, "datagram refused");
                    }
                    return;
                }
            }
        }
        if let Some(visitor) = known.get(&peer)
            && visitor.stream.terms.pays_up(bytes.len())
        {
            visitor.last.set(Instant::now());
            visitor.stream.terms.traffic.up(bytes.len());
            visitor.link.datagram(visitor.stream.id, bytes);
        }
    }

    fn welcome(&self, peer: SocketAddr, known: usize) -> Result<Visitor, Refusal> {
        if !self.entry.rules.admits(peer.ip()) {
            return Err(NOT_ADMITTED);
        }
        if known >= VISITORS_MAX {
            return Err(TOO_MANY);
        }
        let served = self.yard.server_of(&self.entry.client, self.entry.port);
        let (client, link) = served.ok_or(NO_CLIENT)?;
        let open = Open {
            kind: Kind::Udp,
            proxy: self.entry.proxy,
            target_port: self.entry.target_port.get(),
            host: self.entry.host.clone(),
            visitor: Some(peer),
            public: self.socket.local_addr().ok().filter(|_| self.entry.proxy != Proxy::Off),
        };
        let last = Rc::new(Cell::new(Instant::now()));
        let of_visitor = Arc::new(self.entry.rules.terms(peer, &client));
        let (socket, terms, heard) = (Rc::clone(&self.socket), Arc::clone(&of_visitor), Rc::clone(&last));
        let answer = move |bytes: &[u8]| {
            heard.set(Instant::now());
            if terms.pays_down(bytes.len()) {
                terms.traffic.down(bytes.len());
                // A full socket drops datagrams, as the network does.
                let _ = socket.try_send_to(bytes, peer);
            }
        };
        let stream = link.open_datagrams(&open, Box::new(answer), of_visitor);
        let stream = stream.map_err(|fault| match fault {
            OpenFault::NotInVersion1 => (Refused::Version1, "version 1 carries no datagrams"),
            _ => NO_MORE_STREAMS,
        })?;
        Ok(Visitor { link, stream, last })
    }

    /// Forgets visitors that are silent or whose stream has ended.
    fn sweep(&self) {
        let now = Instant::now();
        self.known.borrow_mut().retain(|_, visitor| {
            let silent = now.duration_since(visitor.last.get()) >= SILENCE;
            if silent {
                visitor.leave(Reason::IdleTooLong);
            }
            !silent && !visitor.stream.is_stopped()
        });
    }
}

impl Visitor {
    fn leave(&self, reason: Reason) {
        self.link.reset(self.stream.id, reason);
        self.link.forget(self.stream.id);
        self.stream.stop(Ending::Cut);
    }
}
