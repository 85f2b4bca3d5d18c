//! What a pair of connections has to keep to: how long it may be silent, how fast its bytes move, where they are counted.

use std::pin::Pin;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use super::ledger::Traffic;

/// How much lost time a limit catches up. A late timer costs a millisecond or two; of two seconds this is 2.5 %.
const CATCH_UP: Duration = Duration::from_millis(50);

/// How often a connection that pays off a debt looks whether the limit was changed meanwhile.
const LOOK_FOR_CHANGE: Duration = Duration::from_millis(250);

/// How far datagrams may be ahead of a limit: they cannot wait, and come in bursts.
const BURST: Duration = Duration::from_millis(100);

/// How long a pair may be silent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// Without a byte in either direction while both are open; `None` for ever.
    pub(crate) idle: Option<Duration>,
    /// Without a byte after one side has finished sending.
    pub(crate) linger: Duration,
}

impl Patience {
    /// For ever, because sessions of SSH, databases and web sockets are silent for days, and the system's keepalive
    /// finds peers that are gone; a minute where one side has already said its last word.
    pub(crate) const DEFAULT: Self = Self { idle: None, linger: Duration::from_mins(1) };
}

/// The bytes a second that all connections of one mapping share in one direction. It may change at any time.
///
/// Each chunk is paid for after it was moved, with its true size; who runs into debt waits until it is paid off.
#[derive(Debug)]
pub(crate) struct Throttle {
    /// 0 is no limit.
    bytes_per_s: AtomicU64,
    /// How often the limit was changed; a debt under an earlier one is forgiven.
    changes: AtomicU32,
    /// When the debt of everything moved so far is paid off.
    paid_at: Mutex<Instant>,
}

impl Throttle {
    /// Makes a throttle; 0 is no limit.
    pub(crate) fn new(bytes_per_s: u64) -> Self {
        let (bytes_per_s, changes) = (AtomicU64::new(bytes_per_s), AtomicU32::new(0));
        Self { bytes_per_s, changes, paid_at: Mutex::new(Instant::now()) }
    }

    /// Sets another limit, under which nobody owes anything yet.
    pub(crate) fn change(&self, bytes_per_s: u64) {
        if self.bytes_per_s.swap(bytes_per_s, Relaxed) == bytes_per_s {
            return;
        }
        *self.paid_at.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.changes.fetch_add(1, Relaxed);
    }

    fn limit(&self) -> Option<u64> {
        Some(self.bytes_per_s.load(Relaxed)).filter(|limit| *limit > 0)
    }

    /// A fiftieth of a second's worth, so that a slow mapping moves evenly and a limit holds over short times too; at most
    /// `most`.
    fn piece(&self, most: usize) -> usize {
        self.limit().map_or(most, |limit| usize::try_from(limit / 50).unwrap_or(most).clamp(1, most.max(1)))
    }

    /// Adds `bytes` to the debt and returns when it will be paid off; without a limit nobody owes anything.
    fn owe(&self, bytes: usize) -> Option<Instant> {
        // At most a chunk, so the product stays far below 2^64.
        let cost = Duration::from_nanos(bytes as u64 * 1_000_000_000 / self.limit()?);
        let mut paid_at = self.paid_at.lock().unwrap_or_else(PoisonError::into_inner);
        // Timers and busy processors are late; what was lost that way is caught up, as far as it is no burst.
        *paid_at = Instant::now().checked_sub(CATCH_UP).map_or(*paid_at, |since| since.max(*paid_at)) + cost;
        Some(*paid_at)
    }

    /// Pays for `bytes`, unless that would be more than [`BURST`] ahead of the limit.
    fn pay_at_once(&self, bytes: usize) -> bool {
        if self.limit().is_none() {
            return true;
        }
        let ahead = self.paid_at.lock().unwrap_or_else(PoisonError::into_inner).duration_since(Instant::now());
        let may = ahead < BURST;
        if may {
            self.owe(bytes);
        }
        may
    }
}

/// One connection's dealings with the throttle of one direction.
#[derive(Default)]
pub(crate) struct Toll {
    throttle: Option<Arc<Throttle>>,
    debt: Option<Debt>,
}

/// What a connection waits for.
struct Debt {
    paid_at: Instant,
    /// The number of the limit's changes when it was made.
    changes: u32,
    /// Looks again now and then, because the limit may change.
    timer: Pin<Box<Sleep>>,
}

