//! Data frames, which version 1 and the extension share: written without a copy, and read in whatever pieces arrive.

use bytes::{BufMut, BytesMut};

use super::wire::{self, DATA_HEAD_BYTES};

/// Lengths in memory from lengths of the wire.
pub(crate) fn size(bytes: u32) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// Lengths of the wire from lengths in memory.
pub(crate) fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// A Data frame whose payload is being read into `out`.
#[derive(Debug)]
#[must_use = "a slot that is not committed leaves a broken frame"]
pub(crate) struct DataSlot {
    id: u32,
    at: usize,
}

impl DataSlot {
    /// Reserves the head of a frame at the end of `out`.
    pub(crate) fn begin(out: &mut BytesMut, id: u32) -> Self {
        let at = out.len();
        out.put_slice(&[0; DATA_HEAD_BYTES]);
        Self { id, at }
    }

    /// Which stream the frame is of.
    pub(crate) const fn id(&self) -> u32 {
        self.id
    }

    /// Takes the head away again, and what was read behind it.
    pub(crate) fn cancel(self, out: &mut BytesMut) {
        out.truncate(self.at);
    }

    /// Completes the frame; what was read behind it is cut off.
    pub(crate) fn commit(self, out: &mut BytesMut, bytes: u32) {
        let head_end = self.at.saturating_add(DATA_HEAD_BYTES);
        let end = head_end.saturating_add(size(bytes));
        debug_assert!(out.len() >= end, "less was read than is committed");
        out.truncate(end);
        if let Some(head) = out.get_mut(self.at..head_end) {
            head.copy_from_slice(&wire::data_head(self.id, bytes));
        }
    }
}

/// A Data frame that has arrived in part.
#[derive(Debug, Default)]
pub(crate) struct Arriving {
    /// Which stream it is of.
    pub(crate) id: u32,
    /// Bytes that are to come.
    pub(crate) left: u32,
    /// Whether nobody wants them.
    pub(crate) skip: bool,
}

impl Arriving {
    /// Takes the piece of the frame that is at the front of `input`.
    pub(crate) fn piece<'a>(&mut self, input: &'a [u8]) -> &'a [u8] {
        let piece = input.get(..size(self.left)).unwrap_or(input);
        self.left = self.left.saturating_sub(length(piece.len()));
        piece
    }

    /// The stream is over: what is left of its frame is for nobody.
    pub(crate) fn skip_if(&mut self, id: u32) {
        self.skip |= self.id == id;
    }
}
