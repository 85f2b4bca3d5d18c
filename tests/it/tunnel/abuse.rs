//! Strangers at the tunnel's port: silence, nonsense, wrong secrets and crowds reach nobody and disturb nobody.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use super::running::{Client, Laid, Link, PATIENCE, ServerPlan, Tunnel, lasts, wait_until};
use super::targets::{Neighbour, Target, content, expect_echo, is_served, visit, visit_from};

over_both_links!(
    silent_and_slow_strangers_are_cut_after_five_seconds_and_disturb_nobody,
    nonsense_on_the_tunnels_port_disturbs_nobody_and_fills_no_log,
    a_crowd_of_rapid_visitors_is_served_without_an_error,
);

/// What the other side sends until it ends the connection, and how long that takes.
fn until_cut(mut stranger: TcpStream) -> (Vec<u8>, Duration) {
    let (started, mut answer) = (Instant::now(), Vec::new());
    // A reset is as good an end as any.
    let _ = stranger.read_to_end(&mut answer);
    (answer, started.elapsed())
}

/// The bytes of one frame.
fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short frame");
    [&[1, kind][..], &length.to_be_bytes(), payload].concat()
}

/// A Hello of our protocol, as far as a stranger can know it.
fn hello(token_id: [u8; 8]) -> Vec<u8> {
    let mut payload = Vec::new();
    payload.extend([0, 1, 0, 1]);
    payload.extend(content(1, 32));
    payload.extend(token_id);
    for limit in [65_536_u32, 1_000, 262_144, 1 << 25] {
        payload.extend(limit.to_be_bytes());
    }
    frame(0x10, &payload)
}

fn silent_and_slow_strangers_are_cut_after_five_seconds_and_disturb_nobody(link: Link) {
    let tunnel = Tunnel::start(link);
    let echo = Target::echo();
    let public = tunnel.map(echo.address);
    let second = tunnel.server.token("cabin", &[]);
    let neighbour = Neighbour::start(public);
    let port = tunnel.server.tunnel;
    let before = tunnel.server.process.descriptors();
    thread::scope(|scope| {
        let silent = scope.spawn(move || {
            let strangers: Vec<_> = (0..200).map(|_| visit_from([127, 0, 0, 2], port)).collect();
            let opened = Instant::now();
            for stranger in strangers {
                until_cut(stranger);
            }
            opened.elapsed()
        });
        let stalled = scope.spawn(move || {
            let mut stranger = visit_from([127, 0, 0, 3], port);
            let start = if link == Link::Plain { hello([7; 8]) } else { vec![0x16, 3, 1, 2, 0, 1, 0] };
            stranger.write_all(&start[..start.len() / 2]).expect("half a greeting");
            until_cut(stranger).1
        });
        let slow = scope.spawn(move || {
            let mut stranger = visit_from([127, 0, 0, 4], port);
            let started = Instant::now();
            let start = if link == Link::Plain { hello([7; 8]) } else { [&[0x16, 3, 1, 2, 0][..], &[1; 200]].concat() };
            for byte in start {
                if stranger.write_all(&[byte]).is_err() {
                    break;
                }
                lasts(Duration::from_millis(200));
            }
            started.elapsed()
        });
        let started = Instant::now();
        let newcomer = Client::of(port, &second, link, &[]);
        tunnel.server.wait_for_clients(2, Duration::from_secs(4));
        assert!(started.elapsed() < Duration::from_secs(4), "a good client gets in beside them");
        drop(newcomer);
        for (name, took) in [("silent", silent), ("stalled", stalled), ("slow", slow)] {
            let took = took.join().expect("a stranger");
            assert!(took < Duration::from_secs(8), "{name} strangers were cut after {took:?}");
        }
    });
    neighbour.expect_undisturbed(Duration::from_secs(1));
    wait_until("their descriptors", PATIENCE, || tunnel.server.process.descriptors() <= before);
}

