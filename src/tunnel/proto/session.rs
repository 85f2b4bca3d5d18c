//! The session of one client: what either side may do, and what it writes. What arrives is in `session/receive.rs`.
//!
//! The caller reads its socket into a buffer, gives it to `receive`, does what the events say, writes `out` to the
//! socket, and calls `on_deadline` when `deadline` has come. The caller reads no further while `out_len` is above what
//! it wants to hold: every answer to a frame is written there.

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod audit;
mod pressure;
mod receive;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

#[cfg(any(test, feature = "fuzzing"))]
use bytes::BufMut;
use bytes::BytesMut;

use super::budget::{Budget, LATE_FRAMES, PACED_OPENS, PINGS, SMALL_CREDITS, TINY_DATA, WASTED_OPENS};
use super::data::{Arriving, DataSlot, length, size};
use super::flow::{SendCredit, Window};
use super::frame::kind;
use super::limits::{
    DEAD_AFTER, IDLE_STREAMS, Limits, PING_AFTER, PING_GAP, ROUND_TRIP_AGE, SENT_FRAME_BYTES_MAX, SLEPT_AFTER,
    STREAM_ID_END, STREAM_WINDOW_MAX, WAKE_GRACE,
};
use super::stream::{BrokenOff, IdMap, State, Stream};
use super::wire::{self, STREAM_ID_LENGTH};
use super::{Event, Fault, GoAwayReason, Kind, Open, Reason, Side, StreamId};

/// Why a stream cannot be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OpenFault {
    /// Only the server opens streams.
    WrongSide,
    /// One side said that it goes away.
    Draining,
    /// As many streams are open as the client takes.
    TooManyStreams,
    /// The ids are used up; the session drains.
    IdsExhausted,
    /// Too many streams were broken off before they did anything; a moment later there is room again.
    Paced,
    /// The host does not fit into Open.
    HostUnfit,
    /// The client speaks version 1, which carries neither datagrams nor a header for the target.
    NotInVersion1,
}

/// One end of a session.
#[derive(Debug)]
pub(crate) struct Session {
    side: Side,
    ours: Limits,
    theirs: Limits,
    streams: IdMap<Stream>,
    broken_off: BrokenOff,
    highest: u32,
    credit: SendCredit,
    window: Window,
    arriving: Arriving,
    queued: VecDeque<Event<'static>>,
    out: BytesMut,
    failed: Option<Fault>,
    going: bool,
    peer_going: bool,
    now: Instant,
    heard: Instant,
    judged_from: Instant,
    pressure_look: Option<Instant>,
    ping: Option<(u64, Instant)>,
    pings_sent: u64,
    round_trip: Option<(Duration, Instant)>,
    pings: Budget,
    small_credits: Budget,
    tiny_data: Budget,
    late_frames: Budget,
    wasted_opens: Budget,
}

impl Session {
    /// A session that begins: the handshake is over and the limits are known.
    pub(crate) fn new(side: Side, ours: Limits, theirs: Limits, now: Instant) -> Self {
        let (ours, theirs) = (ours.clamped(), theirs.clamped());
        let wasted_opens = match side {
            Side::Server => Budget::new(PACED_OPENS, now),
            Side::Client => {
                let mut allowance = WASTED_OPENS;
                allowance.burst = allowance.burst.saturating_add(ours.streams_max);
                Budget::new(allowance, now)
            }
        };
        Self {
            side,
            ours,
            theirs,
            streams: IdMap::default(),
            broken_off: BrokenOff::default(),
            highest: 0,
            credit: SendCredit::new(theirs.session_credit),
            window: Window::new(ours.session_credit),
            arriving: Arriving::default(),
            queued: VecDeque::new(),
            out: BytesMut::new(),
            failed: None,
            going: false,
            peer_going: false,
            now,
            heard: now,
            judged_from: now,
            pressure_look: None,
            ping: None,
            pings_sent: 0,
            round_trip: None,
            pings: Budget::new(PINGS, now),
            small_credits: Budget::new(SMALL_CREDITS, now),
            tiny_data: Budget::new(TINY_DATA, now),
            late_frames: Budget::new(LATE_FRAMES, now),
            wasted_opens,
        }
    }

