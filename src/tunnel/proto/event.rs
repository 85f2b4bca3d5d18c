//! What a session tells its caller, and the values that frames carry.

use std::net::SocketAddr;
use std::time::Duration;

use super::{GoAwayReason, Reason};

/// The number of a stream, from 1 upwards; 0 stands for the whole session and is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct StreamId(u32);

impl StreamId {
    /// The stream of this number.
    pub(crate) const fn new(id: u32) -> Self {
        Self(id)
    }

    /// Returns the number.
    pub(crate) const fn get(self) -> u32 {
        self.0
    }
}

/// What a stream carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Bytes in order.
    Tcp,
    /// Datagrams that may get lost.
    Udp,
}

/// Which header of the PROXY protocol the client writes to the target first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proxy {
    /// None.
    Off,
    /// The one in text.
    V1,
    /// The one in bytes.
    V2,
}

/// What the server asks the client to dial, and for whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Open {
    /// What the stream carries.
    pub(crate) kind: Kind,
    /// The header that the target wants.
    pub(crate) proxy: Proxy,
    /// The port of the target.
    pub(crate) target_port: u16,
    /// The name or address of the target: printable ASCII, at most 255 bytes.
    pub(crate) host: String,
    /// Who came.
    pub(crate) visitor: Option<SocketAddr>,
    /// Where the visitor came to.
    pub(crate) public: Option<SocketAddr>,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event<'a> {
    /// The server opened a stream: dial, then accept or refuse.
    Open {
        /// Which.
        id: StreamId,
        /// For what.
        open: Open,
    },
    /// The client reached the target; data may have been sent before, and more may be sendable.
    Opened {
        /// Which.
        id: StreamId,
    },
    /// The client did not reach the target; the stream is over.
    Refused {
        /// Which.
        id: StreamId,
        /// Why.
        reason: Reason,
    },
    /// Bytes of a stream; `consumed` must be called for each of them, whatever becomes of the stream.
    Data {
        /// Which.
        id: StreamId,
        /// A piece of a frame.
        bytes: &'a [u8],
    },
    /// One whole datagram.
    Datagram {
        /// Which.
        id: StreamId,
        /// The datagram, which may be empty.
        bytes: &'a [u8],
    },
    /// The peer sends no more bytes on this stream.
    Finish {
        /// Which.
        id: StreamId,
    },
    /// The stream is broken off, by the peer or because it held too much for too long.
    Reset {
        /// Which.
        id: StreamId,
        /// Why.
        reason: Reason,
    },
    /// A stream that had no credit has some.
    Sendable {
        /// Which.
        id: StreamId,
    },
    /// The session, which had no credit, has some: every stream that waits may try.
    SessionSendable,
    /// The server asks for a data connection.
    Lift {
        /// For which.
        id: StreamId,
    },
    /// The rest of the peer's direction is on the data connection.
    Moved {
        /// Of which.
        id: StreamId,
    },
    /// The peer opens or takes no more streams.
    GoAway {
        /// Why.
        reason: GoAwayReason,
        /// The last stream that it has to do with.
        last: u32,
        /// What its log says.
        text: &'a str,
    },
    /// The peer answered a ping.
    Pong {
        /// How long that took.
        round_trip: Duration,
    },
}

/// What `receive` did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Received<'a> {
    /// Bytes of the input that are done with. With 0 and no event, more bytes are needed.
    pub(crate) consumed: usize,
    /// What happened, if anything did.
    pub(crate) event: Option<Event<'a>>,
}
