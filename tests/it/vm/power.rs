//! Power that goes away at any moment: what a server has acknowledged is there when the machine has started again, no
//! file of a project is half new, and the ports of processes that are no more are free.
//!
//! One test works until the power goes, and the other is the next start of the machine. Both have `/disk`, and nothing else is
//! kept between them.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use portwright::tunnel::health_probe;

use super::in_vm;
use crate::support::{Answer, PORTWRIGHT, hold};

const PROJECT: &str = "/disk/project";
const POOL: &str = "/disk/pool.json";
const OLD: [&str; 2] =
    ["WEB_PORT=20000\n", "services:\n  web:\n    image: x\n    ports: [\"${WEB_PORT}:80\", \"20001:81\"]\n"];
const NEW: [&str; 2] =
    ["WEB_PORT=20002\n", "services:\n  web:\n    image: x\n    ports: [\"${WEB_PORT}:80\", \"20003:81\"]\n"];

/// The server's port; its mappings have the ports behind it.
const API: u16 = 21_000;

const KEY: &str = "8f1d2c3b4a5968778695a4b3c2d1e0ff";

/// Tells whether this process is in the machine, and it is the part's turn.
fn is_turn(part: &str) -> bool {
    in_vm() && std::env::var_os("PORTWRIGHT_VM_POWER").is_some_and(|turn| turn == part)
}

/// How many mappings were acknowledged up to now.
fn kept() -> u16 {
    std::env::var("PORTWRIGHT_VM_KEPT").ok().and_then(|kept| kept.parse().ok()).unwrap_or(0)
}

fn command(line: &str) -> Command {
    let mut command = Command::new(PORTWRIGHT);
    command.args(line.split_whitespace()).current_dir(PROJECT).env("HOME", "/disk/home").stdin(Stdio::null());
    command
}

fn run(line: &str) -> Answer {
    command(line).output().expect("the program runs").into()
}

fn contents() -> [String; 2] {
    [".env", "compose.yaml"].map(|name| fs::read_to_string(Path::new(PROJECT).join(name)).expect("a file"))
}

/// Lays the project out where there is none.
fn lay_out() {
    if Path::new(PROJECT).exists() {
        return;
    }
    for folder in [PROJECT, "/disk/server", "/disk/home"] {
        fs::create_dir(folder).expect("a folder");
    }
    for (name, text) in [".env", "compose.yaml"].into_iter().zip(OLD) {
        fs::write(Path::new(PROJECT).join(name), text).expect("a file");
    }
    let config = format!(
        "port_range: {{ from: {}, end: 22000, listen: 127.0.0.1 }}\ntunnel: {{ enabled: false }}\n\
         api: {{ listen_port: {API}, rate_limit: 100000 }}\ndatabase: {{ path: /disk/server/mappings.db }}\n",
        API + 1
    );
    fs::write("/disk/server/config.yaml", config).expect("a configuration");
    fs::write("/disk/server/.env", format!("API_PORT={API}\nPORTWRIGHT_API_API_KEY={KEY}\n")).expect("a file");
    Command::new("sync").status().expect("sync");
}

/// A server; killed when dropped.
struct Served(Child);

impl Served {
    fn start() -> Self {
        let mut command = command("tunnel server --config config.yaml --env-file .env");
        command.current_dir("/disk/server").stdout(Stdio::null()).stderr(Stdio::null());
        let served = Self(command.spawn().expect("a server"));
        let deadline = Instant::now() + Duration::from_mins(1);
        while health_probe(SocketAddr::from(([127, 0, 0, 1], API))).is_err() {
            assert!(Instant::now() < deadline, "the server does not serve");
            thread::yield_now();
        }
        served
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.0.kill();
        self.0.wait().expect("gone");
    }
}

/// Ends the process when the thread of one that works for ever has failed: the others would hide it.
struct EndsAll;

impl Drop for EndsAll {
    fn drop(&mut self) {
        if thread::panicking() {
            std::process::exit(101);
        }
    }
}

fn mapping(line: &str) -> Answer {
    let mut command = command(&format!("mapping {line} --json"));
    command.current_dir("/disk/server").output().expect("the program runs").into()
}

/// Changes everything that is to outlast the power, again and again, and says what was acknowledged.
#[test]
fn works_until_the_power_goes() {
    if !is_turn("before") {
        return;
    }
    lay_out();
    let _served = Served::start();
    let _busy = [hold(20_000), hold(20_001)];
    thread::scope(|scope| {
        scope.spawn(|| {
            let _end = EndsAll;
            for number in kept() + 1.. {
                let port = API + number;
                let answer = mapping(&format!("create {port} --target 9 --direct"));
                // One that was written and not acknowledged when the power went.
                assert!(answer.code == 0 || answer.stderr.contains("mapping_exists"), "{}", answer.stderr);
                println!("kept {number}");
            }
        });
        scope.spawn(|| {
            let _end = EndsAll;
            loop {
                run("quick-start --yes --no-launch").expect_code(0);
                assert_eq!(contents(), NEW);
                run("undo --yes").expect_code(0);
                assert_eq!(contents(), OLD);
            }
        });
        scope.spawn(|| {
            let _end = EndsAll;
            loop {
                let ports = run(&format!("pool alloc --count 2 --state {POOL}")).expect_code(0).stdout;
                let port = ports.lines().next().expect("a port");
                run(&format!("pool release --state {POOL} {port}")).expect_code(0);
            }
        });
    });
}

#[test]
fn when_power_has_gone_what_was_acknowledged_is_there_and_no_file_is_half_new() {
    if !is_turn("after") {
        return;
    }
    // Each file is whole, even before anybody repairs anything.
    for ((text, old), new) in contents().iter().zip(OLD).zip(NEW) {
        assert!(text == old || text == new, "{text:?}");
    }
    {
        let _busy = [hold(20_000), hold(20_001)];
        run("quick-start --yes --no-launch").expect_code(0);
        assert_eq!(contents(), NEW);
    }
    run("undo --yes").expect_code(0);
    assert_eq!(contents(), OLD);

    let leases = run(&format!("pool list --state {POOL} --json")).expect_code(0).json();
    assert_eq!(leases["leases"].as_array().map(Vec::len), Some(0), "of processes that are no more: {leases}");
    run(&format!("pool alloc --state {POOL}")).expect_code(0);

    let _served = Served::start();
    let list = mapping("list").expect_code(0).json();
    let ports = list["mappings"].as_array().expect("mappings").iter().filter_map(|row| row["source_port"].as_u64());
    let there: Vec<u64> = ports.map(|port| port - u64::from(API)).collect();
    assert!((1..=u64::from(kept())).all(|number| there.contains(&number)), "{} were acknowledged: {there:?}", kept());
}
