//! What the server says about itself: traffic to the byte, history, metrics, the audit, the document of its routes.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::http::send;
use super::running::{KEY, Running, free_port, wait_until};
use crate::support::have;

/// A target that reads everything, then answers with `answer` bytes; for as many visitors as there are.
fn target(answer: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a target");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                // A visitor that is cut ends this; what the server counted is compared, not what arrived here.
                let _ = std::io::copy(&mut stream, &mut std::io::sink());
                let _ = stream.write_all(&vec![b'a'; answer]);
            });
        }
    });
    address
}

/// Sends `bytes`, then the end, and returns how many came back.
fn visit(public: SocketAddr, bytes: usize) -> usize {
    let mut visitor = TcpStream::connect(public).expect("a connection");
    visitor.set_read_timeout(Some(Duration::from_secs(20))).expect("a deadline");
    visitor.write_all(&vec![b'q'; bytes]).expect("sent");
    visitor.shutdown(Shutdown::Write).expect("half-closed");
    let mut answer = Vec::new();
    visitor.read_to_end(&mut answer).expect("an answer");
    answer.len()
}

#[test]
fn totals_are_those_of_an_independent_count_also_after_restarts() {
    let mut server = Running::start("stats: { record_interval: 3600 }");
    let public = server.map(target(70_001), &json!({ "name": "counted" }));
    let limited = server.map(target(9), &json!({ "bandwidth_limit": 1_000_000 }));
    let (mut sent, mut received) = (0, 0);
    for restart in 0..3 {
        for size in [0, 1, 40_000, 3_000_000] {
            received += visit(public, size);
            sent += size;
        }
        received += visit(limited, 1234);
        sent += 1234;
        let gone = |server: &Running| server.get("/api/stats/connections")["data"]["total"] == 0;
        wait_until("the visitors are counted", || gone(&server));
        let traffic = &server.get("/api/stats/traffic")["data"];
        let totals = (traffic["total_sent"].as_u64(), traffic["total_received"].as_u64());
        assert_eq!(totals, (Some(sent as u64), Some(received as u64)), "after {restart} restarts");
        assert_eq!(traffic["total_connections"], 5 * (restart + 1));
        assert_eq!(traffic["tunnel"]["bytes_sent"], 0, "no client carried anything");
        let parts = traffic["mappings"].as_array().expect("mappings");
        let of_parts: u64 = parts.iter().filter_map(|part| part["bytes_sent"].as_u64()).sum();
        assert_eq!(of_parts, sent as u64, "the parts are the whole");
        let (_, folder) = server.stop(Duration::ZERO);
        server = Running::start_in(folder, "stats: { record_interval: 3600 }");
    }
    let history = server.get("/api/stats/history?limit=1000");
    let moved: u64 =
        history["data"].as_array().expect("intervals").iter().filter_map(|row| row["bytes_sent"].as_u64()).sum();
    assert_eq!(moved, sent as u64, "the history adds up to the totals");
    let port = limited.port();
    let of_one = server.get(&format!("/api/stats/history?port={port}"));
    assert_eq!(of_one["data"][0]["port"], port);
    let moved: u64 =
        of_one["data"].as_array().expect("intervals").iter().filter_map(|row| row["bytes_sent"].as_u64()).sum();
    assert_eq!(moved, 3 * 1234);
    assert_eq!(server.post("remove", &json!({ "port": public.port() })).status, 200);
    let (_, folder) = server.stop(Duration::ZERO);
    let server = Running::start_in(folder, "");
    let traffic = &server.get("/api/stats/traffic")["data"];
    assert_eq!(traffic["total_sent"], sent, "what a removed mapping carried stays in the sum");
    assert_eq!(traffic["mappings"].as_array().map(Vec::len), Some(1));
}

