//! Processes that crash, restart or stop: who is told what, and how soon everything is served again.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::running::{Client, Laid, Link, PATIENCE, ServerPlan, Tunnel, wait_until};
use super::targets::{Target, expect_echo, expect_reset, expect_turned_away, is_served, visit};

over_both_links!(
    a_killed_client_resets_its_visitors_and_serves_again_once_restarted,
    a_killed_server_restores_its_mappings_and_gets_its_client_back,
    a_stopping_server_lets_visitors_finish_and_a_second_signal_cuts_them,
    a_stopping_client_ends_orderly,
);

fn a_killed_client_resets_its_visitors_and_serves_again_once_restarted(link: Link) {
    let mut tunnel = Tunnel::start(link);
    let echo = Target::echo();
    let public = tunnel.map(echo.address);
    for _ in 0..3 {
        let mut visitor = visit(public);
        expect_echo(&mut visitor);
        tunnel.client.process.kill();
        let killed = Instant::now();
        assert_eq!(expect_reset(&mut visitor), 0);
        assert!(killed.elapsed() < Duration::from_secs(2), "{:?}", killed.elapsed());
        expect_turned_away(public);
        tunnel.client.start_again();
        wait_until("service again", Duration::from_secs(3), || is_served(public));
    }
}

fn a_killed_server_restores_its_mappings_and_gets_its_client_back(link: Link) {
    let mut tunnel = Tunnel::start(link);
    let echo = Target::echo();
    let public = tunnel.map(echo.address);
    let mut took = Vec::new();
    for _ in 0..4 {
        let mut visitor = visit(public);
        expect_echo(&mut visitor);
        tunnel.server.process.kill();
        // A killed process cannot choose: the system ends what has nothing unread, and resets the rest.
        let _ = visitor.read_to_end(&mut Vec::new());
        wait_until("no connection at the target", Duration::from_secs(5), || echo.open() == 0);
        tunnel.server.start_again();
        took.push(wait_until("service again", Duration::from_secs(35), || is_served(public)));
    }
    took.sort();
    assert!(took[1] <= Duration::from_secs(5), "half of the restarts within five seconds: {took:?}");
    tunnel.expect_alive();
}

fn a_stopping_server_lets_visitors_finish_and_a_second_signal_cuts_them(link: Link) {
    let mut tunnel = Tunnel::start(link);
    let echo = Target::echo();
    let public = tunnel.map(echo.address);
    let (mut finishing, mut staying) = (visit(public), visit(public));
    expect_echo(&mut finishing);
    expect_echo(&mut staying);
    tunnel.server.process.signal(Signal::TERM);
    wait_until("no more visitors", Duration::from_secs(5), || TcpStream::connect(tunnel.server.api).is_err());
    expect_reset_or_refusal(public);
    expect_echo(&mut finishing);
    finishing.shutdown(std::net::Shutdown::Write).expect("half-closed");
    assert_eq!(finishing.read(&mut [0; 1]).expect("a clean end"), 0);
    assert!(tunnel.server.process.is_running(), "it waits for the other");
    expect_echo(&mut staying);
    tunnel.server.process.signal(Signal::TERM);
    assert_eq!(tunnel.server.process.end(Duration::from_secs(3)).code(), Some(0));
    assert_eq!(expect_reset(&mut staying), 0);
    let words = tunnel.server.process.log() + &tunnel.server.process.said();
    assert!(words.contains('1') && words.contains("cut"), "it says whom it cut: {words}");
    assert!(tunnel.client.process.is_running(), "the client waits for a server");
}

/// A port that nobody serves any more, or whose visitors are turned away.
fn expect_reset_or_refusal(public: std::net::SocketAddr) {
    if let Ok(mut stream) = TcpStream::connect(public) {
        stream.set_read_timeout(Some(PATIENCE)).expect("a deadline");
        expect_reset(&mut stream);
    }
}

fn a_stopping_client_ends_orderly(link: Link) {
    for signal in [Signal::TERM, Signal::INT] {
        let mut tunnel = Tunnel::start(link);
        let echo = Target::echo();
        let public = tunnel.map(echo.address);
        assert!(is_served(public));
        tunnel.client.process.signal(signal);
        assert_eq!(tunnel.client.process.end(Duration::from_secs(5)).code(), Some(0), "after {signal:?}");
        tunnel.server.wait_for_clients(0, Duration::from_secs(2));
        expect_turned_away(public);
    }
}

#[test]
fn a_stopping_client_lets_its_visitors_finish_and_a_second_signal_cuts_them() {
    let mut tunnel = Tunnel::start(Link::Tls);
    let echo = Target::echo();
    let mut visitor = visit(tunnel.map(echo.address));
    expect_echo(&mut visitor);
    tunnel.client.process.signal(Signal::TERM);
    let signalled = Instant::now();
    while signalled.elapsed() < Duration::from_millis(500) {
        expect_echo(&mut visitor);
    }
    tunnel.client.process.signal(Signal::TERM);
    assert_eq!(tunnel.client.process.end(Duration::from_secs(3)).code(), Some(0));
    assert_eq!(expect_reset(&mut visitor), 0);
}

#[test]
fn a_first_start_prints_one_join_code_and_a_client_needs_nothing_else() {
    let plan = ServerPlan::over(Link::Tls);
    let mut server = Laid::out(&plan).start(&plan);
    wait_until("a join code", PATIENCE, || server.process.said().contains("join code: "));
    let said = server.process.said();
    let code = said.lines().find_map(|line| line.strip_prefix("join code: ")).expect("a code").trim().to_owned();
    assert!(!server.process.log().contains(&code), "a secret is no part of a log");
    let mut client = Client::start(None, &[], &["--join", &code]);
    server.wait_for_clients(1, PATIENCE);
    let echo = Target::echo();
    assert!(is_served(server.map(echo.address)));
    assert!(!client.process.log().contains(&code));
    server.process.kill();
    server.start_again();
    server.wait_for_clients(1, PATIENCE);
    assert_eq!(server.process.said().matches("join code").count(), 1, "only the first start prints one");
    assert!(client.process.is_running());
}

#[test]
fn a_token_can_be_made_and_taken_away_while_the_server_runs() {
    let mut tunnel = Tunnel::start(Link::Tls);
    let echo = Target::echo();
    let mut visitor = visit(tunnel.map(echo.address));
    expect_echo(&mut visitor);
    let token = tunnel.server.token("cabin", &[]);
    let mut cabin = Client::start(None, &[], &["--join", &token.join_code]);
    tunnel.server.wait_for_clients(2, PATIENCE);
    let names = tunnel.server.get("/api/clients").to_string();
    assert!(names.contains("home") && names.contains("cabin"), "{names}");
    assert_eq!(tunnel.server.revoke("cabin").code, 0);
    tunnel.server.wait_for_clients(1, Duration::from_secs(10));
    wait_until("a word about why", PATIENCE, || cabin.process.log().contains("revoked") || !cabin.process.is_running());
    visitor.write_all(b"").expect("nothing");
    expect_echo(&mut visitor);
    tunnel.expect_alive();
}
