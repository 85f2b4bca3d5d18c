//! What can be typed after `bench`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use crate::bench::plan::Test;
use crate::cli::values;

/// `bench`.
#[derive(Debug, Clone, Args)]
pub struct BenchArgs {
    /// The target of its own, in place of a test.
    #[command(subcommand)]
    pub verb: Option<BenchVerb>,
    /// The address to test; there unless a verb is.
    #[arg(required = true)]
    pub target: Option<String>,
    /// The tests; empty for the suite.
    #[arg(long = "test", value_delimiter = ',', value_parser = values::bench_tests)]
    pub tests: Vec<BenchTests>,
    /// Connections at a time; `None` for what suits each test.
    #[arg(long, value_parser = values::connections)]
    pub connections: Option<usize>,
    /// Bytes of a message or of a write; `None` for what suits each test.
    #[arg(long, value_parser = values::message_bytes)]
    pub size: Option<usize>,
    /// How long each test is measured; `None` for what suits it.
    #[arg(long, value_parser = values::bench_seconds)]
    pub duration: Option<Duration>,
    /// How often everything is measured.
    #[arg(long, value_parser = values::rounds, default_value = "1")]
    pub rounds: u32,
    /// An address to measure in the same run, to compare with.
    #[arg(long)]
    pub direct: Option<String>,
    /// A report to write; its name says in which form.
    #[arg(long)]
    pub report: Option<PathBuf>,
    /// Whether the target is a plain echo server.
    #[arg(long)]
    pub echo: bool,
    /// Whether the target is a service that is not spoken to.
    #[arg(long, conflicts_with = "echo")]
    pub no_data: bool,
}

/// What `--test` names: one test, or all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BenchTests {
    /// One.
    One(Test),
    /// All.
    All,
}

/// What of the load test.
#[derive(Debug, Clone, Subcommand)]
pub enum BenchVerb {
    /// Runs the target until it is stopped.
    Serve(BenchServeArgs),
}

/// `bench serve`.
#[derive(Debug, Clone, Args)]
pub struct BenchServeArgs {
    /// Where it listens; port 0 takes any free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
}
