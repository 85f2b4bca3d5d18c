//! The API's door: hosts, origins, keys, content types, sizes, deadlines and targets.

use std::io::{ErrorKind as ErrorKindIo, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use portwright::error::ErrorKind;
use portwright::tunnel::health_probe;
use portwright::tunnel::server::Server;
use serde_json::{Value, json};

use super::http::{exchange, send};
use super::running::{KEY, Running, config, free_port, wait_until};

const JSON: &str = "Content-Type: application/json";

#[test]
fn health_needs_no_key_and_names_the_instance() {
    let server = Running::start("");
    let health = health_probe(server.address).expect("healthy");
    assert_eq!((health.status.as_str(), health.instance.as_str(), health.clients), ("ok", "instance-7", 0));
    let answer = send(server.address, "GET /health", &["Host: localhost"], "");
    assert!(answer.head.contains("x-content-type-options: nosniff") && answer.head.contains("frame-ancestors 'none'"));
    assert!(!answer.head.contains("access-control"), "no CORS");
    let foreign = send(server.address, "GET /health", &["Host: evil.example"], "");
    assert_eq!((foreign.status, foreign.code()), (403, "host_forbidden"));
    let (_, _folder) = server.stop(Duration::ZERO);
    assert_eq!(health_probe(free_port()).expect_err("nobody").kind(), ErrorKind::Unhealthy);
}

#[test]
fn the_key_comes_in_a_header_or_the_request_is_refused() {
    let server = Running::start("");
    let list = |path: &str, headers: &[&str]| {
        let headers = [&["Host: localhost"], headers].concat();
        let answer = send(server.address, &format!("GET {path}"), &headers, "");
        (answer.status, answer.code().to_owned())
    };
    let refused = |code: &str| (401, code.to_owned());
    let path = "/api/mapping/list";
    let right = format!("Authorization: Bearer {KEY}");
    assert_eq!(list(path, &[&right]).0, 200);
    assert_eq!(list(path, &[&format!("authorization: bearer {KEY}")]).0, 200);
    assert_eq!(list(path, &[&format!("X-API-Key: {KEY}")]).0, 200);
    assert_eq!(list(path, &[]), refused("key_missing"));
    for wrong in [
        "Authorization: Bearer ".to_owned(),
        "Authorization: Bearer wrong".to_owned(),
        format!("Authorization: Bearer {KEY}x"),
        format!("Authorization: Basic {KEY}"),
        format!("Authorization: {KEY}"),
        "X-API-Key:".to_owned(),
    ] {
        assert_eq!(list(path, &[&wrong]), refused("key_wrong"), "{wrong}");
    }
    assert_eq!(list(path, &[&right, "X-API-Key: wrong"]), refused("key_wrong"), "each key must be right");
    assert_eq!(list(path, &[&format!("Cookie: api_key={KEY}")]), refused("key_missing"));
    assert_eq!(list(path, &[&format!("secret: {KEY}")]), refused("key_missing"));
    for query in ["api_key", "token", "Key"] {
        assert_eq!(list(&format!("{path}?{query}={KEY}"), &[]), refused("key_in_url"));
        assert_eq!(list(&format!("{path}?x=1&{query}={KEY}"), &[&right]), refused("key_in_url"), "not even beside one");
    }
    assert_eq!(list("/api/nothing", &[]).0, 401);
    assert_eq!(list("/api/nothing", &[&right]), (404, "not_found".to_owned()));
    assert_eq!(list("/nothing", &[]), (404, "not_found".to_owned()));
    assert_eq!(list("/api/mapping/create", &[&right]), (405, "method_not_allowed".to_owned()));
}

#[test]
fn pages_of_other_sites_cannot_write() {
    let server = Running::start("api: { allowed_hosts: [tunnel.example.org] }");
    let key = format!("X-API-Key: {KEY}");
    let remove = |headers: &[&str]| {
        let headers = [&[key.as_str()], headers].concat();
        let answer = send(server.address, "POST /api/mapping/remove", &headers, r#"{"port":2000}"#);
        (answer.status, answer.code().to_owned())
    };
    let host = format!("Host: {}", server.address);
    let own = format!("Origin: http://{}", server.address);
    assert_eq!(remove(&[&host, JSON]).0, 404, "let through: there is no such mapping");
    assert_eq!(remove(&[&host, JSON, &own]).0, 404);
    assert_eq!(remove(&["Host: tunnel.example.org", JSON]).0, 404);
    for origin in ["Origin: http://evil.example", "Origin: null", "Origin: http://127.0.0.1:1", "Origin:"] {
        assert_eq!(remove(&[&host, JSON, origin]), (403, "origin_forbidden".to_owned()), "{origin}");
    }
    for foreign in
        ["Host: evil.example", "Host: 127.0.0.1.evil.example", "Host: 10.1.1.1", "Host: localhost\r\nHost: evil"]
    {
        assert!([400, 403].contains(&remove(&[foreign, JSON]).0), "{foreign}");
    }
    for kind in ["X-Nothing: 1", "Content-Type: text/plain", "Content-Type: application/x-www-form-urlencoded"] {
        assert_eq!(remove(&[&host, kind]), (415, "unsupported_media_type".to_owned()), "{kind}");
    }
    assert_eq!(remove(&[&host, "Content-Type: application/json; charset=utf-8"]).0, 404);
}

#[test]
fn bodies_have_a_size_and_a_language() {
    let server = Running::start("");
    let post = |headers: &[&str], body: &str| {
        let key = format!("X-API-Key: {KEY}");
        send(server.address, "POST /api/mapping/create", &[&["Host: localhost", JSON, &key], headers].concat(), body)
    };
    let large = format!(r#"{{"port":2000,"name":"{}"}}"#, "x".repeat(70_000));
    assert_eq!(post(&[], &large).code(), "body_too_large");
    assert_eq!((post(&[], "{").status, post(&[], "{").code().to_owned()), (400, "invalid_json".to_owned()));
    assert_eq!(post(&[], "").status, 400);
    assert_eq!(post(&[], r#"{"port":70000}"#).code(), "invalid_field");
    assert_eq!(post(&[], r#"{"port":2000,"prot":1}"#).code(), "invalid_field");
    let chinese = post(&["Accept-Language: zh-CN,zh;q=0.9"], r#"{"port":2000}"#);
    assert_eq!((chinese.status, chinese.code()), (503, "tunnel_unavailable"));
    assert!(chinese.body["message"].as_str().expect("a message").contains("隧道"));
    assert_eq!(chinese.body["success"], Value::Bool(false));
}

#[test]
fn the_api_relays_for_nobody_and_a_name_is_only_text() {
    let server = Running::start("");
    let key = format!("X-API-Key: {KEY}");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a target");
    let target = listener.local_addr().expect("an address");
    for line in [format!("CONNECT {target}"), format!("GET http://{target}/x"), format!("GET http://{target}/x?y")] {
        let answer = send(server.address, &line, &["Host: localhost", &key], "");
        assert!([400, 403, 404, 405].contains(&answer.status), "{line}: {}", answer.status);
    }
    listener.set_nonblocking(true).expect("an option");
    assert_eq!(listener.accept().expect_err("nobody came").kind(), ErrorKindIo::WouldBlock);
    let socks = exchange(server.address, b"\x05\x01\x00");
    assert!(socks.is_none_or(|answer| answer.status == 400), "no SOCKS");
    let name = "<img src=x onerror=alert(1)>\u{202e}";
    let public = server.map(target, &json!({ "name": name }));
    let host = format!("Host: {}", server.address);
    let answer = send(server.address, "GET /api/mapping/list", &[&host, &key], "");
    assert_eq!(answer.body["data"][0]["name"], name, "as it was given");
    assert!(answer.head.contains("content-type: application/json") && answer.head.contains("nosniff"));
    let metrics = send(server.address, "GET /metrics", &[&host, &key], "");
    assert!(metrics.text.contains(&public.port().to_string()) && !metrics.text.contains("onerror"));
    let crossing = send(server.address, "OPTIONS /api/mapping/list", &[&host, "Origin: http://evil.example"], "");
    assert!(!crossing.head.contains("access-control"), "no CORS");
}

#[test]
fn slow_heads_and_bodies_are_given_up() {
    let server = Running::start("");
    let started = Instant::now();
    let mut slow = TcpStream::connect(server.address).expect("a connection");
    slow.set_read_timeout(Some(Duration::from_secs(20))).expect("a deadline");
    slow.write_all(b"GET /health HTTP/1.1\r\nHost: local").expect("half a head");
    let mut idle = TcpStream::connect(server.address).expect("a connection");
    idle.set_read_timeout(Some(Duration::from_secs(20))).expect("a deadline");
    idle.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("a request");
    let mut answers = Vec::new();
    let _ = slow.read_to_end(&mut answers);
    idle.read_to_end(&mut answers).expect("an answer, and after five idle seconds the end");
    assert!(started.elapsed() < Duration::from_secs(9), "{:?}", started.elapsed());
    let head = format!(
        "POST /api/mapping/create HTTP/1.1\r\nHost: localhost\r\n{JSON}\r\nX-API-Key: {KEY}\r\nConnection: close\r\n\
         Content-Length: 100\r\n\r\n{{"
    );
    let answer = exchange(server.address, head.as_bytes()).expect("an answer");
    assert_eq!((answer.status, answer.code()), (408, "body_timeout"));
}

#[test]
fn a_caller_that_asks_too_much_or_from_elsewhere_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut strict = config(folder.path(), "");
    strict.api.rate_limit = 3;
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let server = runtime.block_on(Server::start(strict)).expect("a server");
    let key = format!("X-API-Key: {KEY}");
    let list = |address| send(address, "GET /api/mapping/list", &["Host: localhost", &key], "");
    let statuses: Vec<u16> = (0..20).map(|_| list(server.api_address()).status).collect();
    assert!(statuses.starts_with(&[200, 200, 200]) && statuses.contains(&429), "{statuses:?}");
    let refused = std::iter::repeat_with(|| list(server.api_address())).find(|answer| answer.status == 429);
    assert!(refused.expect("soon").head.contains("retry-after: 1"));
    assert!(health_probe(server.api_address()).is_ok(), "health is always answered");
    let elsewhere = Running::start("api: { allowed_ips: [10.0.0.0/8] }");
    assert_eq!(list(elsewhere.address).code(), "address_forbidden");
}

#[test]
fn targets_that_must_not_be_reached_are_refused_however_they_are_spelt() {
    let server = Running::start("security: { port_range: { blacklist: [3389] }, targets: { deny: [10.9.0.0/16] } }");
    let create = |target: &str, target_port: u16| {
        let body = json!({ "source_port": free_port().port(), "target_host": target, "target_port": target_port,
            "use_tunnel": false });
        let answer = server.post("create", &body);
        (answer.status, answer.code().to_owned())
    };
    let denied = (403, "target_denied".to_owned());
    for target in [
        "169.254.169.254",
        "::ffff:169.254.169.254",
        "[::ffff:a9fe:a9fe]",
        "64:ff9b::a9fe:a9fe",
        "0.0.0.0",
        "::",
        "224.0.0.1",
        "8.8.8.8",
        "2606:4700::1111",
        "10.9.1.1",
        "::ffff:10.9.1.1",
    ] {
        assert_eq!(create(target, 80), denied, "{target}");
    }
    for target in ["2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "169.254.43518", "127.1", "0"] {
        assert_eq!(create(target, 80), (400, "invalid_field".to_owned()), "{target}");
    }
    assert_eq!(create("127.0.0.1", server.address.port()), denied, "the API itself");
    assert_eq!(create("127.0.0.2", server.address.port()), denied, "the API by another loopback address");
    let public = server.map(free_port(), &json!({}));
    assert_eq!(create("127.0.0.1", public.port()), denied, "another mapping");
    let own = free_port().port();
    let body = json!({ "port": own, "target_ip": "127.0.0.1" });
    assert_eq!(server.post("create", &body).code(), "target_denied", "a mapping to itself");
    assert_eq!(server.post("create", &json!({ "port": 3389, "target_ip": "10.0.0.1" })).code(), "port_forbidden");
    assert_eq!(server.post("create", &json!({ "port": 80, "target_ip": "10.0.0.1" })).code(), "port_out_of_range");
}

#[test]
fn a_name_that_leads_to_the_api_is_judged_where_it_is_dialled() {
    let server = Running::start("");
    let public = server.map(free_port(), &json!({ "target_host": "localhost", "target_port": server.address.port() }));
    let mut visitor = TcpStream::connect(public).expect("a connection");
    visitor.set_read_timeout(Some(Duration::from_secs(20))).expect("a deadline");
    // The API would wait for a request; only the judgement ends this without one, and at once.
    let started = Instant::now();
    let error = visitor.read(&mut [0; 1]).expect_err("a reset");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    assert!(started.elapsed() < Duration::from_secs(4));
}

#[test]
fn of_two_creates_at_once_one_wins() {
    let server = Running::start("");
    for _ in 0..20 {
        let port = free_port().port();
        let body = json!({ "port": port, "target_ip": "127.0.0.1", "target_port": free_port().port() });
        let mut statuses: Vec<u16> = std::thread::scope(|scope| {
            let create = || server.post("create", &body).status;
            let threads = [scope.spawn(create), scope.spawn(create)];
            threads.into_iter().map(|thread| thread.join().expect("an answer")).collect()
        });
        statuses.sort_unstable();
        assert!(statuses == [200, 409] || statuses == [409, 409], "{statuses:?}");
    }
    let rows = server.list();
    let mut ports: Vec<_> = rows.iter().map(|row| row["source_port"].as_u64()).collect();
    ports.dedup();
    assert_eq!(ports.len(), rows.len());
    for field in [
        "id",
        "target_ip",
        "target_host",
        "target_port",
        "use_tunnel",
        "bandwidth_limit",
        "access_rule",
        "access_ips",
        "created_at",
        "state",
        "error",
    ] {
        assert!(rows[0].get(field).is_some(), "{field}");
    }
    wait_until("health", || server.health()["status"] == "ok");
}
