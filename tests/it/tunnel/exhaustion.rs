//! Descriptors and memory: what is used is given back, and running out of them ends nothing.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use super::running::{Client, Link, PATIENCE, Server, ServerPlan, Tunnel, lasts, wait_until};
use super::targets::{Target, content, expect_echo, is_served, reset, visit};
use crate::support::have;

over_every_link!(streams_that_end_in_any_order_leave_nothing_behind, a_rush_of_visitors_is_served_to_the_last);

fn streams_that_end_in_any_order_leave_nothing_behind(link: Link) {
    let mut tunnel = Tunnel::start(link);
    let echo = Target::echo();
    let public = tunnel.map(echo.address);
    // What stays once is not what leaks.
    (0..50).map(|_| visit(public)).for_each(|mut visitor| expect_echo(&mut visitor));
    wait_until("no connection at the target", PATIENCE, || echo.open() == 0);
    let before = tunnel.descriptors();
    let mut open: Vec<TcpStream> = Vec::new();
    let choices = content(21, 4 * 2_000);
    for (index, choice) in choices.chunks(4).enumerate() {
        let mut visitor = visit(public);
        if choice[0] % 4 != 0 {
            expect_echo(&mut visitor);
        }
        open.push(visitor);
        while open.len() > 100 || (choice[1] % 3 == 0 && !open.is_empty()) {
            let victim = open.swap_remove((usize::from(choice[2]) * 256 + usize::from(choice[3])) % open.len());
            match (usize::from(choice[2]) + index + open.len()) % 4 {
                0 => reset(victim),
                1 => victim.shutdown(std::net::Shutdown::Write).expect("half-closed"),
                _ => drop(victim),
            }
            if choice[1] % 3 == 0 {
                break;
            }
        }
    }
    let resident = (tunnel.server.process.resident_kib(), tunnel.client.process.resident_kib());
    drop(open);
    wait_until("no connection at the target", PATIENCE, || echo.open() == 0);
    tunnel.wait_for_descriptors(before, PATIENCE);
    // And once more the same work: memory that grew with the first round does not grow with the second.
    for _ in 0..500 {
        expect_echo(&mut visit(public));
    }
    let after = (tunnel.server.process.resident_kib(), tunnel.client.process.resident_kib());
    assert!(after.0 < resident.0 + 4096 && after.1 < resident.1 + 4096, "KiB: {resident:?} before, {after:?} after");
    tunnel.expect_alive();
}

fn a_rush_of_visitors_is_served_to_the_last(link: Link) {
    let mut tunnel = Tunnel::start(link);
    let echo = Target::echo();
    let public = tunnel.map(echo.address);
    let visitors: Vec<TcpStream> = std::thread::scope(|scope| {
        let rush = || (0..500).map(|_| visit(public)).collect::<Vec<_>>();
        let rushes: Vec<_> = (0..4).map(|_| scope.spawn(rush)).collect();
        rushes.into_iter().flat_map(|rush| rush.join().expect("visitors")).collect()
    });
    for mut visitor in visitors {
        expect_echo(&mut visitor);
    }
    assert_eq!(echo.accepted(), 2_000, "each visitor reached the target once");
    tunnel.expect_alive();
}

/// Opens visitors until well beyond what the descriptors allow.
fn crowd(public: SocketAddr) -> Vec<TcpStream> {
    (0..100)
        .map(|_| {
            let mut visitor = visit(public);
            // Those beyond the limit may be reset at any moment.
            let _ = visitor.write_all(b"hello");
            visitor
        })
        .collect()
}

#[track_caller]
fn expect_survival(tunnel: &mut Tunnel, public: SocketAddr, of_server: bool) {
    let visitors = crowd(public);
    lasts(Duration::from_millis(500));
    let process = if of_server { &tunnel.server.process } else { &tunnel.client.process };
    let before = process.processor_time();
    lasts(Duration::from_secs(2));
    let used = process.processor_time().saturating_sub(before);
    assert!(used <= Duration::from_millis(100), "{used:?} of processor time in two seconds without descriptors");
    tunnel.expect_alive();
    let mut heard = 0;
    for mut visitor in visitors {
        visitor.set_read_timeout(Some(Duration::from_millis(20))).expect("a deadline");
        heard += usize::from(visitor.read_exact(&mut [0; 5]).is_ok());
    }
    assert!(heard >= 10, "{heard} of 100 were served");
    wait_until("service again", Duration::from_secs(10), || is_served(public));
    assert_eq!(tunnel.server.clients(), 1);
    assert!(!tunnel.server.process.log().contains("client disconnected"), "the session lived all the time");
    let process = if of_server { &tunnel.server.process } else { &tunnel.client.process };
    let lines = process.log().lines().count();
    assert!(lines < 60, "{lines} lines of log");
}

#[test]
fn a_server_out_of_descriptors_neither_ends_nor_spins_and_recovers() {
    if !have("prlimit", Command::new("prlimit").arg("--version").output().is_ok()) {
        return;
    }
    let plan = ServerPlan { wrapper: &["prlimit", "--nofile=64"], ..ServerPlan::over(Link::Tls) };
    let (server, token) = Server::start(&plan);
    let client = Client::of(server.tunnel, &token, Link::Tls, &[]);
    let mut tunnel = Tunnel { client, server, proxy: None, token, link: Link::Tls };
    tunnel.server.wait_for_clients(1, PATIENCE);
    let echo = Target::echo();
    let public = tunnel.map(echo.address);
    expect_survival(&mut tunnel, public, true);
}

#[test]
fn a_client_out_of_descriptors_neither_ends_nor_spins_and_recovers() {
    if !have("prlimit", Command::new("prlimit").arg("--version").output().is_ok()) {
        return;
    }
    let (server, token) = Server::start(&ServerPlan::over(Link::Tls));
    let address = server.tunnel.to_string();
    let arguments = ["--server", &address, "--token-file", "token", "--pin", &token.pin];
    let client = Client::start(Some(&token), &["prlimit", "--nofile=64"], &arguments);
    let mut tunnel = Tunnel { client, server, proxy: None, token, link: Link::Tls };
    tunnel.server.wait_for_clients(1, PATIENCE);
    let echo = Target::echo();
    let public = tunnel.map(echo.address);
    expect_survival(&mut tunnel, public, false);
}
