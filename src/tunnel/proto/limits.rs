//! What each side of a session is ready to hold.

/// What a peer may send and open; each side tells its own once, when the session begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// The longest payload of a frame, in bytes.
    pub(crate) frame_bytes_max: u32,
    /// Streams that may be open at a time.
    pub(crate) streams_max: u32,
    /// Bytes that may be sent on a new stream before credit is given.
    pub(crate) stream_credit: u32,
    /// Bytes that may be sent on all streams together before credit is given.
    pub(crate) session_credit: u32,
}

impl Limits {
    /// Ours: frames of 64 KiB keep one stream from delaying the others, 256 KiB fill most paths at once, and 32 MiB
    /// bound the memory of a session.
    pub(crate) const OURS: Self = Self {
        frame_bytes_max: 64 * 1024,
        streams_max: 16_384,
        stream_credit: 256 * 1024,
        session_credit: 32 * 1024 * 1024,
    };
}
