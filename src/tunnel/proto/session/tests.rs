//! Two sessions that are joined without a network.

use super::*;
use crate::tunnel::proto::{Proxy, Received, frame};

/// A server and a client, and the time of both.
struct Pair {
    server: Session,
    client: Session,
    now: Instant,
}

/// An event without borrowed bytes.
fn owned(event: &Event<'_>) -> String {
    match event {
        Event::Data { id, bytes } => format!("data {} {}", id.get(), String::from_utf8_lossy(bytes)),
        Event::Open { id, open } => format!("open {} {}:{}", id.get(), open.host, open.target_port),
        Event::Opened { id } => format!("opened {}", id.get()),
        Event::Refused { id, reason } => format!("refused {} {reason:?}", id.get()),
        Event::Finish { id } => format!("finish {}", id.get()),
        Event::Reset { id, reason } => format!("reset {} {reason:?}", id.get()),
        Event::Sendable { id } => format!("sendable {}", id.get()),
        Event::Moved { id } => format!("moved {}", id.get()),
        Event::Lift { id } => format!("lift {}", id.get()),
        other => format!("{other:?}"),
    }
}

/// Gives all that `from` wrote to `to`, in pieces of at most `step` bytes, and returns what that led to.
fn carry(from: &mut Session, to: &mut Session, step: usize, now: Instant) -> Result<Vec<String>, Fault> {
    let bytes = from.out().split();
    let mut events = Vec::new();
    let mut held = BytesMut::new();
    for piece in bytes.chunks(step) {
        held.extend_from_slice(piece);
        loop {
            let received = to.receive(&held, now)?;
            events.extend(received.event.as_ref().map(owned));
            let (consumed, idle) = (received.consumed, received.consumed == 0 && received.event.is_none());
            let _ = held.split_to(consumed);
            if idle {
                break;
            }
        }
    }
    assert!(held.is_empty(), "a whole number of frames was sent");
    Ok(events)
}

impl Pair {
    fn new(limits: Limits) -> Self {
        let now = Instant::now();
        let server = Session::new(Side::Server, limits, limits, now);
        let client = Session::new(Side::Client, limits, limits, now);
        Self { server, client, now }
    }

    fn at_client(&mut self) -> Vec<String> {
        carry(&mut self.server, &mut self.client, usize::MAX, self.now).unwrap()
    }

    fn at_server(&mut self) -> Vec<String> {
        carry(&mut self.client, &mut self.server, usize::MAX, self.now).unwrap()
    }

    /// A stream that both sides have open.
    fn stream(&mut self) -> StreamId {
        let id = self.server.open(&ssh()).unwrap();
        self.at_client();
        self.client.accept(id);
        self.at_server();
        id
    }
}

fn ssh() -> Open {
    Open {
        kind: Kind::Tcp,
        proxy: Proxy::Off,
        target_port: 22,
        host: "127.0.0.1".to_owned(),
        visitor: Some("192.0.2.7:40000".parse().unwrap()),
        public: Some("[2001:db8::1]:10022".parse().unwrap()),
    }
}

const SMALL: Limits = Limits { frame_bytes_max: 1_024, streams_max: 3, stream_credit: 1_000, session_credit: 2_000 };

#[test]
fn a_stream_lives_from_open_to_the_second_finish() {
    let mut pair = Pair::new(Limits::OURS);
    let id = pair.server.open(&ssh()).unwrap();
    pair.server.send(id, b"early");
    assert_eq!(pair.at_client(), ["open 1 127.0.0.1:22", "data 1 early"]);
    assert_eq!(pair.client.sendable(id), 0, "not before the answer");
    pair.client.accept(id);
    pair.client.send(id, b"answer");
    assert_eq!(pair.at_server(), ["opened 1", "data 1 answer"]);
    pair.server.finish(id);
    assert_eq!(pair.at_client(), ["finish 1"]);
    assert_eq!((pair.server.state(id), pair.client.state(id)), (State::HalfClosedLocal, State::HalfClosedRemote));
    pair.client.send(id, b"last words");
    pair.client.finish(id);
    assert_eq!(pair.at_server(), ["data 1 last words", "finish 1"]);
    assert_eq!((pair.server.streams(), pair.client.streams()), (0, 0));
}

