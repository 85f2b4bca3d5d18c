//! The tunnel's protocol as a pure machine: bytes and events in, bytes and events out; no socket, no clock, no task.
//!
//! The layout of every frame is written down in `docs/tunnel-protocol.md`.

mod budget;
mod data;
mod event;
mod flow;
pub(crate) mod frame;
pub(crate) mod hello;
pub(crate) mod legacy;
pub(crate) mod limits;
mod session;
mod stream;
mod wire;

pub(crate) use data::DataSlot;
pub(crate) use event::{Event, Kind, Open, Proxy, Received, StreamId};
pub(crate) use limits::Limits;
pub(crate) use session::{OpenFault, Session};

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

    /// More was sent, or more credit was given, than the rules of flow control allow.
    pub(crate) const fn flow(detail: &'static str) -> Self {
        Self { reason: GoAwayReason::FlowControl, detail }
    }

    /// A budget of cheap frames is used up.
    pub(crate) const fn abuse(detail: &'static str) -> Self {
        Self { reason: GoAwayReason::Abuse, detail }
    }
}

/// Which end of the control connection a session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// It dialled the server, and dials the targets.
    Client,
    /// It has the visitors, and opens the streams.
    Server,
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

impl GoAwayReason {
    /// Returns the code on the wire.
    pub(crate) const fn code(self) -> u16 {
        match self {
            Self::ShuttingDown => 1,
            Self::Protocol => 2,
            Self::FlowControl => 3,
            Self::Abuse => 4,
            Self::DeadPeer => 5,
            Self::IdsExhausted => 6,
            Self::Revoked => 7,
            Self::Replaced => 8,
        }
    }

    /// Reads a code of the wire.
    pub(crate) fn from_code(code: u16) -> Result<Self, Fault> {
        Ok(match code {
            1 => Self::ShuttingDown,
            2 => Self::Protocol,
            3 => Self::FlowControl,
            4 => Self::Abuse,
            5 => Self::DeadPeer,
            6 => Self::IdsExhausted,
            7 => Self::Revoked,
            8 => Self::Replaced,
            _ => return Err(Fault::protocol("a go-away for a reason that does not exist")),
        })
    }
}

/// Why a stream was refused or broken off, as `Refused` and `Reset` carry it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The visitor or the target broke its connection off.
    PeerClosed,
    /// The target refused the connection.
    DialRefused,
    /// The target did not answer in time.
    DialTimedOut,
    /// The target's name has no address.
    NotResolved,
    /// The client does not let the server reach this target.
    TargetDenied,
    /// As many streams as were agreed on are open.
    TooManyStreams,
    /// Nothing moved for too long.
    IdleTooLong,
    /// The process stops.
    ShuttingDown,
    /// A rule of the protocol was broken.
    Protocol,
    /// A fault of this side.
    Internal,
    /// The mapping went away, or somebody asked for it.
    Cancelled,
}

impl Reason {
    /// Returns the code on the wire.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::PeerClosed => 1,
            Self::DialRefused => 2,
            Self::DialTimedOut => 3,
            Self::NotResolved => 4,
            Self::TargetDenied => 5,
            Self::TooManyStreams => 6,
            Self::IdleTooLong => 7,
            Self::ShuttingDown => 8,
            Self::Protocol => 9,
            Self::Internal => 10,
            Self::Cancelled => 11,
        }
    }

    /// Reads a code of the wire.
    pub(crate) fn from_code(code: u8) -> Result<Self, Fault> {
        Ok(match code {
            1 => Self::PeerClosed,
            2 => Self::DialRefused,
            3 => Self::DialTimedOut,
            4 => Self::NotResolved,
            5 => Self::TargetDenied,
            6 => Self::TooManyStreams,
            7 => Self::IdleTooLong,
            8 => Self::ShuttingDown,
            9 => Self::Protocol,
            10 => Self::Internal,
            11 => Self::Cancelled,
            _ => return Err(Fault::protocol("a reset for a reason that does not exist")),
        })
    }
}

#[cfg(test)]
mod tests;
