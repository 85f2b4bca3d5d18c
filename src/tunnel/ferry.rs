//! The task of one stream while it goes over the session: socket → session's output, and what the pump could not
//! deliver at once → socket.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BufMut, BytesMut};
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::io::poll_read_buf;

use super::link::Link;
use super::proto::Reason;
use super::relay::{End, Left, Up, join, reset, was_reset};
use super::stream::{Ending, Inbound, Stream};
use super::terms::{Silence, Toll};

/// Bytes that one read of a socket takes, and so the longest frame that is sent.
const CHUNK: usize = 64 * 1024;

/// Reads of a socket before other streams have their turn.
const TURNS: usize = 2;

/// How long a connection that the peer has closed may go on sending.
const LINGER: Duration = Duration::from_secs(2);

/// Carries a stream until it ends or moves to its data connection; the socket is then still in the stream.
struct Ferry {
    link: Rc<Link>,
    stream: Rc<Stream>,
    outbound_over: bool,
    moving: bool,
    /// Whether this end still has to ask for a data connection once the stream is bulk.
    asks: bool,
    up_toll: Toll,
    down_toll: Toll,
    silence: Silence,
}

impl Ferry {
    fn new(link: Rc<Link>, stream: Rc<Stream>, asks: bool) -> Self {
        let [up_toll, down_toll] = stream.terms.tolls();
        let silence = Silence::new(stream.terms.patience);
        Self { link, stream, outbound_over: false, moving: false, asks, up_toll, down_toll, silence }
    }

    /// Carries until the end, and returns what a data connection would have left to do.
    async fn carry(mut self) -> (Ending, Left) {
        let ending = poll_fn(|cx| self.poll(cx)).await;
        match ending {
            Ending::Broken => self.link.reset(self.stream.id, Reason::PeerClosed),
            Ending::Silent => self.link.reset(self.stream.id, Reason::IdleTooLong),
            Ending::Cut => self.link.reset(self.stream.id, Reason::ShuttingDown),
            Ending::Finished | Ending::Lifted | Ending::Reset(_) | Ending::LinkLost => {}
        }
        (ending, Left { outbound: !self.outbound_over, inbound: self.stream.inbound.get() == Inbound::Moved })
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        if let Poll::Ready(ending) = self.stream.poll_stopped(cx) {
            return Poll::Ready(ending);
        }
        let stream = Rc::clone(&self.stream);
        let mut socket = stream.socket.borrow_mut();
        let Some(socket) = socket.as_mut() else { return Poll::Ready(Ending::Broken) };
        self.outbound_over |= stream.closed.get();
        if let Poll::Ready(Err(_)) = self.poll_inbound(cx, socket) {
            return Poll::Ready(Ending::Broken);
        }
        self.ask_for_connection();
        self.begin_move();
        if let Poll::Ready(Err(_)) = self.poll_outbound(cx, socket) {
            return Poll::Ready(Ending::Broken);
        }
        let inbound = stream.inbound.get();
        if self.outbound_over && inbound == Inbound::Over {
            return Poll::Ready(Ending::Finished);
        }
        if self.moving && matches!(inbound, Inbound::Over | Inbound::Moved) && stream.pending.borrow().is_empty() {
            return Poll::Ready(Ending::Lifted);
        }
        let half_closed = self.outbound_over || inbound == Inbound::Over;
        if self.silence.poll(cx, half_closed).is_ready() { Poll::Ready(Ending::Silent) } else { Poll::Pending }
    }

    /// Once the data connection is there, says that the rest of our direction goes over it. The server moves first,
    /// which tells the client that its connection was accepted.
    fn begin_move(&mut self) {
        if self.moving || self.stream.carrier.borrow().is_none() {
            return;
        }
        let mut session = self.link.session.borrow_mut();
        if !self.outbound_over && !session.may_move(self.stream.id) {
            return;
        }
        self.moving = true;
        if !self.outbound_over {
            session.moved(self.stream.id);
            drop(session);
            self.link.wake_pump();
        }
    }

