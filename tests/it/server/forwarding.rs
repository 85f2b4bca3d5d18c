//! What visitors see: half-close, resets, access lists, limits, drains.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::json;

use super::running::{PATIENCE, Running, free_port, wait_until};

/// Serves one visitor with `service` and returns its address and outcome.
fn target<T: Send + 'static>(service: impl FnOnce(TcpStream) -> T + Send + 'static) -> (SocketAddr, JoinHandle<T>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a listener");
    let address = listener.local_addr().expect("an address");
    let thread = thread::spawn(move || {
        let (stream, _) = listener.accept().expect("a visitor");
        stream.set_read_timeout(Some(PATIENCE)).expect("a deadline");
        service(stream)
    });
    (address, thread)
}

fn visit(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a deadline");
    stream
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|index| u8::try_from(index % 251).expect("below 251")).collect()
}

fn reset(stream: TcpStream) {
    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("an option");
    drop(stream);
}

fn was_reset<T>(outcome: &io::Result<T>) -> bool {
    matches!(outcome, Err(error) if error.kind() == io::ErrorKind::ConnectionReset)
}

#[test]
fn a_visitor_that_finished_sending_still_gets_the_whole_answer() {
    let server = Running::start("");
    let (address, answering) = target(|mut stream| {
        let mut question = Vec::new();
        stream.read_to_end(&mut question).expect("the end of the question");
        stream.write_all(&pattern(1_000_011)).expect("the answer");
        question
    });
    let mut visitor = visit(server.map(address, &json!({})));
    visitor.write_all(&pattern(100_000)).expect("the question");
    visitor.shutdown(Shutdown::Write).expect("half-closed");
    let mut answer = Vec::new();
    visitor.read_to_end(&mut answer).expect("the answer");
    assert_eq!(answer.len(), 1_000_011);
    assert!(answer == pattern(1_000_011) && answering.join().expect("the target") == pattern(100_000));
}

#[test]
fn a_target_that_speaks_first_and_finishes_first_can_still_listen() {
    let server = Running::start("");
    let (address, listening) = target(|mut stream| {
        stream.write_all(b"220 ready\r\n").expect("a greeting");
        stream.shutdown(Shutdown::Write).expect("half-closed");
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).expect("the visitor's words");
        heard
    });
    let mut visitor = visit(server.map(address, &json!({})));
    let mut greeting = Vec::new();
    visitor.read_to_end(&mut greeting).expect("a greeting and its end");
    assert_eq!(greeting, b"220 ready\r\n");
    visitor.write_all(&pattern(300_000)).expect("words");
    drop(visitor);
    assert_eq!(listening.join().expect("the target").len(), 300_000);
}

#[test]
fn a_reset_on_either_side_is_a_reset_on_the_other() {
    let server = Running::start("");
    let (address, breaking) = target(|mut stream| {
        stream.write_all(b"partial").expect("a part");
        let mut go_on = [0];
        stream.read_exact(&mut go_on).expect("a sign");
        reset(stream);
    });
    let mut visitor = visit(server.map(address, &json!({})));
    visitor.read_exact(&mut [0; 7]).expect("a part");
    visitor.write_all(b"!").expect("a sign");
    assert!(was_reset(&visitor.read(&mut [0; 1])), "the visitor sees the reset");
    breaking.join().expect("the target");

    let (address, waiting) = target(|mut stream| {
        stream.write_all(b"hello").expect("a greeting");
        stream.read(&mut [0; 1])
    });
    let mut visitor = visit(server.map(address, &json!({})));
    visitor.read_exact(&mut [0; 5]).expect("a greeting");
    reset(visitor);
    assert!(was_reset(&waiting.join().expect("the target")), "the target sees the reset");
}

#[test]
fn a_dead_target_resets_its_visitor_and_nobody_else() {
    let server = Running::start("");
    let dead = server.map(free_port(), &json!({}));
    let mut visitor = visit(dead);
    let started = Instant::now();
    assert!(was_reset(&visitor.read(&mut [0; 1])));
    assert!(started.elapsed() < Duration::from_secs(10));
    let (address, echo) = target(|mut stream| io::copy(&mut stream.try_clone().expect("a clone"), &mut stream));
    let mut visitor = visit(server.map(address, &json!({})));
    visitor.write_all(b"still here").expect("words");
    visitor.shutdown(Shutdown::Write).expect("half-closed");
    let mut echoed = String::new();
    visitor.read_to_string(&mut echoed).expect("an echo");
    assert_eq!(echoed, "still here");
    assert_eq!(echo.join().expect("the target").expect("copied"), 10);
}

