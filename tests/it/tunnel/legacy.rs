//! Version 1 beside ours: a predecessor's client at our server, our client at a predecessor's server, byte for byte.

use std::io::{Read as _, Write as _};
use std::net::UdpSocket;
use std::thread;
use std::time::Duration;

use serde_json::json;

use super::running::{Client, Laid, Link, PATIENCE, Server, ServerPlan, health, lasts, wait_until};
use super::targets::{
    Neighbour, Target, content, expect_echo, expect_reset, expect_turned_away, is_served, read_all, send_all, visit,
};
use super::v1_peer::{CLOSE, CONNECT_REQUEST, CONNECT_RESPONSE, KEEP_ALIVE, V1Client, V1Server, frame};

/// Soon enough for a test; the real one waits fifteen seconds.
const INTERVAL: Duration = Duration::from_millis(300);

over_both_links!(
    a_version_1_client_serves_visitors_byte_for_byte,
    version_1_clients_come_one_at_a_time,
    strangers_are_never_taken_for_a_version_1_client,
);

/// A server that lets the predecessor's clients in.
fn legacy_server(link: Link) -> Server {
    let plan = ServerPlan { legacy_v1: true, ..ServerPlan::over(link) };
    Laid::out(&plan).start(&plan)
}

fn a_version_1_client_serves_visitors_byte_for_byte(link: Link) {
    let server = legacy_server(link);
    let echo = Target::echo();
    let public = server.map(echo.address);
    let client = V1Client::connect(server.tunnel, INTERVAL);
    server.wait_for_clients(1, PATIENCE);
    let mut visitor = visit(public);
    expect_echo(&mut visitor);
    let request = client.first(CONNECT_REQUEST);
    let expected = [&request[..4], &echo.address.port().to_be_bytes(), &[9], b"127.0.0.1"].concat();
    assert_eq!(request, expected, "the long form, always");

    // Sent and read at the same time: version 1 has no credit, and an echo that nobody reads would stop everything.
    let mut reads = visitor.try_clone().expect("a clone");
    let reading = thread::spawn(move || {
        let mut heard = vec![0; 3_000_000];
        reads.read_exact(&mut heard).map(|()| heard)
    });
    visitor.write_all(&content(1, 3_000_000)).expect("words are taken");
    assert!(reading.join().expect("a reader").expect("an echo") == content(1, 3_000_000));
    drop(visitor);
    wait_until("the end at the target", PATIENCE, || echo.open() == 0);

    let source = Target::source(2, 1_000_000);
    assert!(read_all(&mut visit(server.map(source.address))) == content(2, 1_000_000), "all, and then the end");
    let closed = server.map(super::running::loopback(super::running::fresh_port()));
    expect_turned_away(closed);
    let before = client.count(KEEP_ALIVE);
    wait_until("answers to keep-alives", PATIENCE, || client.count(KEEP_ALIVE) > before + 1);
    thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| expect_echo(&mut visit(public)));
        }
    });
    assert!(!client.is_over());
    drop(client);
    server.wait_for_clients(0, Duration::from_secs(5));
    expect_turned_away(public);
}

fn version_1_clients_come_one_at_a_time(link: Link) {
    let server = legacy_server(link);
    let echo = Target::echo();
    let first = V1Client::connect(server.tunnel, INTERVAL);
    server.wait_for_clients(1, PATIENCE);
    let neighbour = Neighbour::start(server.map(echo.address));
    let second = V1Client::connect(server.tunnel, INTERVAL);
    wait_until("the end of the second", PATIENCE, || second.is_over());
    neighbour.expect_undisturbed(Duration::from_secs(1));
    assert!(!first.is_over() && second.count(CONNECT_REQUEST) == 0);
    assert_eq!(server.clients(), 1);
    drop(first);
    let third = V1Client::connect(server.tunnel, INTERVAL);
    wait_until("service by the third", PATIENCE, || is_served(server.map(echo.address)));
    assert!(third.count(CONNECT_REQUEST) > 0);
}

fn strangers_are_never_taken_for_a_version_1_client(link: Link) {
    let server = legacy_server(link);
    let echo = Target::echo();
    let public = server.map(echo.address);
    for words in [&b""[..], b"GET / HTTP/1.1\r\n\r\n", b"\x01", b"\x01\x05", &frame(9, &[]), &frame(1, &[0; 6])] {
        let mut stranger = visit(server.tunnel);
        stranger.write_all(words).expect("words are taken");
        lasts(Duration::from_millis(100));
        assert_eq!(server.clients(), 0, "{words:?}");
        expect_turned_away(public);
        stranger.set_read_timeout(Some(Duration::from_millis(50))).expect("a deadline");
        let mut heard = [0; 100];
        if let Ok(bytes) = stranger.read(&mut heard) {
            let is_request = heard[..bytes].starts_with(&[1, CONNECT_REQUEST]);
            assert!(!is_request, "no visitor is handed to a stranger");
        }
    }
    assert_eq!(echo.accepted(), 0);
}

