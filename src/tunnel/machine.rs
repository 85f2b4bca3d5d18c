//! The machine of a session under one face, whether the peer speaks our protocol or version 1, so that a link drives both.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::BytesMut;

use super::proto::legacy::Legacy;
use super::proto::{
    DataSlot, Event, Fault, GoAwayReason, Kind, Open, OpenFault, Proxy, Reason, Received, Session, Side, StreamId,
};

/// Bytes of one stream that a session of version 1 holds before it reads no further.
const STREAM_HELD_MAX: usize = 16 << 20;

/// Bytes of all its streams.
const SESSION_HELD_MAX: usize = 64 << 20;

/// How long one stream may keep a session of version 1 from reading, at the cost of all others, before it is broken off.
const STUFFED_MAX: Duration = Duration::from_secs(5);

/// How long the target of a visitor who has finished may be silent before a client of version 1 is told. Version 1 has
/// no half-close, so whoever tells at once cuts the answer off.
const ANSWER_PATIENCE: Duration = Duration::from_secs(2);

/// The machine of a session.
pub(crate) enum Machine {
    /// Our own protocol.
    Ours(Box<Session>),
    /// Version 1.
    V1(Box<V1>),
}

impl From<Session> for Machine {
    fn from(session: Session) -> Self {
        Self::Ours(Box::new(session))
    }
}

impl Machine {
    /// A session of version 1 that begins with the connection.
    pub(crate) fn v1(side: Side, now: Instant) -> Self {
        Self::V1(Box::new(V1::new(side, now)))
    }

    /// Opens a stream; for the server. Version 1 carries bytes of TCP alone, and no header for the target.
    pub(crate) fn open(&mut self, open: &Open) -> Result<StreamId, OpenFault> {
        match self {
            Self::Ours(session) => session.open(open),
            Self::V1(v1) => v1.open(open),
        }
    }

    /// Tells the server that the target was reached; for the client.
    pub(crate) fn accept(&mut self, id: StreamId) {
        match self {
            Self::Ours(session) => session.accept(id),
            Self::V1(v1) => v1.legacy.accept(id),
        }
    }

    /// Tells the server that the target was not reached; for the client.
    pub(crate) fn refuse(&mut self, id: StreamId, reason: Reason) {
        match self {
            Self::Ours(session) => session.refuse(id, reason),
            Self::V1(v1) => v1.legacy.refuse(id),
        }
    }

    /// Payload bytes that one Data frame may carry.
    pub(crate) fn sendable(&self, id: StreamId) -> usize {
        match self {
            Self::Ours(session) => session.sendable(id),
            Self::V1(v1) => v1.legacy.sendable(id),
        }
    }

    /// Whether the session as a whole may send data; each stream may still have to wait.
    pub(crate) fn has_session_credit(&self) -> bool {
        match self {
            Self::Ours(session) => session.has_session_credit(),
            Self::V1(_) => true,
        }
    }

    /// Reserves the head of a Data frame at the end of `out`.
    pub(crate) fn begin_data(&mut self, id: StreamId) -> DataSlot {
        match self {
            Self::Ours(session) => session.begin_data(id),
            Self::V1(v1) => v1.legacy.begin_data(id),
        }
    }

    /// Completes the frame with so many bytes; 0 takes the head away again.
    pub(crate) fn commit_data(&mut self, slot: DataSlot, bytes: usize) {
        match self {
            Self::Ours(session) => session.commit_data(slot, bytes),
            Self::V1(v1) => v1.legacy.commit_data(slot, bytes),
        }
    }

    /// Ends our direction of a stream; true when that ends the other one too.
    #[must_use]
    pub(crate) fn finish(&mut self, id: StreamId, now: Instant) -> bool {
        match self {
            Self::Ours(session) => {
                session.finish(id);
                false
            }
            Self::V1(v1) => v1.finish(id, now),
        }
    }

    /// Whether the peer speaks version 1, where `Event::Finish` ends both directions of its stream.
    pub(crate) const fn is_v1(&self) -> bool {
        matches!(self, Self::V1(_))
    }

    /// Breaks a stream off.
    pub(crate) fn reset(&mut self, id: StreamId, reason: Reason) {
        match self {
            Self::Ours(session) => session.reset(id, reason),
            Self::V1(v1) => v1.close(id),
        }
    }

    /// Notes that received bytes have left our memory.
    pub(crate) fn consumed(&mut self, id: StreamId, bytes: usize, now: Instant) {
        match self {
            Self::Ours(session) => session.consumed(id, bytes, now),
            Self::V1(v1) => v1.consumed(id, bytes),
        }
    }