#[test]
fn a_visitor_outside_the_list_is_reset_before_the_target_hears_of_it() {
    let server = Running::start("");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a target");
    listener.set_nonblocking(true).expect("an option");
    let address = listener.local_addr().expect("an address");
    for (rule, networks) in [("whitelist", "[\"10.0.0.0/8\"]"), ("blacklist", "[\"127.0.0.0/8\"]")] {
        let public = server.map(address, &json!({ "access_rule": rule, "access_ips": networks }));
        assert!(was_reset(&visit(public).read(&mut [0; 1])), "{rule}");
    }
    assert!(listener.accept().is_err(), "nobody dialled");
    let open = server.map(address, &json!({ "access_rule": "whitelist", "access_ips": ["127.0.0.1"] }));
    let _visitor = visit(open);
    wait_until("the admitted visitor", || listener.accept().is_ok());
}

#[test]
fn a_limited_mapping_is_no_faster_than_its_limit() {
    let server = Running::start("");
    let (address, sending) = target(|mut stream| stream.write_all(&pattern(150_000)));
    let public = server.map(address, &json!({ "bandwidth_limit": 100_000 }));
    let started = Instant::now();
    let mut received = Vec::new();
    visit(public).read_to_end(&mut received).expect("everything");
    let took = started.elapsed();
    assert_eq!(received.len(), 150_000);
    assert!(took >= Duration::from_millis(1400) && took < Duration::from_secs(6), "{took:?}");
    sending.join().expect("the target").expect("sent");
}

#[test]
fn a_stopping_server_accepts_nobody_lets_visitors_finish_and_counts_whom_it_cuts() {
    let server = Running::start("");
    let (finishing_address, finishing) = target(|mut stream| {
        stream.read_exact(&mut [0; 5]).expect("a word");
        stream.write_all(b"goodbye")
    });
    let (endless_address, endless) = target(|mut stream| {
        stream.write_all(b"here").expect("a word");
        stream.read(&mut [0; 1])
    });
    let (finishing_public, endless_public) =
        (server.map(finishing_address, &json!({})), server.map(endless_address, &json!({})));
    let unused = server.map(free_port(), &json!({}));
    let mut finishing_visitor = visit(finishing_public);
    let mut endless_visitor = visit(endless_public);
    endless_visitor.read_exact(&mut [0; 4]).expect("a word");
    let stopping = thread::spawn(move || server.stop(Duration::from_secs(3)));
    wait_until("no more visitors", || TcpStream::connect(unused).is_err());
    finishing_visitor.write_all(b"hello").expect("a word");
    let mut words = String::new();
    finishing_visitor.read_to_string(&mut words).expect("the rest");
    assert_eq!(words, "goodbye");
    drop(finishing_visitor);
    assert!(was_reset(&endless_visitor.read(&mut [0; 1])), "cut after the grace, visibly");
    assert_eq!(stopping.join().expect("stopped").0.cut, 1);
    assert!(was_reset(&endless.join().expect("the target")));
    finishing.join().expect("the target").expect("sent");
}

#[test]
fn a_removed_mapping_lets_its_visitors_finish_and_frees_its_port_at_once() {
    let server = Running::start("");
    let (address, last) = target(|mut stream| {
        stream.read_exact(&mut [0; 2]).expect("a word");
        stream.write_all(b"done")
    });
    let public = server.map(address, &json!({}));
    let mut visitor = visit(public);
    wait_until("the visitor is served", || visitor.write_all(b"a").is_ok());
    assert_eq!(server.post("remove", &json!({ "port": public.port() })).status, 200);
    assert!(TcpStream::connect(public).is_err());
    TcpListener::bind(public).expect("the port is free");
    visitor.write_all(b"b").expect("a word");
    let mut words = String::new();
    visitor.read_to_string(&mut words).expect("the rest");
    assert_eq!(words, "done");
    last.join().expect("the target").expect("sent");
    assert_eq!(server.post("remove", &json!({ "port": public.port() })).code(), "mapping_not_found");
}
