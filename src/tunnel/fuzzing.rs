//! What `tests/fuzz` drives: any bytes are a peer, and an application, that do whatever comes to their mind.
//!
//! None of it may panic, hold more than was agreed on, or write what is no frame. `cargo test` replays the corpora.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::BytesMut;

use super::proto::frame::{HEADER_BYTES, Header};
use super::proto::hello::{Challenge, Hello, Join, Proof, Rejected, Welcome};
use super::proto::legacy::Legacy;
use super::proto::{Event, Fault, GoAwayReason, Kind, Limits, Open, Proxy, Reason, Received, Session, Side, StreamId};
use super::wire;

/// Small enough that a fuzzer reaches every one of them.
const LIMITS: Limits = Limits { frame_bytes_max: 1_024, streams_max: 4, stream_credit: 64, session_credit: 160 };

/// Bytes that a session may want to write for one input: all that an input can ask for, and then some.
const OUT_BYTES_MAX: usize = 1 << 20;

/// Bytes that decide what happens, from the front.
pub(super) struct Script<'a>(pub(super) &'a [u8]);

impl<'a> Script<'a> {
    pub(super) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    pub(super) fn take(&mut self, most: usize) -> &'a [u8] {
        let (front, rest) = self.0.split_at(most.min(self.0.len()));
        self.0 = rest;
        front
    }

    /// One of the first few streams.
    fn stream(&mut self) -> StreamId {
        StreamId::new(u32::from(self.byte() % 8))
    }
}

/// Reads a header; what is read is written as it was.
pub fn frame(input: &[u8]) {
    if let Ok(Some(header)) = Header::read(input) {
        assert_eq!(input.get(..HEADER_BYTES), Some(&header.bytes()[..]));
    }
}

/// Reads every message of the handshake; what is read is written so that it is read the same.
pub fn hello(input: &[u8]) {
    macro_rules! there_and_back {
        ($($message:ty),*) => {$(
            if let Ok(message) = <$message>::decode(input) {
                let mut out = BytesMut::new();
                message.encode(&mut out);
                assert_eq!(<$message>::decode(out.get(HEADER_BYTES..).unwrap_or_default()), Ok(message));
            }
        )*};
    }
    there_and_back!(Hello, Challenge, Proof, Welcome, Rejected, Join);
}

/// A session, what has arrived for it, and what its application holds.
struct Bench {
    session: Session,
    inbox: BytesMut,
    held: BTreeMap<StreamId, usize>,
    now: Instant,
}

/// Drives a session: bytes of the peer, calls of the application, and time.
pub fn session(input: &[u8]) {
    let mut script = Script(input);
    let side = if script.byte() % 2 == 0 { Side::Server } else { Side::Client };
    let now = Instant::now();
    let session = Session::new(side, LIMITS, LIMITS, now);
    let mut bench = Bench { session, inbox: BytesMut::new(), held: BTreeMap::new(), now };
    while !script.0.is_empty() {
        if let Err(fault) = bench.step(&mut script) {
            assert_eq!(bench.session.receive(b"\x01", bench.now), Err(fault), "a fault is for ever");
            bench.session.go_away(fault.reason, fault.detail);
            assert_frames(bench.session.out());
            return;
        }
        bench.session.audit();
        assert!(bench.session.out_len() <= OUT_BYTES_MAX);
    }
    assert_frames(bench.session.out());
}

impl Bench {
    fn step(&mut self, script: &mut Script<'_>) -> Result<(), Fault> {
        let kind = script.byte();
        match kind {
            0x20..=0x2B | 0x03 => self.arrive_frame(kind, script)?,
            0..0x20 => {
                let bytes = script.take(usize::from(kind) + 1);
                self.inbox.extend_from_slice(bytes);
            }
            _ => self.act(kind, script)?,
        }
        self.receive()
    }

    /// A frame with the right header, for one of the first few streams.
    fn arrive_frame(&mut self, kind: u8, script: &mut Script<'_>) -> Result<(), Fault> {
        self.receive()?;
        let stream = script.stream().get().to_be_bytes();
        let length = usize::from(script.byte());
        let rest = script.take(length);
        let length = u32::try_from(stream.len() + rest.len()).unwrap_or(u32::MAX);
        self.inbox.extend_from_slice(&Header { kind, length }.bytes());
        self.inbox.extend_from_slice(&stream);
        self.inbox.extend_from_slice(rest);
        Ok(())
    }

