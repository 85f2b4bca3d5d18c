//! One connection through the tunnel behaves as a TCP connection does: order, ends, resets, silence.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::running::{Link, PATIENCE, Tunnel, fresh_port, loopback, wait_until};
use super::targets::{
    Blackhole, Neighbour, Target, content, expect_echo, expect_reset, expect_turned_away, is_reset, is_served,
    read_all, reset, send_all, visit,
};

const MIB: usize = 1024 * 1024;

over_every_link!(
    a_visitor_that_finished_sending_still_gets_the_whole_answer,
    a_target_that_speaks_first_and_finishes_first_can_still_listen,
    a_silent_visitor_reaches_a_silent_target,
    a_reset_of_the_target_is_a_reset_for_the_visitor,
    a_reset_of_the_visitor_is_a_reset_for_the_target,
    a_download_that_the_target_breaks_off_never_looks_complete,
    an_upload_that_the_visitor_breaks_off_never_looks_complete,
    a_reset_is_passed_on_although_nothing_moves_any_more,
    a_late_reader_gets_all_that_a_target_sent_before_it_closed,
    a_target_gets_all_of_an_upload_whose_visitor_closed_at_once,
    closed_connections_leave_nothing_at_the_target,
    a_visitor_that_leaves_mid_download_harms_nobody,
    a_small_message_arrives_under_a_full_download_of_its_own_connection,
    a_target_that_comes_up_later_is_served,
);

fn a_visitor_that_finished_sending_still_gets_the_whole_answer(link: Link) {
    let tunnel = Tunnel::start(link);
    for (question_length, answer_length) in [(0, 1), (1, 0), (100_000, 1_000_011), (5_000_001, 6_000_013)] {
        let (address, answering) = Target::once(move |mut stream| {
            let question = read_all(&mut stream);
            send_all(&mut stream, &content(2, answer_length));
            question
        });
        let mut visitor = visit(tunnel.map(address));
        send_all(&mut visitor, &content(1, question_length));
        assert!(read_all(&mut visitor) == content(2, answer_length), "the answer of {answer_length} bytes");
        assert!(answering.join().expect("the target") == content(1, question_length));
    }
}

fn a_target_that_speaks_first_and_finishes_first_can_still_listen(link: Link) {
    let tunnel = Tunnel::start(link);
    for length in [300_000, 6_000_000] {
        let (address, listening) = Target::once(|mut stream| {
            send_all(&mut stream, b"220 ready\r\n");
            read_all(&mut stream)
        });
        let mut visitor = visit(tunnel.map(address));
        assert_eq!(read_all(&mut visitor), b"220 ready\r\n");
        send_all(&mut visitor, &content(1, length));
        assert!(listening.join().expect("the target") == content(1, length));
    }
}

fn a_silent_visitor_reaches_a_silent_target(link: Link) {
    let tunnel = Tunnel::start(link);
    let (address, ending) = Target::once(|mut stream| read_all(&mut stream).len());
    let visitor = visit(tunnel.map(address));
    visitor.shutdown(Shutdown::Write).expect("half-closed");
    assert_eq!(ending.join().expect("the target"), 0, "it sees the end of nothing");

    let echo = Target::echo();
    let mut visitor = visit(tunnel.map(echo.address));
    wait_until("the arrival of a visitor that says nothing", PATIENCE, || echo.accepted() == 1);
    expect_echo(&mut visitor);
}

fn a_reset_of_the_target_is_a_reset_for_the_visitor(link: Link) {
    let tunnel = Tunnel::start(link);
    let (address, breaking) = Target::once(|mut stream| {
        stream.write_all(b"partial").expect("a part");
        stream.read_exact(&mut [0]).expect("a sign");
        reset(stream);
    });
    let mut visitor = visit(tunnel.map(address));
    visitor.read_exact(&mut [0; 7]).expect("a part");
    visitor.write_all(b"!").expect("a sign");
    assert_eq!(expect_reset(&mut visitor), 0);
    breaking.join().expect("the target");
}

fn a_reset_of_the_visitor_is_a_reset_for_the_target(link: Link) {
    let tunnel = Tunnel::start(link);
    let (address, waiting) = Target::once(|mut stream| {
        stream.write_all(b"hello").expect("a greeting");
        stream.read(&mut [0; 1])
    });
    let mut visitor = visit(tunnel.map(address));
    visitor.read_exact(&mut [0; 5]).expect("a greeting");
    reset(visitor);
    assert!(is_reset(&waiting.join().expect("the target")));
}

