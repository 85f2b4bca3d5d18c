//! What tests and fuzzing look at: the invariants of a session, and the numbers that two ends must agree on.

use super::Session;
use crate::tunnel::proto::data::size;
use crate::tunnel::proto::stream::State;
use crate::tunnel::proto::{Side, StreamId};

/// Credit of one stream, or of the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Balance {
    /// What we may send.
    pub(crate) sendable: u32,
    /// What the peer may send.
    pub(crate) open: u32,
    /// What we hold.
    pub(crate) held: u32,
    /// The most that may be open and held.
    pub(crate) window: u32,
}

impl Session {
    /// Panics when something does not hold that must hold after every call.
    pub(crate) fn audit(&self) {
        let window = self.window;
        assert!(u64::from(window.open()) + u64::from(window.held()) <= u64::from(window.size()), "{window:?}");
        let mut held = 0_u64;
        for (id, stream) in &self.streams {
            assert!(*id > 0 && *id <= self.highest, "stream {id} of {}", self.highest);
            assert_ne!(stream.state(), State::Closed, "stream {id} is over and in the table");
            let window = stream.window;
            assert!(u64::from(window.open()) + u64::from(window.held()) <= u64::from(window.size()), "{window:?}");
            assert!(window.size() <= self.ours.session_credit.max(self.ours.stream_credit), "{window:?}");
            held += u64::from(window.held());
        }
        assert!(held <= u64::from(window.held()), "the streams hold {held}, the session {window:?}");
        let streams_max = match self.side {
            Side::Server => self.theirs.streams_max,
            Side::Client => self.ours.streams_max,
        };
        assert!(self.streams.len() <= size(streams_max.min(self.highest)), "{} streams", self.streams.len());
    }

    /// Credit of the session.
    pub(crate) fn balance(&self) -> Balance {
        let window = self.window;
        Balance { sendable: self.credit.left(), open: window.open(), held: window.held(), window: window.size() }
    }

    /// Credit of a stream that is in the table.
    pub(crate) fn stream_balance(&self, id: StreamId) -> Option<Balance> {
        let stream = self.streams.get(&id.get())?;
        let window = stream.window;
        let (open, held, window) = (window.open(), window.held(), window.size());
        Some(Balance { sendable: stream.credit.left(), open, held, window })
    }

    /// The streams that are in the table, in order.
    pub(crate) fn ids(&self) -> Vec<StreamId> {
        let mut ids: Vec<_> = self.streams.keys().map(|id| StreamId::new(*id)).collect();
        ids.sort_unstable();
        ids
    }
}