    fn act(&mut self, what: u8, script: &mut Script<'_>) -> Result<(), Fault> {
        let (session, now) = (&mut self.session, self.now);
        let reasons = [Reason::PeerClosed, Reason::TargetDenied, Reason::TooManyStreams, Reason::Cancelled];
        let reason = reasons.get(usize::from(script.byte() % 4)).copied().unwrap_or(Reason::Internal);
        match what % 16 {
            0 | 1 => drop(session.open(&some_open(what))),
            2 | 3 => session.accept(script.stream()),
            4 => session.refuse(script.stream(), reason),
            5 | 6 => {
                let id = script.stream();
                let bytes = usize::from(script.byte()).min(session.sendable(id));
                let slot = session.begin_data(id);
                let end = session.out_len() + bytes;
                session.out().resize(end, b'f');
                session.commit_data(slot, bytes);
            }
            7 => session.finish(script.stream()),
            8 => session.reset(script.stream(), reason),
            9 => session.lift(script.stream()),
            10 => session.moved(script.stream()),
            11 => session.datagram(script.stream(), b"datagram"),
            12 => session.ping(now),
            13 if script.byte() == 0 => session.go_away(GoAwayReason::ShuttingDown, "fuzz"),
            14 => {
                self.now += Duration::from_millis(u64::from(script.byte()) * 30);
                let now = self.now;
                if session.deadline() <= now {
                    session.on_deadline(now)?;
                    assert!(session.deadline() > now, "a deadline that is served moves on");
                }
            }
            _ => self.consume(script),
        }
        Ok(())
    }

    fn consume(&mut self, script: &mut Script<'_>) {
        let id = script.stream();
        let held = self.held.entry(id).or_default();
        let bytes = usize::from(script.byte()).min(*held);
        *held -= bytes;
        self.session.consumed(id, bytes, self.now);
    }

    fn receive(&mut self) -> Result<(), Fault> {
        let inbox = std::mem::take(&mut self.inbox);
        let mut rest = &inbox[..];
        loop {
            let Received { consumed, event } = self.session.receive(rest, self.now)?;
            match event {
                Some(Event::Data { id, bytes }) => *self.held.entry(id).or_default() += bytes.len(),
                None if consumed == 0 => break,
                _ => {}
            }
            rest = rest.get(consumed..).expect("no more is consumed than there is");
        }
        self.inbox.extend_from_slice(rest);
        Ok(())
    }
}

fn some_open(what: u8) -> Open {
    let kind = if what.is_multiple_of(2) { Kind::Tcp } else { Kind::Udp };
    Open { kind, proxy: Proxy::Off, target_port: 80, host: "fuzz".to_owned(), visitor: None, public: None }
}

/// What is written is whole frames.
fn assert_frames(out: &BytesMut) {
    let mut rest = &out[..];
    while let Some(header) = Header::read(rest).expect("our own version") {
        let end = HEADER_BYTES + usize::try_from(header.length).expect("a length");
        rest = rest.get(end..).expect("a whole frame");
    }
    assert!(rest.is_empty(), "a part of a header");
}

/// Drives the records of TLS after the handshake, both ends of them.
pub fn records(input: &[u8]) {
    wire::fuzz(Script(input));
}

/// Drives a session with a version 1 peer.
pub fn legacy(input: &[u8]) {
    let mut script = Script(input);
    let side = if script.byte() % 2 == 0 { Side::Server } else { Side::Client };
    let mut now = Instant::now();
    let mut it = Legacy::new(side, now);
    let mut inbox = BytesMut::new();
    while !script.0.is_empty() {
        let what = script.byte();
        if what < 0x40 {
            inbox.extend_from_slice(script.take(usize::from(what) + 1));
        } else {
            act_legacy(&mut it, &mut script, what, &mut now);
        }
        let fed = if it.deadline() <= now { it.on_deadline(now) } else { Ok(()) }
            .and_then(|()| feed_legacy(&mut it, &mut inbox, now));
        assert!(it.out_len() <= OUT_BYTES_MAX);
        if fed.is_err() {
            break;
        }
    }
    assert_frames(it.out());
}

fn act_legacy(it: &mut Legacy, script: &mut Script<'_>, what: u8, now: &mut Instant) {
    let id = script.stream();
    match what % 8 {
        0 => drop(it.open(22, "fuzz")),
        1 => it.accept(id),
        2 => it.refuse(id),
        3 => it.close(id),
        4 if it.sendable(id) > 0 => it.send(id, b"fuzz"),
        _ => *now += Duration::from_millis(u64::from(script.byte()) * 100),
    }
}

fn feed_legacy(it: &mut Legacy, inbox: &mut BytesMut, now: Instant) -> Result<(), Fault> {
    loop {
        let Received { consumed, event } = it.receive(inbox, now)?;
        let idle = consumed == 0 && event.is_none();
        if idle {
            return Ok(());
        }
        drop(inbox.split_to(consumed));
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    type Target = (&'static str, fn(&[u8]));

    #[test]
    fn every_input_of_the_corpora_is_survived() {
        let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus");
        let targets: [Target; 5] = [
            ("frame", super::frame),
            ("hello", super::hello),
            ("session", super::session),
            ("records", super::records),
            ("legacy", super::legacy),
        ];
        for (name, drive) in targets {
            let mut inputs = 0;
            for entry in fs::read_dir(corpora.join(name)).expect("a corpus").flatten() {
                drive(&fs::read(entry.path()).expect("an input"));
                inputs += 1;
            }
            assert!(inputs >= 5, "{name} has {inputs} inputs");
        }
    }
}
