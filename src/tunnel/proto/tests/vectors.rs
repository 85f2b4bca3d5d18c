//! The test vectors of `docs/tunnel-protocol.md`, against what is written and read here.

use std::collections::BTreeMap;
use std::time::Instant;

use bytes::BytesMut;

use crate::tunnel::proto::frame::{HEADER_BYTES, Header, kind};
use crate::tunnel::proto::hello::{Challenge, Hello, Join, Proof, RejectCode, Rejected, Welcome};
use crate::tunnel::proto::legacy::Legacy;
use crate::tunnel::proto::wire::{self, Payload, put_credit, put_payload, put_ping, put_reason, put_stream};
use crate::tunnel::proto::{Event, GoAwayReason, Kind, Limits, Open, Proxy, Reason, Session, Side, StreamId};
use crate::tunnel::token::{Token, TokenId, Transcript};

const DOCUMENT: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/tunnel-protocol.md"));

/// The lines of the block with this word behind its fence.
fn block(word: &str) -> Vec<&'static str> {
    let (_, rest) = DOCUMENT.split_once(&format!("```{word}\n")).expect("a block");
    let (lines, _) = rest.split_once("```").expect("its end");
    lines.lines().collect()
}

fn bytes_of(hex: &str) -> Vec<u8> {
    let digits: Vec<char> = hex.chars().filter(|digit| !digit.is_whitespace()).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(&pair.iter().collect::<String>(), 16).expect("hexadecimal"))
        .collect()
}

fn hex_of(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

/// Names and bytes of the document; lines that begin with a blank go on with the frame before.
fn vectors() -> BTreeMap<&'static str, Vec<u8>> {
    let mut found: BTreeMap<&str, Vec<u8>> = BTreeMap::new();
    let mut name = "";
    for line in block("vectors") {
        let hex = if line.starts_with(' ') {
            line
        } else {
            let (before, hex) = line.split_once(' ').expect("a name and bytes");
            name = before;
            hex
        };
        found.entry(name).or_default().extend(bytes_of(hex));
    }
    found
}

fn token() -> Token {
    let secret = std::array::from_fn(|at| u8::try_from(at).unwrap());
    Token::from_parts(TokenId([0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef]), secret)
}

fn hello() -> Hello {
    Hello {
        lowest: 1,
        highest: 1,
        nonce: [0xaa; 32],
        token: token().id().0,
        limits: Limits::OURS,
        name: Some("nas".to_owned()),
        agent: Some("example 1".to_owned()),
    }
}

fn challenge() -> Challenge {
    Challenge { version: 1, nonce: [0xbb; 32], agent: Some("example 2".to_owned()), clock_s: None }
}

fn transcript() -> Transcript {
    let frame = |write: &dyn Fn(&mut BytesMut)| written(write);
    Transcript::new(&frame(&|out| hello().encode(out)), &frame(&|out| challenge().encode(out)), &[0; 32])
}

fn welcome() -> Welcome {
    Welcome {
        session: [0xcc; 16],
        signature: token().verifier().sign(&transcript(), &[0xcc; 16], "nas"),
        limits: Limits::OURS,
        name: Some("nas".to_owned()),
        agent: Some("example 2".to_owned()),
    }
}

fn rejected() -> Rejected {
    Rejected { code: RejectCode::Busy, retry_after_s: 30, text: "too busy".to_owned() }
}

fn join() -> Join {
    let mac = token().session_key(&transcript()).join_mac(&[0xcc; 16], 7, &[0xdd; 16], &[0; 32]);
    Join { session: [0xcc; 16], stream: 7, nonce: [0xdd; 16], mac }
}

fn open_tcp() -> Open {
    Open {
        kind: Kind::Tcp,
        proxy: Proxy::V2,
        target_port: 22,
        host: "localhost".to_owned(),
        visitor: "192.0.2.7:40000".parse().ok(),
        public: "[2001:db8::1]:10022".parse().ok(),
    }
}

fn open_udp() -> Open {
    let host = "10.0.0.53".to_owned();
    Open { kind: Kind::Udp, proxy: Proxy::Off, target_port: 53, host, visitor: None, public: None }
}

fn written(write: impl FnOnce(&mut BytesMut)) -> Vec<u8> {
    let mut out = BytesMut::new();
    write(&mut out);
    out.to_vec()
}

/// What a version 1 client with stream 7 open writes when it is made to.
fn by_legacy_client(act: impl FnOnce(&mut Legacy, StreamId)) -> Vec<u8> {
    let (mut it, id) = (Legacy::new(Side::Client, Instant::now()), StreamId::new(7));
    let request = [1, 1, 0, 0, 0, 6, 0, 0, 0, 7, 0, 22];
    assert!(it.receive(&request, Instant::now()).unwrap().event.is_some());
    it.accept(id);
    it.out().clear();
    act(&mut it, id);
    it.out().to_vec()
}

