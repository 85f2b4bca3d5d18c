//! The session with a peer of version 1, for both roles: no handshake, no credit, no half-close.
//!
//! Close, which ends both directions, is told as `Event::Finish`, because version 1 peers send it at the end of a file.
//! Nothing limits what a peer sends, so the caller reads no further while it can not get rid of what it has.

use std::time::{Duration, Instant};

use bytes::{BufMut, BytesMut};

use super::budget::{Allowance, Budget, LATE_FRAMES, PINGS, WASTED_OPENS};
use super::data::{Arriving, DataSlot, size};
use super::frame::{HEADER_BYTES, Header, kind};
use super::limits::{CONTROL_BYTES_MAX, Limits, SLEPT_AFTER, STREAM_ID_END, WAKE_GRACE};
use super::stream::IdMap;
use super::wire::{self, DATA_HEAD_BYTES, Payload, STREAM_ID_LENGTH};
use super::{Event, Fault, GoAwayReason, Kind, Open, OpenFault, Proxy, Reason, Received, Side, StreamId};

/// The most data in a frame that we send, in bytes: as much as version 1 peers read and send at a time.
const DATA_BYTES_MAX: usize = 32 << 10;

/// How often a client shows that it is there.
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(15);

/// Silence of the server after which a client gives up: four answers that did not come.
const SERVER_DEAD_AFTER: Duration = Duration::from_mins(1);

/// Silence of the client after which a server gives up: three keep-alives that did not come.
const CLIENT_DEAD_AFTER: Duration = Duration::from_secs(45);

/// The target where a request names none.
const DEFAULT_HOST: &str = "127.0.0.1";

/// The target was reached.
const STATUS_OK: u8 = 0;

/// It was not.
const STATUS_FAILED: u8 = 1;

/// One end of a session with a version 1 peer.
#[derive(Debug)]
pub(crate) struct Legacy {
    side: Side,
    /// Whether each open stream was answered.
    streams: IdMap<bool>,
    highest: u32,
    arriving: Arriving,
    out: BytesMut,
    failed: Option<Fault>,
    now: Instant,
    heard: Instant,
    judged_from: Instant,
    keep_alive_at: Instant,
    keep_alives: Budget,
    late_frames: Budget,
    wasted_opens: Budget,
}

impl Legacy {
    /// A session that begins with the connection.
    pub(crate) fn new(side: Side, now: Instant) -> Self {
        let wasted = Allowance { burst: WASTED_OPENS.burst + Limits::OURS.streams_max, ..WASTED_OPENS };
        Self {
            side,
            streams: IdMap::default(),
            highest: 0,
            arriving: Arriving::default(),
            out: BytesMut::new(),
            failed: None,
            now,
            heard: now,
            judged_from: now,
            // At once: a server of ours lets nobody in who has said nothing.
            keep_alive_at: now,
            keep_alives: Budget::new(PINGS, now),
            late_frames: Budget::new(LATE_FRAMES, now),
            wasted_opens: Budget::new(wasted, now),
        }
    }

    /// Opens a stream; for the server. The host is always written, because version 1 clients read no other form.
    pub(crate) fn open(&mut self, target_port: u16, host: &str) -> Result<StreamId, OpenFault> {
        if self.side != Side::Server {
            return Err(OpenFault::WrongSide);
        }
        let host = if host.is_empty() { DEFAULT_HOST } else { host };
        let fits = wire::host_is_fit(host.as_bytes());
        let Some(host_length) = u8::try_from(host.len()).ok().filter(|_| fits) else {
            return Err(OpenFault::HostUnfit);
        };
        if self.is_full() {
            return Err(OpenFault::TooManyStreams);
        }
        let Some(id) = self.highest.checked_add(1).filter(|id| *id < STREAM_ID_END) else {
            return Err(OpenFault::IdsExhausted);
        };
        self.highest = id;
        self.streams.insert(id, false);
        let length = STREAM_ID_LENGTH + 3 + u32::from(host_length);
        self.out.put_slice(&Header { kind: kind::CONNECT_REQUEST, length }.bytes());
        self.out.put_u32(id);
        self.out.put_u16(target_port);
        self.out.put_u8(host_length);
        self.out.put_slice(host.as_bytes());
        Ok(StreamId::new(id))
    }

