//! One visitor's stream of a session: what the pump of the session and the task of the stream share.

use std::cell::{Cell, RefCell};
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::BytesMut;
use tokio::net::TcpStream;

use super::proto::{Reason, StreamId};
use super::relay::Far;
use super::terms::Terms;

/// A piece of data that is at least this long counts as bulk: twice what a request or an answer usually takes, and what
/// a busy socket easily gives in one read.
const BULK_PIECE_BYTES: usize = 8 * 1024;

/// Bytes in large pieces after which a stream is bulk: a fraction of a millisecond of a fast path, more than most pages.
const LIFT_BYTES: usize = 512 * 1024;

/// How a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Both directions are over.
    Finished,
    /// Both directions go on over a data connection.
    Lifted,
    /// Our own connection broke off.
    Broken,
    /// The other end broke it off, or could not reach the target.
    Reset(Reason),
    /// Nothing moved for too long.
    Silent,
    /// The mapping or the server had to end it.
    Cut,
    /// The session is gone.
    LinkLost,
}

/// What has become of the direction from the tunnel to our connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Inbound {
    /// Bytes come over the session.
    Open,
    /// The peer has finished; our connection is told once everything is written.
    Finishing,
    /// Told.
    Over,
    /// The rest comes over the data connection.
    Moved,
}

/// Takes the datagrams of a stream.
pub(crate) type DatagramSink = Box<dyn Fn(&[u8])>;

/// A stream.
pub(crate) struct Stream {
    pub(crate) id: StreamId,
    pub(crate) terms: Arc<Terms>,
    /// The visitor's connection on the server, the target's on the client; absent while it is dialled.
    pub(crate) socket: RefCell<Option<TcpStream>>,
    /// Bytes that were received and that our connection did not take; at most the stream's window.
    pub(crate) pending: RefCell<BytesMut>,
    pub(crate) inbound: Cell<Inbound>,
    /// Both directions are over for the peer: whatever our connection still sends is for nobody.
    pub(crate) closed: Cell<bool>,
    /// The data connection, from its arrival until the stream moves there.
    pub(crate) carrier: RefCell<Option<Far>>,
    /// A data connection was asked for and has not come yet.
    pub(crate) awaited: Cell<bool>,
    /// Bytes that came in large pieces; what decides whether the stream is bulk.
    pub(crate) bulk_bytes: Cell<usize>,
    /// Its socket is not read at present, for want of room or credit, so that nothing would tell of a reset.
    pub(crate) blocked: Cell<bool>,
    /// Already waits for room in the session's output.
    pub(crate) hungry: Cell<bool>,
    /// What is done with datagrams, for a stream that carries those and no bytes.
    pub(crate) datagrams: Option<DatagramSink>,
    ending: Cell<Option<Ending>>,
    waker: RefCell<Option<Waker>>,
}

impl Stream {
    pub(crate) fn new(id: StreamId, socket: Option<TcpStream>, terms: Arc<Terms>) -> Self {
        Self {
            id,
            terms,
            socket: RefCell::new(socket),
            pending: RefCell::default(),
            inbound: Cell::new(Inbound::Open),
            closed: Cell::new(false),
            carrier: RefCell::default(),
            awaited: Cell::new(false),
            bulk_bytes: Cell::new(0),
            blocked: Cell::new(false),
            hungry: Cell::new(false),
            datagrams: None,
            ending: Cell::new(None),
            waker: RefCell::default(),
        }
    }

    pub(crate) fn of_datagrams(id: StreamId, sink: DatagramSink, terms: Arc<Terms>) -> Self {
        Self { datagrams: Some(sink), ..Self::new(id, None, terms) }
    }

    /// Ends the stream from outside of its task; the first ending stands.
    pub(crate) fn stop(&self, ending: Ending) {
        if self.ending.get().is_none() {
            self.ending.set(Some(ending));
        }
        self.wake();
    }

    /// Both directions are over for the peer; our connection still gets what was received.
    pub(crate) fn close(&self) {
        self.closed.set(true);
        if self.inbound.get() == Inbound::Open {
            self.inbound.set(Inbound::Finishing);
        }
        self.wake();
    }

    /// Tells whether the stream was ended from outside.
    pub(crate) fn is_stopped(&self) -> bool {
        self.ending.get().is_some()
    }

    /// Returns why the stream was ended from outside, and wakes the task of `cx` when that happens later.
    pub(crate) fn poll_stopped(&self, cx: &Context<'_>) -> Poll<Ending> {
        if let Some(ending) = self.ending.get() {
            return Poll::Ready(ending);
        }
        let mut waker = self.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Waits until the stream is ended from outside.
    pub(crate) async fn stopped(&self) -> Ending {
        std::future::poll_fn(|cx| self.poll_stopped(cx)).await
    }

    /// Has the stream's task look again.
    pub(crate) fn wake(&self) {
        if let Some(waker) = self.waker.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }

    /// Counts a piece of data towards bulk when it is large; small pieces come from a conversation.
    pub(crate) fn note_piece(&self, bytes: usize) {
        if bytes < BULK_PIECE_BYTES || self.is_bulk() {
            return;
        }
        self.bulk_bytes.set(self.bulk_bytes.get().saturating_add(bytes));
        if self.is_bulk() {
            self.wake();
        }
    }

    /// Tells whether the stream has carried so much that a connection of its own is worth its while.
    pub(crate) fn is_bulk(&self) -> bool {
        self.bulk_bytes.get() >= LIFT_BYTES
    }

    /// Writes received bytes to our connection as far as it takes them, keeps the rest, and returns how many were
    /// taken. What cannot be written at all ends the stream.
    pub(crate) fn deliver(&self, bytes: &[u8]) -> usize {
        let mut pending = self.pending.borrow_mut();
        let mut taken = 0;
        if pending.is_empty() && !self.terms.is_limited() {
            match self.socket.borrow().as_ref().map(|socket| socket.try_write(bytes)) {
                Some(Ok(written)) => taken = written,
                Some(Err(error)) if error.kind() != io::ErrorKind::WouldBlock => {
                    drop(pending);
                    self.stop(Ending::Broken);
                    return bytes.len();
                }
                Some(Err(_)) | None => {}
            }
        }
        if taken < bytes.len() {
            pending.extend_from_slice(bytes.get(taken..).unwrap_or_default());
            drop(pending);
            self.wake();
        }
        taken
    }
}