#[test]
fn what_arrives_byte_by_byte_is_the_same() {
    let mut pair = Pair::new(Limits::OURS);
    let id = pair.stream();
    pair.server.send(id, b"abc");
    pair.server.lift(id);
    pair.server.finish(id);
    let events = carry(&mut pair.server, &mut pair.client, 1, pair.now).unwrap();
    assert_eq!(events, ["data 1 a", "data 1 b", "data 1 c", "lift 1", "finish 1"]);
}

#[test]
fn a_refused_stream_is_over_and_what_was_sent_early_is_dropped() {
    let mut pair = Pair::new(SMALL);
    let id = pair.server.open(&ssh()).unwrap();
    pair.at_client();
    pair.server.send(id, &[0; 1_000]);
    pair.client.refuse(id, Reason::DialRefused);
    pair.server.finish(id);
    assert_eq!(pair.at_client(), Vec::<String>::new());
    assert_eq!(pair.at_server(), ["refused 1 DialRefused"]);
    assert_eq!((pair.server.streams(), pair.client.streams()), (0, 0));
    assert_eq!(pair.client.window.held(), 0);
    assert_eq!(pair.server.credit.left(), 2_000, "dropped data gives its credit back");
}

#[test]
fn a_reset_ends_both_directions_and_late_frames_are_ignored() {
    let mut pair = Pair::new(Limits::OURS);
    let id = pair.stream();
    pair.server.reset(id, Reason::PeerClosed);
    pair.client.send(id, b"late");
    pair.client.finish(id);
    assert_eq!(pair.at_server(), Vec::<String>::new());
    assert_eq!(pair.at_client(), ["reset 1 PeerClosed"]);
    pair.client.send(id, b"");
    pair.client.finish(id);
    pair.client.reset(id, Reason::Internal);
    assert_eq!(pair.client.out_len(), 0, "a closed stream emits nothing");
}

#[test]
fn nobody_sends_beyond_credit_and_consuming_gives_it_back() {
    let mut pair = Pair::new(SMALL);
    let id = pair.stream();
    assert_eq!(pair.server.sendable(id), 1_000);
    pair.server.send(id, &[b'x'; 1_000]);
    assert_eq!(pair.server.sendable(id), 0);
    pair.at_client();
    pair.client.consumed(id, 499, pair.now);
    assert_eq!(pair.client.out_len(), 0, "less than half of the window is not worth a frame");
    pair.client.consumed(id, 1, pair.now);
    assert!(pair.at_server().contains(&"sendable 1".to_owned()));
    assert_eq!(pair.server.sendable(id), 500);
}

#[test]
fn the_session_holds_back_what_the_stream_would_allow() {
    let mut pair = Pair::new(SMALL);
    let ids = [pair.stream(), pair.stream(), pair.stream()];
    pair.server.send(ids[0], &[0; 1_000]);
    pair.server.send(ids[1], &[0; 1_000]);
    assert_eq!(pair.server.sendable(ids[2]), 0);
    pair.at_client();
    pair.client.reset(ids[0], Reason::Internal);
    pair.client.consumed(ids[0], 1_000, pair.now);
    assert_eq!(pair.at_server(), ["reset 1 Internal", "SessionSendable"], "a closed stream gives session credit back");
    assert_eq!(pair.server.sendable(ids[2]), 1_000);
}

