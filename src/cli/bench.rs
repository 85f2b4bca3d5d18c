//! `bench` and its target.

use serde::Serialize;

use super::args::{BenchArgs, BenchServeArgs, BenchTests, BenchVerb};
use super::progress::Progress;
use super::{Ending, Talk};
use crate::bench::outcome::{Latency, Outcome};
use crate::bench::plan::{TESTS, Wishes, steps};
use crate::bench::{self, Row, Side, Target};
use crate::error::{ErrorKind, Result};
use crate::host::StopSignals;
use crate::words::Say;
use crate::words::bench::BenchWords;

/// Runs the verb: a test, or the target.
pub(super) fn run(typed: &BenchArgs, talk: &Talk) -> Result<Ending> {
    match (&typed.verb, &typed.target) {
        (Some(BenchVerb::Serve(typed)), _) => serve(typed, talk),
        (None, Some(target)) => test(typed, target, talk),
        (None, None) => Ok(Ending::Judged(ErrorKind::Usage)),
    }
}

#[derive(Serialize)]
struct ServeDocument {
    schema: &'static str,
    address: String,
}

fn serve(typed: &BenchServeArgs, talk: &Talk) -> Result<Ending> {
    bench::serve(
        typed.listen,
        |address| {
            let address = address.to_string();
            if talk.json {
                return talk.json(&ServeDocument { schema: "portwright.bench-serve/1", address });
            }
            talk.data(&BenchWords::Listening { address }.say(talk.lang))
        },
        || {
            let mut signals = StopSignals::listen()?;
            Ok(async move { signals.next().await })
        },
    )?;
    Ok(Ending::Done)
}

fn test(typed: &BenchArgs, target: &str, talk: &Talk) -> Result<Ending> {
    let wishes = wishes(typed);
    let target = bench::reach(target, typed.echo)?;
    let direct = typed.direct.as_deref().map(|name| bench::reach(name, typed.echo)).transpose()?;
    let mut progress = Progress::new(talk);
    let steps = steps(&wishes);
    let rows = bench::run(&target, direct.as_ref(), &steps, typed.rounds, &mut |step, side, _| {
        let name = match side {
            Side::Target => target.name.clone(),
            Side::Direct => typed.direct.clone().unwrap_or_default(),
        };
        progress.step(BenchWords::Measuring {
            test: step.test.name().to_owned(),
            connections: step.connections,
            bytes: step.size,
            target: name,
        });
    });
    progress.done();
    let document = BenchDocument::new(&target, direct.as_ref(), &rows);
    talk.json(&document)?;
    Ok(Ending::Done)
}

fn wishes(typed: &BenchArgs) -> Wishes {
    let tests = typed.tests.iter().flat_map(|tests| match tests {
        BenchTests::One(test) => vec![*test],
        BenchTests::All => TESTS.to_vec(),
    });
    Wishes {
        tests: tests.collect(),
        connections: typed.connections,
        size: typed.size,
        duration: typed.duration,
        echo: typed.echo,
    }
}

/// `bench --json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct BenchDocument {
    schema: &'static str,
    target: String,
    direct: Option<String>,
    tests: Vec<TestView>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct TestView {
    name: &'static str,
    connections: usize,
    size: usize,
    #[serde(flatten)]
    outcome: OutcomeView,
    direct: Option<OutcomeView>,
    ratio: Option<f64>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct OutcomeView {
    duration_s: f64,
    bytes: u64,
    operations: u64,
    errors: u64,
    rate_bytes_per_s: f64,
    operations_per_s: f64,
    latency_us: Option<LatencyView>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct LatencyView {
    p50: f64,
    p90: f64,
    p99: f64,
    p999: f64,
    max: f64,
    mean: f64,
}

impl BenchDocument {
    /// Makes the document.
    #[must_use]
    pub(super) fn new(target: &Target, direct: Option<&Target>, rows: &[Row]) -> Self {
        let tests = rows.iter().map(|row| TestView {
            name: row.step.test.name(),
            connections: row.step.connections,
            size: row.step.size,
            outcome: OutcomeView::new(&row.target),
            direct: row.direct.as_ref().map(OutcomeView::new),
            ratio: row.ratio.map(|ratio| rounded(ratio, 1e4)),
        });
        Self {
            schema: "portwright.bench/1",
            target: target.name.clone(),
            direct: direct.map(|direct| direct.name.clone()),
            tests: tests.collect(),
        }
    }
}

impl OutcomeView {
    fn new(outcome: &Outcome) -> Self {
        let latency =
            |&Latency { p50, p90, p99, p999, max, mean }: &Latency| LatencyView { p50, p90, p99, p999, max, mean };
        Self {
            duration_s: rounded(outcome.elapsed.as_secs_f64(), 1e6),
            bytes: outcome.bytes,
            operations: outcome.operations,
            errors: outcome.errors(),
            rate_bytes_per_s: rounded(outcome.rate_bytes_per_s, 10.0),
            operations_per_s: rounded(outcome.operations_per_s, 1e3),
            latency_us: outcome.latency.as_ref().map(latency),
        }
    }
}

fn rounded(value: f64, digits: f64) -> f64 {
    (value * digits).round() / digits
}
