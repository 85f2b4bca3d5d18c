//! What survives: restarts, busy ports, a process killed between two instructions, a system without descriptors.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use portwright::error::ErrorKind;
use portwright::tunnel::server::Server;
use serde_json::{Value, json};

use super::http::send;
use super::running::{KEY, Running, config, free_port, wait_until};

#[test]
fn one_busy_port_does_not_stop_the_others_and_is_served_once_free() {
    let server = Running::start("");
    let target = TcpListener::bind("127.0.0.1:0").expect("a target");
    let address = target.local_addr().expect("an address");
    let (first, second) = (server.map(address, &json!({})), server.map(address, &json!({})));
    let (_, folder) = server.stop(Duration::ZERO);

    let holder = TcpListener::bind(first).expect("the port is free again");
    let server = Running::start_in(folder, "");
    let state = |port: SocketAddr| {
        let row = server.list().into_iter().find(|row| row["source_port"] == port.port()).expect("a row");
        (row["state"].as_str().expect("a state").to_owned(), row["error"].clone())
    };
    assert_eq!(state(second), ("active".to_owned(), Value::Null));
    let (failed, error) = state(first);
    assert!(failed == "failed" && error.as_str().expect("a reason").contains("in use"), "{error}");
    assert_eq!(server.health()["status"], "degraded");
    drop(holder);
    wait_until("the retry", || state(first).0 == "active");
    assert_eq!(server.health()["status"], "ok");
}

#[test]
fn rows_that_the_rules_forbid_now_fail_with_their_reason() {
    let server = Running::start("");
    let target = free_port();
    let (first, second) = (server.map(target, &json!({})), server.map(target, &json!({})));
    let (_, folder) = server.stop(Duration::ZERO);
    let yaml = format!("security: {{ port_range: {{ blacklist: [{}] }} }}", first.port());
    let server = Running::start_in(folder, &yaml);
    let states: Vec<_> = server.list().iter().map(|row| (row["source_port"].clone(), row["state"].clone())).collect();
    assert!(states.contains(&(json!(first.port()), json!("failed"))));
    assert!(states.contains(&(json!(second.port()), json!("active"))));
    assert_eq!(server.post("remove", &json!({ "port": first.port() })).status, 200, "and can be removed");
    assert_eq!(server.list().len(), 1);
}

#[test]
fn a_second_server_on_the_same_database_or_port_is_refused() {
    let server = Running::start("");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let same_database = runtime.block_on(Server::start(config(server.folder.path(), "")));
    assert_eq!(same_database.err().expect("busy").kind(), ErrorKind::Busy);
    let folder = tempfile::tempdir().expect("a folder");
    let mut same_port = config(folder.path(), "");
    same_port.api.listen = server.address;
    let error = runtime.block_on(Server::start(same_port)).err().expect("busy");
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert!(error.to_string().contains(&server.address.port().to_string()), "{error}");
}

/// Set for a copy of this test binary that is a server until it is killed.
const FOLDER: &str = "IT_SERVER_FOLDER";

/// Not a test of its own: with the variable set, this process serves; otherwise it checks that it does not.
#[test]
fn serves_when_asked_to() {
    let Ok(folder) = std::env::var(FOLDER) else {
        assert!(std::env::var(FOLDER).is_err());
        return;
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let server = Server::start(config(Path::new(&folder), "")).await.expect("a server");
        println!("serving {}", server.api_address());
        std::future::pending::<()>().await;
    });
}

/// A server in a process of its own; killed when dropped.
struct OwnProcess(Child, SocketAddr);

