//! A TLS connection after its handshake: records are opened where they were received and made where they are sent from,
//! so that no byte is copied on its way through this process.

#[cfg(any(test, feature = "fuzzing"))]
mod fuzzing;
#[cfg(test)]
mod tests;

use std::array;
use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BufMut, BytesMut};
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;
use tokio_util::io::poll_read_buf;

#[cfg(any(test, feature = "fuzzing"))]
pub(in crate::tunnel) use self::fuzzing::drive as fuzz;
use crate::tunnel::spare::{SPARE_BYTES, give_back, keep_slab, lend, park, take_slab};
use crate::tunnel::tls::Protection;
use crate::tunnel::tls::record::{
    BadRecord, DATA_MAX, HEADER_BYTES, Opener, RECORD_MAX, Sealer, alert, content, message, record_length,
};

/// Full records that a slab has places for; so many are sealed ahead of the socket.
const RECORDS: usize = SPARE_BYTES / RECORD_MAX;

/// Records in a row that bring no data, after which the peer is up to no good: they cost us work and it nothing.
const EMPTY_MAX: usize = 32;

/// Pieces of data that one call writes.
const SLICES: usize = 16;

/// A TLS connection and what is on its way through it.
pub(crate) struct Secure {
    tcp: TcpStream,
    incoming: Incoming,
    outgoing: Outgoing,
}

/// What the peer sent.
struct Incoming {
    opener: Opener,
    /// What was received: records that were opened, and then some that were not.
    bytes: BytesMut,
    /// Where data lies in `bytes` that nobody has taken.
    data: VecDeque<Range<usize>>,
    /// How much that is.
    held: usize,
    /// Where the first record is that was not opened.
    next: usize,
    /// Records since the last that brought data.
    empty: usize,
    /// The peer wants our keys changed before we send more data.
    asked: bool,
    /// The peer has said its farewell.
    ended: bool,
}

/// What we send.
struct Outgoing {
    sealer: Sealer,
    /// Where records are made, with a place for each; there while a record is.
    slab: Option<Box<[u8]>>,
    /// Where in the slab the records are that the socket has not taken.
    waiting: Range<usize>,
    /// Our farewell was said.
    finished: bool,
}

fn broken(error: BadRecord) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

impl Secure {
    pub(super) fn new(tcp: TcpStream, protection: Protection) -> Self {
        let Protection { sealer, opener, early, ended } = protection;
        let outgoing = Outgoing { sealer, slab: None, waiting: 0..0, finished: false };
        Self { tcp, incoming: Incoming::new(opener, early, ended), outgoing }
    }

    pub(super) fn tcp(&self) -> &TcpStream {
        &self.tcp
    }

