//! Whole frames of a handshake on a connection, with bounded memory.

use std::io;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Duration, timeout};

use super::Transport;
use crate::tunnel::proto::Fault;
use crate::tunnel::proto::frame::{HEADER_BYTES, Header};
use crate::tunnel::proto::hello::HANDSHAKE_BYTES_MAX;

/// Room to read into; together with the longest frame it bounds what a stranger makes us hold to some 8 KiB.
const READ_BYTES: usize = 2048;

/// How long a peer that was turned away may take to read why.
const PARTING: Duration = Duration::from_millis(500);

/// The most that is read, and thrown away, while a peer is turned away; more is answered by a reset.
const PARTING_BYTES_MAX: usize = 64 * 1024;

/// Why no frame came.
#[derive(Debug)]
pub(super) enum WireFault {
    /// The peer closed the connection between two frames.
    Closed,
    /// The connection failed.
    Broken(io::Error),
    /// What came is no frame of a handshake.
    Fault(Fault),
}

impl From<io::Error> for WireFault {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Self::Closed,
            _ => Self::Broken(error),
        }
    }
}

impl From<Fault> for WireFault {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// A frame as it came.
pub(super) struct Frame {
    pub(super) kind: u8,
    /// Header and payload.
    pub(super) whole: Bytes,
}

impl Frame {
    pub(super) fn payload(&self) -> &[u8] {
        self.whole.get(HEADER_BYTES..).unwrap_or_default()
    }
}

/// A connection during its handshake.
pub(super) struct Wire {
    pub(super) transport: Transport,
    /// What was read and belongs to the next frame, or to what follows the handshake.
    pub(super) held: BytesMut,
}

impl Wire {
    pub(super) fn new(transport: Transport) -> Self {
        Self { transport, held: BytesMut::new() }
    }

    /// Waits for the next frame.
    pub(super) async fn frame(&mut self) -> Result<Frame, WireFault> {
        loop {
            if let Some(header) = Header::read(&self.held)? {
                if header.length > HANDSHAKE_BYTES_MAX {
                    return Err(Fault::protocol("a frame too long for a handshake").into());
                }
                let length = HEADER_BYTES + usize::try_from(header.length).unwrap_or(usize::MAX);
                if self.held.len() >= length {
                    return Ok(Frame { kind: header.kind, whole: self.held.split_to(length).freeze() });
                }
            }
            self.more().await?;
        }
    }

    /// Waits until something more has come.
    pub(super) async fn more(&mut self) -> Result<(), WireFault> {
        self.held.reserve(READ_BYTES);
        match self.transport.read_buf(&mut self.held).await? {
            0 => Err(WireFault::Closed),
            _ => Ok(()),
        }
    }

    /// Sends a frame and sees it off.
    pub(super) async fn send(&mut self, frame: &[u8]) -> Result<(), WireFault> {
        self.transport.write_all(frame).await?;
        self.transport.flush().await?;
        Ok(())
    }

    /// Sends a last frame and closes, in a way that lets the peer read it: a close with bytes unread would reset the
    /// connection and could destroy the frame on its way.
    pub(super) async fn part(mut self, frame: &[u8]) {
        let parting = async {
            self.send(frame).await.ok()?;
            self.transport.shutdown().await.ok()?;
            let mut rest = [0; READ_BYTES];
            let mut read = 0;
            while read < PARTING_BYTES_MAX {
                match self.transport.read(&mut rest).await.ok()? {
                    0 => break,
                    more => read += more,
                }
            }
            Some(())
        };
        // Whatever happens to it, the connection is over.
        let _ = timeout(PARTING, parting).await;
    }
}