#[test]
fn a_slot_takes_what_was_read_into_it_and_goes_away_when_that_was_nothing() {
    let mut pair = Pair::new(Limits::OURS);
    let id = pair.stream();
    let slot = pair.server.begin_data(id);
    pair.server.commit_data(slot, 0);
    assert_eq!(pair.server.out_len(), 0);
    pair.server.send(id, b"first ");
    let slot = pair.server.begin_data(id);
    pair.server.out().extend_from_slice(b"second and some room");
    pair.server.commit_data(slot, 6);
    assert_eq!(pair.at_client(), ["data 1 first ", "data 1 second"]);
}

#[test]
fn a_slot_of_a_stream_that_is_gone_leaves_nothing() {
    let mut pair = Pair::new(Limits::OURS);
    let id = pair.stream();
    let slot = pair.server.begin_data(id);
    pair.server.out().extend_from_slice(b"bytes");
    pair.server.streams.remove(&id.get());
    pair.server.commit_data(slot, 5);
    assert_eq!(pair.server.out_len(), 0);
}

#[test]
fn a_stream_that_is_reset_in_the_middle_of_a_frame_gets_no_more_of_it() {
    let mut pair = Pair::new(SMALL);
    let id = pair.stream();
    pair.server.send(id, &[b'x'; 900]);
    let bytes = pair.server.out().split();
    let first = pair.client.receive(&bytes[..100], pair.now).unwrap();
    assert_eq!(first, Received { consumed: 100, event: Some(Event::Data { id, bytes: &[b'x'; 90] }) });
    pair.client.reset(id, Reason::Cancelled);
    let rest = pair.client.receive(&bytes[100..], pair.now).unwrap();
    assert_eq!(rest, Received { consumed: 810, event: None });
    pair.client.consumed(id, 90, pair.now);
    assert_eq!(pair.client.window.held(), 0);
}

#[test]
fn a_stream_moves_one_direction_at_a_time() {
    let mut pair = Pair::new(Limits::OURS);
    let id = pair.stream();
    pair.server.moved(id);
    assert_eq!(pair.at_client(), Vec::<String>::new(), "not without being lifted");
    pair.server.lift(id);
    pair.server.lift(id);
    assert_eq!(pair.at_client(), ["lift 1"]);
    assert_eq!((pair.server.may_move(id), pair.client.may_move(id)), (true, false), "the server moves first");
    pair.server.send(id, b"before");
    pair.server.moved(id);
    assert_eq!((pair.server.sendable(id), pair.server.may_move(id)), (0, false));
    assert_eq!(pair.at_client(), ["data 1 before", "moved 1"]);
    assert!(pair.client.may_move(id));
    pair.client.send(id, b"still here");
    pair.client.moved(id);
    assert_eq!(pair.at_server(), ["data 1 still here", "moved 1"]);
    assert_eq!((pair.server.streams(), pair.client.streams()), (0, 0));
}

#[test]
fn a_server_opens_no_more_than_the_client_takes() {
    let mut pair = Pair::new(SMALL);
    let ids = [pair.stream(), pair.stream(), pair.stream()];
    assert_eq!(pair.server.open(&ssh()), Err(OpenFault::TooManyStreams));
    pair.server.reset(ids[1], Reason::PeerClosed);
    assert_eq!(pair.server.open(&ssh()).map(StreamId::get), Ok(4), "ids are never used again");
    assert_eq!(pair.client.open(&ssh()), Err(OpenFault::WrongSide));
    assert_eq!(pair.at_client(), ["reset 2 PeerClosed", "open 4 127.0.0.1:22"]);
}

#[test]
fn a_host_that_does_not_fit_is_not_sent() {
    let mut pair = Pair::new(SMALL);
    for host in ["x".repeat(256), "ein wort".to_owned(), "b\u{fc}cher".to_owned()] {
        assert_eq!(pair.server.open(&Open { host, ..ssh() }), Err(OpenFault::HostUnfit));
    }
    assert_eq!(pair.server.out_len(), 0);
}

