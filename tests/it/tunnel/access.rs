//! Who may reach what: access lists, the client's own policy, mappings of one client, and the visitor's address.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use serde_json::json;

use super::running::{Client, Link, PATIENCE, Tunnel, wait_until};
use super::targets::{
    Target, expect_echo, expect_reset, expect_turned_away, is_served, read_all, send_all, visit, visit_from,
};

over_both_links!(
    a_visitor_outside_the_list_is_reset_before_its_target_hears_of_it,
    targets_learn_the_visitors_address_as_the_proxy_protocol_says,
);

fn a_visitor_outside_the_list_is_reset_before_its_target_hears_of_it(link: Link) {
    let tunnel = Tunnel::start(link);
    let echo = Target::echo();
    let map = |rule: &str, networks: &[&str]| {
        tunnel.server.map_with(echo.address, &json!({ "access_rule": rule, "access_ips": networks }))
    };
    for closed in [map("whitelist", &["10.0.0.0/8"]), map("blacklist", &["127.0.0.0/8"])] {
        let mut visitor = visit(closed);
        // The reset may be there before the words, which then fail with it.
        if visitor.write_all(b"let me in").is_ok() {
            assert_eq!(expect_reset(&mut visitor), 0);
        }
    }
    let selective = map("whitelist", &["127.0.0.1/32"]);
    expect_reset(&mut visit_from([127, 0, 0, 2], selective));
    assert_eq!(echo.accepted(), 0, "nobody dialled");
    expect_echo(&mut visit(selective));
    assert_eq!(echo.accepted(), 1);
}

/// A listener on an address of this machine that is not loopback, if there is one.
fn elsewhere() -> Option<TcpListener> {
    // No packet is sent; the system only chooses the address that it would send from.
    let socket = std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect(("192.0.2.1", 9)).ok()?;
    let own = socket.local_addr().ok()?.ip();
    (!own.is_loopback() && !own.is_unspecified()).then(|| TcpListener::bind((own, 0)).ok()).flatten()
}

#[test]
fn a_client_dials_loopback_alone_unless_told_otherwise_and_then_that_alone() {
    let Some(listener) = elsewhere() else {
        crate::support::have("an address that is not loopback", false);
        return;
    };
    listener.set_nonblocking(true).expect("an option");
    let address = listener.local_addr().expect("an address");
    let echo = Target::echo();

    let tunnel = Tunnel::start(Link::Tls);
    expect_turned_away(tunnel.map(address));
    assert!(listener.accept().is_err(), "nobody dialled");
    assert!(is_served(tunnel.map(echo.address)));
    wait_until("a word about it", PATIENCE, || tunnel.client.process.log().contains(&address.ip().to_string()));

    let tunnel = Tunnel::exposing(Link::Tls, &["--expose", &address.to_string()]);
    let mut visitor = visit(tunnel.map(address));
    wait_until("the visitor", PATIENCE, || listener.accept().is_ok());
    visitor.write_all(b"hello").expect("words are taken");
    let inner = tunnel.map(echo.address);
    expect_turned_away(inner);
    assert_eq!(echo.accepted(), 1, "once, before; not by a client that exposes something else");
}

#[test]
fn one_exposed_port_is_all_that_a_client_dials() {
    let (open, closed) = (Target::echo(), Target::echo());
    let port = open.address.port().to_string();
    let tunnel = Tunnel::exposing(Link::Tls, &["--expose", &port]);
    assert!(is_served(tunnel.map(open.address)));
    expect_turned_away(tunnel.map(closed.address));
    let network = format!("127.0.0.0/8:{port}");
    let tunnel = Tunnel::exposing(Link::Tls, &["--expose", &network]);
    assert!(is_served(tunnel.map(open.address)));
    expect_turned_away(tunnel.map(closed.address));
    let denied = SocketAddr::from(([169, 254, 169, 254], 80));
    let (status, answer) = tunnel.server.post(
        "create",
        &json!({ "source_port": super::running::fresh_port(), "target_host": denied.ip().to_string(),
            "target_port": 80, "use_tunnel": true }),
    );
    // Whether the server refuses the mapping or the client refuses the visitor, nobody gets there.
    assert!(status == 403 || status == 200, "{answer}");
    assert_eq!(closed.accepted(), 0);
}

#[test]
fn a_mapping_of_one_client_never_reaches_another() {
    let tunnel = Tunnel::start(Link::Tls);
    let echo = Target::echo();
    let public = tunnel.server.map_with(echo.address, &json!({ "client": "cabin" }));
    expect_turned_away(public);
    assert_eq!(echo.accepted(), 0, "the other client was not asked");

    let cabin = tunnel.server.token("cabin", &[]);
    let cabin = Client::start(None, &[], &["--join", &cabin.join_code, "--expose", "1"]);
    tunnel.server.wait_for_clients(2, PATIENCE);
    expect_turned_away(public);
    assert_eq!(echo.accepted(), 0, "its own client exposes something else");
    let own = tunnel.server.map_with(echo.address, &json!({ "client": "home" }));
    assert!(is_served(own));
    drop(cabin);
    tunnel.server.wait_for_clients(1, Duration::from_secs(5));
    expect_turned_away(public);
    assert_eq!(echo.accepted(), 1);
}

/// What arrives at a target whose mapping announces visitors, with the addresses of visitor and public port.
fn announced(tunnel: &Tunnel, version: &str, words: &'static [u8]) -> (Vec<u8>, SocketAddr, SocketAddr) {
    let (address, receiving) = Target::once(|mut stream| {
        let heard = read_all(&mut stream);
        stream.write_all(b"done").expect("an answer");
        heard
    });
    let public = tunnel.server.map_with(address, &json!({ "proxy_protocol": version }));
    let mut visitor: TcpStream = visit(public);
    send_all(&mut visitor, words);
    let mut answer = [0; 4];
    visitor.read_exact(&mut answer).expect("an answer");
    let own = visitor.local_addr().expect("an address");
    (receiving.join().expect("the target"), own, public)
}

fn targets_learn_the_visitors_address_as_the_proxy_protocol_says(link: Link) {
    let tunnel = Tunnel::start(link);
    for words in [&b"hello"[..], b""] {
        let (heard, visitor, public) = announced(&tunnel, "v1", words);
        let announcement = format!("PROXY TCP4 127.0.0.1 127.0.0.1 {} {}\r\n", visitor.port(), public.port());
        assert_eq!(heard, [announcement.as_bytes(), words].concat(), "{}", String::from_utf8_lossy(&heard));

        let (heard, visitor, public) = announced(&tunnel, "v2", words);
        let mut expected = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x7f\0\0\x01\x7f\0\0\x01".to_vec();
        expected.extend(visitor.port().to_be_bytes());
        expected.extend(public.port().to_be_bytes());
        expected.extend(words);
        assert_eq!(heard, expected);
    }
}
