//! Joins two connections byte for byte.
//!
//! The end of one direction is passed on as the end of that direction alone; the pair is done when both have ended. A
//! reset on one side becomes a reset on the other, so that a cut stream never looks complete. Between two plain
//! connections the system moves the bytes itself where it can.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

use super::ledger::Traffic;
use super::spare::{SPARE_BYTES, give_back, lend};
use super::terms::{Silence, Terms, Toll};
use super::wire::Wire;
use crate::host::Pipe;

/// Bytes that a splice moves at once.
const SPLICE_BYTES: usize = 128 * 1024;

/// Pieces of one direction, spliced or as long as a buffer, before the other direction, and other connections, have
/// their turn. A busy direction must not starve a small message of the other. Through TLS, two pieces cost a hundred
/// connections 15 % more CPU time than four.
const TURNS: usize = 4;

/// Pipes that a thread keeps for its next use; making one costs five system calls.
const PIPES_KEPT: usize = 32;

/// How often a direction that cannot go on looks whether its source has been reset: nothing else would tell.
const LOOK_FOR_RESET: Duration = Duration::from_millis(500);

/// How a pair ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Both sides finished.
    Finished,
    /// A side broke off; the other was reset.
    Broken,
    /// Nothing moved for too long; both were reset.
    Silent,
    /// The server had to end it; both were reset.
    Cut,
}

/// Which directions of a pair still have something to carry.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Left {
    /// From the near connection to the far one.
    pub(crate) outbound: bool,
    /// From the far connection to the near one.
    pub(crate) inbound: bool,
}

impl Left {
    /// Both directions, as when a pair is new.
    pub(crate) const BOTH: Self = Self { outbound: true, inbound: true };
}

/// The far connection of a pair.
pub(crate) struct Far {
    pub(crate) wire: Wire,
    /// Bytes that were received on it already.
    pub(crate) early: BytesMut,
}

impl From<TcpStream> for Far {
    fn from(tcp: TcpStream) -> Self {
        Self { wire: Wire::Plain(tcp), early: BytesMut::new() }
    }
}

/// Carries bytes both ways until both ends have finished, one breaks, nothing moves for too long, or `cut` completes.
/// `up` tells which direction goes towards the target, for the throttles and the counters.
pub(crate) async fn join(
    near: TcpStream,
    far: Far,
    left: Left,
    up: Up,
    terms: &Terms,
    cut: impl Future<Output = ()>,
) -> End {
    let mut pair = Pair::new(Wire::Plain(near), far, left, up, terms);
    let end = tokio::select! {
        biased;
        end = poll_fn(|cx| pair.poll(cx)) => end,
        () = cut => End::Cut,
    };
    if end != End::Finished {
        pair.near.reset();
        pair.far.reset();
    }
    end
}

/// Which connection of a pair leads to the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Up {
    /// The far one: the near one is the visitor's.
    Far,
    /// The near one is the target's.
    Near,
}

struct Pair<'a> {
    near: Wire,
    far: Wire,
    outbound: Way,
    inbound: Way,
    up: Up,
    silence: Silence,
    traffic: &'a Traffic,
    look: Option<Pin<Box<Sleep>>>,
}