/// What a version 1 client answers to a request for stream 7.
fn legacy_answer() -> Vec<u8> {
    let mut it = Legacy::new(Side::Client, Instant::now());
    let request = [1, 1, 0, 0, 0, 6, 0, 0, 0, 7, 0, 22];
    assert!(it.receive(&request, Instant::now()).unwrap().event.is_some());
    it.accept(StreamId::new(7));
    it.out().to_vec()
}

/// What a version 1 server asks for.
fn legacy_request() -> Vec<u8> {
    let mut it = Legacy::new(Side::Server, Instant::now());
    it.open(22, "127.0.0.1").unwrap();
    it.out().to_vec()
}

/// All frames, as they are written here.
fn ours() -> BTreeMap<&'static str, Vec<u8>> {
    let frames: Vec<(&str, Vec<u8>)> = vec![
        ("Hello", written(|out| hello().encode(out))),
        ("Challenge", written(|out| challenge().encode(out))),
        ("Proof", written(|out| Proof(token().prove(&transcript())).encode(out))),
        ("Welcome", written(|out| welcome().encode(out))),
        ("Rejected", written(|out| rejected().encode(out))),
        ("Join", written(|out| join().encode(out))),
        ("Data", written(|out| put_payload(out, kind::DATA, 7, b"hello"))),
        ("Open-tcp", written(|out| wire::put_open(out, 7, 262_144, &open_tcp()))),
        ("Open-udp", written(|out| wire::put_open(out, 8, 262_144, &open_udp()))),
        ("Opened", written(|out| put_credit(out, kind::OPENED, 7, 0))),
        ("Refused", written(|out| put_reason(out, kind::REFUSED, 7, Reason::DialRefused))),
        ("Finish", written(|out| put_stream(out, kind::FINISH, 7))),
        ("Reset", written(|out| put_reason(out, kind::RESET, 7, Reason::PeerClosed))),
        ("Credit-stream", written(|out| put_credit(out, kind::CREDIT, 7, 131_072))),
        ("Credit-session", written(|out| put_credit(out, kind::CREDIT, 0, 16_777_216))),
        ("Ping", written(|out| put_ping(out, kind::PING, 0x0102_0304_0506_0708))),
        ("Pong", written(|out| put_ping(out, kind::PONG, 0x0102_0304_0506_0708))),
        ("GoAway", written(|out| wire::put_go_away(out, 7, GoAwayReason::ShuttingDown, "bye"))),
        ("Lift", written(|out| put_stream(out, kind::LIFT, 7))),
        ("Move", written(|out| put_stream(out, kind::MOVE, 7))),
        ("Datagram", written(|out| put_payload(out, kind::DATAGRAM, 8, b"\x12\x34"))),
        ("1-ConnectRequest", legacy_request()),
        ("1-ConnectResponse", legacy_answer()),
        ("1-Data", by_legacy_client(|it, id| it.send(id, b"hello"))),
        ("1-Close", by_legacy_client(Legacy::close)),
        ("1-KeepAlive", by_legacy_client(|it, _| it.on_deadline(it.deadline()).unwrap())),
    ];
    frames.into_iter().collect()
}

#[test]
fn every_frame_is_written_as_the_document_says() {
    let (documented, ours) = (vectors(), ours());
    assert_eq!(documented.keys().collect::<Vec<_>>(), ours.keys().collect::<Vec<_>>());
    for (name, bytes) in &ours {
        assert_eq!(hex_of(&documented[name]), hex_of(bytes), "{name}");
    }
}

#[test]
fn every_frame_of_the_document_is_read_as_what_it_is() {
    let frames = vectors();
    let payload = |name: &str| &frames[name][HEADER_BYTES..];
    for (name, bytes) in &frames {
        let header = Header::read(bytes).unwrap().unwrap();
        assert_eq!(usize::try_from(header.length).unwrap(), bytes.len() - HEADER_BYTES, "{name}");
    }
    assert_eq!(Hello::decode(payload("Hello")), Ok(hello()));
    assert_eq!(Challenge::decode(payload("Challenge")), Ok(challenge()));
    assert_eq!(Welcome::decode(payload("Welcome")), Ok(welcome()));
    assert_eq!(Rejected::decode(payload("Rejected")), Ok(rejected()));
    assert_eq!(Join::decode(payload("Join")), Ok(join()));
    let Proof(proof) = Proof::decode(payload("Proof")).unwrap();
    assert!(token().verifier().judge(&proof, &transcript()).session_key().is_some(), "the proof holds");
    assert!(token().recognises(&welcome().signature, &transcript(), &[0xcc; 16], "nas"));
    for (name, open) in [("Open-tcp", open_tcp()), ("Open-udp", open_udp())] {
        assert_eq!(wire::read_open(Payload::new(&payload(name)[4..])), Ok((262_144, open)), "{name}");
    }
    let go_away = Ok((7, GoAwayReason::ShuttingDown, "bye"));
    assert_eq!(wire::read_go_away(Payload::new(payload("GoAway"))), go_away);
}

