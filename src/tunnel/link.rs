//! Drives one session over one connection, on one thread.
//!
//! One task, the pump, owns the connection: it sends what the streams have put into the session's output, and hands
//! received bytes straight to their sockets. Each stream has a task that reads its socket into that output. So a byte
//! crosses a process with one read and one write, and the writes of all streams that are ready together are one call.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::net::TcpStream;
use tokio::time::{Instant, interval};

use super::machine::Machine;
use super::proto::{Event, Fault, GoAwayReason, Open, OpenFault, Reason, StreamId};
use super::relay::{Far, reset};
use super::stream::{DatagramSink, Ending, Inbound, Stream};
use super::terms::Terms;
use super::vigil::Vigil;
use super::wire::Wire;

/// Output above which streams stop reading their sockets, in bytes: enough for one full call to the system, little
/// enough that a small message waits for no more than that.
const OUT_HIGH: usize = 256 * 1024;

/// Output below which they read again.
const OUT_LOW: usize = 64 * 1024;

/// Bytes that one read of the connection takes.
const READ_BYTES: usize = 128 * 1024;

/// Reads of the connection before other tasks have their turn.
const READ_TURNS: usize = 4;

/// How often the session's deadlines are looked at; they are seconds apart.
const TICK: Duration = Duration::from_millis(500);

/// How a session ended.
#[derive(Debug)]
pub(crate) enum Parting {
    /// The peer closed the connection.
    Closed,
    /// The connection broke.
    Broken(std::io::Error),
    /// The peer broke a rule, or is not there any more.
    Fault(Fault),
    /// The peer said that it ends the session, and did.
    GoneAway(GoAwayReason),
    /// We ended it.
    Cut(GoAwayReason),
}

/// What the two ends do differently.
pub(crate) trait Role {
    /// The server wants a target dialled.
    fn open(&self, link: &Rc<Link>, id: StreamId, open: Open);
    /// The server wants a data connection for a stream.
    fn lift(&self, link: &Rc<Link>, id: StreamId);
    /// Something was received; the peer lives.
    fn heard(&self);
    /// There are so many streams now.
    fn counted(&self, streams: usize);
}

/// A running session.
pub(crate) struct Link {
    pub(crate) session: RefCell<Machine>,
    streams: RefCell<HashMap<StreamId, Rc<Stream>>>,
    /// Streams that wait for room in the output, or for credit of the session.
    hungry: RefCell<Vec<Rc<Stream>>>,
    pump: RefCell<Option<Waker>>,
    cut: Cell<Option<GoAwayReason>>,
    gone_away: Cell<Option<GoAwayReason>>,
    role: Box<dyn Role>,
}

impl Link {
    pub(crate) fn new(machine: impl Into<Machine>, role: Box<dyn Role>) -> Rc<Self> {
        Rc::new(Self {
            session: RefCell::new(machine.into()),
            streams: RefCell::default(),
            hungry: RefCell::default(),
            pump: RefCell::default(),
            cut: Cell::new(None),
            gone_away: Cell::new(None),
            role,
        })
    }

    /// Serves the session until it ends. `received` are bytes that came with the handshake.
    pub(crate) async fn run(self: &Rc<Self>, wire: Wire, received: BytesMut) -> Parting {
        let mut pump = Pump { link: Rc::clone(self), wire, received, busy: false, vigil: Vigil::new() };
        let mut ticks = interval(TICK);
        let parting = loop {
            tokio::select! {
                biased;
                parting = std::future::poll_fn(|cx| pump.poll(cx)) => break parting,
                _ = ticks.tick() => {
                    pump.rest();
                    if let Err(fault) = self.tick(Instant::now().into_std()) {
                        break Parting::Fault(fault);
                    }
                }
            }
        };
        pump.part(&parting).await;
        for stream in self.streams.take().into_values() {
            stream.stop(Ending::LinkLost);
        }
        parting
    }

    /// Serves the session's deadlines, and passes on what came of them: streams that held too much for too long.
    fn tick(self: &Rc<Self>, now: std::time::Instant) -> Result<(), Fault> {
        for stream in self.streams.borrow().values().filter(|stream| stream.blocked.get()) {
            stream.wake();
        }
        {
            let mut session = self.session.borrow_mut();
            if session.deadline() > now {
                return Ok(());
            }
            session.on_deadline(now)?;
        }
        // The peer may have no credit left to send anything that would have the pump ask.
        loop {
            let received = self.session.borrow_mut().receive(&[], now)?;
            match received.event {
                Some(event) => self.react(event),
                None => break,
            }
        }
        self.wake_pump();
        Ok(())
    }

