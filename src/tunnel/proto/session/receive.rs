//! What arrives: one frame, or one piece of a Data frame, at a time. Nothing is copied and, but for Open, nothing is
//! allocated.

use std::time::Instant;

use super::Session;
use crate::tunnel::proto::budget::TINY_BYTES;
use crate::tunnel::proto::data::{Arriving, length, size};
use crate::tunnel::proto::event::Received;
use crate::tunnel::proto::flow::SHARES;
use crate::tunnel::proto::frame::{HEADER_BYTES, Header, kind};
use crate::tunnel::proto::limits::CONTROL_BYTES_MAX;
use crate::tunnel::proto::stream::{Late, State, Stream};
use crate::tunnel::proto::wire::{self, DATA_HEAD_BYTES, Payload, STREAM_ID_LENGTH};
use crate::tunnel::proto::{Event, Fault, Kind, Reason, Side, StreamId};

/// More bytes are needed.
const INCOMPLETE: Received<'static> = Received { consumed: 0, event: None };

impl Session {
    /// Takes in a prefix of what has arrived. Call it again with the rest until it takes nothing and tells nothing.
    ///
    /// Data is delivered in whatever pieces arrive; other frames must be whole in `input`, which 4 KiB are enough for, and
    /// `frame_bytes_max` and a header for datagrams. After `on_deadline`, a call with an empty input tells what that led to.
    pub(crate) fn receive<'a>(&mut self, input: &'a [u8], now: Instant) -> Result<Received<'a>, Fault> {
        self.advance(now);
        if let Some(fault) = self.failed {
            return Err(fault);
        }
        if let Some(event) = self.queued.pop_front() {
            return Ok(Received { consumed: 0, event: Some(event) });
        }
        if input.is_empty() {
            return Ok(INCOMPLETE);
        }
        self.heard = self.now;
        self.frame(input).map_err(|fault| self.fail(fault))
    }

    fn frame<'a>(&mut self, input: &'a [u8]) -> Result<Received<'a>, Fault> {
        if self.arriving.left > 0 {
            return Ok(self.deliver(input, 0));
        }
        let Some(header) = Header::read(input)? else { return Ok(INCOMPLETE) };
        if header.kind == kind::DATA {
            return self.data(header.length, input);
        }
        let longest = if header.kind == kind::DATAGRAM { self.ours.frame_bytes_max } else { CONTROL_BYTES_MAX };
        if header.length > longest {
            return Err(Fault::protocol("a frame that is too long for its type"));
        }
        let end = HEADER_BYTES.saturating_add(size(header.length));
        let Some(payload) = input.get(HEADER_BYTES..end) else { return Ok(INCOMPLETE) };
        let event = self.control(header.kind, Payload::new(payload))?;
        Ok(Received { consumed: end, event })
    }

    /// The head of a Data frame, and what of its payload is there.
    fn data<'a>(&mut self, payload_length: u32, input: &'a [u8]) -> Result<Received<'a>, Fault> {
        if payload_length > self.ours.frame_bytes_max {
            return Err(Fault::protocol("a frame longer than was agreed on"));
        }
        let Some(bytes) = payload_length.checked_sub(STREAM_ID_LENGTH).filter(|bytes| *bytes > 0) else {
            return Err(Fault::protocol("a Data frame without data"));
        };
        let Some(head) = input.get(HEADER_BYTES..DATA_HEAD_BYTES) else { return Ok(INCOMPLETE) };
        let id = Payload::new(head).stream()?;
        if bytes < TINY_BYTES && !self.tiny_data.spend(self.now) {
            return Err(Fault::abuse("too many tiny frames"));
        }
        self.window.take(bytes)?;
        self.watch_pressure();
        let stream = self.streams.get_mut(&id);
        let skip = stream.is_none();
        if let Some(stream) = stream {
            takes_payload(stream, self.side, Kind::Tcp)?;
            stream.window.take(bytes)?;
            stream.worked |= self.side == Side::Server;
        } else {
            self.broken_off.take(id, bytes)?;
        }
        self.arriving = Arriving { id, left: bytes, skip };
        Ok(self.deliver(input, DATA_HEAD_BYTES))
    }

    /// The piece of the frame that is there, behind `head` bytes.
    fn deliver<'a>(&mut self, input: &'a [u8], head: usize) -> Received<'a> {
        let piece = self.arriving.piece(input.get(head..).unwrap_or_default());
        let consumed = head.saturating_add(piece.len());
        if self.arriving.skip || piece.is_empty() {
            if !piece.is_empty() {
                self.release_session(length(piece.len()));
            }
            return Received { consumed, event: None };
        }
        let id = StreamId::new(self.arriving.id);
        Received { consumed, event: Some(Event::Data { id, bytes: piece }) }
    }

    fn control<'a>(&mut self, kind: u8, mut payload: Payload<'a>) -> Result<Option<Event<'a>>, Fault> {
        match kind {
            kind::OPEN => self.got_open(payload),
            kind::OPENED => self.got_opened(payload),
            kind::REFUSED => self.got_refused(payload),
            kind::FINISH => self.got_end(payload, false),
            kind::MOVE => self.got_end(payload, true),
            kind::RESET => self.got_reset(payload),
            kind::CREDIT => self.got_credit(payload),
            kind::PING => {
                let opaque = payload.u64()?;
                payload.end()?;
                if !self.pings.spend(self.now) {
                    return Err(Fault::abuse("too many pings"));
                }
                wire::put_ping(&mut self.out, kind::PONG, opaque);
                Ok(None)
            }
            kind::PONG => self.got_pong(payload),
            kind::GO_AWAY => {
                let (last, reason, text) = wire::read_go_away(payload)?;
                if self.peer_going {
                    self.count_late()?;
                }
                self.peer_going = true;
                Ok(Some(Event::GoAway { reason, last, text }))
            }
            kind::LIFT => self.got_lift(payload),
            kind::DATAGRAM => self.got_datagram(payload),
            kind::CONNECT_REQUEST | kind::CONNECT_RESPONSE | kind::CLOSE | kind::KEEP_ALIVE => {
                Err(Fault::protocol("a version 1 frame in an extended session"))
            }
            kind::HELLO..=kind::JOIN => Err(Fault::protocol("a frame of the handshake in a session")),
            _ => Err(Fault::protocol("a frame of an unknown type")),
        }
    }

    fn got_open<'a>(&mut self, mut payload: Payload<'_>) -> Result<Option<Event<'a>>, Fault> {
        if self.side != Side::Client {
            return Err(Fault::protocol("only the server opens streams"));
        }
        let id = payload.stream()?;
        if self.highest.checked_add(1) != Some(id) {
            return Err(Fault::protocol("a stream id that is not the next one"));
        }
        let (credit, open) = wire::read_open(payload)?;
        self.highest = id;
        let refusal = if self.going {
            Some(Reason::ShuttingDown)
        } else if self.peer_going {
            return Err(Fault::protocol("a stream was opened after go-away"));
        } else if self.streams.len() >= size(self.ours.streams_max) {
            Some(Reason::TooManyStreams)
        } else {
            None
        };
        let mut stream = Stream::new(open.kind, 0, self.ours.stream_credit, self.now);
        stream.credit.grant(credit)?;
        if let Some(reason) = refusal {
            wire::put_reason(&mut self.out, kind::REFUSED, id, reason);
            self.broken_off.remember(id, stream.window.open());
            self.count_waste();
            return self.failed.map_or(Ok(None), Err);
        }
        self.streams.insert(id, stream);
        Ok(Some(Event::Open { id: StreamId::new(id), open }))
    }

    fn got_opened<'a>(&mut self, mut payload: Payload<'_>) -> Result<Option<Event<'a>>, Fault> {
        let id = payload.stream()?;
        let credit = payload.u32()?;
        payload.end()?;
        let Some(stream) = self.answered(id)? else { return Ok(None) };
        stream.answered = true;
        stream.credit.grant(credit)?;
        Ok(Some(Event::Opened { id: StreamId::new(id) }))
    }

    fn got_refused<'a>(&mut self, mut payload: Payload<'_>) -> Result<Option<Event<'a>>, Fault> {
        let id = payload.stream()?;
        let reason = Reason::from_code(payload.u8()?)?;
        payload.end()?;
        if self.answered(id)?.is_none() {
            return Ok(None);
        }
        self.streams.remove(&id);
        if matches!(reason, Reason::TargetDenied | Reason::TooManyStreams) {
            self.count_waste();
        }
        Ok(Some(Event::Refused { id: StreamId::new(id), reason }))
    }

    /// The stream that the client answers for; `None` when we broke it off.
    fn answered(&mut self, id: u32) -> Result<Option<&mut Stream>, Fault> {
        if self.side != Side::Server {
            return Err(Fault::protocol("only the client answers"));
        }
        if !self.streams.contains_key(&id) {
            self.late(id)?;
            return Ok(None);
        }
        match self.streams.get_mut(&id) {
            Some(stream) if stream.answered => Err(Fault::protocol("a stream that was answered twice")),
            stream => Ok(stream),
        }
    }

    /// Finish, or Move.
    fn got_end<'a>(&mut self, mut payload: Payload<'_>, moved: bool) -> Result<Option<Event<'a>>, Fault> {
        let id = payload.stream()?;
        payload.end()?;
        let Some(stream) = self.streams.get_mut(&id) else {
            self.late(id)?;
            return Ok(None);
        };
        takes_payload(stream, self.side, stream.kind)?;
        if moved && !stream.lifted {
            return Err(Fault::protocol("a stream that moves without a data connection"));
        }
        stream.theirs_over = true;
        stream.theirs_moved = moved;
        if stream.state() == State::Closed {
            self.streams.remove(&id);
        }
        let id = StreamId::new(id);
        Ok(Some(if moved { Event::Moved { id } } else { Event::Finish { id } }))
    }

    fn got_reset<'a>(&mut self, mut payload: Payload<'_>) -> Result<Option<Event<'a>>, Fault> {
        let id = payload.stream()?;
        let reason = Reason::from_code(payload.u8()?)?;
        payload.end()?;
        let Some(stream) = self.streams.remove(&id) else {
            self.crossed(id)?;
            return Ok(None);
        };
        if self.side == Side::Client && !stream.worked {
            self.count_waste();
        }
        match self.failed {
            Some(fault) => Err(fault),
            None => Ok(Some(Event::Reset { id: StreamId::new(id), reason })),
        }
    }

    fn got_credit<'a>(&mut self, mut payload: Payload<'_>) -> Result<Option<Event<'a>>, Fault> {
        let id = payload.u32()?;
        let bytes = payload.u32()?;
        payload.end()?;
        if bytes == 0 {
            return Err(Fault::protocol("a credit of nothing"));
        }
        let initial = if id == 0 { self.theirs.session_credit } else { self.theirs.stream_credit };
        if bytes < initial / SHARES && !self.small_credits.spend(self.now) {
            return Err(Fault::abuse("too many small credits"));
        }
        if id == 0 {
            return Ok(self.credit.grant(bytes)?.then_some(Event::SessionSendable));
        }
        let Some(stream) = self.streams.get_mut(&id) else {
            self.crossed(id)?;
            return Ok(None);
        };
        let was_empty = stream.credit.grant(bytes)?;
        Ok((was_empty && !stream.ours_over).then_some(Event::Sendable { id: StreamId::new(id) }))
    }

    fn got_pong<'a>(&mut self, mut payload: Payload<'_>) -> Result<Option<Event<'a>>, Fault> {
        let opaque = payload.u64()?;
        payload.end()?;
        let Some((_, sent)) = self.ping.take_if(|(expected, _)| *expected == opaque) else {
            return Err(Fault::protocol("a pong to a ping that was not sent"));
        };
        let sample = self.now.saturating_duration_since(sent);
        // Load only ever adds to the time of the path: a lower sample counts at once, a higher one little by little.
        let round_trip = match self.round_trip() {
            Some(known) if sample > known => known + sample.saturating_sub(known) / 8,
            _ => sample,
        };
        self.round_trip = Some((round_trip, self.now));
        Ok(Some(Event::Pong { round_trip: sample }))
    }

    fn got_lift<'a>(&mut self, mut payload: Payload<'_>) -> Result<Option<Event<'a>>, Fault> {
        let id = payload.stream()?;
        payload.end()?;
        if self.side != Side::Client {
            return Err(Fault::protocol("only the server asks for data connections"));
        }
        let Some(stream) = self.streams.get_mut(&id) else {
            self.crossed(id)?;
            return Ok(None);
        };
        if !stream.answered || stream.lifted || stream.kind != Kind::Tcp {
            return Err(Fault::protocol("a data connection for a stream that can not have one"));
        }
        stream.lifted = true;
        Ok(Some(Event::Lift { id: StreamId::new(id) }))
    }

    fn got_datagram<'a>(&mut self, mut payload: Payload<'a>) -> Result<Option<Event<'a>>, Fault> {
        let id = payload.stream()?;
        let Some(stream) = self.streams.get_mut(&id) else {
            self.late(id)?;
            return Ok(None);
        };
        takes_payload(stream, self.side, Kind::Udp)?;
        stream.worked |= self.side == Side::Server;
        Ok(Some(Event::Datagram { id: StreamId::new(id), bytes: payload.rest() }))
    }

    /// A frame that only a stream in the table may have, unless we broke the stream off and the peer could not know.
    fn late(&mut self, id: u32) -> Result<(), Fault> {
        match self.broken_off.late(id) {
            Late::BrokenOff => self.count_late(),
            Late::Unknown => Err(Fault::protocol("a frame for a stream that is not open")),
        }
    }

    /// A frame that can cross the end of its stream.
    fn crossed(&mut self, id: u32) -> Result<(), Fault> {
        if id > self.highest {
            return Err(Fault::protocol("a frame for a stream that was never opened"));
        }
        self.count_late()
    }

    fn count_late(&mut self) -> Result<(), Fault> {
        if self.late_frames.spend(self.now) { Ok(()) } else { Err(Fault::abuse("too many late frames")) }
    }
}

/// Whether the peer may send data, a datagram or an end on this stream.
fn takes_payload(stream: &Stream, side: Side, kind: Kind) -> Result<(), Fault> {
    if stream.kind != kind {
        return Err(Fault::protocol("bytes on a stream of datagrams, or the reverse"));
    }
    if stream.theirs_over {
        return Err(Fault::protocol("a frame behind the last one of its direction"));
    }
    if side == Side::Server && !stream.answered {
        return Err(Fault::protocol("a frame before the answer to Open"));
    }
    Ok(())
}