impl<'a> Pair<'a> {
    fn new(near: Wire, far: Far, left: Left, up: Up, terms: &'a Terms) -> Self {
        let Far { wire: far, early } = far;
        let [up_toll, down_toll] = terms.tolls();
        let (outbound_toll, inbound_toll) = if up == Up::Far { (up_toll, down_toll) } else { (down_toll, up_toll) };
        let plain = far.plain().is_some();
        let [out_lane, in_lane] =
            if plain { [Lane::Spliced(None), Lane::Spliced(None)] } else { [Lane::Sealed, Lane::Opened(0)] };
        Self {
            outbound: Way::new(left.outbound, out_lane, outbound_toll),
            inbound: Way { early, ..Way::new(left.inbound, in_lane, inbound_toll) },
            near,
            far,
            up,
            silence: Silence::new(terms.patience),
            traffic: &terms.traffic,
            look: None,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        let outbound = self.outbound.poll(cx, &mut self.near, &mut self.far);
        if matches!(outbound, Poll::Ready(Err(_))) {
            // Not one look at the other direction: a reset is told once, and whoever reads after the write that was
            // told of it sees an orderly end.
            self.count();
            return Poll::Ready(End::Broken);
        }
        let inbound = self.inbound.poll(cx, &mut self.far, &mut self.near);
        self.count();
        if matches!(inbound, Poll::Ready(Err(_))) {
            return Poll::Ready(End::Broken);
        }
        if outbound.is_ready() && inbound.is_ready() {
            return Poll::Ready(End::Finished);
        }
        if self.poll_reset(cx).is_ready() {
            return Poll::Ready(End::Broken);
        }
        if self.outbound.toll.is_waiting() || self.inbound.toll.is_waiting() {
            self.silence.moved();
        }
        let half_closed = outbound.is_ready() || inbound.is_ready();
        self.silence.poll(cx, half_closed).map(|()| End::Silent)
    }

    /// Ready when a connection was reset that nobody reads at present, because what it sent last cannot be passed on.
    fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.outbound.is_stuck() && !self.inbound.is_stuck() {
            self.look = None;
            return Poll::Pending;
        }
        loop {
            let look = self.look.get_or_insert_with(|| Box::pin(sleep(LOOK_FOR_RESET)));
            ready!(look.as_mut().poll(cx));
            self.look = None;
            if was_reset(self.near.tcp()) || was_reset(self.far.tcp()) {
                return Poll::Ready(());
            }
        }
    }

    fn count(&mut self) {
        let (outbound, inbound) = (std::mem::take(&mut self.outbound.moved), std::mem::take(&mut self.inbound.moved));
        if outbound + inbound == 0 {
            return;
        }
        let (up, down) = if self.up == Up::Far { (outbound, inbound) } else { (inbound, outbound) };
        self.traffic.up(up);
        self.traffic.down(down);
        self.silence.moved();
    }
}

/// One direction of a pair.
struct Way {
    /// Bytes that go before everything else.
    early: BytesMut,
    lane: Lane,
    toll: Toll,
    /// Bytes moved since they were last counted.
    moved: usize,
    /// The destination takes nothing at present.
    stuck: bool,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Flowing,
    /// The source has ended; what is held still goes out, and then the end.
    Ending,
    Over,
}

enum Lane {
    /// Through a pipe in the kernel, which is held only while bytes are in it.
    Spliced(Option<Pipe>),
    /// Through a buffer of ours.
    Copied(BytesMut),
    /// To where TLS seals it.
    Sealed,
    /// From where TLS has opened it; so many bytes of that are on their way.
    Opened(usize),
}

impl Way {
    fn new(open: bool, lane: Lane, toll: Toll) -> Self {
        Self {
            early: BytesMut::new(),
            lane,
            toll,
            moved: 0,
            stuck: false,
            state: if open { State::Flowing } else { State::Over },
        }
    }

