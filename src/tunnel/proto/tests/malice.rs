//! A peer that breaks each rule once, and floods that keep to the rules: the session of the offender ends with the right
//! reason, and nothing else does.

use std::time::{Duration, Instant};

use bytes::{BufMut, BytesMut};

use super::sim::Dice;
use crate::tunnel::proto::frame::{HEADER_BYTES, Header, kind};
use crate::tunnel::proto::wire::{self, put_credit, put_payload, put_ping, put_reason, put_stream};
use crate::tunnel::proto::{Event, Fault, GoAwayReason, Kind, Limits, Open, Proxy, Reason, Session, Side, StreamId};

use GoAwayReason::{Abuse, FlowControl, Protocol};

const LIMITS: Limits = Limits { frame_bytes_max: 4_096, streams_max: 8, stream_credit: 2_000, session_credit: 5_000 };

/// A stream that was answered.
const ANSWERED: u32 = 1;

/// One that was not.
const OPENING: u32 = 2;

/// One for datagrams.
const UDP: u32 = 3;

/// One with a data connection on its way.
const LIFTED: u32 = 4;

/// What an honest end may have in memory for a dishonest one, beside the window: answers and the memory of resets.
const OUT_BYTES_MAX: usize = 1 << 20;

fn open(kind: Kind) -> Open {
    Open { kind, proxy: Proxy::Off, target_port: 80, host: "localhost".to_owned(), visitor: None, public: None }
}

fn frame(kind: u8, payload: &[u8]) -> BytesMut {
    let mut out = BytesMut::new();
    out.put_slice(&Header { kind, length: u32::try_from(payload.len()).unwrap() }.bytes());
    out.put_slice(payload);
    out
}

fn written(write: impl FnOnce(&mut BytesMut)) -> BytesMut {
    let mut out = BytesMut::new();
    write(&mut out);
    out
}

fn opened(id: u32) -> BytesMut {
    written(|out| put_credit(out, kind::OPENED, id, 0))
}

fn of_stream(kind: u8, id: u32) -> BytesMut {
    written(|out| put_stream(out, kind, id))
}

fn credit(id: u32, bytes: u32) -> BytesMut {
    written(|out| put_credit(out, kind::CREDIT, id, bytes))
}

fn reset(id: u32) -> BytesMut {
    written(|out| put_reason(out, kind::RESET, id, Reason::PeerClosed))
}

fn data(id: u32, bytes: usize) -> BytesMut {
    written(|out| put_payload(out, kind::DATA, id, &vec![b'm'; bytes]))
}

fn datagram(id: u32) -> BytesMut {
    written(|out| put_payload(out, kind::DATAGRAM, id, b"m"))
}

fn open_frame(id: u32, credit: u32) -> BytesMut {
    written(|out| wire::put_open(out, id, credit, &open(Kind::Tcp)))
}

fn go_away() -> BytesMut {
    written(|out| wire::put_go_away(out, 0, GoAwayReason::ShuttingDown, "bye"))
}

