//! Joins two TCP connections byte for byte.
//!
//! The end of one direction is passed on as the end of that direction alone; the pair is done when both have ended. A
//! reset on one side becomes a reset on the other, so that a cut stream never looks complete.

use std::io;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::time::{Instant, sleep_until};

/// Bytes read at once, and the most that one direction holds. It is taken when bytes wait and given back when none
/// do, so that ten thousand idle connections hold nothing.
const CHUNK: usize = 64 * 1024;

/// How long a pair may be silent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// Without a byte in either direction while both are open.
    pub(crate) idle: Duration,
    /// Without a byte after one side has finished sending.
    pub(crate) linger: Duration,
}

impl Patience {
    /// One hour, the longest silence that common keep-alive settings of SSH and databases leave; a minute where one
    /// side has already said its last word.
    pub(crate) const DEFAULT: Self = Self { idle: Duration::from_hours(1), linger: Duration::from_mins(1) };
}

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

/// The bytes a second that all connections of one mapping share in one direction.
///
/// Each chunk is paid for after it was read, with its true size; who runs into debt waits until it is paid off.
#[derive(Debug)]
pub(crate) struct Throttle {
    bytes_per_s: u64,
    /// When the debt of everything sent so far is paid off.
    paid_at: Mutex<Instant>,
}

impl Throttle {
    /// Makes a throttle of at least one byte a second.
    pub(crate) fn new(bytes_per_s: u64) -> Self {
        Self { bytes_per_s: bytes_per_s.max(1), paid_at: Mutex::new(Instant::now()) }
    }

    /// A quarter of a second's worth, so that a slow mapping moves evenly.
    fn chunk(&self) -> usize {
        usize::try_from(self.bytes_per_s / 4).unwrap_or(CHUNK).clamp(1, CHUNK)
    }

    async fn pay(&self, bytes: usize) {
        // At most a chunk, so the product stays far below 2^64.
        let cost = Duration::from_nanos(bytes as u64 * 1_000_000_000 / self.bytes_per_s);
        let due = {
            let mut paid_at = self.paid_at.lock().unwrap_or_else(PoisonError::into_inner);
            let due = (*paid_at).max(Instant::now()) + cost;
            *paid_at = due;
            due
        };
        sleep_until(due).await;
    }
}

/// What a pair of connections has to keep to.
#[derive(Debug, Clone)]
pub(crate) struct Terms {
    /// How long it may be silent.
    pub(crate) patience: Patience,
    /// The throttles from visitor to target and from target to visitor.
    pub(crate) throttles: Option<[Arc<Throttle>; 2]>,
}

/// When something last moved, and whether a direction has ended. Atomic only because a task may change threads.
struct Pulse {
    started: Instant,
    /// Milliseconds since `started`.
    last_ms: AtomicU64,
    half_closed: AtomicBool,
    /// Directions that wait for their throttle, which is not silence.
    throttled: AtomicU8,
}

impl Pulse {
    fn start() -> Self {
        Self {
            started: Instant::now(),
            last_ms: AtomicU64::new(0),
            half_closed: AtomicBool::new(false),
            throttled: AtomicU8::new(0),
        }
    }

    fn beat(&self) {
        let elapsed = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_ms.store(elapsed, Relaxed);
    }

    async fn stops(&self, patience: Patience) {
        loop {
            let now = Instant::now();
            let allowed = if self.half_closed.load(Relaxed) { patience.linger } else { patience.idle };
            let last = self.started + Duration::from_millis(self.last_ms.load(Relaxed));
            let deadline = if self.throttled.load(Relaxed) > 0 { now + allowed } else { last + allowed };
            if deadline <= now {
                return;
            }
            // Looks again after `linger` at the latest, because a half-close shortens what is allowed.
            sleep_until(deadline.min(now + patience.linger)).await;
        }
    }
}