#[test]
fn visitors_who_are_there_are_listed_with_their_bytes() {
    let server = Running::start("");
    let public = server.map(target(1), &json!({}));
    let mut visitor = TcpStream::connect(public).expect("a connection");
    visitor.write_all(b"seven b").expect("sent");
    let address = visitor.local_addr().expect("an address").to_string();
    let path = format!("/api/stats/connections?port={}", public.port());
    wait_until("its bytes", || server.get(&path)["data"]["mappings"][0]["active_connections"][0]["bytes_sent"] == 7);
    let answer = server.get(&path);
    let mapping = &answer["data"]["mappings"][0];
    let there = &mapping["active_connections"][0];
    assert_eq!((&answer["data"]["total"], &mapping["total_connections"]), (&json!(1), &json!(1)));
    assert_eq!((&there["client_addr"], &there["bytes_received"]), (&json!(address), &json!(0)));
    assert_eq!(server.list()[0]["connections"], 1);
    drop(visitor);
    wait_until("it has left", || server.get("/api/stats/connections")["data"]["total"] == 0);
    assert_eq!(server.get("/api/stats/connections")["data"]["mappings"], json!([]));
    for (path, field) in [
        ("/api/stats/history?limit=x", "limit"),
        ("/api/stats/history?limit=0", "limit"),
        ("/api/stats/history?port=70000", "port"),
        ("/api/stats/connections?prot=1", "prot"),
        ("/api/audit?before=x", "before"),
        ("/api/logs?level=loud", "level"),
    ] {
        let answer = server.get(path);
        assert_eq!((&answer["code"], &answer["field"]), (&json!("invalid_field"), &json!(field)), "{path}");
    }
    assert!(server.get("/api/stats/history?limit=5000")["success"] == true, "the most is enough");
    let silent = Running::start("stats: { enabled: false }");
    assert_eq!(silent.get("/api/stats/history")["code"], "stats_disabled");
    assert_eq!(silent.get("/api/stats/traffic")["success"], true);
}

#[test]
fn a_mapping_changes_while_its_visitors_stay() {
    let server = Running::start("");
    let public = server.map(target(5_000_000), &json!({ "bandwidth_limit": 1, "name": "slow" }));
    let port = public.port();
    let mut visitor = TcpStream::connect(public).expect("a connection");
    visitor.set_read_timeout(Some(Duration::from_secs(20))).expect("a deadline");
    visitor.write_all(b"a question").expect("sent");
    visitor.shutdown(Shutdown::Write).expect("half-closed");
    let started = Instant::now();
    let answer = server.post("update", &json!({ "port": port, "bandwidth_limit": 0 }));
    assert_eq!((answer.status, &answer.body["data"]["name"]), (200, &json!("slow")), "{}", answer.body);
    let mut all = Vec::new();
    visitor.read_to_end(&mut all).expect("the whole answer");
    assert_eq!(all.len(), 5_000_000);
    assert!(started.elapsed() < Duration::from_secs(15), "the limit is gone for those who were there");

    let mut inside = TcpStream::connect(public).expect("a connection");
    wait_until("the visitor", || server.list()[0]["connections"] == 1);
    let rules = json!({ "port": port, "access_rule": "whitelist", "access_ips": ["192.0.2.0/24"] });
    assert_eq!(server.post("update", &rules).status, 200);
    let mut refused = TcpStream::connect(public).expect("a connection");
    refused.set_read_timeout(Some(Duration::from_secs(20))).expect("a deadline");
    assert!(refused.read(&mut [0; 1]).is_err(), "reset at once");
    // Only the limit is named: the list stays, in the running listener and on disk.
    assert_eq!(server.post("update", &json!({ "port": port, "bandwidth_limit": 900_000 })).status, 200);
    let row = &server.list()[0];
    assert_eq!((&row["access_rule"], &row["access_ips"]), (&json!("whitelist"), &json!(["192.0.2.0/24"])));
    let mut refused = TcpStream::connect(public).expect("a connection");
    refused.set_read_timeout(Some(Duration::from_secs(20))).expect("a deadline");
    assert!(refused.read(&mut [0; 1]).is_err(), "still reset");
    inside.write_all(b"who was there").expect("not cut off");
    inside.shutdown(Shutdown::Write).expect("half-closed");
    inside.set_read_timeout(Some(Duration::from_secs(20))).expect("a deadline");
    inside.read_exact(&mut [0; 100]).expect("and answered");
    let (_, folder) = server.stop(Duration::ZERO);
    let server = Running::start_in(folder, "");
    assert_eq!(server.list()[0]["bandwidth_limit"], 900_000, "on disk");
    let unknown = server.post("update", &json!({ "port": free_port().port(), "bandwidth_limit": 1 }));
    assert_eq!((unknown.status, unknown.code()), (404, "mapping_not_found"));
    let wrong = server.post("update", &json!({ "port": port, "access_ips": ["x"] }));
    assert_eq!((wrong.status, &wrong.body["field"]), (400, &json!("access_ips")));
}