#[test]
fn version_1_clients_are_kept_out_unless_let_in() {
    let plan = ServerPlan::over(Link::Plain);
    let server = Laid::out(&plan).start(&plan);
    let client = V1Client::connect(server.tunnel, INTERVAL);
    wait_until("its end", Duration::from_secs(8), || client.is_over());
    assert_eq!(health(server.api).expect("health")["tunnel_connected"], false);
    assert_eq!(client.count(CONNECT_REQUEST) + client.count(KEEP_ALIVE), 0);
}

#[test]
fn a_newcomer_takes_over_only_when_the_live_client_no_longer_answers() {
    let server = legacy_server(Link::Plain);
    let echo = Target::echo();
    let public = server.map(echo.address);
    let proxy = super::toxic::Proxy::start(server.tunnel, 3);
    let first = V1Client::connect(proxy.address, INTERVAL);
    server.wait_for_clients(1, PATIENCE);
    assert!(is_served(public));
    proxy.strike(super::toxic::Toxic::HalfOpen);
    // Three keep-alives of the real client, and a little more.
    let mut second = V1Client::connect(server.tunnel, INTERVAL);
    wait_until("service by the newcomer", Duration::from_secs(50), || {
        if second.is_over() {
            second = V1Client::connect(server.tunnel, INTERVAL);
        }
        // A visitor who came while the one took the other's place may be reset; the next one is served.
        is_served(public) && second.count(CONNECT_REQUEST) > 0
    });
    drop(first);
    assert!(is_served(public), "the end of the old one is not the end of the new one");
}

#[test]
fn a_version_1_client_that_says_nothing_for_fifteen_seconds_is_let_in_then() {
    let server = legacy_server(Link::Tls);
    let echo = Target::echo();
    let public = server.map(echo.address);
    let client = V1Client::connect(server.tunnel, Duration::from_secs(15));
    server.wait_for_clients(1, Duration::from_secs(17));
    assert!(is_served(public));
    assert!(!client.is_over());
}

#[test]
fn our_client_serves_a_version_1_server_in_both_forms() {
    let peer = V1Server::start();
    let address = peer.address.to_string();
    let mut client = Client::start(None, &[], &["--server", &address, "--legacy-v1", "--insecure"]);
    let session = peer.accept();
    let echo = Target::echo();
    let port = echo.address.port();
    // The predecessor counts from nought.
    for (id, host) in [(0, Some("127.0.0.1")), (1, None), (2, Some("localhost")), (u32::MAX, None)] {
        session.open(id, port, host);
        assert_eq!(session.next_but_close(), (CONNECT_RESPONSE, [&id.to_be_bytes()[..], &[0]].concat()));
        let words = content(u64::from(id), 100_000);
        words.chunks(30_000).for_each(|piece| session.data(id, piece));
        assert!(session.read(id, words.len()) == words);
        session.send(CLOSE, &id.to_be_bytes());
        wait_until("the end at the target", PATIENCE, || echo.open() == 0);
        // The predecessor's client answers a Close with a Close; ours may.
    }
    let closed = super::running::fresh_port();
    session.open(7, closed, None);
    let answer = session.next_but_close();
    assert_eq!(answer, (CONNECT_RESPONSE, vec![0, 0, 0, 7, 1]));

    let source = Target::source(3, 200_000);
    session.open(8, source.address.port(), None);
    let answer = session.next_but_close();
    assert_eq!(answer, (CONNECT_RESPONSE, vec![0, 0, 0, 8, 0]));
    assert!(session.read(8, 200_000) == content(3, 200_000));
    assert_eq!(session.next_of(8), (CLOSE, vec![0, 0, 0, 8]), "the target's end");
    // Late words for streams that are over, and a keep-alive that nobody asked for, disturb nothing.
    session.data(8, b"late");
    session.send(CLOSE, &8_u32.to_be_bytes());
    session.send(CLOSE, &99_u32.to_be_bytes());
    session.send(KEEP_ALIVE, &[]);
    session.open(9, port, None);
    let answer = session.next_but_close();
    assert_eq!(answer, (CONNECT_RESPONSE, vec![0, 0, 0, 9, 0]));
    wait_until("a keep-alive", Duration::from_secs(17), || *session.keep_alives.lock().expect("no panic") > 0);
    assert!(client.process.is_running());
    drop(session);
}

