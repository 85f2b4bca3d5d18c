//! Budgets against frames that cost the sender nothing and the receiver work.
//!
//! Each is a bucket that is filled by time. It is filled only when it is empty, so that spending is one subtraction.

use std::time::{Duration, Instant};

/// How fast a budget fills, and how much it holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Allowance {
    /// Gained per second.
    pub(crate) per_second: u32,
    /// Held at most, and at the beginning: what a peer may send at once, for example after a stall of the network.
    pub(crate) burst: u32,
}

/// Pings that are answered: our own peer sends one in five seconds and one per ten seconds of transfer.
pub(crate) const PINGS: Allowance = Allowance { per_second: 10, burst: 100 };

/// Credits smaller than a sixteenth of an initial credit: our own peer gives more at a time, so it sends none.
pub(crate) const SMALL_CREDITS: Allowance = Allowance { per_second: 100, burst: 1_000 };

/// Data frames of less than `TINY_BYTES`: allowed, because a terminal sends single bytes; but no thread can read a
/// million times a second from sockets, so more are made for the sake of it.
pub(crate) const TINY_DATA: Allowance = Allowance { per_second: 1_000_000, burst: 5_000_000 };

/// Data below this many bytes counts as tiny: less than the ten bytes before it.
pub(crate) const TINY_BYTES: u32 = 10;

/// Frames for streams that are over, and repeated `GoAway`: the last frames of a stream may cross, about one for each of
/// ten thousand streams a second, and four for each when all end at once.
pub(crate) const LATE_FRAMES: Allowance = Allowance { per_second: 10_000, burst: 65_536 };

/// Streams that a server opens for nothing: broken off before the client sent a byte, or denied by its policy. One costs
/// the client a dial, about 50 µs: a twentieth of a core at this rate. The streams that are open at once come on top.
pub(crate) const WASTED_OPENS: Allowance = Allowance { per_second: 1_000, burst: 2_000 };

/// The same, as our server keeps to it: half of what the client takes, so that strangers who connect and break off can
/// not make the client end the session.
pub(crate) const PACED_OPENS: Allowance = Allowance { per_second: 500, burst: 1_000 };

/// A budget; what it has left may go below zero where what is counted has already happened.
#[derive(Debug)]
pub(crate) struct Budget {
    allowance: Allowance,
    left: i64,
    filled: Instant,
}

impl Budget {
    /// A full budget.
    pub(crate) fn new(allowance: Allowance, now: Instant) -> Self {
        Self { allowance, left: i64::from(allowance.burst), filled: now }
    }

    /// Takes one; false when nothing is left.
    pub(crate) fn spend(&mut self, now: Instant) -> bool {
        if self.is_empty(now) {
            return false;
        }
        self.left -= 1;
        true
    }

    /// Takes one, even when nothing is left.
    pub(crate) fn owe(&mut self) {
        self.left = self.left.saturating_sub(1);
    }

    /// Whether nothing is left.
    pub(crate) fn is_empty(&mut self, now: Instant) -> bool {
        if self.left <= 0 {
            self.fill(now);
        }
        self.left <= 0
    }

    fn fill(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.filled);
        let gained = elapsed.as_micros().saturating_mul(u128::from(self.allowance.per_second)) / 1_000_000;
        if gained == 0 {
            return;
        }
        let gained = i64::try_from(gained).unwrap_or(i64::MAX);
        self.left = self.left.saturating_add(gained).min(i64::from(self.allowance.burst));
        // The fraction of a unit is kept: time is moved on by what was gained and no more.
        let per_unit = Duration::from_secs(1) / self.allowance.per_second.max(1);
        let spent = per_unit.checked_mul(u32::try_from(gained).unwrap_or(u32::MAX)).unwrap_or(elapsed);
        self.filled = self.filled.checked_add(spent.min(elapsed)).unwrap_or(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FEW: Allowance = Allowance { per_second: 10, burst: 20 };

    #[test]
    fn a_burst_is_allowed_and_then_the_rate() {
        let start = Instant::now();
        let mut budget = Budget::new(FEW, start);
        assert_eq!((0..100).filter(|_| budget.spend(start)).count(), 20);
        let later = start + Duration::from_millis(550);
        assert_eq!((0..100).filter(|_| budget.spend(later)).count(), 5);
        let later = start + Duration::from_millis(600);
        assert_eq!((0..100).filter(|_| budget.spend(later)).count(), 1, "the fraction is not lost");
    }

    #[test]
    fn a_long_pause_gains_no_more_than_a_burst() {
        let start = Instant::now();
        let mut budget = Budget::new(FEW, start);
        while budget.spend(start) {}
        let later = start + Duration::from_secs(1_000_000);
        assert_eq!((0..100).filter(|_| budget.spend(later)).count(), 20);
        assert!(!budget.spend(later), "time that was paid for once is not paid again");
    }

    #[test]
    fn debts_are_paid_before_anything_is_given() {
        let start = Instant::now();
        let mut budget = Budget::new(FEW, start);
        (0..30).for_each(|_| budget.owe());
        assert!(budget.is_empty(start + Duration::from_secs(1)));
        assert!(!budget.is_empty(start + Duration::from_millis(1_100)));
    }
}
