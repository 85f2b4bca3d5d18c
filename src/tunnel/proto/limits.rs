//! What each side agrees to in Hello and Welcome, and the sizes and times that hold for every session.

use std::time::Duration;

use super::frame;

/// The largest window of one stream, in bytes: 100 ms of a path of 1.3 Gbit/s. A stream that needs more is lifted to a
/// connection of its own.
pub(crate) const STREAM_WINDOW_MAX: u32 = 16 << 20;

/// The most credit that may stand at any time, in bytes: half of what u32 can hold, so that no sum of two overflows.
pub(crate) const CREDIT_MAX: u32 = (1 << 31) - 1;

/// The longest payload that we send, in bytes: longer frames make the other streams wait and save nothing.
pub(crate) const SENT_FRAME_BYTES_MAX: u32 = 64 << 10;

/// The longest payload of a frame that is neither Data nor Datagram: above Open (306 bytes) and `GoAway` (262 bytes), and
/// far below the smallest buffer of a reader (4 KiB).
pub(crate) const CONTROL_BYTES_MAX: u32 = 512;

/// The least frame limit that a session runs on, in bytes: every control frame fits.
pub(crate) const FRAME_BYTES_MIN: u32 = 1_024;

/// The longest text of `GoAway`, in bytes: a line of a log.
pub(crate) const TEXT_BYTES_MAX: usize = 256;

/// The longest host of `Open`, in bytes: its length is one byte; a name of the DNS has at most 253.
pub(crate) const HOST_BYTES_MAX: usize = 255;

/// No stream has this id or a higher one: the session drains before ids run out, with room for what is in flight.
pub(crate) const STREAM_ID_END: u32 = u32::MAX - (1 << 16);

/// Silence of the peer after which it is asked whether it is there.
pub(crate) const PING_AFTER: Duration = Duration::from_secs(5);

/// Silence of the peer after which it counts as dead: three times the silence before a ping.
pub(crate) const DEAD_AFTER: Duration = Duration::from_secs(15);

/// Rest after an answered ping: five a second are half of what a peer answers.
pub(crate) const PING_GAP: Duration = Duration::from_millis(200);

/// A deadline that is served this much too late tells that this process slept, and says nothing about the peer.
pub(crate) const SLEPT_AFTER: Duration = Duration::from_secs(1);

/// Time to read what arrived while this process slept, before the peer is judged.
pub(crate) const WAKE_GRACE: Duration = Duration::from_secs(5);

/// How long a session is watched under pressure before streams that are stuck are broken off, and between two looks.
pub(crate) const PRESSURE_PERIOD: Duration = Duration::from_secs(1);

/// Age after which the round trip is measured anew while data flows.
pub(crate) const ROUND_TRIP_AGE: Duration = Duration::from_secs(10);

/// What one side takes, as it says in Hello or Welcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// The longest payload of a frame, in bytes, stream id included.
    pub(crate) frame_bytes_max: u32,
    /// How many streams may be open at once.
    pub(crate) streams_max: u32,
    /// Data bytes of a stream that may be sent before any credit arrives.
    pub(crate) stream_credit: u32,
    /// Data bytes of all streams that may be sent before any credit arrives.
    pub(crate) session_credit: u32,
}

impl Limits {
    /// What we take: frames of 64 KiB (version 1 peers send no more than 32), as many streams as a process has
    /// descriptors for, a window that fills 20 ms of 100 Mbit/s at once, and memory of 32 MiB for a session at worst.
    pub(crate) const OURS: Self =
        Self { frame_bytes_max: 64 << 10, streams_max: 16_384, stream_credit: 256 << 10, session_credit: 32 << 20 };

    /// The same limits, cut down to what a session can run on.
    pub(crate) fn clamped(self) -> Self {
        Self {
            frame_bytes_max: self.frame_bytes_max.clamp(FRAME_BYTES_MIN, frame::PAYLOAD_BYTES_MAX),
            streams_max: self.streams_max,
            stream_credit: self.stream_credit.min(CREDIT_MAX),
            session_credit: self.session_credit.min(CREDIT_MAX),
        }
    }
}
