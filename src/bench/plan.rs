//! What is run: from a person's wishes to a row of steps. Pure: no clock, no sockets.

use std::time::Duration;

/// A test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Test {
    /// The pattern, from here to the target.
    Upload,
    /// The pattern, from the target to here.
    Download,
    /// Both directions at once, over many connections.
    Bandwidth,
    /// One message there and back, then the next.
    PingPong,
    /// Messages at a fixed pace, whether the last one is back or not.
    Latency,
    /// Connect, one byte there and back, close.
    Connect,
    /// Connections that do nothing, and are then asked whether they live.
    Idle,
    /// Random messages of random sizes with digests of both directions.
    Reliability,
    /// Ping-pong with messages of 64 B to 1 MB.
    Sizes,
    /// Ping-pong over 1 to 1,000 connections.
    Concurrency,
}

/// Every test, in the order in which they are run.
pub const TESTS: [Test; 10] = [
    Test::Upload,
    Test::Download,
    Test::Bandwidth,
    Test::PingPong,
    Test::Latency,
    Test::Connect,
    Test::Idle,
    Test::Reliability,
    Test::Sizes,
    Test::Concurrency,
];

/// The most connections that a test opens: more than that needs more than one address.
pub const CONNECTIONS_MAX: usize = 10_000;

/// The largest message in bytes.
pub const SIZE_MAX: usize = 1 << 20;

/// The most rounds: beyond that a median no longer changes.
pub const ROUNDS_MAX: u32 = 1_000;

/// The sizes of [`Test::Sizes`] in bytes.
const SIZES: [usize; 8] = [64, 256, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20];

/// The steps of [`Test::Concurrency`].
const CONCURRENCY: [usize; 7] = [1, 3, 10, 30, 100, 300, 1_000];

/// How long a test is measured when nothing else is said: seven of them then take about 15 s with their openings.
const DURATION: Duration = Duration::from_secs(2);

/// How long one of the many steps of a row is measured when nothing else is said.
const DURATION_OF_ROW: Duration = Duration::from_secs(1);

/// Writes of a bulk test when nothing else is said, in bytes: large enough that the system call costs little.
const BULK_BYTES: usize = 128 << 10;

/// Messages of the other tests when nothing else is said, in bytes: a small request.
const MESSAGE_BYTES: usize = 1 << 10;

/// Connections of a test that is about many, when nothing else is said.
const MANY: usize = 10;

/// Idle connections when nothing else is said.
const IDLE: usize = 1_000;

impl Test {
    /// Returns the name by which the test is typed and by which it stands in documents.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Upload => "upload",
            Self::Download => "download",
            Self::Bandwidth => "bandwidth",
            Self::PingPong => "ping-pong",
            Self::Latency => "latency",
            Self::Connect => "connect",
            Self::Idle => "idle",
            Self::Reliability => "reliability",
            Self::Sizes => "sizes",
            Self::Concurrency => "concurrency",
        }
    }

    /// Returns the test of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        TESTS.into_iter().find(|test| test.name() == name)
    }

    /// Tells whether a target of this kind is enough.
    #[must_use]
    pub const fn works_with(self, kind: Kind) -> bool {
        match kind {
            Kind::Bench => true,
            Kind::Echo => !matches!(self, Self::Upload | Self::Download | Self::Bandwidth | Self::Reliability),
            Kind::Silent => matches!(self, Self::Connect | Self::Idle),
        }
    }

    /// Tells whether the test is about bytes a second; the others are about operations.
    #[must_use]
    pub const fn is_bulk(self) -> bool {
        matches!(self, Self::Upload | Self::Download | Self::Bandwidth)
    }

    /// Tells whether the test is part of the suite that runs when none is named.
    const fn in_suite(self) -> bool {
        !matches!(self, Self::Sizes | Self::Concurrency)
    }

    const fn connections(self) -> usize {
        match self {
            Self::Upload | Self::Download | Self::PingPong | Self::Sizes | Self::Concurrency => 1,
            Self::Bandwidth | Self::Latency | Self::Connect | Self::Reliability => MANY,
            Self::Idle => IDLE,
        }
    }

    const fn size(self) -> usize {
        match self {
            Self::Upload | Self::Download | Self::Bandwidth => BULK_BYTES,
            Self::Connect | Self::Idle => 1,
            _ => MESSAGE_BYTES,
        }
    }
}