    /// Appends up to `most` bytes of data to `buffer`; 0 at the farewell of the peer.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut BytesMut,
        most: usize,
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_open(cx)?);
        let mut read = 0;
        for piece in self.incoming.pieces(most) {
            buffer.extend_from_slice(piece);
            read += piece.len();
        }
        self.incoming.take(read);
        Poll::Ready(Ok(read))
    }

    /// Waits until there is data, and returns how much; 0 at the farewell of the peer. An end without one is
    /// [`io::ErrorKind::UnexpectedEof`]: somebody cut the connection.
    pub(super) fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let incoming = &mut self.incoming;
        while incoming.held == 0 {
            // What brought no data is done with.
            incoming.take(0);
            if incoming.ended {
                break;
            }
            lend(&mut incoming.bytes);
            let room = SPARE_BYTES.saturating_sub(incoming.bytes.len());
            let received = poll_read_buf(Pin::new(&mut self.tcp), cx, &mut (&mut incoming.bytes).limit(room));
            if ready!(received?) == 0 {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            incoming.open().map_err(broken)?;
        }
        Poll::Ready(Ok(incoming.held))
    }

    /// Writes up to `most` bytes of the data that there is to `to`, and returns how many it took.
    pub(super) fn poll_pass(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut TcpStream,
        most: usize,
    ) -> Poll<io::Result<usize>> {
        let mut slices = [IoSlice::new(&[]); SLICES];
        for (slice, piece) in slices.iter_mut().zip(self.incoming.pieces(most)) {
            *slice = IoSlice::new(piece);
        }
        let written = ready!(Pin::new(to).poll_write_vectored(cx, &slices)?);
        self.incoming.take(written);
        Poll::Ready(Ok(written))
    }

    /// Sends from the front of `bytes`; ready when all of them have left this process.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &mut BytesMut) -> Poll<io::Result<()>> {
        loop {
            ready!(self.poll_flush(cx)?);
            if bytes.is_empty() {
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_renew(cx)?);
            let mut length = 0;
            for (place, piece) in self.outgoing.places(bytes.len()).zip(bytes.chunks(DATA_MAX)) {
                place.copy_from_slice(piece);
                length += piece.len();
            }
            self.outgoing.seal(length).map_err(broken)?;
            bytes.advance(length);
        }
    }

    /// Reads up to `most` bytes from `from` to where they are sealed, once all before them are sent; returns how many,
    /// 0 at its end. They still have to be flushed.
    pub(super) fn poll_take(&mut self, cx: &mut Context<'_>, from: &TcpStream, most: usize) -> Poll<io::Result<usize>> {
        loop {
            ready!(from.poll_read_ready(cx)?);
            ready!(self.poll_flush(cx)?);
            ready!(self.poll_renew(cx)?);
            let mut places = self.outgoing.places(most);
            let mut slices: [_; RECORDS] = array::from_fn(|_| IoSliceMut::new(places.next().unwrap_or_default()));
            match from.try_read_vectored(&mut slices) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
                Ok(read) => {
                    drop(places);
                    self.outgoing.seal(read).map_err(broken)?;
                    return Poll::Ready(Ok(read));
                }
            }
        }
    }

    /// Sends what was sealed.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(records) = self.outgoing.records() {
            let written = ready!(Pin::new(&mut self.tcp).poll_write(cx, records)?);
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.outgoing.waiting.start += written;
        }
        Poll::Ready(Ok(()))
    }

    /// Ends our direction; the peer's stays open.
    pub(super) fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_flush(cx)?);
        self.outgoing.finish().map_err(broken)?;
        ready!(self.poll_flush(cx)?);
        self.outgoing.rest();
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }

    /// Gives memory back that holds nothing, for a connection that may be idle for long.
    pub(super) fn rest(&mut self) {
        self.incoming.rest();
        self.outgoing.rest();
    }

    /// Changes our keys where that is due before more data is sent.
    fn poll_renew(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if std::mem::take(&mut self.incoming.asked) || self.outgoing.is_worn() {
            self.outgoing.renew().map_err(broken)?;
        }
        self.poll_flush(cx)
    }
}

impl Incoming {
    /// `early` is data that was opened already.
    fn new(opener: Opener, early: BytesMut, ended: bool) -> Self {
        let held = early.len();
        let data = (held > 0).then_some(0..held).into_iter().collect();
        Self { opener, bytes: early, data, held, next: held, empty: 0, asked: false, ended }
    }

    /// Opens all records that are there as a whole.
    fn open(&mut self) -> Result<(), BadRecord> {
        while !self.ended {
            let rest = self.bytes.get_mut(self.next..).unwrap_or_default();
            let Some(length) = record_length(rest)? else { return Ok(()) };
            let Some(record) = rest.get_mut(..length) else { return Ok(()) };
            let opened = self.opener.open(record)?;
            let inner = record.get(opened.place.clone()).unwrap_or_default();
            if opened.content == content::DATA && !inner.is_empty() {
                self.held += inner.len();
                self.data.push_back(self.next + opened.place.start..self.next + opened.place.end);
                self.empty = 0;
            } else {
                self.empty += 1;
                match opened.content {
                    _ if self.empty > EMPTY_MAX => return Err(BadRecord("too many records without data")),
                    content::DATA => {}
                    content::ALERT => self.ended = heard(inner)?,
                    content::HANDSHAKE => self.asked |= understand(inner, &mut self.opener)?,
                    _ => return Err(BadRecord("a record of an unknown kind")),
                }
            }
            self.next += length;
        }
        // Nobody listens after a farewell.
        self.bytes.truncate(self.next);
        Ok(())
    }

    /// Returns the data that there is, up to `most` bytes.
    fn pieces(&self, most: usize) -> impl Iterator<Item = &[u8]> {
        let mut left = most;
        let pieces = self.data.iter().map_while(move |place| {
            let piece = self.bytes.get(place.clone())?;
            let piece = piece.get(..piece.len().min(left))?;
            left -= piece.len();
            Some(piece)
        });
        pieces.take_while(|piece| !piece.is_empty())
    }

