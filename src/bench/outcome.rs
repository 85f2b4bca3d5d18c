//! What came out of a measurement: counts, failures by kind, percentiles; and how rounds become one outcome.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::plan::Test;

/// Longest latency that is told apart, in nanoseconds: a minute, which is longer than any test waits.
const LATENCY_MAX_NS: u64 = 60_000_000_000;

/// Digits that a latency keeps: an error of 0.1%.
const LATENCY_DIGITS: u8 = 3;

/// How an operation failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failure {
    /// No connection was made.
    Unconnected,
    /// The connection was closed or reset before its time.
    Closed,
    /// No answer came in time.
    TimedOut,
    /// A byte came that is not what was sent.
    Damaged,
    /// Bytes that were sent did not arrive although the end did.
    Lost,
}

impl Failure {
    /// Tells whether bytes were changed or lost silently, which no connection may ever do.
    #[must_use]
    pub const fn breaks_integrity(self) -> bool {
        matches!(self, Self::Damaged | Self::Lost)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::TimedOut { Self::TimedOut } else { Self::Closed }
    }
}

/// What was counted during one measurement.
#[derive(Debug, Clone)]
pub(super) struct Tally {
    /// Payload bytes, one way.
    pub(super) bytes: u64,
    /// Operations that succeeded.
    pub(super) operations: u64,
    /// Operations that failed.
    pub(super) failures: BTreeMap<Failure, u64>,
    /// Latencies in nanoseconds.
    pub(super) latency: Histogram<u64>,
    /// How long it took.
    pub(super) elapsed: Duration,
}

impl Tally {
    /// Makes one with nothing counted.
    pub(super) fn new() -> Self {
        let latency = Histogram::new_with_bounds(1, LATENCY_MAX_NS, LATENCY_DIGITS)
            .expect("the bounds are constants that the histogram takes");
        Self { bytes: 0, operations: 0, failures: BTreeMap::new(), latency, elapsed: Duration::ZERO }
    }

    /// Counts an operation of so many bytes.
    pub(super) fn count(&mut self, bytes: u64, latency: Duration) {
        self.bytes += bytes;
        self.operations += 1;
        self.latency.saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Counts a failure.
    pub(super) fn fail(&mut self, failure: Failure) {
        *self.failures.entry(failure).or_default() += 1;
    }

    /// Adds what another thread, or another round, counted; the longer time stands.
    pub(super) fn add(&mut self, other: &Self) {
        self.bytes += other.bytes;
        self.operations += other.operations;
        for (failure, count) in &other.failures {
            *self.failures.entry(*failure).or_default() += count;
        }
        // Both have the same bounds.
        let _ = self.latency.add(&other.latency);
        self.elapsed = self.elapsed.max(other.elapsed);
    }

    fn per_second(&self, count: u64) -> f64 {
        let seconds = self.elapsed.as_secs_f64();
        if seconds > 0.0 { as_float(count) / seconds } else { 0.0 }
    }
}

impl Default for Tally {
    fn default() -> Self {
        Self::new()
    }
}

/// Percentiles in microseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Latency {
    /// Half of all operations were faster.
    pub p50: f64,
    /// 90% were faster.
    pub p90: f64,
    /// 99% were faster.
    pub p99: f64,
    /// 99.9% were faster.
    pub p999: f64,
    /// The slowest.
    pub max: f64,
    /// The average.
    pub mean: f64,
}

/// What came out of all rounds of a step, against one address.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Payload bytes, one way, of all rounds.
    pub bytes: u64,
    /// Operations that succeeded, of all rounds.
    pub operations: u64,
    /// Operations that failed, of all rounds.
    pub failures: BTreeMap<Failure, u64>,
    /// How long all rounds took together.
    pub elapsed: Duration,
    /// The median of the rounds, in bytes a second.
    pub rate_bytes_per_s: f64,
    /// The median of the rounds, in operations a second.
    pub operations_per_s: f64,
    /// The latencies of all rounds; `None` where nothing was timed.
    pub latency: Option<Latency>,
    /// The latency below which a share of the operations stayed: shares and microseconds.
    pub curve: Vec<(f64, f64)>,
}

/// The shares at which the latency curve is drawn: evenly spaced in nines.
const CURVE_SHARES: [f64; 16] =
    [0.0, 0.25, 0.5, 0.6, 0.7, 0.8, 0.9, 0.93, 0.96, 0.98, 0.99, 0.995, 0.998, 0.999, 0.999_5, 0.999_9];