    /// Opens a stream for the target of `open`; its task is the caller's to run.
    pub(crate) fn open(&self, open: &Open, socket: TcpStream, terms: Arc<Terms>) -> Result<Rc<Stream>, OpenFault> {
        let opened = self.session.borrow_mut().open(open);
        let id = match opened {
            Ok(id) => id,
            Err(fault) => {
                reset(socket);
                return Err(fault);
            }
        };
        let stream = Rc::new(Stream::new(id, Some(socket), terms));
        self.insert(&stream);
        self.wake_pump();
        Ok(stream)
    }

    /// Opens a stream of datagrams; those that come back are given to `sink`.
    pub(crate) fn open_datagrams(
        &self,
        open: &Open,
        sink: DatagramSink,
        terms: Arc<Terms>,
    ) -> Result<Rc<Stream>, OpenFault> {
        let id = self.session.borrow_mut().open(open)?;
        let stream = Rc::new(Stream::of_datagrams(id, sink, terms));
        self.insert(&stream);
        self.wake_pump();
        Ok(stream)
    }

    /// Sends a datagram, unless so much waits to be sent that it would come too late.
    pub(crate) fn datagram(&self, id: StreamId, bytes: &[u8]) {
        let mut session = self.session.borrow_mut();
        if session.out().len() < OUT_HIGH {
            session.datagram(id, bytes);
            drop(session);
            self.wake_pump();
        }
    }

    /// Enters a stream of datagrams that the peer opened.
    pub(crate) fn enter_datagrams(&self, id: StreamId, sink: DatagramSink, terms: Arc<Terms>) -> Rc<Stream> {
        let stream = Rc::new(Stream::of_datagrams(id, sink, terms));
        self.insert(&stream);
        stream
    }

    /// Enters a stream that the peer opened.
    pub(crate) fn enter(&self, id: StreamId, terms: Arc<Terms>) -> Rc<Stream> {
        let stream = Rc::new(Stream::new(id, None, terms));
        self.insert(&stream);
        stream
    }

    fn insert(&self, stream: &Rc<Stream>) {
        let mut streams = self.streams.borrow_mut();
        streams.insert(stream.id, Rc::clone(stream));
        self.role.counted(streams.len());
    }

    /// Tells the peer that the target was reached.
    pub(crate) fn accept(&self, id: StreamId) {
        self.session.borrow_mut().accept(id);
        self.wake_pump();
    }

    /// Tells the peer that the target was not reached.
    pub(crate) fn refuse(&self, id: StreamId, reason: Reason) {
        self.session.borrow_mut().refuse(id, reason);
        self.forget(id);
        self.wake_pump();
    }

    /// Tells the peer that our connection has nothing more to send.
    pub(crate) fn finish(&self, stream: &Stream) {
        let ends_both = self.session.borrow_mut().finish(stream.id, Instant::now().into_std());
        if ends_both {
            stream.close();
        }
    }

    /// Breaks a stream off.
    pub(crate) fn reset(&self, id: StreamId, reason: Reason) {
        self.session.borrow_mut().reset(id, reason);
        self.wake_pump();
    }

    /// Notes that received bytes of a stream have left our memory.
    pub(crate) fn consumed(&self, id: StreamId, bytes: usize) {
        self.session.borrow_mut().consumed(id, bytes, Instant::now().into_std());
        self.wake_pump();
    }

    /// Drops a stream that is over. What it received and nobody took any more gives its credit back to the session, or
    /// refused dials would use the session up.
    pub(crate) fn forget(&self, id: StreamId) {
        let removed = self.streams.borrow_mut().remove(&id);
        self.role.counted(self.streams());
        let dropped = removed.map_or(0, |stream| stream.pending.take().len());
        if dropped > 0 {
            self.consumed(id, dropped);
        }
    }

    /// Brings the data connection of a stream; it is dropped when the stream is over already, and when none is awaited:
    /// in plaintext a recorded Join could be sent again.
    pub(crate) fn bring(&self, id: StreamId, carrier: Far) {
        if let Some(stream) = self.streams.borrow().get(&id)
            && stream.awaited.replace(false)
        {
            stream.carrier.replace(Some(carrier));
            stream.wake();
        } else {
            carrier.wire.reset();
        }
    }

