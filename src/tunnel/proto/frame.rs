//! The six bytes before every payload, of version 1 and of its extension alike.

use super::Fault;

/// The version byte, the first of every frame.
pub(crate) const VERSION: u8 = 0x01;

/// Version, type and length.
pub(crate) const HEADER_BYTES: usize = 6;

/// The longest payload that version 1 allows; more ends the connection.
pub(crate) const PAYLOAD_BYTES_MAX: u32 = 1_048_576;

/// A decoded header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    /// The type byte.
    pub(crate) kind: u8,
    /// Bytes of payload that follow.
    pub(crate) length: u32,
}

impl Header {
    /// Reads a header from the front of `input`; `None` when fewer than six bytes are there.
    pub(crate) fn read(input: &[u8]) -> Result<Option<Self>, Fault> {
        if input.first().is_some_and(|version| *version != VERSION) {
            return Err(Fault::protocol("a frame of another version"));
        }
        let Some((&[_, kind, a, b, c, d], _)) = input.split_first_chunk() else { return Ok(None) };
        let length = u32::from_be_bytes([a, b, c, d]);
        if length > PAYLOAD_BYTES_MAX {
            return Err(Fault::protocol("a frame longer than a mebibyte"));
        }
        Ok(Some(Self { kind, length }))
    }

    /// Returns the six bytes.
    pub(crate) const fn bytes(self) -> [u8; HEADER_BYTES] {
        let [a, b, c, d] = self.length.to_be_bytes();
        [VERSION, self.kind, a, b, c, d]
    }
}

/// The type bytes.
pub(crate) mod kind {
    /// Version 1: the server asks the client to dial.
    pub(crate) const CONNECT_REQUEST: u8 = 0x01;
    /// Version 1: what became of it.
    pub(crate) const CONNECT_RESPONSE: u8 = 0x02;
    /// Bytes of a stream; the same in version 1 and in the extension.
    pub(crate) const DATA: u8 = 0x03;
    /// Version 1: a stream is over in both directions.
    pub(crate) const CLOSE: u8 = 0x04;
    /// Version 1: a sign of life.
    pub(crate) const KEEP_ALIVE: u8 = 0x05;
    /// The client begins a session.
    pub(crate) const HELLO: u8 = 0x10;
    /// The server asks for proof.
    pub(crate) const CHALLENGE: u8 = 0x11;
    /// The client proves that it has the token.
    pub(crate) const PROOF: u8 = 0x12;
    /// The server proves the same, and the session begins.
    pub(crate) const WELCOME: u8 = 0x13;
    /// The server does not begin a session.
    pub(crate) const REJECTED: u8 = 0x14;
    /// The client brings a data connection for a stream.
    pub(crate) const JOIN: u8 = 0x15;
    /// The server opens a stream.
    pub(crate) const OPEN: u8 = 0x20;
    /// The client reached the target.
    pub(crate) const OPENED: u8 = 0x21;
    /// The client did not reach the target.
    pub(crate) const REFUSED: u8 = 0x22;
    /// One direction of a stream is over.
    pub(crate) const FINISH: u8 = 0x23;
    /// A stream was broken off.
    pub(crate) const RESET: u8 = 0x24;
    /// More may be sent.
    pub(crate) const CREDIT: u8 = 0x25;
    /// A question whether the peer is there.
    pub(crate) const PING: u8 = 0x26;
    /// The answer.
    pub(crate) const PONG: u8 = 0x27;
    /// The session is about to end.
    pub(crate) const GO_AWAY: u8 = 0x28;
    /// The server asks for a data connection.
    pub(crate) const LIFT: u8 = 0x29;
    /// The rest of a direction is on the data connection.
    pub(crate) const MOVE: u8 = 0x2A;
    /// One datagram.
    pub(crate) const DATAGRAM: u8 = 0x2B;
}
