//! Version 1, byte for byte.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// Feeds bytes and returns what happened.
fn feed(it: &mut Legacy, bytes: &[u8], now: Instant) -> Result<Vec<String>, Fault> {
    let (mut at, mut events) = (0, Vec::new());
    loop {
        let received = it.receive(&bytes[at..], now)?;
        at += received.consumed;
        match received.event {
            Some(Event::Data { id, bytes }) => {
                events.push(format!("data {} {}", id.get(), String::from_utf8_lossy(bytes)));
            }
            Some(Event::Open { id, open }) => {
                events.push(format!("open {} {}:{}", id.get(), open.host, open.target_port));
            }
            Some(event) => events.push(format!("{event:?}")),
            None if received.consumed == 0 => {
                assert_eq!(at, bytes.len(), "something is left");
                return Ok(events);
            }
            None => {}
        }
    }
}

fn written(it: &mut Legacy) -> Vec<u8> {
    it.out().split().to_vec()
}

#[test]
fn a_server_always_writes_the_long_form() {
    let mut it = Legacy::new(Side::Server, Instant::now());
    let id = it.open(22, "127.0.0.1").unwrap();
    assert_eq!(id.get(), 1);
    assert_eq!(written(&mut it), b"\x01\x01\x00\x00\x00\x10\x00\x00\x00\x01\x00\x16\x09127.0.0.1");
    it.open(80, "").unwrap();
    assert_eq!(written(&mut it), b"\x01\x01\x00\x00\x00\x10\x00\x00\x00\x02\x00\x50\x09127.0.0.1");
}

#[test]
fn a_client_reads_both_forms() {
    let now = Instant::now();
    let mut it = Legacy::new(Side::Client, now);
    assert_eq!(feed(&mut it, b"\x01\x01\0\0\0\x06\0\0\0\x07\0\x16", now), Ok(vec!["open 7 127.0.0.1:22".to_owned()]));
    let long = b"\x01\x01\0\0\0\x0c\0\0\0\x08\x1f\x90\x05nas-1";
    assert_eq!(feed(&mut it, long, now), Ok(vec!["open 8 nas-1:8080".to_owned()]));
    let empty = b"\x01\x01\0\0\0\x07\0\0\0\x09\x1f\x90\0";
    assert_eq!(feed(&mut it, empty, now), Ok(vec!["open 9 127.0.0.1:8080".to_owned()]));
    it.accept(StreamId::new(7));
    it.refuse(StreamId::new(8));
    assert_eq!(written(&mut it), b"\x01\x02\0\0\0\x05\0\0\0\x07\0\x01\x02\0\0\0\x05\0\0\0\x08\x01");
    assert_eq!(it.streams(), 2);
}

#[test]
fn bytes_go_both_ways_and_close_ends_both_directions() {
    let now = Instant::now();
    let (mut server, mut client) = (Legacy::new(Side::Server, now), Legacy::new(Side::Client, now));
    let id = server.open(22, "localhost").unwrap();
    assert_eq!(server.sendable(id), 0, "a version 1 client takes no data before its answer");
    feed(&mut client, &written(&mut server), now).unwrap();
    client.accept(id);
    client.send(id, b"hello");
    assert_eq!(
        feed(&mut server, &written(&mut client), now).unwrap(),
        [format!("{:?}", Event::Opened { id }), "data 1 hello".to_owned()]
    );
    assert_eq!(server.sendable(id), 32_768);
    let slot = server.begin_data(id);
    server.out().extend_from_slice(b"abc");
    server.commit_data(slot, 3);
    let slot = server.begin_data(id);
    server.commit_data(slot, 0);
    let bytes = written(&mut server);
    assert_eq!(bytes, b"\x01\x03\0\0\0\x07\0\0\0\x01abc");
    assert_eq!(feed(&mut client, &bytes, now).unwrap(), ["data 1 abc"]);
    client.close(id);
    assert_eq!(client.out_len(), 10);
    let bytes = written(&mut client);
    assert_eq!(bytes, b"\x01\x04\0\0\0\x04\0\0\0\x01");
    assert_eq!(feed(&mut server, &bytes, now).unwrap(), [format!("{:?}", Event::Finish { id })]);
    assert_eq!((server.streams(), client.streams()), (0, 0));
    server.close(id);
    server.send(id, b"");
    assert_eq!(server.out_len(), 0);
}

#[test]
fn a_failed_dial_is_told() {
    let now = Instant::now();
    let mut it = Legacy::new(Side::Server, now);
    let id = it.open(22, "localhost").unwrap();
    let refused = Event::Refused { id, reason: Reason::DialRefused };
    assert_eq!(feed(&mut it, b"\x01\x02\0\0\0\x05\0\0\0\x01\x01", now).unwrap(), [format!("{refused:?}")]);
    assert_eq!(it.streams(), 0);
}

#[test]
fn late_data_and_close_are_ignored() {
    let now = Instant::now();
    let mut it = Legacy::new(Side::Server, now);
    let id = it.open(22, "localhost").unwrap();
    it.close(id);
    let late = b"\x01\x02\0\0\0\x05\0\0\0\x01\0\x01\x03\0\0\0\x06\0\0\0\x01hi\x01\x04\0\0\0\x04\0\0\0\x01";
    assert_eq!(feed(&mut it, late, now), Ok(vec![]));
    assert!(feed(&mut it, b"\x01\x03\0\0\0\x06\0\0\0\x02hi", now).is_err(), "this stream never was");
    let mut it = Legacy::new(Side::Client, now);
    assert_eq!(feed(&mut it, b"\x01\x03\0\0\0\x06\0\0\0\x63hi\x01\x04\0\0\0\x04\0\0\0\x63", now), Ok(vec![]));
}

