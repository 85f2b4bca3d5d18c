//! The connection between client and server as the data plane drives it: plain, or TLS over its own buffers.
//!
//! rustls alone would read a socket in pieces of 4 KiB; here one call takes what waits, and one call sends several
//! records. Everything is polled, so that one task can wait for both directions and for its neighbours at once.

use std::io::{self, BufRead, IoSlice, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BufMut, BytesMut};
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;
use tokio_rustls::rustls::Connection;
use tokio_util::io::poll_read_buf;

use super::handshake::Transport;
use super::spare::{SPARE_BYTES, give_back, lend};

/// The most that is encrypted ahead of the socket, in bytes.
const CIPHERTEXT_BYTES: usize = 256 * 1024;

/// A connection to the other end of the tunnel.
pub(crate) enum Wire {
    /// Without encryption: loopback, or where `--insecure` was given.
    Plain(TcpStream),
    /// TLS 1.3.
    Tls(Box<Secure>),
}

/// A TLS connection and what is on its way through it.
pub(crate) struct Secure {
    tcp: TcpStream,
    tls: Connection,
    /// Ciphertext that was received and not yet decrypted.
    received: BytesMut,
    /// The peer closed its direction, with or without saying so first.
    ended: bool,
}

/// A connection on its way to another thread, whose runtime takes it over.
pub(crate) struct Parcel {
    tcp: std::net::TcpStream,
    tls: Option<Box<Connection>>,
}

impl Parcel {
    /// Takes a connection from the runtime that made it.
    ///
    /// # Errors
    /// When the system cannot make the connection known elsewhere.
    pub(crate) fn pack(transport: Transport) -> io::Result<Self> {
        let (tcp, tls) = parts(transport);
        Ok(Self { tcp: tcp.into_std()?, tls: tls.map(Box::new) })
    }

    /// Gives the connection to the runtime of the calling thread.
    ///
    /// # Errors
    /// As [`Parcel::pack`].
    pub(crate) fn unpack(self) -> io::Result<Wire> {
        let tcp = TcpStream::from_std(self.tcp)?;
        Ok(Wire::new(tcp, self.tls.map(|tls| *tls)))
    }
}

fn parts(transport: Transport) -> (TcpStream, Option<Connection>) {
    match transport {
        Transport::Plain(tcp) => (tcp, None),
        Transport::Tls(stream) => match *stream {
            TlsStream::Client(stream) => {
                let (tcp, tls) = stream.into_inner();
                (tcp, Some(Connection::Client(tls)))
            }
            TlsStream::Server(stream) => {
                let (tcp, tls) = stream.into_inner();
                (tcp, Some(Connection::Server(tls)))
            }
        },
    }
}

impl From<Transport> for Wire {
    fn from(transport: Transport) -> Self {
        let (tcp, tls) = parts(transport);
        Self::new(tcp, tls)
    }
}

impl Wire {
    fn new(tcp: TcpStream, tls: Option<Connection>) -> Self {
        match tls {
            None => Self::Plain(tcp),
            Some(mut tls) => {
                tls.set_buffer_limit(Some(CIPHERTEXT_BYTES));
                Self::Tls(Box::new(Secure { tcp, tls, received: BytesMut::new(), ended: false }))
            }
        }
    }

    /// Returns the connection below.
    pub(crate) fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(secure) => &secure.tcp,
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
            Self::Tls(secure) => {
                // Only the first call puts a farewell into the buffer.
                secure.tls.send_close_notify();
                ready!(secure.poll_flush(cx)?);
                Pin::new(&mut secure.tcp).poll_shutdown(cx)
            }
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
            give_back(&mut secure.received);
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

fn broken(error: tokio_rustls::rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

impl Secure {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut BytesMut, most: usize) -> Poll<io::Result<usize>> {
        let mut read = 0;
        loop {
            while read < most {
                let taken = match self.tls.reader().fill_buf() {
                    Ok([]) => return Poll::Ready(Ok(read)),
                    Ok(chunk) => {
                        let taken = chunk.len().min(most - read);
                        buffer.extend_from_slice(chunk.get(..taken).unwrap_or_default());
                        taken
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => return Poll::Ready(Err(error)),
                };
                self.tls.reader().consume(taken);
                read += taken;
            }
            if read == most || !self.decrypt()? {
                if read > 0 {
                    return Poll::Ready(Ok(read));
                }
                ready!(self.poll_receive(cx)?);
            }
        }
    }

    /// Feeds received ciphertext to TLS; `false` when there is none.
    fn decrypt(&mut self) -> io::Result<bool> {
        if self.received.is_empty() && !self.ended {
            return Ok(false);
        }
        let mut source: &[u8] = &self.received;
        // An empty source tells TLS that the connection has ended.
        let fed = self.tls.read_tls(&mut source)?;
        self.received.advance(fed);
        give_back(&mut self.received);
        self.tls.process_new_packets().map_err(broken)?;
        Ok(true)
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        lend(&mut self.received);
        let received =
            ready!(poll_read_buf(Pin::new(&mut self.tcp), cx, &mut (&mut self.received).limit(SPARE_BYTES))?);
        self.ended |= received == 0;
        Poll::Ready(Ok(()))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &mut BytesMut) -> Poll<io::Result<()>> {
        loop {
            if !bytes.is_empty() {
                let taken = self.tls.writer().write(bytes)?;
                bytes.advance(taken);
            }
            if !self.tls.wants_write() {
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_flush(cx)?);
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.tls.wants_write() {
            let mut sink = Sink { tcp: &mut self.tcp, cx, pending: false };
            let outcome = self.tls.write_tls(&mut sink);
            if sink.pending {
                return Poll::Pending;
            }
            if outcome? == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// Lets rustls, which knows only [`Write`], write to a polled socket.
struct Sink<'a, 'b> {
    tcp: &'a mut TcpStream,
    cx: &'a mut Context<'b>,
    pending: bool,
}

impl Sink<'_, '_> {
    fn settle(&mut self, outcome: Poll<io::Result<usize>>) -> io::Result<usize> {
        match outcome {
            Poll::Ready(outcome) => outcome,
            Poll::Pending => {
                self.pending = true;
                Err(io::ErrorKind::WouldBlock.into())
            }
        }
    }
}

impl Write for Sink<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let outcome = Pin::new(&mut *self.tcp).poll_write(self.cx, bytes);
        self.settle(outcome)
    }

    fn write_vectored(&mut self, records: &[IoSlice<'_>]) -> io::Result<usize> {
        let outcome = Pin::new(&mut *self.tcp).poll_write_vectored(self.cx, records);
        self.settle(outcome)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
