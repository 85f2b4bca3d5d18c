//! `pool`: leases by the real program, in real processes that are killed, renamed and moved.

mod faults;
mod fleet;
mod guide;
mod listen;
mod machine;
mod services;
mod storm;
mod verbs;
mod wans;

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::support::{Answer, Sandbox};

/// A pool in a sandbox, and ports that are free for it.
struct Pool {
    sandbox: Sandbox,
    range: String,
}

impl Pool {
    fn new(ports: u16) -> Self {
        let first = super::support::free_block(ports);
        Self { sandbox: Sandbox::new(&[]), range: format!("{first}-{}", first + ports - 1) }
    }

    fn first(&self) -> u16 {
        self.range.split('-').next().and_then(|first| first.parse().ok()).expect("a range")
    }

    fn run(&self, arguments: &[&str]) -> Answer {
        self.sandbox.run(&[&["pool"], arguments].concat())
    }

    /// Leases ports for a process, and returns them.
    fn alloc(&self, arguments: &[&str]) -> Vec<u16> {
        let answer = self.run(&[&["alloc", "--range", &self.range], arguments].concat()).expect_code(0);
        answer.stdout.lines().map(|line| line.parse().expect("a port")).collect()
    }

    fn leases(&self) -> Vec<Value> {
        let document = self.run(&["list", "--json"]).expect_code(0).json();
        document["leases"].as_array().expect("leases").clone()
    }

    fn leased(&self) -> Vec<u64> {
        self.leases().iter().map(|lease| lease["port"].as_u64().expect("a port")).collect()
    }

    fn file(&self) -> std::path::PathBuf {
        self.sandbox.home().join(".local/state/portwright/pool.json")
    }
}

/// A process that does nothing until its input ends.
fn sleeper() -> Child {
    Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("cat runs")
}

/// Ends a process by force and collects it.
fn kill(mut child: Child) {
    child.kill().expect("a signal");
    child.wait().expect("an end");
}

#[track_caller]
fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !done() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::yield_now();
    }
}
