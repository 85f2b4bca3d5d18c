//! The tunnel's protocol as a pure machine: bytes and events in, bytes and events out; no socket, no clock, no task.
//!
//! The layout of every frame is written down in `docs/tunnel-protocol.md`.

pub(crate) mod frame;
pub(crate) mod hello;
pub(crate) mod limits;

/// Why a session must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fault {
    /// What the peer is told.
    pub(crate) reason: GoAwayReason,
    /// What the log says.
    pub(crate) detail: &'static str,
}

impl Fault {
    /// A rule of the protocol was broken.
    pub(crate) const fn protocol(detail: &'static str) -> Self {
        Self { reason: GoAwayReason::Protocol, detail }
    }
}

/// Why a session ends, as `GoAway` carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GoAwayReason {
    /// The process stops.
    ShuttingDown,
    /// A rule of the protocol was broken.
    Protocol,
    /// More was sent than there was credit for.
    FlowControl,
    /// Too much work for nothing was asked.
    Abuse,
    /// Nothing was heard for too long.
    DeadPeer,
    /// No stream ids are left.
    IdsExhausted,
    /// The token was revoked.
    Revoked,
    /// Another session of the same client took over.
    Replaced,
}