#[test]
fn a_client_keeps_the_connection_alive_and_a_server_answers_each_once() {
    let start = Instant::now();
    let (mut server, mut client) = (Legacy::new(Side::Server, start), Legacy::new(Side::Client, start));
    for round in 0..=10 {
        let now = start + 15 * SECOND * round;
        assert_eq!(client.deadline(), now, "the first at once");
        client.on_deadline(now).unwrap();
        let asked = written(&mut client);
        assert_eq!(asked, b"\x01\x05\0\0\0\0");
        feed(&mut server, &asked, now).unwrap();
        let answer = written(&mut server);
        assert_eq!(answer, asked);
        feed(&mut client, &answer, now).unwrap();
        assert_eq!(client.out_len(), 0, "an answer is not answered");
        assert_eq!(server.deadline(), now + 45 * SECOND);
    }
}

#[test]
fn a_silent_peer_is_dead_after_a_while() {
    let start = Instant::now();
    let mut server = Legacy::new(Side::Server, start);
    server.on_deadline(start + 44 * SECOND).unwrap();
    assert_eq!(server.on_deadline(start + 45 * SECOND).unwrap_err().reason, GoAwayReason::DeadPeer);
    let mut client = Legacy::new(Side::Client, start);
    for round in 1..4 {
        client.on_deadline(start + 15 * SECOND * round).unwrap();
    }
    assert_eq!(client.on_deadline(start + 60 * SECOND).unwrap_err().reason, GoAwayReason::DeadPeer);
}

#[test]
fn who_slept_reads_first_and_judges_then() {
    let start = Instant::now();
    for side in [Side::Client, Side::Server] {
        let mut it = Legacy::new(side, start);
        let woken = start + 600 * SECOND;
        it.on_deadline(woken).unwrap();
        assert!(it.deadline() > woken);
        assert!(it.on_deadline(woken + WAKE_GRACE).is_err());
    }
}

#[test]
fn nonsense_ends_the_connection() {
    let now = Instant::now();
    let nonsense: [&[u8]; 12] = [
        b"GET / HTTP/1.1\r\n",
        b"\x01\x06\0\0\0\0",
        b"\x01\x10\0\0\0\0",
        b"\x01\x20\0\0\0\0",
        b"\x01\x03\0\x10\0\x01",
        b"\x01\x03\0\0\0\x03",
        b"\x01\x04\0\0\0\x03\0\0\0",
        b"\x01\x04\0\0\0\x05\0\0\0\x01\0",
        b"\x01\x05\0\0\0\x01\0",
        b"\x01\x01\0\0\0\x05\0\0\0\x01\0",
        b"\x01\x02\0\0\0\x04\0\0\0\x01",
        b"\x01\x04\0\0\x40\0",
    ];
    for side in [Side::Server, Side::Client] {
        for bytes in nonsense {
            let mut it = Legacy::new(side, now);
            assert_eq!(feed(&mut it, bytes, now).unwrap_err().reason, GoAwayReason::Protocol, "{side:?}: {bytes:?}");
        }
    }
    let request = b"\x01\x01\0\0\0\x06\0\0\0\x01\0\x16";
    assert!(feed(&mut Legacy::new(Side::Server, now), request, now).is_err(), "a client that asks");
    let mut it = Legacy::new(Side::Client, now);
    feed(&mut it, request, now).unwrap();
    assert!(feed(&mut it, request, now).is_err(), "an id that is in use");
    assert!(feed(&mut Legacy::new(Side::Client, now), b"\x01\x02\0\0\0\x05\0\0\0\x01\0", now).is_err());
    let answer = b"\x01\x02\0\0\0\x05\0\0\0\x01\0";
    let mut it = Legacy::new(Side::Server, now);
    it.open(22, "localhost").unwrap();
    assert!(feed(&mut it, &[&answer[..], answer].concat(), now).is_err(), "two answers");
}

#[test]
fn floods_end_the_connection() {
    let now = Instant::now();
    for side in [Side::Server, Side::Client] {
        let mut it = Legacy::new(side, now);
        let fault = feed(&mut it, &b"\x01\x05\0\0\0\0".repeat(200), now).unwrap_err();
        assert_eq!(fault.reason, GoAwayReason::Abuse);
        assert!(it.out_len() <= 600);
    }
    let mut it = Legacy::new(Side::Client, now);
    let fault = (0_u32..)
        .find_map(|id| {
            let [a, b, c, d] = id.to_be_bytes();
            feed(&mut it, &[1, 1, 0, 0, 0, 6, a, b, c, d, 0, 22], now).err()
        })
        .unwrap();
    assert_eq!(fault.reason, GoAwayReason::Abuse);
    assert_eq!(it.streams(), 16_384);
}

#[test]
fn data_comes_in_pieces_and_stops_when_the_stream_does() {
    let now = Instant::now();
    let mut it = Legacy::new(Side::Client, now);
    feed(&mut it, b"\x01\x01\0\0\0\x06\0\0\0\x01\0\x16", now).unwrap();
    let id = StreamId::new(1);
    it.accept(id);
    let mut frame = b"\x01\x03\0\x0f\xff\xff\0\0\0\x01".to_vec();
    frame.resize(6 + 0x000f_ffff, b'x');
    let first = it.receive(&frame[..4_096], now).unwrap();
    assert_eq!(first.consumed, 4_096);
    it.close(id);
    let rest = it.receive(&frame[4_096..], now).unwrap();
    assert_eq!(rest, Received { consumed: frame.len() - 4_096, event: None });
}
