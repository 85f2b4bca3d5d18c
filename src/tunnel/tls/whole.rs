//! A TCP connection from which TLS reads whole records: what follows a handshake is not in rustls's buffers, but still
//! in the socket.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::record::HEADER_BYTES;

/// A connection that gives at most the rest of one record at a time.
#[derive(Debug)]
pub(crate) struct Whole {
    tcp: TcpStream,
    header: [u8; HEADER_BYTES],
    /// Bytes of the header that were read.
    headed: usize,
    /// Bytes of the record that were not read, once the header was.
    left: usize,
}

impl Whole {
    pub(crate) fn new(tcp: TcpStream) -> Self {
        Self { tcp, header: [0; HEADER_BYTES], headed: 0, left: 0 }
    }

    /// Returns the connection below.
    pub(crate) fn tcp(&self) -> &TcpStream {
        &self.tcp
    }

    /// Returns the connection below, unless a part of a record was read from it.
    pub(crate) fn into_tcp(self) -> Option<TcpStream> {
        (self.headed == 0).then_some(self.tcp)
    }

    fn most(&self) -> usize {
        if self.headed < HEADER_BYTES { HEADER_BYTES - self.headed } else { self.left }
    }

    fn note(&mut self, bytes: &[u8]) {
        if self.headed == HEADER_BYTES {
            self.left = self.left.saturating_sub(bytes.len());
        } else {
            for (slot, byte) in self.header.iter_mut().skip(self.headed).zip(bytes) {
                *slot = *byte;
            }
            self.headed += bytes.len();
            let [_, _, _, high, low] = self.header;
            // Whatever it says: what is no TLS is rustls's to refuse.
            self.left = usize::from(u16::from_be_bytes([high, low]));
        }
        if self.headed == HEADER_BYTES && self.left == 0 {
            self.headed = 0;
        }
    }
}

impl AsyncRead for Whole {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let most = this.most().min(buffer.remaining());
        let mut piece = ReadBuf::new(buffer.initialize_unfilled_to(most));
        ready!(Pin::new(&mut this.tcp).poll_read(cx, &mut piece)?);
        let read = piece.filled().len();
        this.note(piece.filled());
        buffer.advance(read);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Whole {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().tcp).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().tcp).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_shutdown(cx)
    }
}