/// Carries bytes both ways until both ends have finished, one breaks, nothing moves for too long, or `cut` completes.
pub(crate) async fn join(
    mut visitor: TcpStream,
    mut target: TcpStream,
    terms: &Terms,
    cut: impl Future<Output = ()>,
) -> End {
    let pulse = Pulse::start();
    let [up, down] = terms.throttles.as_ref().map_or([None, None], |[up, down]| [Some(&**up), Some(&**down)]);
    let end = {
        let (visitor_reads, visitor_writes) = visitor.split();
        let (target_reads, target_writes) = target.split();
        let both = async {
            tokio::try_join!(
                carry(visitor_reads, target_writes, up, &pulse),
                carry(target_reads, visitor_writes, down, &pulse)
            )
        };
        tokio::select! {
            outcome = both => outcome.map_or(End::Broken, |_| End::Finished),
            () = pulse.stops(terms.patience) => End::Silent,
            () = cut => End::Cut,
        }
    };
    if end != End::Finished {
        reset(visitor);
        reset(target);
    }
    end
}

/// Closes with a reset instead of an orderly end: what was not delivered is visibly lost.
pub(crate) fn reset(stream: TcpStream) {
    // On a socket that is already dead this fails, and nothing is left to reset.
    let _ = stream.set_zero_linger();
    drop(stream);
}

async fn carry(
    from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    throttle: Option<&Throttle>,
    pulse: &Pulse,
) -> io::Result<()> {
    loop {
        from.readable().await?;
        let mut chunk = Vec::with_capacity(throttle.map_or(CHUNK, Throttle::chunk));
        loop {
            chunk.clear();
            match from.try_read_buf(&mut chunk) {
                Ok(0) => {
                    pulse.half_closed.store(true, Relaxed);
                    pulse.beat();
                    return to.shutdown().await;
                }
                Ok(bytes) => {
                    if let Some(throttle) = throttle {
                        pulse.throttled.fetch_add(1, Relaxed);
                        throttle.pay(bytes).await;
                        pulse.throttled.fetch_sub(1, Relaxed);
                    }
                    write_all(&mut to, &chunk, pulse).await?;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
    }
}

/// Like `AsyncWriteExt::write_all`, but each accepted piece counts as movement: a slow reader is not a silent one.
async fn write_all(to: &mut WriteHalf<'_>, mut bytes: &[u8], pulse: &Pulse) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = to.write(bytes).await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        pulse.beat();
        bytes = bytes.get(written..).unwrap_or_default();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    use super::*;

    /// Both ends of a connection over loopback.
    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let connecting = TcpStream::connect(listener.local_addr().expect("an address"));
        let (near, far) = tokio::join!(connecting, listener.accept());
        (near.expect("connected"), far.expect("accepted").0)
    }

    fn terms(idle_ms: u64, linger_ms: u64) -> Terms {
        let patience = Patience { idle: Duration::from_millis(idle_ms), linger: Duration::from_millis(linger_ms) };
        Terms { patience, throttles: None }
    }

    fn run(test: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(test);
    }

    #[test]
    fn a_pair_that_is_silent_for_too_long_is_reset_on_both_sides() {
        run(async {
            let ((mut visitor, outer), (inner, mut target)) = (pair().await, pair().await);
            let end = join(outer, inner, &terms(150, 60_000), std::future::pending()).await;
            assert_eq!(end, End::Silent);
            for side in [&mut visitor, &mut target] {
                let error = side.read(&mut [0; 1]).await.expect_err("a reset");
                assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
            }
        });
    }

    #[test]
    fn a_half_closed_pair_is_given_up_sooner_than_an_open_one() {
        run(async {
            let ((mut visitor, outer), (inner, _target)) = (pair().await, pair().await);
            visitor.shutdown().await.expect("half-closed");
            let started = Instant::now();
            let end = join(outer, inner, &terms(60_000, 100), std::future::pending()).await;
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
            let (end, ()) = tokio::join!(join(outer, inner, &terms, std::future::pending()), talk);
            assert_eq!(end, End::Finished);
        });
    }

    #[test]
    fn a_throttle_makes_everyone_wait_for_everyones_bytes() {
        run(async {
            let throttle = Throttle::new(100_000);
            let started = Instant::now();
            tokio::join!(throttle.pay(10_000), throttle.pay(10_000), throttle.pay(10_000));
            assert!(started.elapsed() >= Duration::from_millis(300));
        });
    }
}
