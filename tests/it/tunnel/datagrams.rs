//! UDP mappings: every datagram whole, every reply to the visitor that asked.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::json;

use super::running::{Link, PATIENCE, Tunnel, wait_until};
use super::targets::{content, expect_echo, visit};

over_both_links!(replies_go_to_the_visitor_that_asked, datagrams_of_every_size_arrive_whole,);

/// A target that answers each datagram with `>` and the datagram.
struct Answering {
    address: SocketAddr,
    stops: Arc<AtomicBool>,
    thread: Option<JoinHandle<usize>>,
}

impl Answering {
    fn start() -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = socket.local_addr().expect("an address");
        socket.set_read_timeout(Some(Duration::from_millis(100))).expect("a deadline");
        let stops = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&stops);
        let thread = thread::spawn(move || {
            let (mut datagram, mut peers) = (vec![b'>'; 65_536], Vec::new());
            while !stop.load(SeqCst) {
                if let Ok((bytes, peer)) = socket.recv_from(&mut datagram[1..]) {
                    // The largest datagram has no room for a mark.
                    let answer = if bytes > 65_506 { &datagram[1..=bytes] } else { &datagram[..=bytes] };
                    socket.send_to(answer, peer).expect("an answer");
                    if !peers.contains(&peer) {
                        peers.push(peer);
                    }
                }
            }
            peers.len()
        });
        Self { address, stops, thread: Some(thread) }
    }

    /// How many different senders it heard.
    fn stop(mut self) -> usize {
        self.stops.store(true, SeqCst);
        self.thread.take().expect("it runs").join().expect("a count")
    }
}

fn visitor(public: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    socket.connect(public).expect("a peer");
    socket.set_read_timeout(Some(Duration::from_secs(5))).expect("a deadline");
    socket
}

#[track_caller]
fn ask(visitor: &UdpSocket, words: &[u8]) {
    visitor.send(words).expect("a datagram");
    let mut answer = vec![0; 65_536];
    let bytes = visitor.recv(&mut answer).unwrap_or_else(|error| panic!("no answer to {} bytes: {error}", words.len()));
    let expected = if words.len() > 65_506 { words.to_vec() } else { [b">", words].concat() };
    assert!(answer[..bytes] == expected, "{bytes} bytes in answer to {}", words.len());
}

fn replies_go_to_the_visitor_that_asked(link: Link) {
    let tunnel = Tunnel::start(link);
    let target = Answering::start();
    let public = tunnel.server.map_with(target.address, &json!({ "protocol": "udp" }));
    let visitors = [visitor(public), visitor(public)];
    for round in 0..500_u32 {
        for (index, visitor) in visitors.iter().enumerate() {
            ask(visitor, format!("visitor {index}, question {round}").as_bytes());
        }
    }
    // Both ask before either hears.
    for round in 0..50_u32 {
        for (index, visitor) in visitors.iter().enumerate() {
            visitor.send(format!("{index} {round}").as_bytes()).expect("a datagram");
        }
        for (index, visitor) in visitors.iter().enumerate() {
            let mut answer = [0; 100];
            let bytes = visitor.recv(&mut answer).expect("an answer");
            assert_eq!(&answer[..bytes], format!(">{index} {round}").as_bytes());
        }
    }
    assert_eq!(target.stop(), 2, "each visitor has a port of its own at the target");
    wait_until("health", PATIENCE, || tunnel.server.clients() == 1);
}

fn datagrams_of_every_size_arrive_whole(link: Link) {
    let tunnel = Tunnel::start(link);
    let target = Answering::start();
    let public = tunnel.server.map_with(target.address, &json!({ "protocol": "udp" }));
    let visitor = visitor(public);
    for size in [1, 0, 2, 100, 1_200, 1_472, 8_000, 32_768, 60_000, 65_507] {
        ask(&visitor, &content(size as u64, size));
    }
    // A TCP mapping of the same number is another mapping.
    let echo = super::targets::Target::echo();
    expect_echo(&mut visit(tunnel.map(echo.address)));
    assert_eq!(target.stop(), 1);
}