#[test]
fn an_update_leads_visitors_elsewhere_and_survives_a_restart() {
    let server = Running::start("");
    let public = server.map(target(10), &json!({ "name": "moves" }));
    assert_eq!(visit(public, 1), 10);
    let elsewhere = target(20);
    let moved = json!({ "port": public.port(), "target_port": elsewhere.port() });
    let answer = server.post("update", &moved);
    assert_eq!((answer.status, &answer.body["data"]["state"]), (200, &json!("active")), "{}", answer.body);
    assert_eq!(
        (&answer.body["data"]["name"], &answer.body["data"]["target_host"]),
        (&json!("moves"), &json!("127.0.0.1"))
    );
    assert_eq!(visit(public, 1), 20);
    let audit = server.get("/api/audit?limit=1")["data"].to_string();
    assert!(audit.contains("target_port") && audit.contains(&elsewhere.port().to_string()), "{audit}");
    let denied = server.post("update", &json!({ "port": public.port(), "target_host": "169.254.169.254" }));
    assert_eq!(denied.status, 403, "{}", denied.body);
    assert_eq!(visit(public, 1), 20, "a refused change changes nothing");
    let (_, folder) = server.stop(Duration::ZERO);
    let _server = Running::start_in(folder, "");
    assert_eq!(visit(public, 1), 20);
}

#[test]
fn one_mapping_is_reloaded_and_the_others_notice_nothing() {
    let server = Running::start("");
    let (first, second) = (server.map(target(3), &json!({})), server.map(target(3), &json!({})));
    let mut bystander = TcpStream::connect(second).expect("a connection");
    let mut visitor = TcpStream::connect(first).expect("a connection");
    wait_until("both", || server.get("/api/stats/connections")["data"]["total"] == 2);
    let answer = server.post("reload", &json!({ "port": first.port() }));
    assert_eq!((answer.status, &answer.body["data"]["state"]), (200, &json!("active")), "{}", answer.body);
    assert_eq!(visit(first, 10), 3, "served anew");
    for stream in [&mut bystander, &mut visitor] {
        stream.write_all(b"still there").expect("sent");
        stream.shutdown(Shutdown::Write).expect("half-closed");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a deadline");
        stream.read_exact(&mut [0; 3]).expect("answered");
    }
    assert_eq!(server.post("reload", &json!({ "port": free_port().port() })).status, 404);
}