fn a_download_that_the_target_breaks_off_never_looks_complete(link: Link) {
    let tunnel = Tunnel::start(link);
    let (address, breaking) = Target::once(|mut stream| {
        stream.write_all(&content(1, 8 * MIB)).expect("a part");
        stream.read_exact(&mut [0]).expect("a sign");
        reset(stream);
    });
    let mut visitor = visit(tunnel.map(address));
    visitor.read_exact(&mut vec![0; 4 * MIB]).expect("half of it");
    visitor.write_all(b"!").expect("a sign");
    expect_reset(&mut visitor);
    breaking.join().expect("the target");
}

fn an_upload_that_the_visitor_breaks_off_never_looks_complete(link: Link) {
    let tunnel = Tunnel::start(link);
    let (address, receiving) = Target::once(|mut stream| {
        stream.read_exact(&mut vec![0; 4 * MIB]).expect("half of it");
        stream.write_all(b"!").expect("a sign");
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest)
    });
    let mut visitor = visit(tunnel.map(address));
    visitor.write_all(&content(1, 5 * MIB)).expect("a part");
    visitor.read_exact(&mut [0]).expect("a sign");
    reset(visitor);
    assert!(is_reset(&receiving.join().expect("the target")));
}

/// Sends until nothing has been taken for a moment.
fn stuff(stream: &mut TcpStream) {
    stream.set_write_timeout(Some(Duration::from_millis(500))).expect("a deadline");
    let piece = vec![b'.'; 64 * 1024];
    while stream.write(&piece).is_ok() {}
}

/// Waits until the other side has broken off, without reading what came before.
#[track_caller]
fn expect_broken(stream: &TcpStream) {
    wait_until("a reset behind everything that nobody reads", PATIENCE, || {
        stream.take_error().expect("an option").is_some()
    });
}

fn a_reset_is_passed_on_although_nothing_moves_any_more(link: Link) {
    let tunnel = Tunnel::start(link);
    let (address, unread) = Target::once(|mut stream| {
        stream.write_all(b"!").expect("a sign");
        stream
    });
    let mut visitor = visit(tunnel.map(address));
    visitor.read_exact(&mut [0]).expect("a sign");
    let target = unread.join().expect("the target");
    stuff(&mut visitor);
    reset(visitor);
    expect_broken(&target);

    let (address, unread) = Target::once(|mut stream| {
        stuff(&mut stream);
        reset(stream);
    });
    let visitor = visit(tunnel.map(address));
    unread.join().expect("the target");
    expect_broken(&visitor);
}

fn a_late_reader_gets_all_that_a_target_sent_before_it_closed(link: Link) {
    let tunnel = Tunnel::start(link);
    let sent = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&sent);
    let (address, sending) = Target::once(move |mut stream| {
        for piece in content(3, 20_000_000).chunks(16 * 1024) {
            stream.write_all(piece).expect("room, sooner or later");
            counter.fetch_add(piece.len(), SeqCst);
        }
    });
    let mut visitor = visit(tunnel.map(address));
    let mut last = (0, Instant::now());
    wait_until("a target that is done or blocked for a second", PATIENCE, || {
        let now = sent.load(SeqCst);
        if now != last.0 {
            last = (now, Instant::now());
        }
        now == 20_000_000 || (now > 0 && last.1.elapsed() > Duration::from_secs(1))
    });
    assert!(read_all(&mut visitor) == content(3, 20_000_000));
    sending.join().expect("the target");
}

fn a_target_gets_all_of_an_upload_whose_visitor_closed_at_once(link: Link) {
    let tunnel = Tunnel::start(link);
    let (address, receiving) = Target::once(|mut stream| read_all(&mut stream));
    let mut visitor = visit(tunnel.map(address));
    visitor.write_all(&content(4, 20_000_000)).expect("everything is taken");
    drop(visitor);
    assert!(receiving.join().expect("the target") == content(4, 20_000_000));
}

fn closed_connections_leave_nothing_at_the_target(link: Link) {
    let tunnel = Tunnel::start(link);
    let echo = Target::echo();
    let public = tunnel.map(echo.address);
    let mut visitors: Vec<_> = (0..20).map(|_| visit(public)).collect();
    visitors.iter_mut().for_each(expect_echo);
    assert_eq!(echo.open(), 20);
    drop(visitors);
    wait_until("no connection at the target", Duration::from_secs(3), || echo.open() == 0);
}