    /// Whether so much is held that nothing more is to be read. Our own protocol has credit in its place.
    pub(crate) const fn is_stuffed(&self) -> bool {
        matches!(self, Self::V1(v1) if v1.stuffed_since.is_some())
    }

    /// Asks the client for a data connection; version 1 has none.
    pub(crate) fn lift(&mut self, id: StreamId) {
        if let Self::Ours(session) = self {
            session.lift(id);
        }
    }

    /// Whether our direction may move to the data connection.
    pub(crate) fn may_move(&self, id: StreamId) -> bool {
        matches!(self, Self::Ours(session) if session.may_move(id))
    }

    /// Tells the peer that the rest of our direction is on the data connection.
    pub(crate) fn moved(&mut self, id: StreamId) {
        if let Self::Ours(session) = self {
            session.moved(id);
        }
    }

    /// Writes a datagram; version 1 has no streams of those.
    pub(crate) fn datagram(&mut self, id: StreamId, payload: &[u8]) {
        if let Self::Ours(session) = self {
            session.datagram(id, payload);
        }
    }

    /// Asks the peer whether it is there; a client of version 1 cannot be asked, it says so by itself.
    pub(crate) fn ping(&mut self, now: Instant) {
        if let Self::Ours(session) = self {
            session.ping(now);
        }
    }

    /// Opens and takes no more streams, and says so where the protocol has a word for it.
    pub(crate) fn go_away(&mut self, reason: GoAwayReason, text: &str) {
        match self {
            Self::Ours(session) => session.go_away(reason, text),
            Self::V1(v1) => v1.going = true,
        }
    }

    /// Everything that is to be written, in order. The caller takes away the front.
    pub(crate) const fn out(&mut self) -> &mut BytesMut {
        match self {
            Self::Ours(session) => session.out(),
            Self::V1(v1) => v1.legacy.out(),
        }
    }

    /// When `on_deadline` is to be called.
    pub(crate) fn deadline(&self) -> Instant {
        match self {
            Self::Ours(session) => session.deadline(),
            Self::V1(v1) => v1.deadline(),
        }
    }

    /// Does what is due; `receive` tells what came of it, with an empty input too.
    pub(crate) fn on_deadline(&mut self, now: Instant) -> Result<(), Fault> {
        match self {
            Self::Ours(session) => session.on_deadline(now),
            Self::V1(v1) => v1.on_deadline(now),
        }
    }

    /// Takes in a prefix of what has arrived.
    pub(crate) fn receive<'a>(&mut self, input: &'a [u8], now: Instant) -> Result<Received<'a>, Fault> {
        match self {
            Self::Ours(session) => session.receive(input, now),
            Self::V1(v1) => v1.receive(input, now),
        }
    }
}

/// Version 1 with what it lacks: a bound for what is held, and time for an answer after the visitor's end.
pub(crate) struct V1 {
    legacy: Legacy,
    side: Side,
    going: bool,
    /// What was received of each stream and has not left our memory, in bytes.
    held: HashMap<StreamId, usize>,
    held_total: usize,
    /// Streams that hold too much.
    full: usize,
    stuffed_since: Option<Instant>,
    /// Streams whose visitor has finished, and when their client is told.
    ending: HashMap<StreamId, Instant>,
    queued: VecDeque<Event<'static>>,
}

impl V1 {
    fn new(side: Side, now: Instant) -> Self {
        Self {
            legacy: Legacy::new(side, now),
            side,
            going: false,
            held: HashMap::new(),
            held_total: 0,
            full: 0,
            stuffed_since: None,
            ending: HashMap::new(),
            queued: VecDeque::new(),
        }
    }

    fn open(&mut self, open: &Open) -> Result<StreamId, OpenFault> {
        if open.kind != Kind::Tcp || open.proxy != Proxy::Off {
            return Err(OpenFault::NotInVersion1);
        }
        if self.going {
            return Err(OpenFault::Draining);
        }
        self.legacy.open(open.target_port, &open.host)
    }

    fn finish(&mut self, id: StreamId, now: Instant) -> bool {
        match self.side {
            // The target has said all; what the visitor still sends is for nobody.
            Side::Client => self.close(id),
            Side::Server => drop(self.ending.insert(id, now + ANSWER_PATIENCE)),
        }
        self.side == Side::Client
    }