#[test]
fn the_audit_says_who_changed_what_and_holds_no_secret() {
    let server = Running::start("");
    let public = server.map(target(1), &json!({}));
    let port = public.port();
    for (route, body) in [
        ("update", json!({ "port": port, "name": "renamed" })),
        ("reload", json!({ "port": port })),
        ("remove", json!({ "port": port })),
        ("remove", json!({ "port": port })),
    ] {
        server.post(route, &body);
    }
    let audit = server.get("/api/audit");
    let rows = audit["data"].as_array().expect("rows");
    let actions: Vec<_> = rows.iter().filter_map(|row| row["action"].as_str()).collect();
    assert_eq!(actions, ["mapping.remove", "mapping.reload", "mapping.update", "mapping.create"], "only what was done");
    assert!(rows.iter().all(|row| row["who"] == "api-key" && row["origin"] == "127.0.0.1"), "{audit}");
    assert_eq!(rows[2]["detail"], json!({ "name": { "from": "", "to": "renamed" } }));
    let older = server.get(&format!("/api/audit?limit=1&before={}", rows[2]["id"]));
    assert_eq!(older["data"], json!([rows[3]]));
    assert!(!audit.to_string().contains(KEY));
}

#[test]
fn tokens_are_made_and_revoked_from_afar() {
    let server = Running::start("tunnel: { listen: 127.0.0.1, tls: off }");
    let refused = server.post_to("/api/tokens/create", &json!({ "name": "home" }));
    assert_eq!((refused.status, refused.code()), (503, "tunnel_unavailable"), "the tunnel is switched off");
    let server = Running::start_with_tunnel();
    let made = server.post_to("/api/tokens/create", &json!({ "name": "home", "ports": ["10000-10009"] }));
    assert_eq!(made.status, 200, "{}", made.body);
    let token = made.body["data"]["token"].as_str().expect("a token").to_owned();
    assert!(token.starts_with("pwt_") && made.body["data"]["join_code"].as_str().is_some());
    let again = server.post_to("/api/tokens/create", &json!({ "name": "home" }));
    assert_eq!((again.status, again.code()), (409, "token_exists"));
    let wrong = server.post_to("/api/tokens/create", &json!({ "name": "a b" }));
    assert_eq!((wrong.status, &wrong.body["field"]), (400, &json!("name")));
    let wrong = server.post_to("/api/tokens/create", &json!({ "name": "x", "ports": ["0-x"] }));
    assert_eq!((wrong.status, &wrong.body["field"]), (400, &json!("ports")));
    let list = server.get("/api/tokens");
    assert!(list.to_string().contains("\"home\"") && !list.to_string().contains(&token), "{list}");
    let revoked = server.post_to("/api/tokens/revoke", &json!({ "token": "home" }));
    assert!(revoked.body["data"]["revoked_at"].as_str().is_some(), "{}", revoked.body);
    let nobody = server.post_to("/api/tokens/revoke", &json!({ "token": "nobody" }));
    assert_eq!((nobody.status, nobody.code()), (404, "token_not_found"));
    let audit = server.get("/api/audit");
    let actions: Vec<_> = audit["data"].as_array().expect("rows").iter().map(|row| row["action"].clone()).collect();
    assert!(actions.starts_with(&[json!("token.revoke"), json!("token.create")]), "{actions:?}");
    assert!(!audit.to_string().contains(&token));
}

/// One sample of the text format: name, labels, value.
type Sample = (String, Vec<(String, String)>, f64);

fn samples(text: &str) -> Vec<Sample> {
    let mut found = Vec::new();
    let mut typed = Vec::new();
    for line in text.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            let mut words = comment.splitn(3, ' ');
            let (kind, name) = (words.next().expect("a keyword"), words.next().expect("a name"));
            assert!(
                kind == "HELP" || (kind == "TYPE" && ["counter", "gauge"].contains(&words.next().expect("a type")))
            );
            typed.push(name.to_owned());
            continue;
        }
        let (series, value) = line.rsplit_once(' ').expect("a value");
        let (name, labels) = series
            .split_once('{')
            .map_or((series, ""), |(name, rest)| (name, rest.strip_suffix('}').expect("a closed label set")));
        assert!(typed.iter().any(|known| known == name), "{name} comes after its type");
        let labels = labels.split(',').filter(|label| !label.is_empty()).map(|label| {
            let (label, text) = label.split_once('=').expect("a label");
            (label.to_owned(), text.trim_matches('"').to_owned())
        });
        found.push((name.to_owned(), labels.collect(), value.parse().expect("a number")));
    }
    found
}

