//! `bench --json`: the contract's document, also as a report.

use serde::Serialize;

use crate::bench::outcome::{Latency, Outcome};
use crate::bench::{Row, Target};

/// The whole document.
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
