//! What the server counts of the tunnel: each byte once, over whichever way it went, and still after a restart.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, UdpSocket};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::running::{Link, PATIENCE, Server, Tunnel, wait_until};
use super::targets::{Target, content, visit};

over_every_link!(every_byte_through_the_tunnel_is_counted_once_and_kept);

/// Sends `bytes`, gets them back, and returns how many went each way.
fn echoed(public: SocketAddr, bytes: usize) -> u64 {
    let mut visitor = visit(public);
    let mut sender = visitor.try_clone().expect("a second handle");
    let sending = thread::spawn(move || {
        sender.write_all(&content(7, bytes)).expect("sent");
        sender.shutdown(Shutdown::Write).expect("half-closed");
    });
    let mut answer = Vec::new();
    visitor.read_to_end(&mut answer).expect("an answer");
    sending.join().expect("sent");
    answer.len() as u64
}

fn traffic(server: &Server) -> Value {
    server.get("/api/stats/traffic")["data"].clone()
}

fn every_byte_through_the_tunnel_is_counted_once_and_kept(link: Link) {
    let mut tunnel = Tunnel::start(link);
    let target = Target::echo();
    let public = tunnel.server.map(target.address);
    let limited = tunnel.server.map_with(target.address, &json!({ "bandwidth_limit": 4_000_000 }));
    // The largest is lifted off the session, and spliced over plaintext.
    let mut expected: u64 = [0, 1, 3000, 9_000_000].into_iter().map(|bytes| echoed(public, bytes)).sum();
    expected += echoed(limited, 1_500_000);

    let datagrams = UdpSocket::bind("127.0.0.1:0").expect("a target");
    let of_target = datagrams.local_addr().expect("an address");
    let public_udp = tunnel.server.map_with(of_target, &json!({ "protocol": "udp" }));
    let visitor = UdpSocket::bind("127.0.0.1:0").expect("a port");
    visitor.connect(public_udp).expect("a peer");
    for socket in [&visitor, &datagrams] {
        socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a deadline");
    }
    for size in [1, 700, 1200] {
        visitor.send(&content(1, size)).expect("sent");
        let (received, peer) = datagrams.recv_from(&mut [0; 2000]).expect("arrived");
        datagrams.send_to(&content(2, received), peer).expect("answered");
        assert_eq!(visitor.recv(&mut [0; 2000]).expect("an answer"), size);
        expected += size as u64;
    }

    let counted = |server: &Server| {
        let traffic = traffic(server);
        (traffic["total_sent"].as_u64(), traffic["total_received"].as_u64())
    };
    wait_until("every visitor but that of UDP has left", PATIENCE, || {
        tunnel.server.get("/api/stats/connections")["data"]["total"] == 1
    });
    assert_eq!(counted(&tunnel.server), (Some(expected), Some(expected)));
    let before = traffic(&tunnel.server);
    assert_eq!(before["tunnel"]["bytes_sent"], expected, "all of it through the tunnel");
    for mapping in before["mappings"].as_array().expect("mappings") {
        let clients: Vec<_> =
            mapping["clients"].as_array().expect("clients").iter().map(|one| &one["client"]).collect();
        assert_eq!(clients, [&json!("home")], "{mapping}");
    }
    let there = tunnel.server.get("/api/stats/connections")["data"]["mappings"][0]["active_connections"][0].clone();
    assert_eq!((&there["client"], &there["bytes_sent"]), (&json!("home"), &json!(1901)), "{there}");

    if link == Link::Single {
        tunnel.proxy().refuse(false);
    }
    tunnel.server.process.signal(Signal::TERM);
    tunnel.server.process.end(PATIENCE);
    tunnel.server.start_again();
    assert_eq!(counted(&tunnel.server), (Some(expected), Some(expected)), "after a restart");
    tunnel.server.wait_for_clients(1, PATIENCE);
    expected += echoed(public, 12_345);
    wait_until("the last visitor is counted", PATIENCE, || counted(&tunnel.server) == (Some(expected), Some(expected)));
}