    /// Opens a stream; for the server.
    pub(crate) fn open(&mut self, open: &Open) -> Result<StreamId, OpenFault> {
        if self.side != Side::Server {
            return Err(OpenFault::WrongSide);
        }
        if self.is_draining() {
            return Err(OpenFault::Draining);
        }
        if !wire::host_is_fit(open.host.as_bytes()) {
            return Err(OpenFault::HostUnfit);
        }
        if self.streams() >= size(self.theirs.streams_max) {
            return Err(OpenFault::TooManyStreams);
        }
        if self.wasted_opens.is_empty(self.now) {
            return Err(OpenFault::Paced);
        }
        let Some(id) = self.highest.checked_add(1).filter(|id| *id < STREAM_ID_END) else {
            self.go_away(GoAwayReason::IdsExhausted, "");
            return Err(OpenFault::IdsExhausted);
        };
        self.highest = id;
        let stream = Stream::new(open.kind, self.theirs.stream_credit, self.ours.stream_credit, self.now);
        wire::put_open(&mut self.out, id, self.ours.stream_credit, open);
        self.streams.insert(id, stream);
        Ok(StreamId::new(id))
    }

    /// Tells the server that the target was reached; for the client.
    pub(crate) fn accept(&mut self, id: StreamId) {
        let Some(stream) = self.streams.get_mut(&id.get()) else { return };
        if self.side == Side::Client && !stream.answered {
            stream.answered = true;
            wire::put_credit(&mut self.out, kind::OPENED, id.get(), 0);
        }
    }

    /// Tells the server that the target was not reached, which ends the stream; for the client.
    pub(crate) fn refuse(&mut self, id: StreamId, reason: Reason) {
        let opening = self.streams.get(&id.get()).is_some_and(|stream| !stream.answered);
        if self.side == Side::Client && opening {
            wire::put_reason(&mut self.out, kind::REFUSED, id.get(), reason);
            self.break_off(id.get());
            if matches!(reason, Reason::TargetDenied | Reason::TooManyStreams) {
                self.count_waste();
            }
        }
    }

    /// Payload bytes that one Data frame may carry; with 0, wait for `Sendable` or `SessionSendable`.
    pub(crate) fn sendable(&self, id: StreamId) -> usize {
        let Some(stream) = self.streams.get(&id.get()) else { return 0 };
        size(self.allowed(stream))
    }

    /// Whether the session as a whole may send data; without, wait for `SessionSendable`.
    pub(crate) const fn has_session_credit(&self) -> bool {
        self.credit.left() > 0
    }