fn a_visitor_that_leaves_mid_download_harms_nobody(link: Link) {
    let mut tunnel = Tunnel::start(link);
    let (echo, endless) = (Target::echo(), Target::endless());
    let (quiet, busy) = (tunnel.map(echo.address), tunnel.map(endless.address));
    let neighbour = Neighbour::start(quiet);
    for round in 0..10 {
        let mut visitor = visit(busy);
        visitor.read_exact(&mut vec![0; MIB]).expect("a part");
        if round % 2 == 0 {
            reset(visitor);
        }
    }
    wait_until("an end at the target", Duration::from_secs(5), || endless.open() == 0);
    neighbour.expect_undisturbed(Duration::from_secs(2));
    tunnel.expect_alive();
}

fn a_small_message_arrives_under_a_full_download_of_its_own_connection(link: Link) {
    let tunnel = Tunnel::start(link);
    let (address, listening) = Target::once(|stream| {
        let mut writes = stream.try_clone().expect("a clone");
        let sending = thread::spawn(move || {
            let piece = vec![b'.'; 64 * 1024];
            while writes.write_all(&piece).is_ok() {}
        });
        let mut heard = Vec::new();
        for _ in 0..5 {
            let mut byte = [0];
            (&stream).read_exact(&mut byte).expect("a message");
            heard.push(Instant::now());
        }
        stream.shutdown(Shutdown::Both).expect("closed for the sender, too");
        sending.join().expect("a sender that stops");
        heard
    });
    let mut visitor = visit(tunnel.map(address));
    let mut reads = visitor.try_clone().expect("a clone");
    let carried = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&carried);
    let downloading = thread::spawn(move || {
        let mut piece = vec![0; 64 * 1024];
        while let Ok(bytes @ 1..) = reads.read(&mut piece) {
            counter.fetch_add(bytes, SeqCst);
        }
    });
    let mut sent = Vec::new();
    for round in 1..=5 {
        wait_until("a running download", PATIENCE, || carried.load(SeqCst) > round * 4 * MIB);
        sent.push(Instant::now());
        visitor.write_all(b"!").expect("a message");
    }
    for (heard, sent) in listening.join().expect("the target").into_iter().zip(sent) {
        assert!(heard - sent < Duration::from_secs(1), "{:?}", heard - sent);
    }
    downloading.join().expect("a download that ends");
}

/// One test, because a black hole needs ten seconds and none of the processor.
#[test]
fn dead_targets_reset_their_visitors_and_nobody_else() {
    thread::scope(|scope| {
        for link in [Link::Plain, Link::Tls, Link::Single] {
            scope.spawn(move || dead_targets(link));
        }
    });
}

fn dead_targets(link: Link) {
    let blackhole = Blackhole::open();
    let target = format!("{}", blackhole.address.port());
    let closed = fresh_port();
    let arguments = ["--expose", &target, "--expose", &closed.to_string(), "--expose", "no-such-host.invalid:80"];
    let echo = Target::echo();
    let echo_port = echo.address.port().to_string();
    let tunnel = Tunnel::exposing(link, &[&arguments[..], &["--expose", &echo_port]].concat());
    let neighbour = Neighbour::start(tunnel.map(echo.address));
    let nameless = json!({ "target_host": "no-such-host.invalid", "target_port": 80 });
    let publics = [
        tunnel.map(loopback(closed)),
        tunnel.map(blackhole.address),
        tunnel.server.map_with(loopback(closed), &nameless),
    ];
    thread::scope(|scope| {
        for public in publics {
            scope.spawn(move || {
                let started = Instant::now();
                expect_turned_away(public);
                // Ten seconds, and a moment for a busy machine.
                assert!(started.elapsed() < Duration::from_secs(11), "{public}: {:?}", started.elapsed());
            });
        }
    });
    neighbour.expect_undisturbed(Duration::from_secs(1));
}

fn a_target_that_comes_up_later_is_served(link: Link) {
    let tunnel = Tunnel::start(link);
    let later = loopback(fresh_port());
    let public = tunnel.map(later);
    expect_turned_away(public);
    let listener = std::net::TcpListener::bind(later).expect("the port");
    let echoing = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a visitor");
        let mut word = [0];
        stream.read_exact(&mut word).and_then(|()| stream.write_all(&word))
    });
    assert!(is_served(public));
    echoing.join().expect("the target").expect("an echo");
}
