//! The connection between client and server as the data plane drives it: plain, or records of TLS.
//!
//! Everything is polled, so that one task can wait for both directions and for its neighbours at once.

mod secure;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BufMut, BytesMut};
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;
use tokio_util::io::poll_read_buf;

use self::secure::Secure;
#[cfg(any(test, feature = "fuzzing"))]
pub(in crate::tunnel) use self::secure::fuzz;
use super::handshake::Transport;
use super::tls::Protection;

/// A connection to the other end of the tunnel.
pub(crate) enum Wire {
    /// Without encryption: loopback, or where `--insecure` was given.
    Plain(TcpStream),
    /// TLS 1.3.
    Tls(Box<Secure>),
}

/// A connection on its way to another thread, whose runtime takes it over.
pub(crate) struct Parcel {
    tcp: std::net::TcpStream,
    protection: Option<Box<Protection>>,
}

impl Parcel {
    /// Takes a connection from the runtime that made it.
    ///
    /// # Errors
    /// When the system cannot make the connection known elsewhere, or its handshake is not quite done.
    pub(crate) fn pack(transport: Transport) -> io::Result<Self> {
        let (tcp, protection) = parts(transport)?;
        Ok(Self { tcp: tcp.into_std()?, protection })
    }

    /// Gives the connection to the runtime of the calling thread.
    ///
    /// # Errors
    /// When the system cannot make the connection known here.
    pub(crate) fn unpack(self) -> io::Result<Wire> {
        Ok(Wire::new(TcpStream::from_std(self.tcp)?, self.protection))
    }
}

fn parts(transport: Transport) -> io::Result<(TcpStream, Option<Box<Protection>>)> {
    match transport {
        Transport::Plain(tcp) => Ok((tcp, None)),
        Transport::Tls(shaken) => shaken.hand_over().map(|(tcp, protection)| (tcp, Some(Box::new(protection)))),
    }
}

impl TryFrom<Transport> for Wire {
    type Error = io::Error;

    fn try_from(transport: Transport) -> io::Result<Self> {
        let (tcp, protection) = parts(transport)?;
        Ok(Self::new(tcp, protection))
    }
}

impl Wire {
    fn new(tcp: TcpStream, protection: Option<Box<Protection>>) -> Self {
        match protection {
            None => Self::Plain(tcp),
            Some(protection) => Self::Tls(Box::new(Secure::new(tcp, *protection))),
        }
    }

    /// Returns the connection below.
    pub(crate) fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(secure) => secure.tcp(),
        }
    }

    /// Returns the bare connection when there is no encryption, which the system can then copy for itself.
    pub(crate) fn plain(&self) -> Option<&TcpStream> {
        match self {
            Self::Plain(tcp) => Some(tcp),
            Self::Tls(_) => None,
        }
    }

    /// Appends up to `most` received bytes to `buffer` and returns how many; 0 at the orderly end.
    ///
    /// An end without TLS's own farewell is [`io::ErrorKind::UnexpectedEof`]: somebody cut the connection.
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut BytesMut,
        most: usize,
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(tcp) => {
                buffer.reserve(most);
                poll_read_buf(Pin::new(tcp), cx, &mut buffer.limit(most))
            }
            Self::Tls(secure) => secure.poll_read(cx, buffer, most),
        }
    }

    /// Waits until there is data that was opened where it was received, and returns how many bytes of it; 0 at the
    /// orderly end. Only for TLS.
    pub(crate) fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(_) => Poll::Ready(Err(io::ErrorKind::Unsupported.into())),
            Self::Tls(secure) => secure.poll_open(cx),
        }
    }

    /// Writes up to `most` bytes of such data to a connection without encryption, and returns how many it took.
    pub(crate) fn poll_pass(&mut self, cx: &mut Context<'_>, to: &mut Self, most: usize) -> Poll<io::Result<usize>> {
        match (self, to) {
            (Self::Tls(secure), Self::Plain(to)) => secure.poll_pass(cx, to, most),
            _ => Poll::Ready(Err(io::ErrorKind::Unsupported.into())),
        }
    }

    /// Reads up to `most` bytes from a connection without encryption and seals them where they are; returns how many, 0
    /// at its end. Only for TLS that was flushed.
    pub(crate) fn poll_take(&mut self, cx: &mut Context<'_>, from: &Self, most: usize) -> Poll<io::Result<usize>> {
        match (self, from) {
            (Self::Tls(secure), Self::Plain(from)) => secure.poll_take(cx, from, most),
            _ => Poll::Ready(Err(io::ErrorKind::Unsupported.into())),
        }
    }

    /// Sends what was sealed.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(_) => Poll::Ready(Ok(())),
            Self::Tls(secure) => secure.poll_flush(cx),
        }
    }

    /// Sends from the front of `bytes`; ready when all of them have left this process.
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &mut BytesMut) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(tcp) => {
                while !bytes.is_empty() {
                    let written = ready!(Pin::new(&mut *tcp).poll_write(cx, bytes)?);
                    advance(bytes, written)?;
                }
                Poll::Ready(Ok(()))
            }
            Self::Tls(secure) => secure.poll_write(cx, bytes),
        }
    }

    /// Ends our direction; the peer's stays open.
    pub(crate) fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Tls(secure) => secure.poll_finish(cx),
        }
    }

    /// Has the connection end with a reset when it is dropped: what was not delivered is visibly lost.
    pub(crate) fn reset(&self) {
        // On a socket that is already dead this fails, and nothing is left to reset.
        let _ = self.tcp().set_zero_linger();
    }

    /// Gives buffers back that hold nothing, for a connection that may be idle for long.
    pub(crate) fn rest(&mut self) {
        if let Self::Tls(secure) = self {
            secure.rest();
        }
    }
}

fn advance(bytes: &mut BytesMut, written: usize) -> io::Result<()> {
    if written == 0 {
        return Err(io::ErrorKind::WriteZero.into());
    }
    bytes.advance(written);
    Ok(())
}