impl Outcome {
    /// Puts the rounds together.
    pub(super) fn of(rounds: &[Tally]) -> Self {
        let mut whole = Tally::new();
        for round in rounds {
            whole.add(round);
        }
        let histogram = &whole.latency;
        let at = |share: f64| microseconds(histogram.value_at_quantile(share));
        let latency = (!histogram.is_empty()).then(|| Latency {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: microseconds(histogram.max()),
            mean: rounded(histogram.mean() / 1e3),
        });
        let curve = latency.iter().flat_map(|_| CURVE_SHARES.into_iter().map(|share| (share, at(share)))).collect();
        Self {
            bytes: whole.bytes,
            operations: whole.operations,
            failures: whole.failures,
            elapsed: rounds.iter().map(|round| round.elapsed).sum(),
            rate_bytes_per_s: median(rounds.iter().map(|round| round.per_second(round.bytes))).unwrap_or(0.0),
            operations_per_s: median(rounds.iter().map(|round| round.per_second(round.operations))).unwrap_or(0.0),
            latency,
            curve,
        }
    }

    /// Returns how many operations failed.
    #[must_use]
    pub fn errors(&self) -> u64 {
        self.failures.values().sum()
    }
}

/// Returns how fast the target was as a share of direct, round by round, and of that the median; 1 is as fast, 0.5 half
/// as fast. `None` where there is nothing to compare.
pub(super) fn ratio(test: Test, target: &[Tally], direct: &[Tally]) -> Option<f64> {
    let speed = |tally: &Tally| match test {
        Test::Idle => 0.0,
        Test::Latency => {
            let median = tally.latency.value_at_quantile(0.5);
            if median > 0 { 1.0 / as_float(median) } else { 0.0 }
        }
        _ if test.is_bulk() => tally.per_second(tally.bytes),
        _ => tally.per_second(tally.operations),
    };
    let ratios = target.iter().zip(direct).map(|(target, direct)| (speed(target), speed(direct)));
    median(ratios.filter(|(_, direct)| *direct > 0.0).map(|(target, direct)| target / direct))
}

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    if values.len() % 2 == 1 {
        return Some(upper);
    }
    values.get(values.len() / 2 - 1).map(|lower| f64::midpoint(*lower, upper))
}

/// Turns nanoseconds into microseconds with one decimal: no clock is better than that over a socket.
fn microseconds(nanoseconds: u64) -> f64 {
    rounded(as_float(nanoseconds) / 1e3)
}

fn rounded(microseconds: f64) -> f64 {
    (microseconds * 10.0).round() / 10.0
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53, and a rate has few digits")]
pub(super) fn as_float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(bytes: u64, operations: u64, latency_us: u64) -> Tally {
        let mut tally = Tally::new();
        for _ in 0..operations {
            tally.count(bytes / operations, Duration::from_micros(latency_us));
        }
        tally.elapsed = Duration::from_secs(2);
        tally
    }

    #[test]
    fn the_rate_of_rounds_is_their_median_and_the_percentiles_are_of_all_operations() {
        let outcome = Outcome::of(&[round(200, 2, 10), round(2_000, 2, 20), round(400, 2, 1_000)]);
        assert_eq!((outcome.bytes, outcome.operations, outcome.elapsed.as_secs()), (2_600, 6, 6));
        assert!((outcome.rate_bytes_per_s - 200.0).abs() < 1e-9);
        let latency = outcome.latency.expect("timed");
        assert!((latency.p50 - 20.0).abs() < 0.1 && (latency.max - 1_000.0).abs() < 1.0, "{latency:?}");
    }

    #[test]
    fn a_ratio_is_taken_within_each_round() {
        let target = [round(100, 1, 30), round(300, 1, 30)];
        let direct = [round(200, 1, 10), round(600, 1, 10)];
        assert_eq!(ratio(Test::Upload, &target, &direct), Some(0.5));
        let latency = ratio(Test::Latency, &target, &direct).expect("a ratio");
        assert!((latency - 1.0 / 3.0).abs() < 0.001);
        assert_eq!(ratio(Test::Idle, &target, &direct), None);
        assert_eq!(ratio(Test::Upload, &target, &[Tally::new()]), None);
    }

    #[test]
    fn nothing_measured_is_no_latency_and_no_rate() {
        let outcome = Outcome::of(&[Tally::new()]);
        assert_eq!((outcome.latency, outcome.errors()), (None, 0));
        assert!(outcome.rate_bytes_per_s.abs() < f64::EPSILON);
    }
}