#[test]
fn metrics_are_in_prometheus_format_and_need_the_key_unless_they_are_public() {
    let server = Running::start("");
    let public = server.map(target(11), &json!({ "name": "a\"b\n" .trim() }));
    visit(public, 500);
    wait_until("it has left", || server.get("/api/stats/connections")["data"]["total"] == 0);
    let shut = server.map(target(1), &json!({ "access_rule": "whitelist", "access_ips": ["192.0.2.0/24"] }));
    let dead = server.map(free_port(), &json!({}));
    for refusing in [shut, dead] {
        let mut visitor = TcpStream::connect(refusing).expect("a connection");
        visitor.set_read_timeout(Some(Duration::from_secs(20))).expect("a deadline");
        // It may be told by a reset or by the end; there is no byte.
        assert_eq!(visitor.read(&mut [0; 1]).unwrap_or(0), 0);
    }
    let locked = send(server.address, "GET /metrics", &["Host: localhost"], "");
    assert_eq!((locked.status, locked.code()), (401, "key_missing"));
    let key = format!("Authorization: Bearer {KEY}");
    let answer = send(server.address, "GET /metrics", &["Host: localhost", &key], "");
    assert!(answer.status == 200 && answer.head.contains("content-type: text/plain; version=0.0.4"), "{}", answer.head);
    if have("promtool", Command::new("promtool").arg("--version").output().is_ok()) {
        let mut check =
            Command::new("promtool").args(["check", "metrics"]).stdin(Stdio::piped()).spawn().expect("promtool");
        check.stdin.take().expect("its input").write_all(answer.text.as_bytes()).expect("written");
        assert!(check.wait().expect("ended").success(), "promtool accepts it");
    }
    let samples = samples(&answer.text);
    let value = |name: &str, labels: &[(&str, &str)]| {
        let matching = samples.iter().find(|(known, known_labels, _)| {
            known == name
                && labels
                    .iter()
                    .all(|(label, text)| known_labels.iter().any(|(one, other)| one == label && other == text))
        });
        matching.unwrap_or_else(|| panic!("{name} {labels:?}: {}", answer.text)).2
    };
    let (port, shut, dead) = (public.port().to_string(), shut.port().to_string(), dead.port().to_string());
    for (expected, name, labels) in [
        (500.0, "portwright_mapping_bytes_total", vec![("port", port.as_str()), ("direction", "up")]),
        (11.0, "portwright_mapping_bytes_total", vec![("port", &port), ("direction", "down")]),
        (1.0, "portwright_mapping_connections_total", vec![("port", &port)]),
        (500.0, "portwright_bytes_total", vec![("direction", "up")]),
        (1.0, "portwright_mapping_refused_total", vec![("port", &shut), ("reason", "access_list")]),
        (1.0, "portwright_mapping_refused_total", vec![("port", &dead), ("reason", "unreachable")]),
        (3.0, "portwright_mappings", vec![("state", "active")]),
        (1.0, "portwright_api_unauthorized_total", vec![]),
        (1.0, "portwright_healthy", vec![]),
    ] {
        assert!((value(name, &labels) - expected).abs() < f64::EPSILON, "{name} {labels:?}");
    }
    let mut series: Vec<_> = samples.iter().map(|(name, labels, _)| (name, labels)).collect();
    series.sort();
    let all = series.len();
    series.dedup();
    assert_eq!(series.len(), all, "no series twice");
    let open = Running::start("api: { metrics_public: true }");
    assert_eq!(send(open.address, "GET /metrics", &["Host: localhost"], "").status, 200);
    assert_eq!(send(open.address, "GET /api/mapping/list", &["Host: localhost"], "").status, 401);
}