    /// Asks the peer for a data connection.
    pub(crate) fn lift(&self, stream: &Stream) {
        stream.awaited.set(true);
        self.session.borrow_mut().lift(stream.id);
        self.wake_pump();
    }

    /// Tells the peer to open nothing more; streams may finish.
    pub(crate) fn go_away(&self, reason: GoAwayReason) {
        self.session.borrow_mut().go_away(reason, "");
        self.wake_pump();
    }

    /// Asks the peer for a sign of life.
    pub(crate) fn ask(&self) {
        self.session.borrow_mut().ping(Instant::now().into_std());
        self.wake_pump();
    }

    /// Ends the session now.
    pub(crate) fn cut(&self, reason: GoAwayReason) {
        self.cut.set(Some(reason));
        self.wake_pump();
    }

    /// Returns how many streams there are, lifted ones included.
    pub(crate) fn streams(&self) -> usize {
        self.streams.borrow().len()
    }

    /// Has the pump send what is in the output.
    pub(crate) fn wake_pump(&self) {
        if let Some(pump) = self.pump.borrow().as_ref() {
            pump.wake_by_ref();
        }
    }

    /// Returns how many bytes `stream` may put into the output now; when that is none, its task is woken once there
    /// may be room.
    pub(crate) fn room(&self, stream: &Rc<Stream>) -> usize {
        let mut session = self.session.borrow_mut();
        let room = OUT_HIGH.saturating_sub(session.out().len());
        // For credit of its own alone, the stream is woken when that comes.
        if (room == 0 || !session.has_session_credit()) && !stream.hungry.replace(true) {
            self.hungry.borrow_mut().push(Rc::clone(stream));
        }
        room.min(session.sendable(stream.id))
    }

    fn feed_hungry(&self) {
        for stream in self.hungry.take() {
            stream.hungry.set(false);
            stream.wake();
        }
    }

    fn stream(&self, id: StreamId) -> Option<Rc<Stream>> {
        self.streams.borrow().get(&id).cloned()
    }

    /// Handles one event of the session.
    fn react(self: &Rc<Self>, event: Event<'_>) {
        match event {
            Event::Data { id, bytes } => self.deliver(id, bytes),
            Event::Sendable { id } | Event::Opened { id } => self.with(id, Stream::wake),
            Event::SessionSendable => self.feed_hungry(),
            Event::Finish { id } => {
                if self.session.borrow().is_v1() {
                    self.with(id, Stream::close);
                } else {
                    self.inbound(id, Inbound::Finishing);
                }
            }
            Event::Moved { id } => self.inbound(id, Inbound::Moved),
            Event::Refused { id, reason } | Event::Reset { id, reason } => {
                self.with(id, |stream| stream.stop(Ending::Reset(reason)));
            }
            // A server of version 1 may use an id again whose last bytes are still on their way to the target.
            Event::Open { id, .. } if self.session.borrow().is_v1() && self.stream(id).is_some() => {
                self.session.borrow_mut().refuse(id, Reason::Protocol);
            }
            Event::Open { id, open } => self.role.open(self, id, open),
            Event::Lift { id } => {
                self.with(id, |stream| stream.awaited.set(true));
                self.role.lift(self, id);
            }
            Event::GoAway { reason, .. } => self.gone_away.set(Some(reason)),
            Event::Datagram { id, bytes } => {
                if let Some(stream) = self.stream(id)
                    && let Some(sink) = &stream.datagrams
                {
                    sink(bytes);
                }
            }
            Event::Pong { .. } => {}
        }
    }

    fn with(&self, id: StreamId, act: impl FnOnce(&Stream)) {
        if let Some(stream) = self.streams.borrow().get(&id) {
            act(stream);
        }
    }

    fn inbound(&self, id: StreamId, inbound: Inbound) {
        self.with(id, |stream| {
            stream.inbound.set(inbound);
            stream.wake();
        });
    }

    fn deliver(&self, id: StreamId, bytes: &[u8]) {
        let taken = match self.stream(id) {
            Some(stream) => {
                stream.note_piece(bytes.len());
                stream.terms.traffic.down(bytes.len());
                stream.deliver(bytes)
            }
            // Reset by us meanwhile; its credit goes back.
            None => bytes.len(),
        };
        if taken > 0 {
            self.session.borrow_mut().consumed(id, taken, Instant::now().into_std());
        }
    }
}