    fn poll_inbound(&mut self, cx: &mut Context<'_>, socket: &mut TcpStream) -> Poll<io::Result<()>> {
        let mut pending = self.stream.pending.borrow_mut();
        while !pending.is_empty() {
            ready!(self.down_toll.poll(cx));
            let most = pending.len().min(self.down_toll.piece(CHUNK));
            let piece = pending.get(..most).unwrap_or_default();
            let written = ready!(Pin::new(&mut *socket).poll_write(cx, piece)?);
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            pending.advance(written);
            self.down_toll.owe(written);
            self.silence.moved();
            self.link.consumed(self.stream.id, written);
        }
        if pending.capacity() > 0 {
            *pending = BytesMut::new();
        }
        if self.stream.inbound.get() == Inbound::Finishing {
            ready!(Pin::new(socket).poll_shutdown(cx)?);
            self.stream.inbound.set(Inbound::Over);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_outbound(&mut self, cx: &mut Context<'_>, socket: &mut TcpStream) -> Poll<io::Result<()>> {
        for _ in 0..TURNS {
            if self.outbound_over || self.moving {
                return Poll::Ready(Ok(()));
            }
            ready!(self.up_toll.poll(cx));
            ready!(socket.poll_read_ready(cx)?);
            let most = self.link.room(&self.stream).min(self.up_toll.piece(CHUNK));
            if most == 0 {
                // The session's tick wakes a blocked stream to look again.
                let looks = self.stream.blocked.replace(true);
                return if looks && was_reset(socket) { Poll::Ready(Err(reset_by_peer())) } else { Poll::Pending };
            }
            self.stream.blocked.set(false);
            let read = ready!(self.read(cx, socket, most)?);
            self.silence.moved();
            if read == 0 {
                self.link.finish(&self.stream);
                self.outbound_over = true;
            } else {
                self.up_toll.owe(read);
                self.stream.terms.traffic.up(read);
                self.stream.note_piece(read);
            }
            self.link.wake_pump();
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Reads the socket right into the session's output.
    fn read(&mut self, cx: &mut Context<'_>, socket: &mut TcpStream, most: usize) -> Poll<io::Result<usize>> {
        let mut session = self.link.session.borrow_mut();
        let slot = session.begin_data(self.stream.id);
        let out = session.out();
        out.reserve(most);
        let read = poll_read_buf(Pin::new(socket), cx, &mut out.limit(most));
        let bytes = match &read {
            Poll::Ready(Ok(bytes)) => *bytes,
            _ => 0,
        };
        session.commit_data(slot, bytes);
        read
    }

    fn ask_for_connection(&mut self) {
        if self.asks && self.stream.is_bulk() {
            self.asks = false;
            self.link.lift(&self.stream);
        }
    }
}

fn reset_by_peer() -> io::Error {
    io::ErrorKind::ConnectionReset.into()
}

/// Takes what nobody wants any more until the other end is done, for a while: a connection that is closed with unread
/// bytes is reset (RFC 1122, section 4.2.2.13), which may take from the other end what it has not read yet.
async fn linger(mut socket: TcpStream) {
    // Whichever way it goes, the connection is over.
    let _ = timeout(LINGER, tokio::io::copy(&mut socket, &mut tokio::io::sink())).await;
}

/// Carries a stream to its end, over the session and, once it is lifted, over its data connection.
pub(crate) async fn serve(link: &Rc<Link>, stream: &Rc<Stream>, asks: bool, up: Up) -> Ending {
    let (mut ending, left) = Ferry::new(Rc::clone(link), Rc::clone(stream), asks).carry().await;
    let (socket, carrier) = (stream.socket.take(), stream.carrier.take());
    if let (Some(carrier), true) = (&carrier, ending != Ending::Lifted) {
        // The peer may have moved to it already, where an orderly end would look like that of the stream.
        carrier.wire.reset();
    }
    match (ending, socket, carrier) {
        (Ending::Lifted, Some(socket), Some(carrier)) => {
            let cut = async {
                let _ = stream.stopped().await;
            };
            ending = match join(socket, carrier, left, up, &stream.terms, cut).await {
                End::Finished => Ending::Finished,
                End::Broken => Ending::Broken,
                End::Silent => Ending::Silent,
                End::Cut => Ending::Cut,
            };
        }
        (Ending::Finished, Some(socket), _) if stream.closed.get() => linger(socket).await,
        (Ending::Finished, ..) | (_, None, _) => {}
        // Whatever is not an orderly end must not look like one.
        (_, Some(socket), _) => reset(socket),
    }
    link.forget(stream.id);
    ending
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;
    use tokio::net::TcpListener;

    use super::*;
    use crate::tunnel::link::tests::{Nobody, terms};
    use crate::tunnel::proto::{Limits, Session, Side, StreamId};
    use crate::tunnel::relay::Far;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let connecting = TcpStream::connect(listener.local_addr().expect("an address"));
        let (near, far) = tokio::join!(connecting, listener.accept());
        (near.expect("connected"), far.expect("accepted").0)
    }

    /// The peer has moved to the data connection by then, and takes its end for that of the stream.
    #[tokio::test]
    async fn a_session_that_is_lost_in_the_middle_of_a_move_resets_both_connections() {
        let session = Session::new(Side::Client, Limits::OURS, Limits::OURS, std::time::Instant::now());
        let link = Link::new(session, Box::new(Nobody));
        let stream = link.enter(StreamId::new(1), terms());
        let ((mut target, socket), (mut peer, carrier)) = (pair().await, pair().await);
        stream.socket.replace(Some(socket));
        stream.awaited.set(true);
        link.bring(stream.id, Far::from(carrier));
        stream.stop(Ending::LinkLost);
        assert_eq!(serve(&link, &stream, false, Up::Near).await, Ending::LinkLost);
        for connection in [&mut target, &mut peer] {
            let error = connection.read(&mut [0]).await.expect_err("no orderly end");
            assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        }
        let (mut late, carrier) = pair().await;
        link.bring(StreamId::new(1), Far::from(carrier));
        assert!(late.read(&mut [0]).await.is_err(), "one that nobody awaits");
    }
}