    /// Writes a Data frame with a copy of the payload, which is not longer than `sendable` says.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn send(&mut self, id: StreamId, payload: &[u8]) {
        let slot = self.begin_data(id);
        self.out.put_slice(payload);
        self.commit_data(slot, payload.len());
    }

    /// Reserves the head of a Data frame at the end of `out`. The caller reads at most `sendable` bytes into `out`
    /// behind it and commits, and takes nothing out of `out` in between.
    pub(crate) fn begin_data(&mut self, id: StreamId) -> DataSlot {
        DataSlot::begin(&mut self.out, id.get())
    }

    /// Completes the frame with so many bytes; 0 takes the head away again.
    pub(crate) fn commit_data(&mut self, slot: DataSlot, bytes: usize) {
        let (id, count) = (slot.id(), length(bytes));
        let allowed = self.streams.get(&id).map(|stream| self.allowed(stream));
        if count == 0 || allowed.is_none_or(|allowed| count > allowed) {
            slot.cancel(&mut self.out);
            if count > 0 {
                // Bytes were read that can not be sent. The stream must not go on without them.
                debug_assert!(allowed.is_none(), "{bytes} bytes were read where {allowed:?} could be sent");
                self.reset(StreamId::new(id), Reason::Internal);
            }
            return;
        }
        slot.commit(&mut self.out, count);
        self.credit.spend(count);
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.credit.spend(count);
            stream.worked |= self.side == Side::Client;
        }
    }

    /// Ends our direction of a stream.
    pub(crate) fn finish(&mut self, id: StreamId) {
        self.end_ours(id.get(), kind::FINISH);
    }

    /// Breaks a stream off.
    pub(crate) fn reset(&mut self, id: StreamId, reason: Reason) {
        let Some(stream) = self.streams.get(&id.get()) else { return };
        if self.side == Side::Client && !stream.answered {
            self.refuse(id, reason);
            return;
        }
        if self.side == Side::Server && !stream.worked {
            self.wasted_opens.owe();
        }
        wire::put_reason(&mut self.out, kind::RESET, id.get(), reason);
        self.break_off(id.get());
    }

    /// Received bytes have left our memory. To be called for every byte of `Event::Data`, of closed streams too.
    pub(crate) fn consumed(&mut self, id: StreamId, bytes: usize, now: Instant) {
        self.advance(now);
        let count = length(bytes);
        self.release_session(count);
        let window_max = STREAM_WINDOW_MAX.min(self.ours.session_credit / 2);
        let round_trip = self.round_trip();
        let Some(stream) = self.streams.get_mut(&id.get()) else { return };
        let Some(credit) = stream.release(count, self.now, round_trip, window_max) else { return };
        wire::put_credit(&mut self.out, kind::CREDIT, id.get(), credit);
        if self.round_trip.is_none_or(|(_, at)| self.now.saturating_duration_since(at) > ROUND_TRIP_AGE) {
            self.ping(now);
        }
    }

    /// Asks the client for a data connection; for the server.
    pub(crate) fn lift(&mut self, id: StreamId) {
        let Some(stream) = self.streams.get_mut(&id.get()) else { return };
        let can_move = stream.answered && !stream.lifted && stream.kind == Kind::Tcp;
        if self.side == Side::Server && can_move {
            stream.lifted = true;
            wire::put_stream(&mut self.out, kind::LIFT, id.get());
        }
    }

    /// Whether our direction may move to the data connection: the server moves first, which tells the client that its
    /// `Join` was accepted.
    pub(crate) fn may_move(&self, id: StreamId) -> bool {
        let Some(stream) = self.streams.get(&id.get()) else { return false };
        stream.lifted && !stream.ours_over && (self.side == Side::Server || stream.theirs_moved)
    }

    /// Tells the peer that the rest of our direction is on the data connection.
    pub(crate) fn moved(&mut self, id: StreamId) {
        if self.streams.get(&id.get()).is_some_and(|stream| stream.lifted) {
            self.end_ours(id.get(), kind::MOVE);
        }
    }

    /// Writes a datagram, or drops it when it is too long or the stream is not there for it.
    pub(crate) fn datagram(&mut self, id: StreamId, payload: &[u8]) {
        let longest = self.theirs.frame_bytes_max.saturating_sub(STREAM_ID_LENGTH);
        let Some(stream) = self.streams.get_mut(&id.get()) else { return };
        let running = !stream.ours_over && (stream.answered || self.side == Side::Server);
        if running && stream.kind == Kind::Udp && length(payload.len()) <= longest {
            stream.worked |= self.side == Side::Client;
            wire::put_payload(&mut self.out, kind::DATAGRAM, id.get(), payload);
        }
    }

    /// Asks the peer whether it is there, unless it was asked a moment ago or has not answered yet.
    pub(crate) fn ping(&mut self, now: Instant) {
        self.advance(now);
        if self.ping.is_none() && self.round_trip.is_none_or(|(_, at)| self.now >= at + PING_GAP) {
            self.pings_sent = self.pings_sent.wrapping_add(1);
            self.ping = Some((self.pings_sent, now));
            wire::put_ping(&mut self.out, kind::PING, self.pings_sent);
        }
    }

    /// Tells the peer that no more streams are opened or taken.
    pub(crate) fn go_away(&mut self, reason: GoAwayReason, text: &str) {
        self.going = true;
        wire::put_go_away(&mut self.out, self.highest, reason, text);
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

    /// When `on_deadline` is to be called.
    pub(crate) fn deadline(&self) -> Instant {
        let silence = self.silence_deadline();
        self.pressure_look.map_or(silence, |look| look.min(silence))
    }

    /// Asks a silent peer whether it is there, and tells when it is dead. Breaks off streams that hold too much for too
    /// long; `receive` tells which, with an empty input too.
    pub(crate) fn on_deadline(&mut self, now: Instant) -> Result<(), Fault> {
        self.advance(now);
        self.relieve_pressure();
        let deadline = self.silence_deadline();
        if now < deadline {
            return Ok(());
        }
        let slept = now > deadline + SLEPT_AFTER;
        if slept {
            // A process that was stopped, or that had no processor, has not read what may have arrived.
            self.judged_from = now + WAKE_GRACE;
        }
        if self.ping.is_none() {
            self.ping(now);
        } else if !slept {
            return Err(self.fail(Fault { reason: GoAwayReason::DeadPeer, detail: "nothing was heard for 15 seconds" }));
        }
        Ok(())
    }

    /// How many streams are open.
    pub(crate) fn streams(&self) -> usize {
        self.streams.len()
    }

    /// Where a stream stands; `Closed` for one that is not in the table.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn state(&self, id: StreamId) -> State {
        self.streams.get(&id.get()).map_or(State::Closed, Stream::state)
    }

    /// How long the peer takes to answer, without the waits that load adds; `None` before it has answered once.
    pub(crate) fn round_trip(&self) -> Option<Duration> {
        self.round_trip.map(|(round_trip, _)| round_trip)
    }

    /// Whether one side said that it goes away.
    pub(crate) const fn is_draining(&self) -> bool {
        self.going || self.peer_going
    }

    fn silence_deadline(&self) -> Instant {
        match self.ping {
            None => self.heard + PING_AFTER,
            Some(_) => (self.heard + DEAD_AFTER).max(self.judged_from),
        }
    }

    /// Payload bytes that a frame of this stream may carry.
    fn allowed(&self, stream: &Stream) -> u32 {
        let running = !stream.ours_over && (stream.answered || self.side == Side::Server);
        if !running || stream.kind != Kind::Tcp {
            return 0;
        }
        let frame = self.theirs.frame_bytes_max.min(SENT_FRAME_BYTES_MAX).saturating_sub(STREAM_ID_LENGTH);
        stream.credit.left().min(self.credit.left()).min(frame)
    }

    fn end_ours(&mut self, id: u32, kind: u8) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if stream.ours_over || (self.side == Side::Client && !stream.answered) {
            return;
        }
        stream.ours_over = true;
        let over = stream.state() == State::Closed;
        wire::put_stream(&mut self.out, kind, id);
        if over {
            self.remove(id);
        }
    }

    /// Takes a stream out of the table.
    fn remove(&mut self, id: u32) -> Option<Stream> {
        let stream = self.streams.remove(&id);
        if self.streams.is_empty() && self.streams.capacity() > IDLE_STREAMS {
            self.streams = IdMap::default();
        }
        stream
    }

    /// Takes a stream out of the table and remembers what its peer may still send.
    fn break_off(&mut self, id: u32) {
        let Some(stream) = self.remove(id) else { return };
        if !stream.theirs_over {
            self.broken_off.remember(id, stream.window.open());
        }
        self.arriving.skip_if(id);
    }

    fn release_session(&mut self, bytes: u32) {
        self.window.release(bytes);
        if let Some(credit) = self.window.due_shared() {
            self.window.grant(credit);
            wire::put_credit(&mut self.out, kind::CREDIT, 0, credit);
        }
    }

    /// Counts a stream that the server opened for nothing.
    fn count_waste(&mut self) {
        match self.side {
            Side::Server => self.wasted_opens.owe(),
            Side::Client if self.wasted_opens.spend(self.now) => {}
            Side::Client => {
                self.fail(Fault::abuse("too many streams that were opened for nothing"));
            }
        }
    }

    /// Ends the session: from here on `receive` tells this fault.
    fn fail(&mut self, fault: Fault) -> Fault {
        *self.failed.get_or_insert(fault)
    }

    fn advance(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }
}

#[cfg(test)]
mod tests;
