//! What survives: restarts, busy ports, a process killed between two instructions, a system without descriptors.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use portwright::error::ErrorKind;
use portwright::tunnel::health_probe;
use portwright::tunnel::issuing::Sources;
use portwright::tunnel::server::{Insistence, Server, main_entry};
use serde_json::{Value, json};

use super::http::{exchange, send};
use super::running::{KEY, PATIENCE, Running, config, free_port, wait_until};
use crate::support::have;

#[test]
fn one_busy_port_does_not_stop_the_others_and_is_served_once_free() {
    let server = Running::start("");
    let target = TcpListener::bind("127.0.0.1:0").expect("a target");
    let address = target.local_addr().expect("an address");
    let (first, second) = (server.map(address, &json!({})), server.map(address, &json!({})));
    let (_, folder) = server.stop(Duration::ZERO);

    let holder = TcpListener::bind(first).expect("the port is free again");
    let started = Instant::now();
    let server = Running::start_in(folder, "");
    let state = |port: SocketAddr| {
        let row = server.list().into_iter().find(|row| row["source_port"] == port.port()).expect("a row");
        (row["state"].as_str().expect("a state").to_owned(), row["error"].clone())
    };
    assert_eq!(state(second), ("active".to_owned(), Value::Null));
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    let (failed, error) = state(first);
    assert!(failed == "failed" && error.as_str().expect("a reason").contains("in use"), "{error}");
    assert_eq!(server.health()["status"], "degraded");
    // Over several retries, so that the longest wait between two has been reached.
    wait_until("some retries", || started.elapsed() > Duration::from_secs(8));
    drop(holder);
    let freed = Instant::now();
    wait_until("the retry", || state(first).0 == "active");
    assert!(freed.elapsed() < Duration::from_secs(6), "{:?}", freed.elapsed());
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

/// Set for a copy of this test binary that is a server until it is stopped.
const ROLE: &str = "IT_SERVER_ROLE";

/// Not a test of its own: with the variable set, this process serves; otherwise it has nothing to serve with.
#[test]
fn serves_when_asked_to() {
    let environment: BTreeMap<String, String> = std::env::vars().collect();
    let nothing = BTreeMap::new();
    let environment_of_server = if environment.contains_key(ROLE) { &environment } else { &nothing };
    let from = Sources { config: None, env_file: None, environment: environment_of_server };
    let wanted = Insistence { insecure: false, first_token: true };
    let outcome = main_entry(from, wanted, |_| {}).map(|summary| summary.cut);
    match outcome {
        Ok(cut) => println!("cut {cut}"),
        Err(error) => assert!(!environment.contains_key(ROLE) && error.kind() == ErrorKind::Refused, "{error}"),
    }
}

/// A server in a process of its own, as `tunnel server` runs it; killed when dropped.
struct OwnProcess(Child, SocketAddr);

impl OwnProcess {
    /// Starts a server through `wrapper`, a command that runs another. The port may be taken between the look and the
    /// bind; then the process ends, and another is tried.
    fn start(folder: &Path, wrapper: &[&str]) -> Self {
        let program = std::env::current_exe().expect("this binary");
        let give_up = Instant::now() + PATIENCE;
        loop {
            let address = free_port();
            let mut words = wrapper.to_vec();
            words.push(program.to_str().expect("a path"));
            let mut child = Command::new(words[0])
                .args(&words[1..])
                .args(["--exact", "server::durability::serves_when_asked_to", "--nocapture", "--test-threads=1"])
                .env(ROLE, "server")
                .env("PORTWRIGHT_API_API_KEY", KEY)
                .env("PORTWRIGHT_API_RATE_LIMIT", "10000")
                .env("PORTWRIGHT_API_LISTEN_PORT", address.port().to_string())
                .env("PORTWRIGHT_DATABASE_PATH", folder.join("mappings.db"))
                .env("PORTWRIGHT_PORT_RANGE_LISTEN", "127.0.0.1")
                .env("PORTWRIGHT_PORT_RANGE_FROM", "1024")
                .env("PORTWRIGHT_PORT_RANGE_END", "65535")
                .env("PORTWRIGHT_LOG_LEVEL", "trace")
                .env("PORTWRIGHT_LOG_FORMAT", "json")
                .stdout(Stdio::piped())
                .stderr(File::create(folder.join("log")).expect("a log"))
                .spawn()
                .expect("a process");
            while child.try_wait().expect("a process").is_none() {
                if health_probe(address).is_ok() {
                    return Self(child, address);
                }
                assert!(Instant::now() < give_up, "it does not serve");
            }
            assert!(Instant::now() < give_up, "it ends at once");
        }
    }

    fn post(&self, route: &str, body: &Value) -> u16 {
        self.try_post(route, body).expect("an answer")
    }

    /// Posts to a server that may be killed before it answers.
    fn try_post(&self, route: &str, body: &Value) -> Option<u16> {
        let body = body.to_string();
        let request = format!(
            "POST /api/mapping/{route} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-API-Key: {KEY}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        exchange(self.1, request.as_bytes()).map(|answer| answer.status)
    }

    /// Does `what` to the writes and syncs of the server from now on, in the words of `strace --inject`.
    fn tamper_with_writes(&self, what: &str) -> Child {
        let inject = format!("inject=pwrite64,fdatasync,fsync:{what}");
        let mut tracer = Command::new("strace")
            .args(["-f", "-e", "trace=pwrite64,fdatasync,fsync", "-e", &inject, "-p", &self.0.id().to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("strace");
        let mut lines = BufReader::new(tracer.stderr.take().expect("its output")).lines();
        let attached = lines.any(|line| line.expect("a line").contains("attached"));
        assert!(attached, "strace may watch our own process");
        // Reads on, because a full pipe would stop the tracer and with it the server.
        std::thread::spawn(move || lines.count());
        tracer
    }

    fn get(&self, path: &str) -> Vec<Value> {
        let line = format!("GET {path}");
        let answer = send(self.1, &line, &["Host: localhost", &format!("X-API-Key: {KEY}")], "");
        answer.body["data"].as_array().expect("a list").clone()
    }

    fn ports(&self) -> Vec<u64> {
        self.get("/api/mapping/list").iter().filter_map(|row| row["source_port"].as_u64()).collect()
    }

    /// The last change of `port` in the audit.
    fn last_change(&self, port: u16) -> Value {
        let port = port.to_string();
        let of_port = self.get("/api/audit").into_iter().find(|row| row["subject"].as_str() == Some(&port));
        of_port.map_or(Value::Null, |row| row["action"].clone())
    }
}

fn terminate(process: &Child) {
    let status = Command::new("kill").arg(process.id().to_string()).status().expect("kill");
    assert!(status.success());
}

impl Drop for OwnProcess {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        self.0.wait().expect("gone");
    }
}

#[test]
fn a_signal_drains_a_second_one_ends_that_and_the_log_keeps_secrets() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = OwnProcess::start(folder.path(), &[]);
    let target = TcpListener::bind("127.0.0.1:0").expect("a target");
    let public = free_port();
    let body = json!({ "port": public.port(), "target_ip": "127.0.0.1",
        "target_port": target.local_addr().expect("an address").port() });
    assert_eq!(server.post("create", &body), 200);
    let url = format!("GET /api/mapping/list?api_key={KEY}");
    assert_eq!(send(server.1, &url, &["Host: localhost"], "").status, 401);
    let mut visitor = TcpStream::connect(public).expect("a connection");
    visitor.write_all(b"visitors-payload").expect("words");
    let (mut at_target, _) = target.accept().expect("the visitor arrives");
    at_target.read_exact(&mut [0; 16]).expect("its words");

    terminate(&server.0);
    // Not the visitor's own port, where each look would be one more visitor to cut.
    wait_until("no more requests", || TcpStream::connect(server.1).is_err());
    assert!(server.0.try_wait().expect("a process").is_none(), "it waits for the visitor");
    at_target.write_all(b"still served").expect("words");
    visitor.read_exact(&mut [0; 12]).expect("while it drains");
    terminate(&server.0);
    wait_until("the end", || server.0.try_wait().expect("a process").is_some());
    assert_eq!(server.0.wait().expect("ended").code(), Some(0));
    let mut said = String::new();
    server.0.stdout.take().expect("its output").read_to_string(&mut said).expect("text");
    assert!(said.contains("cut 1"), "{said}");
    assert!(visitor.read(&mut [0; 1]).is_err(), "cut visibly");
    let log = std::fs::read_to_string(folder.path().join("log")).expect("a log");
    assert!(log.contains("key_in_url") && log.contains("mapping created"), "{log}");
    assert!(!log.contains(KEY) && !log.contains("visitors-payload"), "the log keeps secrets");
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
fn killed_at_any_write_the_database_agrees_with_what_was_answered() {
    if !have("strace", Command::new("strace").arg("-V").output().is_ok()) {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let port = free_port().port();
    let body = json!({ "port": port, "target_ip": "127.0.0.1", "target_port": free_port().port() });
    for (route, wanted) in [("create", true), ("remove", false)] {
        let mut kills = 0;
        let request = if wanted { body.clone() } else { json!({ "port": port }) };
        for nth in 1.. {
            let mut server = OwnProcess::start(folder.path(), &[]);
            let listed = server.ports().contains(&u64::from(port));
            let listens = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok();
            assert_eq!(listed, listens, "list and listeners agree before write {nth} of {route}");
            let noted = server.last_change(port) == "mapping.create";
            assert_eq!(listed, noted, "the audit says so too before write {nth} of {route}");
            if listed == wanted {
                // The last one was killed after the commit and before the answer; put it back for the next write.
                let (undo, body) = if wanted { ("remove", json!({ "port": port })) } else { ("create", body.clone()) };
                assert_eq!(server.post(undo, &body), 200);
            }
            let mut tracer = server.tamper_with_writes(&format!("signal=KILL:when={nth}"));
            let answer = server.try_post(route, &request);
            let survived = server.0.try_wait().expect("a process").is_none() && answer == Some(200);
            drop(server);
            tracer.wait().expect("the tracer ends with the server");
            if survived {
                break;
            }
            assert_ne!(answer, Some(200), "killed before the last write, and yet acknowledged");
            kills += 1;
            assert!(kills < 50, "a write has an end");
        }
        println!("{route}: killed at each of {kills} writes");
        assert!(kills >= 2, "a commit writes and syncs");
        let server = OwnProcess::start(folder.path(), &[]);
        assert_eq!(server.ports().contains(&u64::from(port)), wanted, "what was acknowledged");
    }
}

#[test]
fn killed_at_any_write_an_update_is_all_old_or_all_new() {
    if !have("strace", Command::new("strace").arg("-V").output().is_ok()) {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let port = free_port().port();
    let server = OwnProcess::start(folder.path(), &[]);
    let body = json!({ "port": port, "target_ip": "127.0.0.1", "target_port": free_port().port(), "name": "0" });
    assert_eq!(server.post("create", &body), 200);
    drop(server);
    let mut acknowledged = 0;
    for nth in 1..50 {
        let mut server = OwnProcess::start(folder.path(), &[]);
        let row = server.get("/api/mapping/list").remove(0);
        let name: u64 = row["name"].as_str().and_then(|name| name.parse().ok()).expect("a number");
        assert!(name >= acknowledged && name < nth, "write {nth}: {row}");
        assert_eq!(row["bandwidth_limit"], name * 1000, "all fields or none");
        if name > 0 {
            assert_eq!(row["target_port"], 20_000 + name, "all fields or none");
        }
        let (name, limit, target_port) = (nth.to_string(), nth * 1000, 20_000 + nth);
        let wanted = json!({ "port": port, "name": name, "bandwidth_limit": limit, "target_port": target_port });
        let mut tracer = server.tamper_with_writes(&format!("signal=KILL:when={nth}"));
        let answer = server.try_post("update", &wanted);
        let survived = server.0.try_wait().expect("a process").is_none() && answer == Some(200);
        drop(server);
        tracer.wait().expect("the tracer ends with the server");
        if answer == Some(200) {
            acknowledged = nth;
        }
        if survived {
            println!("update: killed at each of {} writes", nth - 1);
            assert!(nth > 2, "a commit writes and syncs");
            let server = OwnProcess::start(folder.path(), &[]);
            assert_eq!(server.get("/api/mapping/list").remove(0)["name"], nth.to_string());
            assert_eq!(server.last_change(port), "mapping.update");
            return;
        }
    }
    panic!("a write has no end");
}

#[test]
fn a_full_disk_refuses_the_mapping_and_leaves_nothing_behind() {
    if !have("strace", Command::new("strace").arg("-V").output().is_ok()) {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let server = OwnProcess::start(folder.path(), &[]);
    let public = free_port();
    let body = json!({ "port": public.port(), "target_ip": "127.0.0.1", "target_port": free_port().port() });
    let mut tracer = server.tamper_with_writes("error=ENOSPC");
    assert_eq!(server.post("create", &body), 507);
    assert!(TcpStream::connect(public).is_err(), "no listener without a row");
    assert!(server.ports().is_empty());
    terminate(&tracer);
    tracer.wait().expect("the tracer lets go");
    assert_eq!(server.post("create", &body), 200, "space is back");
}

#[test]
fn a_server_out_of_descriptors_neither_ends_nor_spins_and_recovers() {
    if !have("prlimit", Command::new("prlimit").arg("--version").output().is_ok()) {
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
