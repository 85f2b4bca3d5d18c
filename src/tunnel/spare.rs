//! Buffers that go from one connection of a thread to the next.
//!
//! A connection has a buffer only while bytes are in it. A hundred busy ones with buffers of their own would take turns
//! through more memory than the processor's caches hold; the buffer that was given back last is still in them.

use std::cell::RefCell;

use bytes::BytesMut;

/// Room of a buffer, in bytes: what one system call reads.
pub(crate) const SPARE_BYTES: usize = 128 * 1024;

/// Buffers that a thread keeps; a connection at work has two.
const KEPT: usize = 8;

thread_local! {
    static SPARE: RefCell<Vec<BytesMut>> = const { RefCell::new(Vec::new()) };
}

/// Makes room for [`SPARE_BYTES`] in a buffer that holds nothing.
pub(crate) fn lend(buffer: &mut BytesMut) {
    if buffer.capacity() == 0
        && let Some(spare) = SPARE.with_borrow_mut(Vec::pop)
    {
        *buffer = spare;
    }
    // A buffer that was emptied from its front has its room back by this, without a copy.
    buffer.reserve(SPARE_BYTES);
}

/// Takes the room of a buffer that holds nothing; one that still holds bytes keeps it.
pub(crate) fn give_back(buffer: &mut BytesMut) {
    if !buffer.is_empty() || buffer.capacity() == 0 {
        return;
    }
    let spare = std::mem::take(buffer);
    SPARE.with_borrow_mut(|kept| {
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
}
