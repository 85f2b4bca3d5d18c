//! One stream: its two directions, its credit, and the table that holds all of them.
//!
//! `Opening → Open → HalfClosed(Local | Remote) → Closed`. A direction is over when it was finished, or moved to a data
//! connection. A stream whose directions are both over, or that was reset or refused, leaves the table.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, Hasher};
use std::time::{Duration, Instant};

use super::flow::{SendCredit, Window};
use super::{Fault, Kind};

/// Where a stream stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// The server asked; the client has not answered.
    Opening,
    /// Both directions run.
    Open,
    /// Our direction is over.
    HalfClosedLocal,
    /// The peer's direction is over.
    HalfClosedRemote,
    /// Both are.
    Closed,
}

/// A stream is stuck when it gets rid of less than this part of what it holds in a period: a trickle is no progress.
const STUCK_PERIODS: u32 = 8;

/// A stream that is not closed.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, and nearly all combinations occur")]
pub(crate) struct Stream {
    /// What it carries.
    pub(crate) kind: Kind,
    /// Whether the client has accepted it.
    pub(crate) answered: bool,
    /// Whether a data connection was asked for.
    pub(crate) lifted: bool,
    /// Whether a byte from the client crossed the session, which is what makes a stream more than a waste.
    pub(crate) worked: bool,
    /// Whether we send no more.
    pub(crate) ours_over: bool,
    /// Whether the peer sends no more.
    pub(crate) theirs_over: bool,
    /// Whether that is so because the peer moved to the data connection.
    pub(crate) theirs_moved: bool,
    /// What we may send.
    pub(crate) credit: SendCredit,
    /// What the peer may send.
    pub(crate) window: Window,
    /// When credit was last given, or the stream began.
    since: Instant,
    /// Bytes that left our memory since the session was last looked at under pressure.
    drained: u32,
}

impl Stream {
    /// A stream that was just asked for.
    pub(crate) fn new(kind: Kind, credit: u32, window: u32, now: Instant) -> Self {
        Self {
            kind,
            answered: false,
            lifted: false,
            worked: false,
            ours_over: false,
            theirs_over: false,
            theirs_moved: false,
            credit: SendCredit::new(credit),
            window: Window::new(window),
            since: now,
            drained: 0,
        }
    }

    /// Bytes that are held by a stream which would need more than eight of these periods to get rid of them; begins the
    /// next period.
    pub(crate) fn stuck(&mut self) -> Option<u32> {
        let drained = std::mem::take(&mut self.drained);
        let held = self.window.held();
        (held > 0 && drained < held / STUCK_PERIODS).then_some(held)
    }

    /// Returns where it stands.
    pub(crate) const fn state(&self) -> State {
        match (self.answered, self.ours_over, self.theirs_over) {
            (_, true, true) => State::Closed,
            (false, ..) => State::Opening,
            (true, true, false) => State::HalfClosedLocal,
            (true, false, true) => State::HalfClosedRemote,
            (true, false, false) => State::Open,
        }
    }

    /// Bytes left our memory; returns the credit that the peer is to be given, if it is worth a frame.
    ///
    /// A peer that used half a window within two round trips may be held back by the window and not by the path, so the
    /// window doubles, up to `window_max`. On a path that is filled it ends at two to four times what is under way
    /// there; a stricter rule would hang on a few milliseconds of the round trip.
    pub(crate) fn release(
        &mut self,
        bytes: u32,
        now: Instant,
        round_trip: Option<Duration>,
        window_max: u32,
    ) -> Option<u32> {
        self.window.release(bytes);
        self.drained = self.drained.saturating_add(bytes);
        if self.theirs_over {
            return None;
        }
        self.window.due()?;
        let elapsed = now.saturating_duration_since(std::mem::replace(&mut self.since, now));
        if round_trip.is_some_and(|round_trip| elapsed <= round_trip * 2) {
            self.window.widen(self.window.size().saturating_mul(2).min(window_max));
        }
        let due = self.window.due()?;
        self.window.grant(due);
        Some(due)
    }
}

/// Spreads ids, which are consecutive, over the upper bits that the map looks at. An attacker cannot choose ids: the
/// session takes them only in their order.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Spread;

/// The state of `Spread`.
#[derive(Debug)]
pub(crate) struct SpreadHasher(u64);

impl BuildHasher for Spread {
    type Hasher = SpreadHasher;

    fn build_hasher(&self) -> SpreadHasher {
        SpreadHasher(0)
    }
}