    /// Tells the server that the target was reached; for the client.
    pub(crate) fn accept(&mut self, id: StreamId) {
        let Some(answered) = self.streams.get_mut(&id.get()) else { return };
        if self.side == Side::Client && !*answered {
            *answered = true;
            self.answer(id.get(), STATUS_OK);
        }
    }

    /// Tells the server that the target was not reached, which ends the stream; for the client.
    pub(crate) fn refuse(&mut self, id: StreamId) {
        if self.side == Side::Client && self.streams.get(&id.get()) == Some(&false) {
            self.forget(id.get());
            self.answer(id.get(), STATUS_FAILED);
        }
    }

    /// Payload bytes that one Data frame may carry: all or nothing.
    pub(crate) fn sendable(&self, id: StreamId) -> usize {
        if self.streams.get(&id.get()) == Some(&true) { DATA_BYTES_MAX } else { 0 }
    }

    /// Writes a Data frame with a copy of the payload, which is not longer than `sendable` says.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn send(&mut self, id: StreamId, payload: &[u8]) {
        let slot = self.begin_data(id);
        self.out.put_slice(payload);
        self.commit_data(slot, payload.len());
    }

    /// Reserves the head of a Data frame at the end of `out`, as `Session::begin_data` does.
    pub(crate) fn begin_data(&mut self, id: StreamId) -> DataSlot {
        DataSlot::begin(&mut self.out, id.get())
    }

    /// Completes the frame with so many bytes; 0 takes the head away again.
    pub(crate) fn commit_data(&mut self, slot: DataSlot, bytes: usize) {
        let id = StreamId::new(slot.id());
        let sendable = self.sendable(id);
        match u32::try_from(bytes) {
            Ok(count) if (1..=sendable).contains(&bytes) => slot.commit(&mut self.out, count),
            _ => {
                slot.cancel(&mut self.out);
                if bytes > 0 {
                    // Bytes were read that can not be sent. The stream must not go on without them.
                    debug_assert!(!self.streams.contains_key(&id.get()), "{bytes} bytes in one frame of version 1");
                    self.close(id);
                }
            }
        }
    }

    /// Ends both directions of a stream.
    pub(crate) fn close(&mut self, id: StreamId) {
        match self.streams.get(&id.get()) {
            None => {}
            Some(false) if self.side == Side::Client => self.refuse(id),
            Some(_) => {
                self.forget(id.get());
                wire::put_stream(&mut self.out, kind::CLOSE, id.get());
            }
        }
    }

    /// Everything that is to be written, in order. The caller takes away the front.
    pub(crate) const fn out(&mut self) -> &mut BytesMut {
        &mut self.out
    }

    /// Bytes that are to be written.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn out_len(&self) -> usize {
        self.out.len()
    }

    /// How many streams are open.
    #[cfg(test)]
    pub(crate) fn streams(&self) -> usize {
        self.streams.len()
    }

    /// When `on_deadline` is to be called.
    pub(crate) fn deadline(&self) -> Instant {
        match self.side {
            Side::Client => self.dead_at().min(self.keep_alive_at),
            Side::Server => self.dead_at(),
        }
    }

    /// Shows the server that we are there, and tells when the peer is dead.
    pub(crate) fn on_deadline(&mut self, now: Instant) -> Result<(), Fault> {
        self.now = self.now.max(now);
        if now < self.deadline() {
            return Ok(());
        }
        if now > self.deadline() + SLEPT_AFTER {
            // A process that was stopped, or that had no processor, has not read what may have arrived.
            self.judged_from = now + WAKE_GRACE;
        }
        if self.side == Side::Client && now >= self.keep_alive_at {
            self.keep_alive_at = now + KEEP_ALIVE_EVERY;
            self.put_keep_alive();
        }
        if now >= self.dead_at() {
            return Err(self.fail(Fault { reason: GoAwayReason::DeadPeer, detail: "nothing was heard for too long" }));
        }
        Ok(())
    }

    /// Takes in a prefix of what has arrived, as `Session::receive` does.
    pub(crate) fn receive<'a>(&mut self, input: &'a [u8], now: Instant) -> Result<Received<'a>, Fault> {
        self.now = self.now.max(now);
        if let Some(fault) = self.failed {
            return Err(fault);
        }
        if !input.is_empty() {
            self.heard = self.now;
        }
        self.frame(input).map_err(|fault| self.fail(fault))
    }

    fn frame<'a>(&mut self, input: &'a [u8]) -> Result<Received<'a>, Fault> {
        let incomplete = Received { consumed: 0, event: None };
        if self.arriving.left > 0 {
            return Ok(self.deliver(input, 0));
        }
        let Some(header) = Header::read(input)? else { return Ok(incomplete) };
        if header.kind == kind::DATA {
            let Some(left) = header.length.checked_sub(STREAM_ID_LENGTH) else {
                return Err(Fault::protocol("a Data frame without a stream"));
            };
            let Some(head) = input.get(HEADER_BYTES..DATA_HEAD_BYTES) else { return Ok(incomplete) };
            let id = Payload::new(head).u32()?;
            self.arriving = Arriving { id, left, skip: !self.takes_data(id)? };
            return Ok(self.deliver(input, DATA_HEAD_BYTES));
        }
        if header.length > CONTROL_BYTES_MAX {
            return Err(Fault::protocol("a frame that is too long for its type"));
        }
        let end = HEADER_BYTES.saturating_add(size(header.length));
        let Some(payload) = input.get(HEADER_BYTES..end) else { return Ok(incomplete) };
        let event = self.control(header.kind, Payload::new(payload))?;
        Ok(Received { consumed: end, event })
    }

    /// Whether somebody waits for data of this stream.
    fn takes_data(&self, id: u32) -> Result<bool, Fault> {
        match self.streams.get(&id) {
            Some(true) => Ok(true),
            // A server may be quick; the client keeps what comes until it has dialled.
            Some(false) if self.side == Side::Client => Ok(true),
            Some(false) => Err(Fault::protocol("data before the answer to a request")),
            None => self.known(id).map(|()| false),
        }
    }

    /// A server knows which streams there were. A client can not: version 1 servers number as they like.
    fn known(&self, id: u32) -> Result<(), Fault> {
        if self.side == Side::Server && id > self.highest {
            return Err(Fault::protocol("a frame for a stream that was never opened"));
        }
        Ok(())
    }

    fn deliver<'a>(&mut self, input: &'a [u8], head: usize) -> Received<'a> {
        let piece = self.arriving.piece(input.get(head..).unwrap_or_default());
        let consumed = head.saturating_add(piece.len());
        if self.arriving.skip || piece.is_empty() {
            return Received { consumed, event: None };
        }
        Received { consumed, event: Some(Event::Data { id: StreamId::new(self.arriving.id), bytes: piece }) }
    }

    fn control<'a>(&mut self, kind: u8, payload: Payload<'_>) -> Result<Option<Event<'a>>, Fault> {
        match (kind, self.side) {
            (kind::CONNECT_REQUEST, Side::Client) => self.got_request(payload),
            (kind::CONNECT_RESPONSE, Side::Server) => self.got_response(payload),
            (kind::CLOSE, _) => self.got_close(payload),
            (kind::KEEP_ALIVE, side) => {
                payload.end()?;
                if !self.keep_alives.spend(self.now) {
                    return Err(Fault::abuse("too many keep-alives"));
                }
                if side == Side::Server {
                    self.put_keep_alive();
                }
                Ok(None)
            }
            (kind::CONNECT_REQUEST | kind::CONNECT_RESPONSE, _) => {
                Err(Fault::protocol("a frame that the other side sends"))
            }
            _ => Err(Fault::protocol("a frame of an unknown type")),
        }
    }

    fn got_request<'a>(&mut self, mut payload: Payload<'_>) -> Result<Option<Event<'a>>, Fault> {
        let id = payload.u32()?;
        let target_port = payload.u16()?;
        let host = if payload.rest().is_empty() {
            &[]
        } else {
            let host_length = payload.u8()?;
            payload.bytes(usize::from(host_length))?
        };
        payload.end()?;
        if !wire::host_is_fit(host) {
            return Err(Fault::protocol("a host that is not printable ASCII"));
        }
        let host = if host.is_empty() { DEFAULT_HOST.into() } else { String::from_utf8_lossy(host) }.into_owned();
        if self.streams.contains_key(&id) {
            return Err(Fault::protocol("a stream id that is in use"));
        }
        if self.is_full() {
            self.answer(id, STATUS_FAILED);
            return if self.wasted_opens.spend(self.now) { Ok(None) } else { Err(Fault::abuse("too many streams")) };
        }
        self.streams.insert(id, false);
        let (kind, proxy) = (Kind::Tcp, Proxy::Off);
        let open = Open { kind, proxy, target_port, host, visitor: None, public: None };
        Ok(Some(Event::Open { id: StreamId::new(id), open }))
    }

    fn got_response<'a>(&mut self, mut payload: Payload<'_>) -> Result<Option<Event<'a>>, Fault> {
        let id = payload.u32()?;
        let status = payload.u8()?;
        payload.end()?;
        match self.streams.get_mut(&id) {
            Some(true) => Err(Fault::protocol("a stream that was answered twice")),
            Some(answered) if status == STATUS_OK => {
                *answered = true;
                Ok(Some(Event::Opened { id: StreamId::new(id) }))
            }
            Some(_) => {
                self.forget(id);
                Ok(Some(Event::Refused { id: StreamId::new(id), reason: Reason::DialRefused }))
            }
            None => self.late(id),
        }
    }

    fn got_close<'a>(&mut self, mut payload: Payload<'_>) -> Result<Option<Event<'a>>, Fault> {
        let id = payload.u32()?;
        payload.end()?;
        if self.streams.contains_key(&id) {
            self.forget(id);
            return Ok(Some(Event::Finish { id: StreamId::new(id) }));
        }
        self.late(id)
    }

    /// A frame that crossed the end of its stream.
    fn late<'a>(&mut self, id: u32) -> Result<Option<Event<'a>>, Fault> {
        self.known(id)?;
        if self.late_frames.spend(self.now) { Ok(None) } else { Err(Fault::abuse("too many late frames")) }
    }

    fn is_full(&self) -> bool {
        self.streams.len() >= size(Limits::OURS.streams_max)
    }

    fn forget(&mut self, id: u32) {
        self.streams.remove(&id);
        self.arriving.skip_if(id);
    }

    fn answer(&mut self, id: u32, status: u8) {
        self.out.put_slice(&Header { kind: kind::CONNECT_RESPONSE, length: STREAM_ID_LENGTH + 1 }.bytes());
        self.out.put_u32(id);
        self.out.put_u8(status);
    }

    fn put_keep_alive(&mut self) {
        self.out.put_slice(&Header { kind: kind::KEEP_ALIVE, length: 0 }.bytes());
    }

    fn dead_at(&self) -> Instant {
        let patience = match self.side {
            Side::Client => SERVER_DEAD_AFTER,
            Side::Server => CLIENT_DEAD_AFTER,
        };
        (self.heard + patience).max(self.judged_from)
    }

    /// Ends the session: from here on `receive` tells this fault.
    fn fail(&mut self, fault: Fault) -> Fault {
        *self.failed.get_or_insert(fault)
    }
}

#[cfg(test)]
mod tests;