/// What can be expected of the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kind {
    /// It is `portwright bench serve`, or leads to one.
    #[default]
    Bench,
    /// It sends back what it gets.
    Echo,
    /// It accepts connections; nothing is sent.
    Silent,
}

/// What a person asked for; `None` and empty are what Portwright chooses.
#[derive(Debug, Clone, Default)]
pub struct Wishes {
    /// The tests.
    pub tests: Vec<Test>,
    /// Connections at a time.
    pub connections: Option<usize>,
    /// Bytes of a message, or of a write.
    pub size: Option<usize>,
    /// How long each test is measured.
    pub duration: Option<Duration>,
    /// What can be expected of the target.
    pub kind: Kind,
}

/// One measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// The test.
    pub test: Test,
    /// Connections at a time.
    pub connections: usize,
    /// Bytes of a message, or of a write.
    pub size: usize,
    /// How long it is measured.
    pub duration: Duration,
    /// What can be expected of the target.
    pub kind: Kind,
}

/// Returns the steps of the wishes, in the order in which they are run.
#[must_use]
pub fn steps(wishes: &Wishes) -> Vec<Step> {
    let is_wished = |test: &Test| {
        let named = if wishes.tests.is_empty() { test.in_suite() } else { wishes.tests.contains(test) };
        named && test.works_with(wishes.kind)
    };
    TESTS.into_iter().filter(is_wished).flat_map(|test| steps_of(test, wishes)).collect()
}

fn steps_of(test: Test, wishes: &Wishes) -> Vec<Step> {
    let is_row = matches!(test, Test::Sizes | Test::Concurrency);
    let step = Step {
        test,
        connections: wishes.connections.unwrap_or(test.connections()),
        size: if matches!(test, Test::Connect | Test::Idle) { 1 } else { wishes.size.unwrap_or(test.size()) },
        duration: wishes.duration.unwrap_or(if is_row { DURATION_OF_ROW } else { DURATION }),
        kind: wishes.kind,
    };
    match test {
        Test::Sizes => SIZES.into_iter().map(|size| Step { size, ..step }).collect(),
        Test::Concurrency => {
            let most = wishes.connections.unwrap_or(CONNECTIONS_MAX);
            CONCURRENCY
                .into_iter()
                .filter(|connections| *connections <= most)
                .map(|connections| Step { connections, ..step })
                .collect()
        }
        // Each direction has a connection at least.
        Test::Bandwidth => vec![Step { connections: step.connections.max(2), ..step }],
        _ => vec![step],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_suite_leaves_the_long_rows_out_and_takes_about_a_quarter_of_a_minute() {
        let suite = steps(&Wishes::default());
        assert!(suite.iter().all(|step| step.test.in_suite()));
        let total: Duration = suite.iter().map(|step| step.duration).sum();
        assert!((12..=17).contains(&total.as_secs()), "{total:?}");
    }

    #[test]
    fn a_plain_echo_is_asked_only_for_what_it_can_do() {
        let all = steps(&Wishes { tests: TESTS.to_vec(), kind: Kind::Echo, ..Wishes::default() });
        let names: Vec<&str> = all.iter().map(|step| step.test.name()).collect();
        assert!(["ping-pong", "connect", "idle", "sizes", "concurrency"].iter().all(|name| names.contains(name)));
        assert!(!["upload", "download", "bandwidth", "reliability"].iter().any(|name| names.contains(name)));
    }

    #[test]
    fn rows_go_from_small_to_large_and_wishes_hold() {
        let sizes = steps(&Wishes { tests: vec![Test::Sizes], ..Wishes::default() });
        assert_eq!((sizes[0].size, sizes[7].size), (64, 1 << 20));
        let row = steps(&Wishes { tests: vec![Test::Concurrency], connections: Some(100), ..Wishes::default() });
        assert_eq!(row.iter().map(|step| step.connections).collect::<Vec<_>>(), [1, 3, 10, 30, 100]);
        let wishes = Wishes { tests: vec![Test::Upload], connections: Some(7), size: Some(99), ..Wishes::default() };
        assert_eq!((steps(&wishes)[0].connections, steps(&wishes)[0].size), (7, 99));
    }

    #[test]
    fn a_name_is_that_of_one_test() {
        assert!(TESTS.into_iter().all(|test| Test::from_name(test.name()) == Some(test)));
        assert_eq!(Test::from_name("Upload"), None);
    }
}