impl OwnProcess {
    fn start(folder: &Path, limit: &[&str]) -> Self {
        let program = std::env::current_exe().expect("this binary");
        let arguments = ["--exact", "server::durability::serves_when_asked_to", "--nocapture", "--test-threads=1"];
        let mut words = limit.to_vec();
        words.push(program.to_str().expect("a path"));
        let mut child = Command::new(words[0])
            .args(&words[1..])
            .args(arguments)
            .env(FOLDER, folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("a process");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let address = lines.find_map(|line| {
            let line = line.expect("a line");
            line.split_once("serving ").and_then(|(_, address)| address.parse().ok())
        });
        Self(child, address.expect("it serves"))
    }

    fn post(&self, route: &str, body: &Value) -> u16 {
        let line = format!("POST /api/mapping/{route}");
        let key = format!("X-API-Key: {KEY}");
        send(self.1, &line, &["Host: localhost", "Content-Type: application/json", &key], &body.to_string()).status
    }

    fn ports(&self) -> Vec<u64> {
        let answer = send(self.1, "GET /api/mapping/list", &["Host: localhost", &format!("X-API-Key: {KEY}")], "");
        answer.body["data"].as_array().expect("a list").iter().filter_map(|row| row["source_port"].as_u64()).collect()
    }
}

impl Drop for OwnProcess {
    fn drop(&mut self) {
        self.0.kill().expect("killed");
        self.0.wait().expect("gone");
    }
}

#[test]
fn what_was_acknowledged_survives_a_kill_and_what_was_removed_does_not_return() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut expected: Vec<u64> = Vec::new();
    for _ in 0..5 {
        let server = OwnProcess::start(folder.path(), &[]);
        assert_eq!(server.ports(), expected, "after the kill");
        let port = free_port().port();
        let body = json!({ "port": port, "target_ip": "127.0.0.1", "target_port": free_port().port() });
        assert_eq!(server.post("create", &body), 200);
        expected.push(u64::from(port));
        if expected.len() > 2 {
            let oldest = expected.remove(0);
            assert_eq!(server.post("remove", &json!({ "port": oldest })), 200);
        }
        expected.sort_unstable();
    }
}

#[test]
fn a_server_out_of_descriptors_neither_ends_nor_spins_and_recovers() {
    if Command::new("prlimit").arg("--version").output().is_err() {
        assert!(std::env::var_os("PORTWRIGHT_REQUIRE_ALL").is_none(), "needs prlimit");
        println!("skipped: needs prlimit");
        return;
    }
    let target = TcpListener::bind("127.0.0.1:0").expect("a target");
    let address = target.local_addr().expect("an address");
    let echo = std::thread::spawn(move || {
        for mut stream in target.incoming().flatten() {
            let mut word = [0; 4];
            if stream.read_exact(&mut word).is_ok() && stream.write_all(&word).is_ok() && word == *b"quit" {
                return;
            }
        }
    });
    let folder = tempfile::tempdir().expect("a folder");
    let server = OwnProcess::start(folder.path(), &["prlimit", "--nofile=64"]);
    let public = free_port();
    let body = json!({ "port": public.port(), "target_ip": "127.0.0.1", "target_port": address.port() });
    assert_eq!(server.post("create", &body), 200);
    let crowd: Vec<_> = (0..100).map(|_| TcpStream::connect(public).expect("the backlog takes it")).collect();
    let spent_before = processor_time(server.0.id());
    // Not a wait for something: the time over which the processor's share is measured.
    std::thread::sleep(Duration::from_secs(2));
    let spent = processor_time(server.0.id()).saturating_sub(spent_before);
    assert!(spent < Duration::from_millis(200), "{spent:?} of two seconds");
    drop(crowd);
    wait_until("an echo", || {
        let mut visitor = TcpStream::connect(public).expect("a connection");
        visitor.set_read_timeout(Some(Duration::from_secs(5))).expect("a deadline");
        let mut word = [0; 4];
        visitor.write_all(b"ping").is_ok() && visitor.read_exact(&mut word).is_ok() && word == *b"ping"
    });
    let mut last = TcpStream::connect(address).expect("the target");
    last.write_all(b"quit").expect("a word");
    echo.join().expect("the target ends");
}

/// The processor time of a process, from `/proc/PID/stat` at the usual hundred ticks a second.
fn processor_time(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("a process");
    let fields: Vec<&str> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().expect("user") + fields[12].parse::<u64>().expect("system");
    Duration::from_millis(ticks * 10)
}
