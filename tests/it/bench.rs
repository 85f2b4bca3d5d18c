//! `bench` from outside: the real program against its own target, directly and through proxies that damage what they
//! carry.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::support::{Answer, PORTWRIGHT, Sandbox};

/// How long an answer over loopback may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running `bench serve`.
struct Target {
    child: Child,
    address: SocketAddr,
}

impl Target {
    fn start() -> Self {
        let mut child = Command::new(PORTWRIGHT)
            .args(["bench", "serve", "--lang", "en"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program runs");
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        stdout.read_line(&mut line).expect("a line");
        let address = line.trim().strip_prefix("listening on ").and_then(|address| address.parse().ok());
        Self { child, address: address.unwrap_or_else(|| panic!("no address in {line:?}")) }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        // One that has ended by itself is ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a proxy does to the bytes of one direction of each connection.
#[derive(Clone, Copy)]
enum Harm {
    None,
    /// Changes a bit of the byte at this place.
    Flip(usize),
    /// Closes both sides after so many bytes.
    Cut(usize),
}

fn carry(mut from: TcpStream, mut to: TcpStream, harm: Harm) {
    let mut buffer = vec![0; 64 * 1024];
    let mut place = 0;
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        let bytes = &mut buffer[..count];
        match harm {
            Harm::Flip(at) if (place..place + count).contains(&at) => bytes[at - place] ^= 1,
            Harm::Cut(at) if (place..=place + count).contains(&at) => {
                let _ = to.write_all(&bytes[..at - place]);
                let _ = from.shutdown(Shutdown::Both);
                break;
            }
            _ => {}
        }
        place += count;
        if to.write_all(bytes).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}

/// Starts a proxy to `target`; its threads end with their connections, and the listener with the test's process.
fn proxy(target: SocketAddr, up: Harm, down: Harm) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for visitor in listener.incoming().flatten() {
            let Ok(server) = TcpStream::connect(target) else { continue };
            for stream in [&visitor, &server] {
                stream.set_nodelay(true).expect("an option");
            }
            let (visitor_too, server_too) = (visitor.try_clone().expect("a socket"), server.try_clone().expect("one"));
            thread::spawn(move || carry(visitor, server, up));
            thread::spawn(move || carry(server_too, visitor_too, down));
        }
    });
    address
}

fn bench(address: SocketAddr, arguments: &[&str]) -> Answer {
    bench_in(&Sandbox::new(&[]), &address.to_string(), arguments)
}

fn bench_in(sandbox: &Sandbox, address: &str, arguments: &[&str]) -> Answer {
    sandbox.run(&[&["bench", address, "--duration", "0.1", "--lang", "en"], arguments].concat())
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

fn sorted(names: &[&'static str]) -> Vec<&'static str> {
    let mut names = names.to_vec();
    names.sort_unstable();
    names
}

const OUTCOME: [&str; 7] =
    ["duration_s", "bytes", "operations", "errors", "rate_bytes_per_s", "operations_per_s", "latency_us"];

#[test]
fn every_test_runs_against_its_own_target_and_the_document_has_the_fields_of_the_contract() {
    let target = Target::start();
    let direct = target.address.to_string();
    let answer = bench(target.address, &["--test", "all", "--connections", "4", "--direct", &direct, "--json"]);
    let answer = answer.expect_code(0);
    let document = answer.json();
    assert!(answer.stdout.starts_with("{\"schema\":\"portwright.bench/1\","), "{}", answer.stdout);
    assert_eq!(keys(&document), ["direct", "schema", "target", "tests"]);
    let tests = document["tests"].as_array().expect("tests");
    let names: Vec<&str> = tests.iter().filter_map(|test| test["name"].as_str()).collect();
    for name in
        "upload download bandwidth ping-pong latency connect idle reliability sizes concurrency".split_whitespace()
    {
        assert!(names.contains(&name), "{name} in {names:?}");
    }
    for test in tests {
        let name = &test["name"];
        assert_eq!(keys(test), sorted(&[&OUTCOME[..], &["name", "connections", "size", "direct", "ratio"]].concat()));
        assert_eq!(keys(&test["direct"]), sorted(&OUTCOME), "{name}");
        assert!(test["bytes"].as_u64() > Some(0) && test["operations"].as_u64() > Some(0), "{test}");
        assert_eq!(test["errors"], 0, "{test}");
        assert_eq!(test["ratio"].is_null(), name == "idle", "{test}");
        if ["ping-pong", "latency", "connect", "sizes", "concurrency"].iter().any(|timed| name == timed) {
            let latency = &test["latency_us"];
            let at = |share: &str| latency[share].as_f64().expect("a number");
            assert_eq!(keys(latency), sorted(&["p50", "p90", "p99", "p999", "max", "mean"]));
            assert!(at("p50") <= at("p90") && at("p90") <= at("p99") && at("p999") <= at("max"), "{latency}");
        }
    }
}

#[test]
fn a_changed_byte_in_either_direction_is_found_by_every_test_that_carries_it() {
    let target = Target::start();
    let harms = [("up", Harm::Flip(70_000), Harm::None), ("down", Harm::None, Harm::Flip(70_000))];
    for (direction, up, down) in harms {
        let through = proxy(target.address, up, down);
        let test = if direction == "up" { "upload" } else { "download" };
        for test in [test, "reliability", "ping-pong"] {
            let answer = bench(through, &["--test", test, "--size", "128K", "--json"]).expect_code(6);
            let found = &answer.json()["tests"][0];
            assert!(found["errors"].as_u64() > Some(0), "{test} {direction}: {found}");
            assert!(answer.stderr.contains("changed or lost"), "{test} {direction}: {}", answer.stderr);
        }
    }
}

#[test]
fn a_cut_connection_is_an_error_and_no_silent_loss() {
    let target = Target::start();
    let through = proxy(target.address, Harm::None, Harm::Cut(70_000));
    // Messages of a size that reaches the cut also where the machine has time for one.
    for (test, more) in [("download", &[][..]), ("reliability", &[]), ("ping-pong", &["--size", "128K"])] {
        let answer = bench(through, &[&["--test", test, "--json"], more].concat()).expect_code(6);
        assert!(answer.json()["tests"][0]["errors"].as_u64() > Some(0), "{test}: {}", answer.stdout);
    }
}

#[test]
fn a_proxy_that_harms_nothing_passes() {
    let target = Target::start();
    let through = proxy(target.address, Harm::None, Harm::None);
    let direct = target.address.to_string();
    let answer = bench(through, &["--direct", &direct, "--connections", "3", "--rounds", "2"]).expect_code(0);
    for text in ["TEST", "upload", "reliability", "3 alive", "RATIO"] {
        assert!(answer.stdout.contains(text) || text == "3 alive", "{text}: {}", answer.stdout);
    }
    assert!(answer.stdout.contains("6 of 6 alive"), "two rounds of three: {}", answer.stdout);
}

#[test]
fn an_address_where_nobody_or_somebody_else_answers_is_missing() {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    let answer = bench(free, &["--json"]).expect_code(5);
    let error = &answer.json()["error"];
    assert_eq!((&error["kind"], &error["code"]), (&Value::from("missing"), &Value::from(5)));
    assert!(error["hint"].as_str().is_some_and(|hint| hint.contains("bench serve")), "{error}");

    let target = Target::start();
    let closes = proxy(target.address, Harm::None, Harm::Cut(0));
    assert!(bench(closes, &[]).expect_code(5).stderr.contains("it is not `portwright bench serve`"));
    assert!(bench(closes, &["--echo"]).expect_code(5).stderr.contains("does not send back"));
    let answer = bench(target.address, &["--direct", &free.to_string()]).expect_code(5);
    assert!(answer.stderr.contains(&free.to_string()), "{}", answer.stderr);
}

#[test]
fn a_plain_echo_server_is_tested_with_echo_and_any_service_without_data() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for visitor in listener.incoming().flatten() {
            visitor.set_nodelay(true).expect("an option");
            let back = visitor.try_clone().expect("a socket");
            thread::spawn(move || carry(visitor, back, Harm::None));
        }
    });
    assert!(bench(address, &[]).expect_code(5).stderr.contains("add `--echo`"));
    let names = |answer: &Answer| -> Vec<String> {
        let document = answer.json();
        let tests = document["tests"].as_array().expect("tests").iter();
        tests.map(|test| test["name"].as_str().expect("a name").to_owned()).collect()
    };
    let answer = bench(address, &["--echo", "--connections", "3", "--json"]).expect_code(0);
    assert_eq!(names(&answer), ["ping-pong", "latency", "connect", "idle"]);
    let answer = bench(address, &["--no-data", "--connections", "3", "--json"]).expect_code(0);
    assert_eq!(names(&answer), ["connect", "idle"]);
}

#[test]
fn the_target_echoes_whatever_does_not_begin_with_its_preamble() {
    let target = Target::start();
    let long = vec![0xF7; 300_000];
    for first in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\xF7pwbencH and more", b"\0", &long] {
        let mut stream = target.connect();
        let mut writer = stream.try_clone().expect("a socket");
        let sent = first.to_vec();
        let writing = thread::spawn(move || {
            writer.write_all(&sent).and_then(|()| writer.shutdown(Shutdown::Write)).expect("it is taken");
        });
        let mut back = Vec::new();
        stream.read_to_end(&mut back).expect("it comes back");
        assert!(back == first, "{} of {} bytes", back.len(), first.len());
        writing.join().expect("no panic");
    }
}