impl Hasher for SpreadHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u32(u32::from(*byte));
        }
    }

    fn write_u32(&mut self, id: u32) {
        // 2^64 divided by the golden ratio, as Knuth's multiplicative hashing has it.
        self.0 = (self.0 ^ u64::from(id)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

/// A map from stream ids.
pub(crate) type IdMap<T> = HashMap<u32, T, Spread>;

/// How many broken-off streams are remembered: as many as can be open at once by our limits.
const REMEMBERED_MAX: usize = 16_384;

/// Streams that we broke off, whose peer may not know yet, with the data that each may still send.
#[derive(Debug, Default)]
pub(crate) struct BrokenOff {
    open: IdMap<u32>,
    order: VecDeque<u32>,
    forgotten_to: u32,
}

/// What a late frame is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Late {
    /// A stream that we broke off.
    BrokenOff,
    /// Another one.
    Unknown,
}

impl BrokenOff {
    /// Remembers a stream, and forgets the oldest when there are too many.
    pub(crate) fn remember(&mut self, id: u32, open: u32) {
        self.open.insert(id, open);
        self.order.push_back(id);
        if self.order.len() > REMEMBERED_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.open.remove(&oldest);
            // Who is forgotten is treated kindly: a late frame for it is dropped, and not taken for a fault.
            self.forgotten_to = self.forgotten_to.max(oldest);
        }
    }

    /// Says what a late frame is for.
    pub(crate) fn late(&self, id: u32) -> Late {
        if id <= self.forgotten_to || self.open.contains_key(&id) { Late::BrokenOff } else { Late::Unknown }
    }

    /// Late data arrives.
    pub(crate) fn take(&mut self, id: u32, bytes: u32) -> Result<(), Fault> {
        match self.open.get_mut(&id) {
            Some(open) => {
                *open = open.checked_sub(bytes).ok_or(Fault::flow("more data than there was credit for"))?;
                Ok(())
            }
            None if id <= self.forgotten_to => Ok(()),
            None => Err(Fault::protocol("data for a stream that is not open")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream() -> Stream {
        Stream::new(Kind::Tcp, 100, 1_000, Instant::now())
    }

    #[test]
    fn each_direction_ends_by_itself() {
        let mut it = stream();
        assert_eq!(it.state(), State::Opening);
        it.answered = true;
        assert_eq!(it.state(), State::Open);
        it.ours_over = true;
        assert_eq!(it.state(), State::HalfClosedLocal);
        it.theirs_over = true;
        assert_eq!(it.state(), State::Closed);
        it.ours_over = false;
        assert_eq!(it.state(), State::HalfClosedRemote);
    }

    #[test]
    fn a_window_of_which_half_is_used_within_two_round_trips_doubles() {
        let mut it = stream();
        it.window.take(500).unwrap();
        let now = it.since + Duration::from_millis(200);
        assert_eq!(it.release(500, now, Some(Duration::from_millis(100)), 10_000), Some(1_500));
        assert_eq!(it.window.size(), 2_000);
        assert_eq!(it.window.open(), 2_000, "the growth is part of the credit");
    }

    /// Frames are not halves of a window: what arrives in a burst leaves a rest that waits for the next burst.
    #[test]
    fn a_window_grows_with_every_round_trip_whatever_the_size_of_frames() {
        let mut it = Stream::new(Kind::Tcp, 0, 256 << 10, Instant::now());
        let mut now = it.since;
        for _ in 0..6 {
            now += Duration::from_millis(110);
            while it.window.open() >= 65_532 && it.window.held() < it.window.size() / 2 + 65_532 {
                it.window.take(65_532).unwrap();
            }
            it.release(it.window.held(), now, Some(Duration::from_millis(100)), 16 << 20);
        }
        assert_eq!(it.window.size(), 16 << 20);
    }

    #[test]
    fn a_window_that_is_used_slowly_stays() {
        let mut it = stream();
        let mut now = it.since;
        for _ in 0..20 {
            now += Duration::from_millis(201);
            it.window.take(500).unwrap();
            assert_eq!(it.release(500, now, Some(Duration::from_millis(100)), 10_000), Some(500));
        }
        assert_eq!(it.window.size(), 1_000);
    }

    #[test]
    fn a_window_does_not_outgrow_its_maximum() {
        let mut it = stream();
        for _ in 0..100 {
            it.window.take(500).unwrap();
            it.release(500, it.since, Some(Duration::from_millis(100)), 3_000);
        }
        assert_eq!(it.window.size(), 3_000);
    }

    #[test]
    fn nothing_is_granted_to_a_peer_that_has_finished() {
        let mut it = stream();
        it.window.take(900).unwrap();
        it.theirs_over = true;
        assert_eq!(it.release(900, it.since, None, 10_000), None);
    }

    #[test]
    fn a_stream_that_was_broken_off_may_still_send_what_it_had_credit_for() {
        let mut gone = BrokenOff::default();
        gone.remember(7, 10);
        assert_eq!(gone.take(7, 10), Ok(()));
        assert_eq!(gone.take(7, 1), Err(Fault::flow("more data than there was credit for")));
        assert_eq!(gone.late(8), Late::Unknown);
    }

    #[test]
    fn what_is_remembered_is_bounded_and_the_forgotten_are_forgiven() {
        let mut gone = BrokenOff::default();
        for id in 1..=100_000 {
            gone.remember(id, 0);
        }
        assert_eq!(gone.open.len(), REMEMBERED_MAX);
        assert_eq!(gone.order.len(), REMEMBERED_MAX);
        assert_eq!(
            (gone.late(1), gone.late(100_000), gone.late(100_001)),
            (Late::BrokenOff, Late::BrokenOff, Late::Unknown)
        );
    }
}