/// Our server and our client, with version 1 between them.
fn both_ours() -> (Server, Client) {
    let server = legacy_server(Link::Plain);
    let address = server.tunnel.to_string();
    let client = Client::start(None, &[], &["--server", &address, "--legacy-v1"]);
    server.wait_for_clients(1, PATIENCE);
    (server, client)
}

#[test]
fn our_own_ends_understand_each_other_in_version_1() {
    let (server, client) = both_ours();
    assert!(client.process.log().contains("neither proof nor encryption"), "it is said aloud");
    assert!(server.process.log().contains("client of version 1 connected"));
    let clients = server.get("/api/clients");
    assert_eq!(clients["data"][0]["name"], "legacy");
    let (echo, source) = (Target::echo(), Target::source(4, 20_000_000));
    let (echo_port, source_port) = (server.map(echo.address), server.map(source.address));
    let neighbour = Neighbour::start(echo_port);
    assert!(read_all(&mut visit(source_port)) == content(4, 20_000_000));
    neighbour.expect_undisturbed(Duration::from_secs(1));

    // The visitor finishes first, and gets its answer all the same.
    let (address, answering) = Target::once(|mut stream| {
        let mut question = [0; 1000];
        stream.read_exact(&mut question).expect("a question");
        lasts(Duration::from_millis(500));
        stream.write_all(&content(5, 300_000)).expect("an answer is taken");
    });
    let mut visitor = visit(server.map(address));
    send_all(&mut visitor, &[1; 1000]);
    assert!(read_all(&mut visitor) == content(5, 300_000));
    answering.join().expect("a target");

    // What the target does not finish is finished for it, a while after the visitor.
    let mut visitor = visit(echo_port);
    expect_echo(&mut visitor);
    drop(visitor);
    wait_until("the end at the target", PATIENCE, || echo.open() == 0);
    expect_turned_away(server.map_with(echo.address, &json!({ "proxy_protocol": "v2" })));
    let public = server.map_with(echo.address, &json!({ "protocol": "udp" }));
    let visitor = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    visitor.send_to(b"hello", public).expect("sent");
    for why in ["version 1 has no PROXY header", "version 1 carries no datagrams"] {
        wait_until(why, PATIENCE, || server.process.log().contains(why));
    }
}

#[test]
fn a_slow_reader_of_version_1_loses_nothing_and_a_dead_one_is_cut_off_and_told() {
    let (server, _client) = both_ours();
    let large = Target::source(8, 60_000_000);
    let public = server.map(large.address);
    let mut slow = visit(public);
    let mut heard = Vec::new();
    let mut piece = vec![0; 1 << 20];
    loop {
        match slow.read(&mut piece).expect("more, or the end") {
            0 => break,
            bytes => heard.extend_from_slice(&piece[..bytes]),
        }
        if heard.len() < 10_000_000 {
            lasts(Duration::from_millis(20));
        }
    }
    assert!(heard == content(8, 60_000_000), "{} bytes", heard.len());

    let echo = Target::echo();
    let echo_port = server.map(echo.address);
    let mut dead = visit(public);
    wait_until("the dead one at the target", PATIENCE, || large.accepted() == 2);
    wait_until("service of others", Duration::from_secs(15), || is_served(echo_port));
    wait_until("the end of the dead one", PATIENCE, || large.open() == 0);
    assert!(server.process.resident_kib() < 160 * 1024, "{} KiB", server.process.resident_kib());
    assert!(is_served(echo_port));
    expect_reset(&mut dead);
}

#[test]
fn version_1_takes_nothing_that_it_would_ignore_and_no_name_of_a_token() {
    let laid = Laid::out(&ServerPlan::over(Link::Plain));
    let refused = laid.refuse_token("legacy");
    assert!(refused.code == 2 && refused.stderr.contains("version 1"), "{}", refused.stderr);
    for more in [&["--pin", "sha256:00"][..], &["--token-file", "token"], &["--name", "nas"]] {
        let arguments = [&["--server", "127.0.0.1:9", "--legacy-v1"], more].concat();
        assert_eq!(Client::start(None, &[], &arguments).process.end(PATIENCE).code(), Some(2), "{more:?}");
    }
    let mut away = Client::start(None, &[], &["--server", "192.0.2.1:9000", "--legacy-v1"]);
    assert_eq!(away.process.end(PATIENCE).code(), Some(3), "plaintext leaves the machine only when somebody insists");
    assert!(away.process.log().contains("--insecure"), "{}", away.process.log());
}