/// An echo that stops once, for a while, in the middle of each connection.
fn stalling_echo(stall: Duration) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for mut visitor in listener.incoming().flatten() {
            visitor.set_nodelay(true).expect("an option");
            thread::spawn(move || {
                let (_nobody, nothing) = std::sync::mpsc::channel::<()>();
                let mut buffer = [0; 4096];
                for turn in 0.. {
                    let Ok(count @ 1..) = visitor.read(&mut buffer) else { return };
                    if turn == 20 {
                        // Nothing is ever said; this is the target's pause and no wait of the test.
                        let _ = nothing.recv_timeout(stall);
                    }
                    if visitor.write_all(&buffer[..count]).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

#[test]
fn a_target_that_stops_for_a_while_delays_every_message_that_was_due_meanwhile() {
    let address = stalling_echo(Duration::from_millis(400));
    let sandbox = Sandbox::new(&[]);
    let arguments = ["--echo", "--test", "latency,ping-pong", "--duration", "1", "--json", "--connections", "1"];
    let document = sandbox.run(&[&["bench", &address.to_string()], &arguments[..]].concat()).expect_code(0).json();
    let p90 = |name: &str| {
        let tests = document["tests"].as_array().expect("tests");
        let test = tests.iter().find(|test| test["name"] == name).expect(name);
        test["latency_us"]["p90"].as_f64().expect("a number")
    };
    // One message in thousands waited here, and nearly half of all that were due there.
    assert!(p90("ping-pong") < 100_000.0, "{document}");
    assert!(p90("latency") > 200_000.0, "{document}");
}

#[test]
fn wrong_wishes_are_usage_errors() {
    let sandbox = Sandbox::new(&[]);
    for arguments in [
        &["--test", "bogus"][..],
        &["--connections", "0"],
        &["--connections", "10001"],
        &["--size", "2M"],
        &["--size", "x"],
        &["--duration", "0"],
        &["--rounds", "0"],
        &["--report", "report.pdf"],
        &["--echo", "--no-data"],
        &["--echo", "--test", "upload"],
    ] {
        // No duration of its own, so that each finding is the one that is meant.
        let answer = sandbox.run(&[&["bench", "127.0.0.1:1"], arguments].concat()).expect_code(2);
        assert!(answer.stderr.starts_with("error: "), "{arguments:?}: {}", answer.stderr);
    }
    sandbox.run(&["bench"]).expect_code(2);
    sandbox.run(&["bench", "serve", "--listen", "nonsense"]).expect_code(2);
}

#[test]
fn a_report_is_one_file_that_needs_nothing_else() {
    let target = Target::start();
    let sandbox = Sandbox::new(&[]);
    let address = target.address.to_string();
    let wishes = ["--test", "upload,ping-pong,sizes,concurrency", "--connections", "3", "--direct", &address];
    for (name, begins) in
        [("r.html", "<!doctype html>"), ("r.svg", "<svg xmlns"), ("r.json", "{\n  \"schema\": \"portwright.bench/1\"")]
    {
        let answer = bench_in(&sandbox, &address, &[&wishes[..], &["--report", name]].concat()).expect_code(0);
        assert!(answer.stderr.contains(&format!("report: {name}")), "{}", answer.stderr);
        let text = sandbox.read(name);
        assert!(text.starts_with(begins), "{name}: {}", &text[..80]);
        for foreign in ["<script", "<link", "src=", "@import", "url("] {
            assert!(!text.contains(foreign), "{foreign} in {name}");
        }
        if name != "r.json" {
            assert!(text.matches("<polyline").count() >= 8, "curves of {name}");
            assert!(text.contains("prefers-color-scheme:dark"), "{name}");
        }
    }
    let answer = bench_in(&sandbox, &address, &["--test", "connect", "--report", "nowhere/r.html"]).expect_code(5);
    assert!(answer.stderr.contains("nowhere/r.html"), "{}", answer.stderr);
}

#[test]
fn the_target_says_where_it_listens_and_that_an_address_is_taken() {
    let target = Target::start();
    let address = target.address.to_string();
    let sandbox = Sandbox::new(&[]);
    let answer = sandbox.run(&["bench", "serve", "--listen", &address]).expect_code(5);
    assert!(answer.stderr.contains(&address) && answer.stderr.contains("--listen"), "{}", answer.stderr);

    let mut child =
        sandbox.command(&["bench", "serve", "--json"]).stdout(Stdio::piped()).spawn().expect("the program runs");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
    child.kill().and_then(|()| child.wait()).expect("it ends");
    let document: Value = serde_json::from_str(&line).expect("one document");
    assert_eq!(document["schema"], "portwright.bench-serve/1");
    assert!(document["address"].as_str().is_some_and(|address| address.parse::<SocketAddr>().is_ok()), "{line}");
}

#[cfg(unix)]
#[test]
fn the_target_ends_well_when_it_is_asked_to() {
    let mut target = Target::start();
    let mut held = target.connect();
    held.write_all(b"x").and_then(|()| held.read_exact(&mut [0])).expect("an echo");
    let pid = target.child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().expect("kill").success());
    assert_eq!(target.child.wait().expect("it ends").code(), Some(0));
    assert!(matches!(held.read(&mut [0]), Ok(0) | Err(_)), "its connections end with it");
}