/// The task that owns the connection.
struct Pump {
    link: Rc<Link>,
    wire: Wire,
    received: BytesMut,
    /// Something was received since the last tick.
    busy: bool,
    vigil: Vigil,
}

impl Pump {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Parting> {
        self.link.pump.replace(Some(cx.waker().clone()));
        if let Some(reason) = self.link.cut.get() {
            return Poll::Ready(Parting::Cut(reason));
        }
        for _ in 0..READ_TURNS {
            if let Err(parting) = self.understand() {
                return Poll::Ready(parting);
            }
            if let Poll::Ready(Err(error)) = self.send(cx) {
                return Poll::Ready(Parting::Broken(error));
            }
            if self.link.session.borrow().is_stuffed() {
                // Whoever takes something wakes the pump.
                return Poll::Pending;
            }
            match self.wire.poll_read(cx, &mut self.received, READ_BYTES) {
                Poll::Pending => {
                    self.vigil.keep(cx);
                    return Poll::Pending;
                }
                Poll::Ready(Ok(0)) => return Poll::Ready(self.closed()),
                Poll::Ready(Ok(_)) => {
                    self.busy = true;
                    self.vigil.note();
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Parting::Broken(error)),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn closed(&self) -> Parting {
        self.link.gone_away.get().map_or(Parting::Closed, Parting::GoneAway)
    }

    /// Gives the session everything that was received.
    fn understand(&mut self) -> Result<(), Parting> {
        if self.received.is_empty() {
            return Ok(());
        }
        let now = Instant::now().into_std();
        self.link.role.heard();
        let mut input: &[u8] = &self.received;
        let mut used = 0;
        loop {
            let outcome = self.link.session.borrow_mut().receive(input, now).map_err(Parting::Fault)?;
            used += outcome.consumed;
            input = input.get(outcome.consumed..).unwrap_or_default();
            match outcome.event {
                Some(event) => self.link.react(event),
                None if outcome.consumed == 0 || input.is_empty() => break,
                None => {}
            }
        }
        self.received.advance(used);
        Ok(())
    }

    fn send(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let (sent, left, may_send) = {
            let mut session = self.link.session.borrow_mut();
            if !session.out().is_empty() {
                self.vigil.note();
            }
            let sent = self.wire.poll_write(cx, session.out());
            (sent, session.out().len(), session.has_session_credit())
        };
        if left < OUT_LOW && may_send {
            self.link.feed_hungry();
        }
        sent
    }

    /// Gives buffers back when nothing happened since the last tick.
    fn rest(&mut self) {
        if !std::mem::take(&mut self.busy) && self.received.is_empty() {
            self.received = BytesMut::new();
            self.wire.rest();
        }
    }

    /// Says why, as far as the peer still listens, and ends the connection in good order.
    async fn part(&mut self, parting: &Parting) {
        let reason = match parting {
            Parting::Fault(fault) => Some(fault.reason),
            Parting::Cut(reason) => Some(*reason),
            Parting::Closed | Parting::GoneAway(_) => None,
            Parting::Broken(_) => return,
        };
        if let Some(reason) = reason {
            self.link.session.borrow_mut().go_away(reason, "");
        }
        let farewell = std::future::poll_fn(|cx| {
            ready!(self.wire.poll_write(cx, self.link.session.borrow_mut().out())?);
            self.wire.poll_finish(cx)
        });
        // A peer that does not take a few bytes within the tick learns it from the closed connection.
        let _ = tokio::time::timeout(TICK, farewell).await;
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::tunnel::ledger::Traffic;
    use crate::tunnel::proto::{Kind, Limits, Proxy, Session, Side};
    use crate::tunnel::terms::Patience;

    /// A role without visitors and targets.
    pub(crate) struct Nobody;

    impl Role for Nobody {
        fn open(&self, _: &Rc<Link>, _: StreamId, _: Open) {}

        fn lift(&self, _: &Rc<Link>, _: StreamId) {}

        fn heard(&self) {}

        fn counted(&self, _: usize) {}
    }

    /// Terms without limits.
    pub(crate) fn terms() -> Arc<Terms> {
        Arc::new(Terms { patience: Patience::DEFAULT, throttles: None, traffic: Traffic::default() })
    }

    fn plain_open() -> Open {
        let host = "127.0.0.1".to_owned();
        Open { kind: Kind::Tcp, proxy: Proxy::Off, target_port: 9, host, visitor: None, public: None }
    }

    fn pair(now: std::time::Instant) -> (Session, Rc<Link>) {
        let client = Session::new(Side::Client, Limits::OURS, Limits::OURS, now);
        let server = Session::new(Side::Server, Limits::OURS, Limits::OURS, now);
        (server, Link::new(client, Box::new(Nobody)))
    }

    /// Opens a stream, sends as much as may be sent before an answer, and returns the client's end and how much that was.
    fn bring_early(server: &mut Session, client: &Rc<Link>, now: std::time::Instant) -> (Rc<Stream>, usize) {
        let id = server.open(&plain_open()).expect("room for a stream");
        let mut sent = 0;
        while server.sendable(id) > 0 {
            let piece = vec![7; server.sendable(id)];
            sent += piece.len();
            server.send(id, &piece);
        }
        let frames = server.out().split();
        let stream = client.enter(id, terms());
        let mut input: &[u8] = &frames;
        while !input.is_empty() {
            let received = client.session.borrow_mut().receive(input, now).expect("frames");
            input = &input[received.consumed..];
            if let Some(event) = received.event {
                client.react(event);
            }
        }
        (stream, sent)
    }

    fn answer(server: &mut Session, client: &Rc<Link>, now: std::time::Instant) {
        let answers = client.session.borrow_mut().out().split();
        let mut input: &[u8] = &answers;
        while !input.is_empty() {
            input = &input[server.receive(input, now).expect("answers").consumed..];
        }
    }

    /// All of them bring more than the session's window.
    #[test]
    fn refused_streams_give_the_credit_of_their_early_bytes_back() {
        let now = std::time::Instant::now();
        let (mut server, client) = pair(now);
        for round in 0..Limits::OURS.session_credit / Limits::OURS.stream_credit + 8 {
            let (stream, sent) = bring_early(&mut server, &client, now);
            assert_eq!(sent, Limits::OURS.stream_credit as usize, "round {round}");
            client.refuse(stream.id, Reason::DialRefused);
            answer(&mut server, &client, now);
        }
    }

    #[test]
    fn a_session_whose_window_is_held_frees_itself_while_the_peer_cannot_say_anything() {
        let mut now = std::time::Instant::now();
        let (mut server, client) = pair(now);
        let mut held = Vec::new();
        loop {
            let (stream, sent) = bring_early(&mut server, &client, now);
            held.push(stream);
            if sent < Limits::OURS.stream_credit as usize {
                break;
            }
        }
        let stopped = |held: &[Rc<Stream>]| held.iter().filter(|stream| stream.is_stopped()).count();
        assert_eq!(stopped(&held), 0);
        for _ in 0..4 {
            now += Duration::from_millis(1100);
            client.tick(now).expect("a live session");
        }
        let freed = stopped(&held);
        assert!(freed > 0 && freed < held.len(), "{freed} of {}", held.len());
        for stream in held.iter().filter(|stream| stream.is_stopped()) {
            client.forget(stream.id);
        }
        answer(&mut server, &client, now);
        assert!(bring_early(&mut server, &client, now).1 > 0, "others go on");
    }

    /// Streams whose own window is full are not looked at again and again while others send.
    #[test]
    fn a_stream_without_credit_of_its_own_waits_for_that_alone() {
        let now = std::time::Instant::now();
        let server = Link::new(Session::new(Side::Server, Limits::OURS, Limits::OURS, now), Box::new(Nobody));
        let id = server.session.borrow_mut().open(&plain_open()).expect("room for a stream");
        let stream = server.enter(id, terms());
        while server.room(&stream) > 0 {
            let mut session = server.session.borrow_mut();
            let slot = session.begin_data(id);
            let bytes = session.sendable(id);
            session.out().extend_from_slice(&vec![7; bytes]);
            session.commit_data(slot, bytes);
            session.out().clear();
        }
        assert!(!stream.hungry.get(), "only its own credit is used up");
        server.session.borrow_mut().out().resize(OUT_HIGH, 0);
        assert_eq!(server.room(&stream), 0);
        assert!(stream.hungry.get(), "a full output is waited for");
    }
}
