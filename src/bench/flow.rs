//! Reading and writing for both ends of a load test: large reads into one buffer of the thread, so that ten thousand
//! idle connections hold none.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;

use super::wire::{PERIOD, Pattern, end_record};

/// Largest read in bytes: two writes of the generator, so that one wake-up takes what came meanwhile.
pub(super) const READ_BYTES: usize = 256 * 1024;

/// What the connections of one thread share.
#[derive(Debug)]
pub(super) struct Desk {
    /// The pattern.
    pub(super) pattern: Pattern,
    scratch: RefCell<Vec<u8>>,
}

impl Desk {
    /// Makes the desk of a thread.
    pub(super) fn new() -> Self {
        Self { pattern: Pattern::new(), scratch: RefCell::new(vec![0; READ_BYTES]) }
    }

    /// Reads once, at most `most` bytes, and shows them to `look`; returns its answer. No bytes are the end.
    pub(super) async fn read<T>(
        &self,
        stream: &mut TcpStream,
        most: usize,
        mut look: impl FnMut(&[u8], &TcpStream) -> T,
    ) -> io::Result<T> {
        poll_fn(|context| self.poll_read(context, stream, most, &mut look)).await
    }

    /// As [`Self::read`], for who waits for something else as well.
    pub(super) fn poll_read<T>(
        &self,
        context: &mut Context<'_>,
        stream: &mut TcpStream,
        most: usize,
        look: &mut impl FnMut(&[u8], &TcpStream) -> T,
    ) -> Poll<io::Result<T>> {
        let mut scratch = self.scratch.borrow_mut();
        let space = most.min(READ_BYTES);
        let mut buffer = ReadBuf::new(scratch.get_mut(..space).unwrap_or_default());
        ready!(Pin::new(&mut *stream).poll_read(context, &mut buffer))?;
        Poll::Ready(Ok(look(buffer.filled(), stream)))
    }
}

/// Sends the pattern in pieces of `piece` bytes, one at least and more while `go_on` says so, then the rest of the period
/// and the end record. Returns how many bytes of the pattern were sent.
pub(super) async fn send_pattern(
    stream: &mut TcpStream,
    pattern: &Pattern,
    piece: usize,
    mut go_on: impl FnMut() -> bool,
) -> io::Result<u64> {
    let mut place = 0;
    let mut total = 0u64;
    loop {
        let length = if total == 0 || go_on() { piece } else { (PERIOD - place) % PERIOD };
        if length == 0 {
            break;
        }
        let sent = stream.write(pattern.piece(place, length)).await?;
        place = (place + sent) % PERIOD;
        total += sent as u64;
    }
    stream.write_all(&end_record(total)).await?;
    Ok(total)
}