    /// Moves what can be moved; ready when the direction is over.
    fn poll(&mut self, cx: &mut Context<'_>, from: &mut Wire, to: &mut Wire) -> Poll<io::Result<()>> {
        for _ in 0..TURNS {
            match self.state {
                State::Over => return Poll::Ready(Ok(())),
                State::Ending => {
                    let pushed = self.push(cx, from, to);
                    self.stuck = pushed.is_pending();
                    ready!(pushed?);
                    ready!(to.poll_finish(cx)?);
                    self.state = State::Over;
                }
                State::Flowing => {
                    let pushed = self.push(cx, from, to);
                    self.stuck = pushed.is_pending();
                    ready!(pushed?);
                    ready!(self.toll.poll(cx));
                    match self.pull(cx, from, to) {
                        Poll::Ready(Ok(0)) => self.state = State::Ending,
                        Poll::Ready(Ok(bytes)) => self.toll.owe(bytes),
                        Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                        Poll::Pending => {
                            self.rest(from, to);
                            return Poll::Pending;
                        }
                    }
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Tells whether bytes are held that the destination does not take, or that a limit holds back.
    fn is_stuck(&self) -> bool {
        self.stuck || self.toll.is_waiting()
    }

    /// Takes what `from` has; 0 at its end.
    fn pull(&mut self, cx: &mut Context<'_>, from: &mut Wire, to: &mut Wire) -> Poll<io::Result<usize>> {
        if let (Lane::Spliced(slot), Some(tcp)) = (&mut self.lane, from.plain()) {
            ready!(tcp.poll_read_ready(cx)?);
            if slot.is_none() {
                *slot = take_pipe().ok();
            }
            let Some(pipe) = slot else {
                // Out of descriptors, or no such pipes here: the bytes take the long way.
                self.lane = Lane::Copied(BytesMut::new());
                return self.pull(cx, from, to);
            };
            loop {
                match pipe.fill(tcp, self.toll.piece(SPLICE_BYTES)) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready!(tcp.poll_read_ready(cx)?),
                    outcome => return Poll::Ready(outcome),
                }
            }
        }
        let most = self.toll.piece(SPARE_BYTES);
        match &mut self.lane {
            Lane::Copied(buffer) => {
                lend(buffer);
                from.poll_read(cx, buffer, most)
            }
            Lane::Sealed => {
                let taken = ready!(to.poll_take(cx, from, most)?);
                self.moved += taken;
                Poll::Ready(Ok(taken))
            }
            Lane::Opened(held) => {
                *held = ready!(from.poll_open(cx)?).min(most);
                Poll::Ready(Ok(*held))
            }
            // Never: only plain connections are spliced.
            Lane::Spliced(_) => Poll::Ready(Err(io::ErrorKind::Unsupported.into())),
        }
    }

    /// Gives `to` everything that is held.
    fn push(&mut self, cx: &mut Context<'_>, from: &mut Wire, to: &mut Wire) -> Poll<io::Result<()>> {
        if !self.early.is_empty() {
            let before = self.early.len();
            let outcome = to.poll_write(cx, &mut self.early);
            self.moved += before - self.early.len();
            ready!(outcome?);
        }
        match &mut self.lane {
            Lane::Copied(buffer) => {
                let before = buffer.len();
                let outcome = to.poll_write(cx, buffer);
                self.moved += before - buffer.len();
                give_back(buffer);
                outcome
            }
            Lane::Sealed => to.poll_flush(cx),
            Lane::Opened(held) => {
                while *held > 0 {
                    let passed = ready!(from.poll_pass(cx, to, *held)?);
                    if passed == 0 {
                        return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                    }
                    *held -= passed;
                    self.moved += passed;
                }
                Poll::Ready(Ok(()))
            }
            Lane::Spliced(None) => Poll::Ready(Ok(())),
            Lane::Spliced(Some(pipe)) => {
                let Some(tcp) = to.plain() else { return Poll::Ready(Err(io::ErrorKind::Unsupported.into())) };
                while pipe.held() > 0 {
                    match pipe.drain(tcp) {
                        Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                        Ok(bytes) => self.moved += bytes,
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready!(tcp.poll_write_ready(cx)?),
                        Err(error) => return Poll::Ready(Err(error)),
                    }
                }
                Poll::Ready(Ok(()))
            }
        }
    }

    /// Gives back what is held for nothing while the source is silent.
    fn rest(&mut self, from: &mut Wire, to: &mut Wire) {
        match &mut self.lane {
            Lane::Spliced(slot) => {
                if let Some(pipe) = slot.take_if(|pipe| pipe.held() == 0) {
                    keep_pipe(pipe);
                }
            }
            Lane::Copied(buffer) => give_back(buffer),
            Lane::Sealed => to.rest(),
            Lane::Opened(_) => from.rest(),
        }
    }
}

thread_local! {
    static PIPES: RefCell<Vec<Pipe>> = const { RefCell::new(Vec::new()) };
}

fn take_pipe() -> io::Result<Pipe> {
    PIPES.with_borrow_mut(Vec::pop).map_or_else(Pipe::new, Ok)
}

/// Keeps an empty pipe for the next connection of this thread.
fn keep_pipe(pipe: Pipe) {
    PIPES.with_borrow_mut(|pipes| {
        if pipes.len() < PIPES_KEPT {
            pipes.push(pipe);
        }
    });
}

/// Tells whether a connection has been broken off by its peer, without reading it.
pub(crate) fn was_reset(stream: &TcpStream) -> bool {
    !matches!(stream.take_error(), Ok(None))
}

/// Closes with a reset instead of an orderly end: what was not delivered is visibly lost.
pub(crate) fn reset(stream: TcpStream) {
    // On a socket that is already dead this fails, and nothing is left to reset.
    let _ = stream.set_zero_linger();
    drop(stream);
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::time::{Instant, sleep_until, timeout};

    use super::*;
    use crate::tunnel::terms::Patience;

    /// Both ends of a connection over loopback.
    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let connecting = TcpStream::connect(listener.local_addr().expect("an address"));
        let (near, far) = tokio::join!(connecting, listener.accept());
        (near.expect("connected"), far.expect("accepted").0)
    }

    fn terms(idle_ms: u64, linger_ms: u64) -> Terms {
        let patience =
            Patience { idle: Some(Duration::from_millis(idle_ms)), linger: Duration::from_millis(linger_ms) };
        Terms { patience, throttles: None, traffic: Traffic::default() }
    }

    fn run(test: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(test);
    }

    #[test]
    fn a_pair_that_is_silent_for_too_long_is_reset_on_both_sides() {
        run(async {
            let ((mut visitor, outer), (inner, mut target)) = (pair().await, pair().await);
            let end = join(outer, inner.into(), Left::BOTH, Up::Far, &terms(150, 60_000), std::future::pending()).await;
            assert_eq!(end, End::Silent);
            for side in [&mut visitor, &mut target] {
                let error = side.read(&mut [0; 1]).await.expect_err("a reset");
                assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
            }
        });
    }

    /// The system tells of a reset once, to whichever call comes first; a read after that sees an orderly end.
    #[test]
    fn a_reset_that_a_write_is_told_of_is_no_orderly_end_for_the_other_direction() {
        run(async {
            for held in [1, 3_000_000, 6_000_000] {
                let ((mut visitor, outer), (inner, target)) = (pair().await, pair().await);
                let terms = terms(60_000, 60_000);
                let joined = join(outer, inner.into(), Left::BOTH, Up::Far, &terms, std::future::pending());
                let breaking = async {
                    let (mut reads, mut writes) = visitor.split();
                    let content = vec![7; held];
                    // Never ends where more is sent than fits on the way.
                    let _ = timeout(Duration::from_millis(100), writes.write_all(&content)).await;
                    reset(target);
                    match timeout(Duration::from_millis(100), writes.write_all(&content)).await {
                        Ok(Err(error)) => Err(error),
                        _ => reads.read(&mut [0; 1]).await,
                    }
                };
                let (end, seen) = tokio::join!(joined, breaking);
                assert_eq!(end, End::Broken, "{held}");
                assert!(seen.is_err(), "{held}: an orderly end");
            }
        });
    }

    #[test]
    fn a_half_closed_pair_is_given_up_sooner_than_an_open_one() {
        run(async {
            let ((mut visitor, outer), (inner, _target)) = (pair().await, pair().await);
            visitor.shutdown().await.expect("half-closed");
            let started = Instant::now();
            let end = join(outer, inner.into(), Left::BOTH, Up::Far, &terms(60_000, 100), std::future::pending()).await;
            assert_eq!(end, End::Silent);
            assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
        });
    }

    #[test]
    fn a_pair_that_moves_is_not_silent_however_long_it_takes() {
        run(async {
            let ((mut visitor, outer), (inner, mut target)) = (pair().await, pair().await);
            let terms = terms(400, 400);
            let talk = async {
                for _ in 0..6 {
                    sleep_until(Instant::now() + Duration::from_millis(150)).await;
                    visitor.write_all(b"x").await.expect("a word");
                    target.read_exact(&mut [0; 1]).await.expect("a word");
                }
                drop((visitor, target));
            };
            let (end, ()) =
                tokio::join!(join(outer, inner.into(), Left::BOTH, Up::Far, &terms, std::future::pending()), talk);
            assert_eq!(end, End::Finished);
        });
    }
}