fn nonsense_on_the_tunnels_port_disturbs_nobody_and_fills_no_log(link: Link) {
    let mut tunnel = Tunnel::start(link);
    let echo = Target::echo();
    let neighbour = Neighbour::start(tunnel.map(echo.address));
    let quiet_lines = tunnel.server.process.log().lines().count();
    let started = Instant::now();
    let mut huge = frame(0x10, &[]);
    huge[2..6].copy_from_slice(&u32::MAX.to_be_bytes());
    let tls_greeting = [&[0x16, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3][..], &content(3, 194)].concat();
    let nonsense = [
        content(2, 5_000),
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
        huge,
        hello([7; 8])[..20].to_vec(),
        hello([7; 8]),
        frame(0x13, &content(4, 64)),
        frame(0x15, &content(5, 68)),
        frame(0x03, &content(6, 1_000)),
        frame(0x05, &[]),
        frame(0x01, &[0, 0, 0, 1, 0, 80]),
        tls_greeting,
        b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(),
        vec![0; 100_000],
    ];
    for round in 0..20 {
        for words in &nonsense {
            let mut stranger = visit(tunnel.server.tunnel);
            // The server may end the connection before it has taken everything.
            let _ = stranger.write_all(words).and_then(|()| stranger.shutdown(Shutdown::Write));
            if round == 0 {
                let (answer, took) = until_cut(stranger);
                assert!(took < Duration::from_secs(8), "{took:?}");
                assert!(answer.len() < 1_000, "{} bytes for a stranger", answer.len());
            }
        }
    }
    neighbour.expect_undisturbed(Duration::from_secs(1));
    assert_eq!(tunnel.server.clients(), 1);
    let lines = tunnel.server.process.log().lines().count() - quiet_lines;
    let seconds = usize::try_from(started.elapsed().as_secs()).expect("a short test");
    assert!(lines <= 20 + 2 * seconds, "{lines} lines in {seconds} s");
    tunnel.expect_alive();
}

/// Answers of the server to a Hello and a wrong proof: the codes of its last frame.
fn try_wrong_proof(address: SocketAddr, token_id: [u8; 8]) -> Option<Vec<u8>> {
    let mut stranger = visit(address);
    stranger.write_all(&hello(token_id)).ok()?;
    let mut header = [0; 6];
    stranger.read_exact(&mut header).ok()?;
    let length = u32::from_be_bytes(header[2..6].try_into().expect("four bytes"));
    stranger.read_exact(&mut vec![0; usize::try_from(length).expect("a length")]).ok()?;
    if header[1] == 0x11 {
        stranger.write_all(&frame(0x12, &content(9, 32))).ok()?;
    }
    let (answer, _) = until_cut(stranger);
    Some(answer)
}

#[test]
fn wrong_tokens_are_all_answered_alike_and_the_live_client_notices_nothing() {
    let mut tunnel = Tunnel::start(Link::Plain);
    let echo = Target::echo();
    let neighbour = Neighbour::start(tunnel.map(echo.address));
    let quiet_lines = tunnel.server.process.log().lines().count();
    let started = Instant::now();
    let mut answers = Vec::new();
    for round in 0..200_u64 {
        answers.push(try_wrong_proof(tunnel.server.tunnel, round.to_be_bytes()));
    }
    // Some may have been turned away for their number alone.
    let rejected: Vec<_> = answers.iter().flatten().filter(|answer| answer.len() > 8).collect();
    assert!(rejected.len() >= 5, "{} were answered", rejected.len());
    assert!(rejected.iter().all(|answer| answer[1] == 0x14), "{:?}", rejected[0]);
    assert!(rejected.iter().any(|answer| answer[6..8] == [0, 2]), "{:?}", rejected[0]);
    neighbour.expect_undisturbed(Duration::from_secs(1));
    let lines = tunnel.server.process.log().lines().count() - quiet_lines;
    let seconds = usize::try_from(started.elapsed().as_secs()).expect("a short test");
    assert!(lines <= 20 + 2 * seconds, "{lines} lines in {seconds} s");
    tunnel.client.process.kill();
    tunnel.client.start_again();
    tunnel.server.wait_for_clients(1, Duration::from_secs(10));
}