#[test]
fn after_go_away_no_stream_is_opened_and_open_ones_go_on() {
    let mut pair = Pair::new(Limits::OURS);
    let id = pair.stream();
    let late = pair.server.open(&ssh()).unwrap();
    pair.client.go_away(GoAwayReason::ShuttingDown, "bye");
    assert_eq!(pair.at_server(), ["GoAway { reason: ShuttingDown, last: 1, text: \"bye\" }"]);
    assert_eq!(pair.server.open(&ssh()), Err(OpenFault::Draining));
    assert_eq!(pair.at_client(), Vec::<String>::new());
    assert_eq!(pair.at_server(), [format!("refused {} ShuttingDown", late.get())]);
    pair.client.send(id, b"still");
    assert_eq!(pair.at_server(), ["data 1 still"]);
}

#[test]
fn ids_run_out_in_time_to_drain() {
    let mut pair = Pair::new(Limits::OURS);
    pair.server.highest = STREAM_ID_END - 2;
    assert_eq!(pair.server.open(&ssh()).map(StreamId::get), Ok(STREAM_ID_END - 1));
    assert_eq!(pair.server.open(&ssh()), Err(OpenFault::IdsExhausted));
    assert_eq!(pair.server.open(&ssh()), Err(OpenFault::Draining));
}

#[test]
fn silence_is_asked_about_and_then_is_death() {
    let mut pair = Pair::new(Limits::OURS);
    let start = pair.now;
    assert_eq!(pair.server.deadline(), start + PING_AFTER);
    pair.server.on_deadline(start + Duration::from_secs(4)).unwrap();
    assert_eq!(pair.server.out_len(), 0);
    pair.server.on_deadline(start + PING_AFTER).unwrap();
    assert_eq!(pair.server.out_len(), 14);
    assert_eq!(pair.server.deadline(), start + DEAD_AFTER);
    let fault = pair.server.on_deadline(start + DEAD_AFTER).unwrap_err();
    assert_eq!(fault.reason, GoAwayReason::DeadPeer);
}

#[test]
fn an_answered_ping_is_life_and_a_measurement() {
    let mut pair = Pair::new(Limits::OURS);
    pair.now += PING_AFTER;
    pair.server.on_deadline(pair.now).unwrap();
    pair.at_client();
    pair.now += Duration::from_millis(30);
    assert_eq!(pair.at_server(), ["Pong { round_trip: 30ms }"]);
    assert_eq!(pair.server.round_trip(), Some(Duration::from_millis(30)));
    assert_eq!(pair.server.deadline(), pair.now + PING_AFTER);
}

#[test]
fn who_slept_does_not_take_the_peer_for_dead() {
    let mut pair = Pair::new(Limits::OURS);
    let woken = pair.now + Duration::from_mins(1);
    pair.server.on_deadline(woken).unwrap();
    assert_eq!(pair.server.out_len(), 14, "it asks at once");
    assert_eq!(pair.server.deadline(), woken + WAKE_GRACE);
    assert!(pair.server.on_deadline(woken + WAKE_GRACE).is_err());
}

#[test]
fn strangers_who_come_and_go_do_not_make_the_client_end_the_session() {
    let mut pair = Pair::new(Limits::OURS);
    let mut opened = 0;
    for _ in 0..200 {
        pair.now += Duration::from_millis(10);
        for _ in 0..100 {
            let Ok(id) = pair.server.open(&ssh()) else { continue };
            opened += 1;
            pair.server.reset(id, Reason::PeerClosed);
        }
        pair.at_client();
        pair.server.on_deadline(pair.now).unwrap();
        pair.client.on_deadline(pair.now).unwrap();
        pair.at_server();
        pair.at_client();
    }
    assert!((1_500..=2_100).contains(&opened), "{opened} in two seconds");
}