    /// Forgets the first `bytes` bytes of data.
    fn take(&mut self, bytes: usize) {
        self.held = self.held.saturating_sub(bytes);
        let mut left = bytes;
        while let Some(place) = self.data.front_mut() {
            let taken = place.len().min(left);
            place.start += taken;
            left -= taken;
            if place.start < place.end {
                return;
            }
            self.data.pop_front();
        }
        self.bytes.advance(std::mem::take(&mut self.next).min(self.bytes.len()));
        give_back(&mut self.bytes);
    }

    fn rest(&mut self) {
        if self.data.is_empty() {
            self.data.shrink_to(SLICES);
            park(&mut self.bytes);
        }
    }
}

impl Outgoing {
    /// Tells whether the keys may not serve for another slab.
    fn is_worn(&self) -> bool {
        self.sealer.is_worn(RECORDS as u64)
    }

    /// Returns where the data of the next records goes, `most` bytes in all or as many as there is room for.
    fn places(&mut self, most: usize) -> impl Iterator<Item = &mut [u8]> {
        let mut left = most;
        self.slab.get_or_insert_with(take_slab).chunks_exact_mut(RECORD_MAX).map_while(move |place| {
            let length = left.min(DATA_MAX);
            left -= length;
            (length > 0).then(|| place.get_mut(HEADER_BYTES..HEADER_BYTES + length)).flatten()
        })
    }

    /// Seals the first `length` bytes of data that lie in their places. All but the last record are full, so that there
    /// is nothing between them.
    fn seal(&mut self, length: usize) -> Result<(), BadRecord> {
        let mut left = length;
        let mut end = 0;
        let places = self.slab.iter_mut().flat_map(|slab| slab.chunks_exact_mut(RECORD_MAX));
        for place in places.take(length.div_ceil(DATA_MAX)) {
            end += self.sealer.seal(content::DATA, left.min(DATA_MAX), place)?;
            left = left.saturating_sub(DATA_MAX);
        }
        self.waiting = 0..end;
        Ok(())
    }

    /// Returns the records that wait, if any does.
    fn records(&self) -> Option<&[u8]> {
        self.slab.as_deref()?.get(self.waiting.clone()).filter(|records| !records.is_empty())
    }

    /// Changes our keys and says so.
    fn renew(&mut self) -> Result<(), BadRecord> {
        self.waiting = 0..self.sealer.update(self.slab.get_or_insert_with(take_slab))?;
        Ok(())
    }

    /// Says our farewell, once.
    fn finish(&mut self) -> Result<(), BadRecord> {
        if !std::mem::replace(&mut self.finished, true) {
            self.waiting = 0..self.sealer.farewell(self.slab.get_or_insert_with(take_slab))?;
        }
        Ok(())
    }

    fn rest(&mut self) {
        if self.records().is_none()
            && let Some(slab) = self.slab.take()
        {
            keep_slab(slab);
        }
    }
}

/// Reads an alert; `true` at the farewell (RFC 8446, section 6).
fn heard(words: &[u8]) -> Result<bool, BadRecord> {
    match words {
        [_, alert::CLOSE_NOTIFY] => Ok(true),
        // A farewell follows.
        [_, alert::USER_CANCELED] => Ok(false),
        [_, _] => Err(BadRecord("the peer gave up")),
        _ => Err(BadRecord("an alert of a wrong length")),
    }
}

/// Reads the messages of a record that may come after a handshake; `true` when the peer wants our keys changed, too. Our
/// peers put each message into one record as a whole, and where keys change, the record has to end.
fn understand(messages: &[u8], opener: &mut Opener) -> Result<bool, BadRecord> {
    let mut rest = messages;
    let mut asked = false;
    while let Some((head, tail)) = rest.split_first_chunk::<4>() {
        let [kind, high, middle, low] = *head;
        let length = usize::try_from(u32::from_be_bytes([0, high, middle, low])).unwrap_or(usize::MAX);
        let (body, tail) = tail.split_at_checked(length).ok_or(BadRecord("a message in pieces"))?;
        match (kind, body) {
            // What a client resumes with came before the handshake of our own protocol ended; more is not needed.
            (message::TICKET, _) => {}
            (message::KEY_UPDATE, [wish @ (0 | 1)]) if tail.is_empty() => {
                opener.update()?;
                asked = *wish == 1;
            }
            _ => return Err(BadRecord("a message out of turn")),
        }
        rest = tail;
    }
    if rest.is_empty() && !messages.is_empty() { Ok(asked) } else { Err(BadRecord("a message in pieces")) }
}