/// What a client says that is started with these arguments and must not get in.
#[track_caller]
fn expect_refused(tunnel: &Tunnel, mut client: Client, words: &[&str]) {
    wait_until(&format!("a message with {words:?}"), PATIENCE, || {
        let log = client.process.log();
        words.iter().all(|word| log.contains(word)) || {
            assert!(client.process.is_running() || !log.is_empty(), "it ended without a word");
            false
        }
    });
    assert_eq!(tunnel.server.clients(), 1);
}

#[test]
fn a_client_refuses_a_server_with_another_pin_and_shows_both() {
    let tunnel = Tunnel::start(Link::Tls);
    let mut other = tunnel.token.clone();
    let last = if other.pin.ends_with('0') { "1" } else { "0" };
    other.pin.replace_range(other.pin.len() - 1.., last);
    let words = [other.pin.as_str(), tunnel.token.pin.as_str()];
    expect_refused(&tunnel, Client::of(tunnel.server.tunnel, &other, Link::Tls, &[]), &words);
}

#[test]
fn a_client_that_meets_the_wrong_kind_of_link_says_so() {
    let (plain, encrypted) = (Tunnel::start(Link::Plain), Tunnel::start(Link::Tls));
    // A server without TLS is no server for a client that wants it, and the reverse.
    let mut token = plain.token.clone();
    token.pin.clone_from(&encrypted.token.pin);
    expect_refused(&plain, Client::of(plain.server.tunnel, &token, Link::Tls, &[]), &["TLS"]);
    expect_refused(&encrypted, Client::of(encrypted.server.tunnel, &encrypted.token, Link::Plain, &[]), &["TLS"]);
}

#[test]
fn a_client_with_a_wrong_token_is_told_so_and_does_not_hammer() {
    let tunnel = Tunnel::start(Link::Tls);
    let other = Laid::out(&ServerPlan::over(Link::Tls)).token("elsewhere");
    let mut token = tunnel.token.clone();
    token.token.clone_from(&other.token);
    let client = Client::of(tunnel.server.tunnel, &token, Link::Tls, &[]);
    expect_refused(&tunnel, client, &["token"]);
}

#[test]
fn plaintext_for_everyone_needs_to_be_asked_for() {
    let plan = ServerPlan { tls: "off", listen: "0.0.0.0", ..ServerPlan::over(Link::Plain) };
    let laid = Laid::out(&plan);
    let answer = laid.refuse(&[]).expect_code(3);
    assert!(answer.stderr.contains("--insecure"), "{}", answer.stderr);
    let asked = ServerPlan { flags: &["--insecure"], ..plan };
    let server = laid.start(&asked);
    wait_until("a warning", PATIENCE, || server.process.log().to_lowercase().contains("plaintext"));
}

fn a_crowd_of_rapid_visitors_is_served_without_an_error(link: Link) {
    let mut tunnel = Tunnel::start(link);
    let echo = Target::echo();
    let public = tunnel.map(echo.address);
    let (rounds, crowd) = if std::env::var_os("PORTWRIGHT_LOAD").is_some() { (10, 500) } else { (4, 250) };
    assert!(is_served(public));
    let before = tunnel.descriptors();
    for _ in 0..rounds {
        let mut visitors: Vec<_> = (0..crowd).map(|_| visit(public)).collect();
        visitors.iter_mut().for_each(expect_echo);
    }
    assert_eq!(echo.accepted(), rounds * crowd + 1);
    wait_until("no connection at the target", PATIENCE, || echo.open() == 0);
    tunnel.wait_for_descriptors(before, PATIENCE);
    tunnel.expect_alive();
}