#[test]
fn a_frame_is_never_longer_than_the_peer_takes() {
    let mut pair = Pair::new(Limits { frame_bytes_max: 1_024, ..Limits::OURS });
    let id = pair.stream();
    assert_eq!(pair.server.sendable(id), 1_020);
    pair.server.send(id, &[b'x'; 1_020]);
    assert_eq!(pair.at_client().len(), 1);
    let big = Pair::new(Limits { frame_bytes_max: frame::PAYLOAD_BYTES_MAX, ..Limits::OURS }).stream_of_its_own();
    assert_eq!(big, 65_532, "and never longer than 64 KiB");
}

impl Pair {
    fn stream_of_its_own(mut self) -> usize {
        let id = self.stream();
        self.server.sendable(id)
    }
}

#[test]
fn datagrams_cross_whole_and_long_ones_are_dropped() {
    let mut pair = Pair::new(SMALL);
    let id = pair.server.open(&Open { kind: Kind::Udp, ..ssh() }).unwrap();
    pair.at_client();
    pair.client.accept(id);
    pair.at_server();
    pair.server.datagram(id, b"");
    pair.server.datagram(id, &[0; 1_020]);
    pair.server.datagram(id, &[0; 1_021]);
    assert_eq!(pair.server.sendable(id), 0);
    let events = pair.at_client();
    assert_eq!(events.len(), 2);
}

#[test]
fn readers_that_stopped_do_not_hold_the_session_for_ever() {
    let mut pair = Pair::new(Limits { session_credit: 4_000, streams_max: 10, ..SMALL });
    let stopped = [pair.stream(), pair.stream(), pair.stream(), pair.stream()];
    let alive = pair.stream();
    for id in stopped {
        pair.server.send(id, &[0; 1_000]);
    }
    pair.at_client();
    assert_eq!(pair.server.sendable(alive), 0, "four readers hold all there is");
    let look = pair.client.deadline();
    assert_eq!(look, pair.now + Duration::from_secs(1));
    pair.client.consumed(stopped[3], 200, look);
    pair.client.on_deadline(look).unwrap();
    let reset = |id: StreamId| Event::Reset { id, reason: Reason::IdleTooLong };
    assert_eq!(pair.client.receive(&[], look).unwrap().event, Some(reset(stopped[0])));
    assert_eq!(pair.client.receive(&[], look).unwrap().event, Some(reset(stopped[1])));
    assert_eq!(pair.client.receive(&[], look).unwrap().event, None, "half of the window is enough");
    for id in [stopped[0], stopped[1]] {
        pair.client.consumed(id, 1_000, look);
    }
    assert_eq!(pair.client.streams(), 3);
    pair.at_server();
    assert!(pair.server.sendable(alive) > 0);
    pair.client.on_deadline(look + Duration::from_secs(1)).unwrap();
    assert_eq!(pair.client.streams(), 3, "no pressure, no victims");
}

#[test]
fn tiny_frames_are_allowed_but_not_without_end() {
    let mut pair = Pair::new(Limits::OURS);
    let id = pair.stream();
    pair.client.tiny_data = Budget::new(crate::tunnel::proto::budget::Allowance { per_second: 10, burst: 3 }, pair.now);
    (0..4).for_each(|_| pair.server.send(id, b"x"));
    let fault = carry(&mut pair.server, &mut pair.client, usize::MAX, pair.now).unwrap_err();
    assert_eq!(fault.reason, GoAwayReason::Abuse);
}

#[test]
fn who_holds_half_of_the_session_does_not_keep_the_other_half() {
    let mut pair = Pair::new(Limits { session_credit: 4_000, ..SMALL });
    let (first, second, alive) = (pair.stream(), pair.stream(), pair.stream());
    pair.server.send(first, &[0; 1_000]);
    pair.server.send(second, &[0; 1_000]);
    pair.at_client();
    for round in 0..20 {
        assert!(pair.server.sendable(alive) >= 500, "round {round}");
        pair.server.send(alive, &[0; 500]);
        pair.at_client();
        pair.client.consumed(alive, 500, pair.now);
        pair.at_server();
    }
}
