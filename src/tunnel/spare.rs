//! Buffers that go from one connection of a thread to the next.
//!
//! A connection has a buffer only while bytes are in it. A hundred busy ones with buffers of their own would take turns
//! through more memory than the processor's caches hold; the buffer that was given back last is still in them.

use std::cell::RefCell;
use std::thread::LocalKey;

use bytes::BytesMut;

use super::tls::record::RECORD_MAX;

/// Room of a buffer, in bytes: what one system call reads, which is sixteen full records of TLS. Half of it costs 8 to
/// 13 % more CPU time for a byte; twice of it saves 3 to 9 %, and is held for each visitor that does not read.
pub(crate) const SPARE_BYTES: usize = 16 * RECORD_MAX;

/// Buffers that a thread keeps; a connection at work has two.
const KEPT: usize = 8;

thread_local! {
    static SPARE: RefCell<Vec<BytesMut>> = const { RefCell::new(Vec::new()) };
    static SLABS: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
}

/// Makes the room of a buffer [`SPARE_BYTES`]; what it holds stays in it.
pub(crate) fn lend(buffer: &mut BytesMut) {
    let missing = SPARE_BYTES.saturating_sub(buffer.len());
    // A buffer that was emptied from its front has its room back by this.
    if buffer.try_reclaim(missing) {
        return;
    }
    if let Some(mut spare) = SPARE.with_borrow_mut(Vec::pop) {
        spare.extend_from_slice(buffer);
        *buffer = spare;
    }
    buffer.reserve(missing);
}

/// Takes the room of a buffer that holds little, like the start of a record; that moves to where it just fits.
pub(crate) fn park(buffer: &mut BytesMut) {
    let little = BytesMut::from(&**buffer);
    let mut room = std::mem::replace(buffer, little);
    room.clear();
    give_back(&mut room);
}

/// Takes the room of a buffer that holds nothing; one that still holds bytes keeps it.
pub(crate) fn give_back(buffer: &mut BytesMut) {
    if !buffer.is_empty() || buffer.capacity() == 0 {
        return;
    }
    let spare = std::mem::take(buffer);
    keep(&SPARE, spare);
}

/// Takes memory of [`SPARE_BYTES`], with whatever is in it.
pub(crate) fn take_slab() -> Box<[u8]> {
    SLABS.with_borrow_mut(Vec::pop).unwrap_or_else(|| vec![0; SPARE_BYTES].into_boxed_slice())
}

/// Keeps such memory for the next connection of this thread.
pub(crate) fn keep_slab(slab: Box<[u8]>) {
    keep(&SLABS, slab);
}

fn keep<T>(pool: &'static LocalKey<RefCell<Vec<T>>>, spare: T) {
    pool.with_borrow_mut(|kept| {
        if kept.len() < KEPT {
            kept.push(spare);
        }
    });
}

#[cfg(test)]
mod tests {
    use bytes::Buf as _;

    use super::*;

    #[test]
    fn an_emptied_buffer_serves_the_next_and_a_full_one_stays() {
        let mut first = BytesMut::new();
        lend(&mut first);
        let room = first.as_ptr();
        first.extend_from_slice(&[1; 1000]);
        give_back(&mut first);
        assert_eq!(first.len(), 1000, "bytes are never taken");
        first.advance(1000);
        give_back(&mut first);
        assert_eq!(first.capacity(), 0);
        let mut second = BytesMut::new();
        lend(&mut second);
        assert_eq!(second.as_ptr(), room, "the same memory, from its start");
        assert!(second.is_empty() && second.capacity() >= SPARE_BYTES);
    }
    #[test]
    fn the_start_of_a_record_is_parked_where_it_fits_and_comes_back_with_room() {
        let mut buffer = BytesMut::new();
        lend(&mut buffer);
        let room = buffer.as_ptr();
        buffer.extend_from_slice(&[1; 5000]);
        buffer.extend_from_slice(b"start");
        buffer.advance(5000);
        lend(&mut buffer);
        assert_eq!((&buffer[..], buffer.as_ptr()), (&b"start"[..], room), "moved to the front of the same memory");
        park(&mut buffer);
        assert_eq!(&buffer[..], b"start");
        assert!(buffer.capacity() < 100);
        lend(&mut buffer);
        assert_eq!((&buffer[..], buffer.as_ptr()), (&b"start"[..], room));
        assert!(buffer.capacity() >= SPARE_BYTES);
    }
}