#[test]
fn keys_of_the_document_are_ours() {
    let verifier = token().verifier();
    let keys = [format!("stored {}", hex_of(&verifier.stored_key)), format!("server {}", hex_of(&verifier.server_key))];
    assert_eq!(block("keys"), keys);
}

/// A session that writes down what both sides say.
struct Record {
    server: Session,
    client: Session,
    now: Instant,
    lines: Vec<String>,
}

impl Record {
    /// What one side wrote, frame by frame, and what the other makes of it.
    fn note(&mut self, side: Side) {
        let (from, to, letter) = match side {
            Side::Server => (&mut self.server, &mut self.client, 'S'),
            Side::Client => (&mut self.client, &mut self.server, 'C'),
        };
        let mut out = from.out().split();
        while let Some(header) = Header::read(&out).unwrap() {
            let frame = out.split_to(HEADER_BYTES + usize::try_from(header.length).unwrap());
            let received = to.receive(&frame, self.now).unwrap();
            assert_eq!(received.consumed, frame.len());
            let event = received.event.as_ref().map_or("a question".to_owned(), meaning);
            let (header, payload) = frame.split_at(HEADER_BYTES);
            self.lines.push(format!("{letter} {} {} | {event}", hex_of(header), hex_of(payload)));
        }
    }

    fn by(&mut self, side: Side, act: impl FnOnce(&mut Session, Instant)) {
        let now = self.now;
        act(if side == Side::Server { &mut self.server } else { &mut self.client }, now);
        self.note(side);
        self.note(if side == Side::Server { Side::Client } else { Side::Server });
    }
}

fn meaning(event: &Event<'_>) -> String {
    match event {
        Event::Open { id, open } => format!("stream {} to {}:{} is opened", id.get(), open.host, open.target_port),
        Event::Opened { id } => format!("stream {} is answered", id.get()),
        Event::Data { id, bytes } => format!("{:?} on stream {}", String::from_utf8_lossy(bytes), id.get()),
        Event::Finish { id } => format!("stream {} brings no more", id.get()),
        Event::Reset { id, reason } => format!("stream {} is broken off: {reason:?}", id.get()),
        Event::Refused { id, reason } => format!("stream {} is refused: {reason:?}", id.get()),
        Event::Sendable { id } => format!("stream {} takes data again", id.get()),
        Event::Lift { id } => format!("a data connection is wanted for stream {}", id.get()),
        Event::Moved { id } => format!("the rest of stream {} is on its data connection", id.get()),
        Event::Pong { .. } => "the answer".to_owned(),
        Event::GoAway { reason, last, text } => format!("the end: {reason:?}, last {last}, {text:?}"),
        other => format!("{other:?}"),
    }
}

fn record() -> Vec<String> {
    let now = Instant::now();
    let limits = Limits { stream_credit: 4, session_credit: 1_000, ..Limits::OURS };
    let (server, client) =
        (Session::new(Side::Server, limits, limits, now), Session::new(Side::Client, limits, limits, now));
    let mut it = Record { server, client, now, lines: Vec::new() };
    let [one, two, three] = [1, 2, 3].map(StreamId::new);
    let open = Open { proxy: Proxy::Off, visitor: None, public: None, ..open_tcp() };
    it.by(Side::Server, |it, _| {
        it.open(&open).unwrap();
        it.send(one, b"ping");
    });
    it.by(Side::Client, |it, now| {
        it.accept(one);
        it.consumed(one, 4, now);
    });
    it.by(Side::Client, |it, _| it.send(one, b"pong"));
    it.by(Side::Server, |it, _| it.finish(one));
    it.by(Side::Client, |it, _| it.finish(one));
    it.by(Side::Server, |it, _| {
        it.open(&open).unwrap();
    });
    it.by(Side::Client, |it, _| it.refuse(two, Reason::DialRefused));
    it.by(Side::Server, |it, _| {
        it.open(&open).unwrap();
    });
    it.by(Side::Client, |it, _| it.accept(three));
    it.by(Side::Server, |it, _| it.lift(three));
    it.by(Side::Server, |it, _| it.moved(three));
    it.by(Side::Client, |it, _| it.moved(three));
    it.by(Side::Client, |it, _| it.go_away(GoAwayReason::ShuttingDown, "bye"));
    assert_eq!((it.server.streams(), it.client.streams()), (0, 0));
    it.lines
}

#[test]
fn the_session_of_the_document_is_what_two_sides_say() {
    assert_eq!(block("session"), record());
}