    fn close(&mut self, id: StreamId) {
        self.ending.remove(&id);
        self.legacy.close(id);
    }

    fn consumed(&mut self, id: StreamId, bytes: usize) {
        let Some(held) = self.held.get_mut(&id) else { return };
        let bytes = bytes.min(*held);
        self.full -= usize::from(*held >= STREAM_HELD_MAX && *held - bytes < STREAM_HELD_MAX);
        *held -= bytes;
        if *held == 0 {
            self.held.remove(&id);
        }
        self.held_total -= bytes;
        if self.full == 0 && self.held_total < SESSION_HELD_MAX {
            self.stuffed_since = None;
        }
    }

    fn hold(&mut self, id: StreamId, bytes: usize, now: Instant) {
        let held = self.held.entry(id).or_default();
        self.full += usize::from(*held < STREAM_HELD_MAX && *held + bytes >= STREAM_HELD_MAX);
        *held += bytes;
        self.held_total += bytes;
        if self.full > 0 || self.held_total >= SESSION_HELD_MAX {
            self.stuffed_since.get_or_insert(now);
        }
    }

    fn deadline(&self) -> Instant {
        let stuffed = self.stuffed_since.map(|since| since + STUFFED_MAX);
        self.ending.values().copied().chain(stuffed).fold(self.legacy.deadline(), Instant::min)
    }

    fn on_deadline(&mut self, now: Instant) -> Result<(), Fault> {
        let due: Vec<StreamId> = self.ending.iter().filter(|(_, at)| **at <= now).map(|(id, _)| *id).collect();
        for id in due {
            self.close(id);
            self.queued.push_back(Event::Finish { id });
        }
        if self.stuffed_since.is_some_and(|since| now >= since + STUFFED_MAX)
            && let Some((&id, _)) = self.held.iter().max_by_key(|(_, held)| **held)
        {
            self.close(id);
            self.queued.push_back(Event::Reset { id, reason: Reason::IdleTooLong });
            // What it holds is given back by whoever drops it; the next one has as long.
            self.stuffed_since = Some(now);
        }
        if now >= self.legacy.deadline() { self.legacy.on_deadline(now) } else { Ok(()) }
    }