impl Toll {
    /// Ready when more may be moved.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while let (Some(debt), Some(throttle)) = (&mut self.debt, &self.throttle) {
            ready!(debt.timer.as_mut().poll(cx));
            let now = Instant::now();
            if debt.paid_at <= now || throttle.changes.load(Relaxed) != debt.changes {
                self.debt = None;
            } else {
                debt.timer.as_mut().reset(debt.paid_at.min(now + LOOK_FOR_CHANGE));
            }
        }
        Poll::Ready(())
    }

    /// Returns how many bytes may be moved at once, `most` at most.
    pub(crate) fn piece(&self, most: usize) -> usize {
        self.throttle.as_ref().map_or(most, |throttle| throttle.piece(most))
    }

    /// Notes bytes that were moved.
    pub(crate) fn owe(&mut self, bytes: usize) {
        let Some(throttle) = &self.throttle else { return };
        let changes = throttle.changes.load(Relaxed);
        self.debt = throttle.owe(bytes).map(|paid_at| {
            let timer = Box::pin(sleep_until(paid_at.min(Instant::now() + LOOK_FOR_CHANGE)));
            Debt { paid_at, changes, timer }
        });
    }

    /// Tells whether something is owed.
    pub(crate) fn is_waiting(&self) -> bool {
        self.debt.is_some()
    }
}

/// What a pair of connections has to keep to.
#[derive(Debug)]
pub(crate) struct Terms {
    /// How long it may be silent.
    pub(crate) patience: Patience,
    /// The throttles from visitor to target and from target to visitor.
    pub(crate) throttles: Option<[Arc<Throttle>; 2]>,
    /// Where its bytes are counted.
    pub(crate) traffic: Traffic,
}

impl Terms {
    /// Tells whether the mapping has a limit at present.
    pub(crate) fn is_limited(&self) -> bool {
        self.throttles.as_ref().is_some_and(|throttles| throttles.iter().any(|throttle| throttle.limit().is_some()))
    }

    /// Tells whether a datagram to the target may go now, and counts it as gone; one that would have to wait is lost.
    pub(crate) fn pays_up(&self, bytes: usize) -> bool {
        self.throttles.as_ref().is_none_or(|[up, _]| up.pay_at_once(bytes))
    }

    /// As [`Terms::pays_up`], for a datagram to the visitor.
    pub(crate) fn pays_down(&self, bytes: usize) -> bool {
        self.throttles.as_ref().is_none_or(|[_, down]| down.pay_at_once(bytes))
    }

    /// Returns a pair's dealings with the throttles: from visitor to target, and back.
    pub(crate) fn tolls(&self) -> [Toll; 2] {
        match &self.throttles {
            None => Default::default(),
            Some(throttles) => throttles.clone().map(|throttle| Toll { throttle: Some(throttle), debt: None }),
        }
    }
}

/// Watches for silence, and costs nothing while none is forbidden.
pub(crate) struct Silence {
    patience: Patience,
    moved: bool,
    half_closed: bool,
    wait: Option<Pin<Box<Sleep>>>,
}

impl Silence {
    pub(crate) fn new(patience: Patience) -> Self {
        Self { patience, moved: false, half_closed: false, wait: None }
    }

    /// Notes that a byte moved.
    pub(crate) fn moved(&mut self) {
        self.moved = true;
    }

    /// Ready when nothing has moved for too long.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, half_closed: bool) -> Poll<()> {
        let allowed = if half_closed { Some(self.patience.linger) } else { self.patience.idle };
        let Some(allowed) = allowed else { return Poll::Pending };
        if self.wait.is_none() || std::mem::take(&mut self.moved) || half_closed != self.half_closed {
            self.half_closed = half_closed;
            let until = Instant::now() + allowed;
            match &mut self.wait {
                Some(wait) => wait.as_mut().reset(until),
                None => self.wait = Some(Box::pin(sleep_until(until))),
            }
        }
        match &mut self.wait {
            Some(wait) => wait.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    fn run(test: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(test);
    }

    #[test]
    fn a_throttle_makes_everyone_wait_for_everyones_bytes() {
        run(async {
            let throttle = Throttle::new(100_000);
            let started = Instant::now();
            let paid = [(); 3].map(|()| throttle.owe(10_000).expect("a debt"));
            assert!(paid[2] - started >= Duration::from_millis(290) && paid[0] < paid[1] && paid[1] < paid[2]);
            assert!(!throttle.pay_at_once(1), "far ahead of its limit");
            assert_eq!((throttle.piece(1 << 20), throttle.piece(100)), (2000, 100));
        });
    }

    #[test]
    fn a_limit_that_is_lifted_frees_those_who_wait_for_it() {
        run(async {
            let throttle = Arc::new(Throttle::new(1));
            let mut toll = Toll { throttle: Some(Arc::clone(&throttle)), debt: None };
            toll.owe(3600);
            assert!(toll.is_waiting());
            let started = Instant::now();
            throttle.change(0);
            poll_fn(|cx| toll.poll(cx)).await;
            assert!(started.elapsed() < Duration::from_secs(5), "an hour's debt is forgiven");
            toll.owe(1 << 20);
            assert!(!toll.is_waiting() && throttle.pay_at_once(1 << 20) && toll.piece(4096) == 4096, "no limit");
            throttle.change(1000);
            toll.owe(1000);
            assert!(toll.is_waiting());
        });
    }
}
