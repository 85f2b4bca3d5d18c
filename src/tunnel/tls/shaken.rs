//! A TLS connection whose handshake is done, and what becomes of it: rustls's until both ends have proven themselves,
//! then two directions of records.

use std::fmt;
use std::io::{self, BufRead};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;
use tokio_rustls::rustls::{Connection, KeyLog};
use zeroize::Zeroizing;

use super::record::{Opener, Sealer};
use super::whole::Whole;
use super::{ALPN, EXPORTER};

/// The names of the two secrets in a key log, the client's first.
const LABELS: [&str; 2] = ["CLIENT_TRAFFIC_SECRET_0", "SERVER_TRAFFIC_SECRET_0"];

/// The secrets from which the keys of one connection's two directions come (RFC 8446, section 7.1). rustls tells them
/// only in the way in which it would log them; they go nowhere else.
#[derive(Default)]
pub(super) struct Secrets([Mutex<Zeroizing<Vec<u8>>>; 2]);

impl fmt::Debug for Secrets {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secrets")
    }
}

impl KeyLog for Secrets {
    fn log(&self, label: &str, _: &[u8], secret: &[u8]) {
        if let Some(place) = LABELS.iter().position(|known| *known == label)
            && let Some(slot) = self.0.get(place)
        {
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Zeroizing::new(secret.to_vec());
        }
    }

    fn will_log(&self, label: &str) -> bool {
        LABELS.contains(&label)
    }
}

/// A connection of the tunnel in TLS.
#[derive(Debug)]
pub(crate) struct Shaken {
    stream: TlsStream<Whole>,
    secrets: Arc<Secrets>,
}

/// The two directions of a connection that rustls has handed over.
pub(crate) struct Protection {
    /// Ours.
    pub(crate) sealer: Sealer,
    /// The peer's.
    pub(crate) opener: Opener,
    /// What rustls had opened and nobody had read.
    pub(crate) early: BytesMut,
    /// The peer has said its farewell.
    pub(crate) ended: bool,
}

impl Shaken {
    pub(super) fn new(stream: TlsStream<Whole>, secrets: Arc<Secrets>) -> Self {
        Self { stream, secrets }
    }

    /// Returns the TCP connection below.
    pub(crate) fn tcp(&self) -> &TcpStream {
        self.stream.get_ref().0.tcp()
    }

    /// Tells whether the two ends agreed on our protocol.
    pub(crate) fn is_ours(&self) -> bool {
        self.stream.get_ref().1.alpn_protocol() == Some(ALPN)
    }

    /// Returns 32 bytes that only the two ends of this connection know (RFC 8446, section 7.5).
    pub(crate) fn exporter(&self) -> io::Result<[u8; 32]> {
        let exported = match &self.stream {
            TlsStream::Client(client) => client.get_ref().1.export_keying_material([0; 32], EXPORTER, None),
            TlsStream::Server(server) => server.get_ref().1.export_keying_material([0; 32], EXPORTER, None),
        };
        exported.map_err(io::Error::other)
    }

    /// Has rustls change the keys of our direction, and ask for new ones of the peer.
    #[cfg(test)]
    pub(crate) fn change_keys(&mut self) {
        match &mut self.stream {
            TlsStream::Client(stream) => stream.get_mut().1.refresh_traffic_keys().expect("changed"),
            TlsStream::Server(stream) => stream.get_mut().1.refresh_traffic_keys().expect("changed"),
        }
    }

    /// Takes the connection from rustls.
    ///
    /// # Errors
    /// When it is in the middle of a record, or something waits to be sent: whoever hands over has read whole frames
    /// and seen off what it wrote.
    pub(crate) fn hand_over(self) -> io::Result<(TcpStream, Protection)> {
        let [client, server] = &self.secrets.0;
        let (whole, mut connection, ours, theirs) = match self.stream {
            TlsStream::Client(stream) => {
                let (whole, connection) = stream.into_inner();
                (whole, Connection::Client(connection), client, server)
            }
            TlsStream::Server(stream) => {
                let (whole, connection) = stream.into_inner();
                (whole, Connection::Server(connection), server, client)
            }
        };
        let broken = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
        let tcp = whole.into_tcp().ok_or_else(|| broken("the handshake ended within a record"))?;
        let (early, ended) = drain(&mut connection)?;
        let extracted = connection.dangerous_extract_secrets().map_err(io::Error::other)?;
        let of = |secret: &Mutex<Zeroizing<Vec<u8>>>| secret.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let sealer = Sealer::new(&of(ours), (extracted.tx.0, &extracted.tx.1));
        let opener = Opener::new(&of(theirs), (extracted.rx.0, &extracted.rx.1));
        let (Some(sealer), Some(opener)) = (sealer, opener) else {
            return Err(broken("the keys were changed before the handshake was over, or have an unknown cipher"));
        };
        Ok((tcp, Protection { sealer, opener, early, ended }))
    }
}

/// Takes what was opened and not read, and tells whether the peer has said its farewell.
fn drain(connection: &mut Connection) -> io::Result<(BytesMut, bool)> {
    let mut early = BytesMut::new();
    loop {
        let taken = match connection.reader().fill_buf() {
            Ok([]) => return Ok((early, true)),
            Ok(bytes) => {
                early.extend_from_slice(bytes);
                bytes.len()
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok((early, false)),
            Err(error) => return Err(error),
        };
        connection.reader().consume(taken);
    }
}

impl AsyncRead for Shaken {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Shaken {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