    fn receive<'a>(&mut self, input: &'a [u8], now: Instant) -> Result<Received<'a>, Fault> {
        if let Some(event) = self.queued.pop_front() {
            return Ok(Received { consumed: 0, event: Some(event) });
        }
        let received = self.legacy.receive(input, now)?;
        match &received.event {
            Some(Event::Data { id, bytes }) => {
                self.hold(*id, bytes.len(), now);
                if let Some(at) = self.ending.get_mut(id) {
                    *at = now + ANSWER_PATIENCE;
                }
            }
            Some(Event::Open { id, .. }) if self.going => {
                self.legacy.refuse(*id);
                return Ok(Received { consumed: received.consumed, event: None });
            }
            Some(Event::Finish { id } | Event::Refused { id, .. }) => drop(self.ending.remove(id)),
            _ => {}
        }
        Ok(received)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open() -> Open {
        let host = "127.0.0.1".to_owned();
        Open { kind: Kind::Tcp, proxy: Proxy::Off, target_port: 9, host, visitor: None, public: None }
    }

    /// A server and a client of version 1 with one stream between them, answered.
    fn pair(now: Instant) -> (Machine, Machine, StreamId) {
        let (mut server, mut client) = (Machine::v1(Side::Server, now), Machine::v1(Side::Client, now));
        let id = server.open(&open()).expect("room for a stream");
        pass(&mut server, &mut client, now);
        client.accept(id);
        pass(&mut client, &mut server, now);
        (server, client, id)
    }

    /// Brings everything that `from` has written to `to`, and returns what that tells.
    fn pass(from: &mut Machine, to: &mut Machine, now: Instant) -> Vec<String> {
        let bytes = from.out().split();
        let (mut input, mut events): (&[u8], Vec<String>) = (&bytes, Vec::new());
        loop {
            let received = to.receive(input, now).expect("frames");
            input = &input[received.consumed..];
            match received.event {
                Some(Event::Data { bytes, .. }) => events.push(format!("{} bytes", bytes.len())),
                Some(event) => events.push(format!("{event:?}")),
                None if input.is_empty() || received.consumed == 0 => return events,
                None => {}
            }
        }
    }

    fn send(from: &mut Machine, id: StreamId, bytes: usize) {
        let slot = from.begin_data(id);
        from.out().extend_from_slice(&vec![7; bytes]);
        from.commit_data(slot, bytes);
    }

    #[test]
    fn a_visitor_that_has_finished_still_gets_its_answer() {
        let now = Instant::now();
        let (mut server, mut client, id) = pair(now);
        assert!(!server.finish(id, now));
        assert!(server.out().is_empty(), "a client of version 1 would stop answering");
        let later = now + ANSWER_PATIENCE / 2;
        server.on_deadline(later).expect("a live session");
        send(&mut client, id, 1000);
        assert_eq!(pass(&mut client, &mut server, later), ["1000 bytes"]);
        let end = later + ANSWER_PATIENCE;
        assert_eq!(server.deadline(), end, "each piece of the answer gives it time");
        server.on_deadline(end).expect("a live session");
        let finish = format!("{:?}", Event::Finish { id });
        assert_eq!(pass(&mut client, &mut server, end), std::slice::from_ref(&finish));
        assert_eq!(pass(&mut server, &mut client, end), [finish]);
    }

    #[test]
    fn the_end_of_the_target_ends_both_directions_at_once() {
        let now = Instant::now();
        let (mut server, mut client, id) = pair(now);
        assert!(client.finish(id, now) && client.is_v1());
        assert_eq!(pass(&mut client, &mut server, now), [format!("{:?}", Event::Finish { id })]);
        assert_eq!((server.sendable(id), client.sendable(id)), (0, 0));
    }

    #[test]
    fn what_nobody_takes_stops_the_reading_and_then_its_own_stream() {
        let mut now = Instant::now();
        let (mut server, mut client, id) = pair(now);
        let other = server.open(&open()).expect("room for a stream");
        let mut held = 0;
        while !server.is_stuffed() {
            send(&mut client, id, 32_768);
            pass(&mut client, &mut server, now);
            held += 32_768;
        }
        assert_eq!(held, STREAM_HELD_MAX);
        server.consumed(id, 1, now);
        assert!(!server.is_stuffed(), "it goes on as soon as there is room");
        send(&mut client, id, 1);
        pass(&mut client, &mut server, now);
        assert!(server.is_stuffed());
        now += STUFFED_MAX;
        assert!(server.deadline() <= now);
        server.on_deadline(now).expect("a live session");
        let told = server.receive(&[], now).expect("no fault").event;
        assert!(matches!(told, Some(Event::Reset { id: broken, .. }) if broken == id), "{told:?}");
        server.consumed(id, held, now);
        assert!(!server.is_stuffed());
        let closed = format!("{:?}", Event::Finish { id });
        assert!(pass(&mut server, &mut client, now).contains(&closed));
        client.accept(other);
        assert_eq!(pass(&mut client, &mut server, now), [format!("{:?}", Event::Opened { id: other })]);
    }

    #[test]
    fn all_streams_together_hold_no_more_than_the_session_may() {
        let now = Instant::now();
        let (mut server, mut client, first) = pair(now);
        let mut streams = vec![first];
        while !server.is_stuffed() {
            let id = server.open(&open()).expect("room for a stream");
            pass(&mut server, &mut client, now);
            client.accept(id);
            streams.push(id);
            for _ in 0..64 {
                send(&mut client, id, 32_768);
            }
            pass(&mut client, &mut server, now);
        }
        let held = (streams.len() - 1) * 64 * 32_768;
        assert!((SESSION_HELD_MAX..SESSION_HELD_MAX + (2 << 20)).contains(&held), "{held}");
    }

    #[test]
    fn only_plain_tcp_goes_through_version_1_and_nothing_once_it_ends() {
        let now = Instant::now();
        let (mut server, mut client, _) = pair(now);
        assert_eq!(server.open(&Open { kind: Kind::Udp, ..open() }), Err(OpenFault::NotInVersion1));
        assert_eq!(server.open(&Open { proxy: Proxy::V2, ..open() }), Err(OpenFault::NotInVersion1));
        let id = server.open(&open()).expect("room for a stream");
        client.go_away(GoAwayReason::ShuttingDown, "");
        assert!(pass(&mut server, &mut client, now).is_empty(), "nobody dials any more");
        let refused = pass(&mut client, &mut server, now);
        assert_eq!(refused, [format!("{:?}", Event::Refused { id, reason: Reason::DialRefused })]);
        server.go_away(GoAwayReason::ShuttingDown, "");
        assert_eq!(server.open(&open()), Err(OpenFault::Draining));
    }
}