/// Feeds bytes to a session, whose application consumes what it gets and does what `on_event` says.
fn feed(it: &mut Session, bytes: &[u8], now: Instant, on_event: fn(&mut Session, Event<'_>)) -> Result<(), Fault> {
    let mut at = 0;
    loop {
        let received = it.receive(&bytes[at..], now)?;
        at += received.consumed;
        match received.event {
            Some(Event::Data { id, bytes }) => it.consumed(id, bytes.len(), now),
            Some(event) => on_event(it, event),
            None if received.consumed == 0 => break,
            None => {}
        }
        it.audit();
    }
    Ok(())
}

fn ignore(_: &mut Session, _: Event<'_>) {}

/// An honest end with the four streams.
fn victim(side: Side, now: Instant) -> Session {
    let mut it = Session::new(side, LIMITS, LIMITS, now);
    for id in [ANSWERED, OPENING, UDP, LIFTED] {
        let kind = if id == UDP { Kind::Udp } else { Kind::Tcp };
        let id = match side {
            Side::Server => it.open(&open(kind)).unwrap(),
            Side::Client => {
                let frame = written(|out| wire::put_open(out, id, 2_000, &open(kind)));
                feed(&mut it, &frame, now, ignore).unwrap();
                StreamId::new(id)
            }
        };
        if id.get() != OPENING {
            match side {
                Side::Server => feed(&mut it, &opened(id.get()), now, ignore).unwrap(),
                Side::Client => it.accept(id),
            }
        }
        if id.get() == LIFTED {
            match side {
                Side::Server => it.lift(id),
                Side::Client => feed(&mut it, &of_stream(kind::LIFT, LIFTED), now, ignore).unwrap(),
            }
        }
    }
    it.out().clear();
    it
}

/// A rule is broken: an honest end of this side says so with this reason, and keeps saying so.
fn check(side: Side, name: &str, frames: &[BytesMut], reason: GoAwayReason) {
    let now = Instant::now();
    let mut it = victim(side, now);
    let (last, before) = frames.split_last().expect("a frame");
    for frame in before {
        feed(&mut it, frame, now, ignore).unwrap_or_else(|fault| panic!("{side:?}: {name}: too early: {fault:?}"));
    }
    let fault = feed(&mut it, last, now, ignore).expect_err(name);
    assert_eq!(fault.reason, reason, "{side:?}: {name}: {}", fault.detail);
    assert_eq!(it.receive(b"", now), Err(fault), "{name}: a fault is for ever");
    it.out().clear();
    it.go_away(fault.reason, fault.detail);
    let out = it.out().split();
    assert_eq!(out[..HEADER_BYTES][1], kind::GO_AWAY);
    assert_eq!(out[HEADER_BYTES + 4..][..2], reason.code().to_be_bytes());
}

#[test]
fn rules_of_both_sides_hold() {
    let bare = |kind, id: u32| frame(kind, &id.to_be_bytes());
    let cases: Vec<(&str, Vec<BytesMut>, GoAwayReason)> = vec![
        ("another version", vec![BytesMut::from(&[2_u8][..])], Protocol),
        ("longer than a mebibyte", vec![BytesMut::from(&[1, 3, 0, 16, 0, 1][..])], Protocol),
        ("longer than agreed", vec![data(ANSWERED, 4_093)], Protocol),
        ("a long control frame", vec![frame(kind::GO_AWAY, &[0; 513])], Protocol),
        ("stream 0", vec![bare(kind::FINISH, 0)], Protocol),
        ("data for stream 0", vec![data(0, 1)], Protocol),
        ("data without data", vec![bare(kind::DATA, ANSWERED)], Protocol),
        ("data without a stream", vec![frame(kind::DATA, &[0; 3])], Protocol),
        ("data beyond the credit of the stream", vec![data(ANSWERED, 1_999), data(ANSWERED, 2_001)], FlowControl),
        ("data for an unknown stream", vec![data(9, 1)], Protocol),
        ("data for a stream of datagrams", vec![data(UDP, 1)], Protocol),
        ("a datagram for a stream of data", vec![datagram(ANSWERED)], Protocol),
        ("a datagram for an unknown stream", vec![datagram(9)], Protocol),
        ("data after finish", vec![bare(kind::FINISH, ANSWERED), data(ANSWERED, 1)], Protocol),
        ("a datagram after finish", vec![bare(kind::FINISH, UDP), datagram(UDP)], Protocol),
        ("finish twice", vec![bare(kind::FINISH, ANSWERED), bare(kind::FINISH, ANSWERED)], Protocol),
        ("data after reset", vec![reset(ANSWERED), data(ANSWERED, 1)], Protocol),
        ("finish after reset", vec![reset(ANSWERED), bare(kind::FINISH, ANSWERED)], Protocol),
        ("finish of an unknown stream", vec![bare(kind::FINISH, 9)], Protocol),
        ("reset of an unknown stream", vec![reset(9)], Protocol),
        ("move without lift", vec![bare(kind::MOVE, ANSWERED)], Protocol),
        ("move of datagrams", vec![bare(kind::MOVE, UDP)], Protocol),
        ("move twice", vec![bare(kind::MOVE, LIFTED), bare(kind::MOVE, LIFTED)], Protocol),
        ("finish after move", vec![bare(kind::MOVE, LIFTED), bare(kind::FINISH, LIFTED)], Protocol),
        ("data after move", vec![bare(kind::MOVE, LIFTED), data(LIFTED, 1)], Protocol),
        ("credit of nothing", vec![credit(ANSWERED, 0)], Protocol),
        ("session credit of nothing", vec![credit(0, 0)], Protocol),
        ("credit for an unknown stream", vec![credit(9, 1_000)], Protocol),
        ("too much credit", vec![credit(ANSWERED, (1 << 31) - 2_000)], FlowControl),
        ("credit beyond u32", vec![credit(ANSWERED, u32::MAX)], FlowControl),
        ("too much session credit", vec![credit(0, (1 << 31) - 5_000)], FlowControl),
        ("a pong to nothing", vec![written(|out| put_ping(out, kind::PONG, 1))], Protocol),
        ("reset for no reason", vec![frame(kind::RESET, &[0, 0, 0, 1, 0])], Protocol),
        ("reset for an unknown reason", vec![frame(kind::RESET, &[0, 0, 0, 1, 12])], Protocol),
        ("go-away for an unknown reason", vec![frame(kind::GO_AWAY, &[0, 0, 0, 1, 0, 9])], Protocol),
        ("go-away that is not text", vec![frame(kind::GO_AWAY, &[0, 0, 0, 1, 0, 1, 0xFF])], Protocol),
        ("go-away that is long", vec![frame(kind::GO_AWAY, &[[0, 1]; 132].concat())], Protocol),
    ];
    for side in [Side::Server, Side::Client] {
        for (name, frames, reason) in &cases {
            check(side, name, frames, *reason);
        }
    }
}

#[test]
fn the_window_of_the_session_holds() {
    let now = Instant::now();
    for side in [Side::Server, Side::Client] {
        let mut it = victim(side, now);
        let sent = [data(ANSWERED, 2_000), data(LIFTED, 2_000)].concat();
        let mut at = 0;
        while at < sent.len() {
            at += it.receive(&sent[at..], now).unwrap().consumed;
        }
        it.reset(StreamId::new(LIFTED), Reason::Internal);
        assert_eq!(it.receive(&data(9, 1_001), now).unwrap_err().reason, FlowControl, "nothing was consumed");
    }
}

#[test]
fn rules_of_the_client_hold() {
    let cases: Vec<(&str, Vec<BytesMut>, GoAwayReason)> = vec![
        ("a client opens", vec![open_frame(5, 0)], Protocol),
        ("a client lifts", vec![of_stream(kind::LIFT, ANSWERED)], Protocol),
        ("data before the answer", vec![data(OPENING, 1)], Protocol),
        ("finish before the answer", vec![of_stream(kind::FINISH, OPENING)], Protocol),
        ("two answers", vec![opened(ANSWERED)], Protocol),
        (
            "refused after opened",
            vec![written(|out| put_reason(out, kind::REFUSED, ANSWERED, Reason::DialRefused))],
            Protocol,
        ),
        ("an answer to nothing", vec![opened(9)], Protocol),
        ("refused for an unknown reason", vec![frame(kind::REFUSED, &[0, 0, 0, 2, 77])], Protocol),
        (
            "too much credit with the answer",
            vec![written(|out| put_credit(out, kind::OPENED, OPENING, u32::MAX))],
            FlowControl,
        ),
    ];
    for (name, frames, reason) in &cases {
        check(Side::Server, name, frames, *reason);
    }
}

#[test]
fn rules_of_the_server_hold() {
    let bad_open = |at: usize, byte: u8| {
        let mut bytes = open_frame(5, 0);
        bytes[HEADER_BYTES + at] = byte;
        bytes
    };
    let cases: Vec<(&str, Vec<BytesMut>, GoAwayReason)> = vec![
        ("an id that was used", vec![open_frame(ANSWERED, 0)], Protocol),
        ("an id of a stream that is over", vec![reset(LIFTED), open_frame(LIFTED, 0)], Protocol),
        ("a gap in the ids", vec![open_frame(6, 0)], Protocol),
        ("stream 0 is opened", vec![open_frame(0, 0)], Protocol),
        ("a kind that is none", vec![bad_open(4, 3)], Protocol),
        ("a PROXY header that is none", vec![bad_open(5, 3)], Protocol),
        ("a host with a space", vec![bad_open(13, b' ')], Protocol),
        ("a host longer than the frame", vec![bad_open(12, 255)], Protocol),
        ("an address of no family", vec![bad_open(22, 5)], Protocol),
        ("too much credit with the question", vec![open_frame(5, u32::MAX)], FlowControl),
        ("a stream after go-away", vec![go_away(), open_frame(5, 0)], Protocol),
        ("a server answers", vec![opened(OPENING)], Protocol),
        ("a server refuses", vec![written(|out| put_reason(out, kind::REFUSED, OPENING, Reason::Internal))], Protocol),
        ("lift twice", vec![of_stream(kind::LIFT, LIFTED)], Protocol),
        ("lift before the answer", vec![of_stream(kind::LIFT, OPENING)], Protocol),
        ("lift of datagrams", vec![of_stream(kind::LIFT, UDP)], Protocol),
        ("lift of an unknown stream", vec![of_stream(kind::LIFT, 9)], Protocol),
    ];
    for (name, frames, reason) in &cases {
        check(Side::Client, name, frames, *reason);
    }
}

#[test]
fn types_of_version_1_of_the_handshake_and_of_nobody_are_refused() {
    for side in [Side::Server, Side::Client] {
        for kind in (0..=u8::MAX).filter(|kind| *kind != kind::DATA && !(kind::OPEN..=kind::DATAGRAM).contains(kind)) {
            check(side, &format!("type {kind:#x}"), &[frame(kind, &[])], Protocol);
        }
    }
}

#[test]
fn a_payload_of_another_length_is_refused() {
    let frames = [
        open_frame(5, 0),
        opened(OPENING),
        written(|out| put_reason(out, kind::REFUSED, OPENING, Reason::Internal)),
        of_stream(kind::FINISH, ANSWERED),
        reset(ANSWERED),
        credit(ANSWERED, 1_000),
        written(|out| put_ping(out, kind::PING, 1)),
        written(|out| put_ping(out, kind::PONG, 1)),
        of_stream(kind::LIFT, ANSWERED),
        of_stream(kind::MOVE, LIFTED),
    ];
    for side in [Side::Server, Side::Client] {
        for whole in &frames {
            let payload = &whole[HEADER_BYTES..];
            for length in (0..payload.len()).chain([payload.len() + 1, 512]) {
                let mut bytes = payload.to_vec();
                bytes.resize(length, 0);
                check(side, &format!("{length} bytes of {whole:?}"), &[frame(whole[1], &bytes)], Protocol);
            }
        }
        for length in 0..6 {
            check(side, "a short go-away", &[frame(kind::GO_AWAY, &[0; 6][..length])], Protocol);
        }
        for length in 0..4 {
            check(side, "a short datagram", &[frame(kind::DATAGRAM, &[0; 4][..length])], Protocol);
        }
    }
}

/// Repeats frames, without time going by, until the victim has enough. Returns how often, and why it had.
fn flood(side: Side, mut frames: impl FnMut(u32) -> BytesMut, on_event: fn(&mut Session, Event<'_>)) -> (u32, Fault) {
    let now = Instant::now();
    let mut it = victim(side, now);
    for round in 0..1_000_000 {
        if let Err(fault) = feed(&mut it, &frames(round), now, on_event) {
            assert!(it.out_len() <= OUT_BYTES_MAX, "{} bytes of answers", it.out_len());
            return (round, fault);
        }
    }
    panic!("a million rounds, and no end");
}

#[test]
fn floods_end_the_session_of_whoever_sends_them() {
    let is_abuse = |(rounds, fault): (u32, Fault), most: u32| {
        assert_eq!(fault.reason, Abuse, "{}", fault.detail);
        assert!(rounds <= most, "{rounds} rounds until: {}", fault.detail);
    };
    for side in [Side::Server, Side::Client] {
        is_abuse(flood(side, |_| written(|out| put_ping(out, kind::PING, 7)), ignore), 100);
        is_abuse(flood(side, |_| credit(ANSWERED, 1), ignore), 1_000);
        is_abuse(flood(side, |_| credit(0, 1), ignore), 1_000);
        let once =
            |first: BytesMut, again: BytesMut| move |round| if round == 0 { first.clone() } else { again.clone() };
        is_abuse(flood(side, once(reset(ANSWERED), reset(ANSWERED)), ignore), 70_000);
        is_abuse(flood(side, once(reset(ANSWERED), credit(ANSWERED, 1_000)), ignore), 70_000);
        is_abuse(flood(side, |_| go_away(), ignore), 70_000);
    }
}

#[test]
fn a_server_that_opens_streams_for_nothing_is_stopped() {
    let rapid_reset = |round: u32| {
        let id = LIFTED + 1 + round;
        BytesMut::from(&[open_frame(id, 0), reset(id)].concat()[..])
    };
    let (rounds, fault) = flood(Side::Client, rapid_reset, ignore);
    assert_eq!((fault.reason, rounds), (Abuse, 2_000 + LIMITS.streams_max));

    let (rounds, fault) = flood(Side::Client, |round| open_frame(LIFTED + 1 + round, 0), ignore);
    assert_eq!((fault.reason, rounds), (Abuse, 4 + 2_000 + LIMITS.streams_max), "beyond the cap they are refused");

    let deny = |it: &mut Session, event: Event<'_>| {
        if let Event::Open { id, .. } = event {
            it.refuse(id, Reason::TargetDenied);
        }
    };
    let (rounds, fault) = flood(Side::Client, |round| open_frame(LIFTED + 1 + round, 0), deny);
    assert_eq!((fault.reason, rounds), (Abuse, 2_000 + LIMITS.streams_max));
}

#[test]
fn targets_that_do_not_answer_are_nobodys_fault() {
    let now = Instant::now();
    let mut it = victim(Side::Client, now);
    let refuse = |it: &mut Session, event: Event<'_>| {
        if let Event::Open { id, .. } = event {
            it.refuse(id, Reason::DialRefused);
            it.out().clear();
        }
    };
    for id in 5..50_000 {
        feed(&mut it, &open_frame(id, 0), now, refuse).unwrap();
    }
}

#[test]
fn a_flood_of_data_for_streams_that_were_broken_off_ends_with_their_credit() {
    for side in [Side::Server, Side::Client] {
        let now = Instant::now();
        let mut it = victim(side, now);
        it.reset(StreamId::new(ANSWERED), Reason::Cancelled);
        feed(&mut it, &data(ANSWERED, 2_000), now, ignore).unwrap();
        assert_eq!(feed(&mut it, &data(ANSWERED, 1), now, ignore).unwrap_err().reason, FlowControl);
    }
}

#[test]
fn a_client_that_sends_only_resets_does_not_hurt_a_server() {
    let now = Instant::now();
    let mut it = Session::new(Side::Server, Limits::OURS, Limits::OURS, now);
    for _ in 0..50_000 {
        let id = it.open(&open(Kind::Tcp)).unwrap().get();
        feed(&mut it, &[opened(id), reset(id)].concat(), now, ignore).unwrap();
        it.out().clear();
    }
    assert_eq!(it.streams(), 0);
}

#[test]
fn random_bytes_never_do_more_than_end_the_session() {
    for seed in 0..2_000 {
        let mut dice = Dice::new(seed);
        let side = if seed % 2 == 0 { Side::Server } else { Side::Client };
        let mut now = Instant::now();
        let mut it = victim(side, now);
        for _ in 0..50 {
            let kinds = if dice.below(20) == 0 { 256 } else { 12 };
            let kind = u8::try_from(dice.below(kinds)).unwrap();
            let lengths = [4, 5, 8, 14, dice.below(40)];
            let length = lengths[usize::try_from(dice.below(5)).unwrap()];
            let mut payload: Vec<u8> = (0..length).map(|_| u8::try_from(dice.below(256)).unwrap()).collect();
            for (at, byte) in payload.iter_mut().enumerate().take(4) {
                *byte = if at == 3 { u8::try_from(dice.below(7)).unwrap() } else { 0 };
            }
            now += Duration::from_millis(dice.below(100));
            let bytes = frame(if kind < 12 { kind::OPEN + kind } else { kind }, &payload);
            if feed(&mut it, &bytes, now, ignore).is_err() || it.on_deadline(now).is_err() {
                break;
            }
            it.audit();
            assert!(it.out_len() < OUT_BYTES_MAX);
        }
    }
}