/// A program that ends with the test.
struct Beside(std::process::Child);

impl Drop for Beside {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_real_prometheus_scrapes_with_the_shipped_files_and_an_alert_fires() {
    if !have("prometheus", Command::new("prometheus").arg("--version").output().is_ok()) {
        return;
    }
    let server = Running::start("");
    let dead = server.map(free_port(), &json!({}));
    for _ in 0..3 {
        // It may be told by a reset or by the end.
        let _ = TcpStream::connect(dead).expect("a connection").read(&mut [0; 1]);
    }
    let folder = tempfile::tempdir().expect("a folder");
    let shipped = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("compose");
    let read = |name: &str| std::fs::read_to_string(shipped.join(name)).expect("a shipped file");
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("a file");
    let key = folder.path().join("key");
    write("key", KEY);
    let config = read("prometheus.yml").replace("15s", "200ms").replace("tunnel:8080", &server.address.to_string());
    write("prometheus.yml", &config.replace("/run/secrets/portwright_api_key", &key.display().to_string()));
    // Ten minutes of the alert on unreachable targets are shortened; nothing else is changed.
    let alerts = read("alerts.yml").replace("[10m]) > 10", "[10m]) >= 0");
    assert_ne!(alerts, read("alerts.yml"));
    write("alerts.yml", &alerts);
    let address = free_port();
    let run = Command::new("prometheus")
        .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"])
        .arg(format!("--web.listen-address={address}"))
        .current_dir(folder.path())
        .stderr(Stdio::null())
        .spawn();
    let _prometheus = Beside(run.expect("prometheus starts"));
    wait_until("prometheus", || TcpStream::connect(address).is_ok());
    let ask = |path: &str| send(address, &format!("GET {path}"), &["Host: localhost"], "").body;
    wait_until("a scrape", || ask("/api/v1/query?query=up")["data"]["result"][0]["value"][1] == "1");
    let refused = "/api/v1/query?query=portwright_mapping_refused_total";
    wait_until("the refused visitors", || ask(refused)["data"]["result"][0]["value"][1] == "3");
    let port = dead.port().to_string();
    assert_eq!(ask(refused)["data"]["result"][0]["metric"]["port"], port);
    wait_until("the alert", || {
        let alerts = ask("/api/v1/alerts")["data"]["alerts"].to_string();
        alerts.contains("PortwrightTargetUnreachable") && alerts.contains(&port)
    });
    // In chunks, so as text.
    let rules = || send(address, "GET /api/v1/rules", &["Host: localhost"], "").text;
    wait_until("every rule", || rules().matches("\"health\":\"ok\"").count() >= 8);
    assert!(!rules().contains("\"health\":\"err\""), "{}", rules());
}

#[test]
fn every_route_of_the_document_is_answered_and_only_those() {
    let server = Running::start("");
    let document = send(server.address, "GET /openapi.json", &["Host: localhost"], "").body;
    let paths = document["paths"].as_object().expect("paths");
    assert!(paths.len() >= 16, "{}", paths.len());
    for (path, methods) in paths {
        for (method, operation) in methods.as_object().expect("methods") {
            let line = format!("{} {path}", method.to_uppercase());
            let answer = send(server.address, &line, &["Host: localhost", "Content-Type: application/json"], "{}");
            let expected = if operation["security"] == Value::Null { 200 } else { 401 };
            assert_eq!(answer.status, expected, "{line}");
            let key = format!("X-API-Key: {KEY}");
            let headers = ["Host: localhost", "Content-Type: application/json", &key];
            let answer = send(server.address, &line, &headers, "{}");
            assert!(answer.status != 404 && answer.status != 405, "{line}: {}", answer.body);
            let other = if method == "get" { "POST" } else { "GET" };
            let answer = send(server.address, &format!("{other} {path}"), &headers, "{}");
            assert_eq!(answer.status, 405, "{other} {path}");
        }
    }
}
