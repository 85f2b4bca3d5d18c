//! Both sides against each other, and the door against strangers.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::admit::{Deadlines, Denied};
use super::dial::DialFault;
use super::greet::GreetFault;
use super::*;
use crate::error::ErrorKind;
use crate::tunnel::address::ServerAddress;
use crate::tunnel::config::Tls;
use crate::tunnel::proto::frame::{Header, kind};
use crate::tunnel::proto::hello::{Challenge, Hello, RejectCode, Rejected, Welcome};
use crate::tunnel::proto::limits::Limits;
use crate::tunnel::tls::{ClientLinkBuilder, LinkFault, Pin, ServerTls, TlsFiles, Trust, Why};
use crate::tunnel::token::{SessionKey, Token, TokenId, Transcript};

const SOON: Deadlines =
    Deadlines { handshake: Duration::from_millis(400), first_sign_of_v1: Duration::from_millis(900) };

#[derive(Default)]
struct Book {
    tokens: HashMap<TokenId, TokenRow>,
    sessions: Mutex<HashMap<SessionId, SessionKey>>,
    taken: Option<String>,
}

impl Registry for Book {
    fn token(&self, id: TokenId) -> Option<TokenRow> {
        self.tokens.get(&id).cloned()
    }

    fn session_key(&self, session: &SessionId) -> Option<SessionKey> {
        self.sessions.lock().unwrap().get(session).cloned()
    }

    fn may_begin<'a>(
        &'a self,
        identity: &'a Identity,
    ) -> std::pin::Pin<Box<dyn Future<Output = Result<Option<SessionId>, Rejected>> + Send + 'a>> {
        let taken = self.taken.as_ref() == Some(&identity.name);
        let rejected = Rejected { code: RejectCode::Connected, retry_after_s: 2, text: String::new() };
        Box::pin(std::future::ready(if taken { Err(rejected) } else { Ok(None) }))
    }
}

struct House {
    address: ServerAddress,
    gate: Arc<Gate>,
    token: Token,
    pin: Option<Pin>,
    folder: tempfile::TempDir,
    listener: TcpListener,
    book: Arc<Book>,
}

fn tls_of(folder: &Path) -> Arc<ServerTls> {
    let files = TlsFiles::of(&Tls::On { files: None, client_ca: None }, &folder.join("mappings.db")).expect("TLS");
    Arc::new(ServerTls::open(files).expect("a certificate"))
}

async fn house(encrypted: bool, adjust: impl FnOnce(&mut Gate, &mut Book)) -> House {
    let folder = tempfile::tempdir().expect("a folder");
    let token = Token::random();
    let row = TokenRow { id: token.id(), name: "home".to_owned(), verifier: token.verifier(), ports: vec![] };
    let mut book = Book { tokens: [(token.id(), row)].into(), ..Book::default() };
    let tls = encrypted.then(|| tls_of(folder.path()));
    let pin = tls.as_ref().map(|tls| tls.pin());
    let mut gate = Gate::new(tls, false, Arc::new(Book::default()));
    gate.deadlines = SOON;
    adjust(&mut gate, &mut book);
    let book = Arc::new(book);
    gate.registry = Arc::clone(&book) as Arc<dyn Registry>;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let address = listener.local_addr().expect("an address").to_string().parse().expect("HOST:PORT");
    House { address, gate: Arc::new(gate), token, pin, folder, listener, book }
}

impl House {
    /// Admits the next connection, and welcomes it.
    async fn next(&self) -> JoinHandle<Result<Admitted, Denied>> {
        let (stream, peer) = self.listener.accept().await.expect("a connection");
        let permit = self.gate.enter(peer).expect("room");
        let gate = Arc::clone(&self.gate);
        tokio::spawn(async move {
            let mut admitted = admit(stream, peer, permit, &gate).await;
            if let Ok(Admitted::Session { transport, welcome, .. }) = &mut admitted {
                transport.write_all(welcome).await.expect("sent");
                transport.flush().await.expect("sent");
            }
            admitted
        })
    }

    fn link(&self) -> crate::tunnel::tls::ClientLink {
        let trust = self.pin.map_or(Trust::Plaintext { insecure: false }, Trust::Pin);
        ClientLinkBuilder { trust, identity: None }.build().expect("a link")
    }

    async fn dial(&self) -> (Transport, JoinHandle<Result<Admitted, Denied>>) {
        let link = self.link();
        let (dialled, admitted) = tokio::join!(connect(&self.address, &link, DIAL_DEADLINE), self.next());
        (dialled.expect("a connection"), admitted)
    }

    fn credentials(&self) -> Credentials {
        Credentials { token: self.token.clone(), name: None, limits: Limits::OURS }
    }

    async fn greet(&self, credentials: &Credentials) -> (Result<Greeted, GreetFault>, Result<Admitted, Denied>) {
        let (transport, admitted) = self.dial().await;
        let greeted = greet(transport, credentials, GREET_DEADLINE).await;
        (greeted, admitted.await.expect("no panic"))
    }

    async fn raw(&self) -> (TcpStream, JoinHandle<Result<Admitted, Denied>>) {
        let address = self.address.to_string();
        let (stream, admitted) = tokio::join!(TcpStream::connect(address), self.next());
        (stream.expect("a connection"), admitted)
    }
}

fn code(fault: Result<Greeted, GreetFault>) -> RejectCode {
    match fault.expect_err("rejected") {
        GreetFault::Rejected(rejected) => rejected.code,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_client_with_the_right_token_gets_a_session_and_data_connections() {
    for encrypted in [true, false] {
        let house = house(encrypted, |_, _| {}).await;
        let (greeted, admitted) =
            house.greet(&Credentials { name: Some("nas".to_owned()), ..house.credentials() }).await;
        let greeted = greeted.expect("a session");
        let Ok(Admitted::Session { identity, session, session_key, theirs, mut transport, .. }) = admitted else {
            panic!("no session")
        };
        assert_eq!((greeted.name.as_str(), identity.name.as_str(), greeted.session), ("home/nas", "home/nas", session));
        assert_eq!((theirs, greeted.theirs), (Limits::OURS, Limits::OURS));
        assert_eq!(greeted.agent.as_deref(), Some(AGENT));
        transport.write_all(b"hi").await.expect("sent");
        transport.flush().await.expect("sent");
        let mut answer = [0; 2];
        let mut theirs = greeted.transport;
        theirs.read_exact(&mut answer).await.expect("received");
        house.book.sessions.lock().unwrap().insert(session, session_key);

        let (mut data, admitted) = house.dial().await;
        join(&mut data, &session, &greeted.session_key, 77).await.expect("joined");
        data.write_all(b"bytes of the stream").await.expect("sent");
        data.flush().await.expect("sent");
        let Ok(Admitted::Data { stream, session: of, mut transport, leftover }) = admitted.await.unwrap() else {
            panic!("no data connection")
        };
        assert_eq!((stream, of), (77, session));
        let mut bytes = leftover.to_vec();
        bytes.resize(19, 0);
        transport.read_exact(&mut bytes[leftover.len()..]).await.expect("received");
        assert_eq!(bytes, b"bytes of the stream");

        let (mut data, admitted) = house.dial().await;
        join(&mut data, &[9; 16], &greeted.session_key, 77).await.expect("sent");
        assert_eq!(admitted.await.unwrap().err(), Some(Denied::Join), "a session that is none");
    }
}

#[tokio::test]
async fn unknown_wrong_and_revoked_tokens_are_answered_alike() {
    let house = house(true, |_, book| {
        let other = Token::random();
        book.tokens.insert(
            TokenId([1; 8]),
            TokenRow { id: TokenId([1; 8]), name: "other".to_owned(), verifier: other.verifier(), ports: vec![] },
        );
    })
    .await;
    let unknown = Token::random();
    let wrong = Token::from_parts(house.token.id(), [7; 32]);
    let swapped = Token::from_parts(TokenId([1; 8]), *house.token.expose_secret());
    for token in [unknown, wrong, swapped] {
        let (greeted, admitted) = house.greet(&Credentials { token, ..house.credentials() }).await;
        let fault = greeted.expect_err("rejected");
        let error = fault.error(&house.address);
        assert!(fault.needs_person() && error.kind() == ErrorKind::Refused, "{error}");
        assert!(
            matches!(&fault, GreetFault::Rejected(rejected) if rejected.code == RejectCode::Token && rejected.text == "the token is not accepted"),
            "{fault:?}"
        );
        assert_eq!(admitted.err(), Some(Denied::Token));
    }
}

#[tokio::test]
async fn a_taken_or_impossible_name_is_rejected_after_the_proof() {
    let house = house(false, |_, book| book.taken = Some("home".to_owned())).await;
    let (greeted, admitted) = house.greet(&house.credentials()).await;
    assert_eq!(greeted.as_ref().err().and_then(GreetFault::retry_after), Some(Duration::from_secs(2)));
    assert_eq!((code(greeted), admitted.err()), (RejectCode::Connected, Some(Denied::Rejected(RejectCode::Connected))));
    let named = |name: &str| Credentials { name: Some(name.to_owned()), ..house.credentials() };
    assert!(house.greet(&named("nas")).await.0.is_ok());
    for name in ["", "a b", "a/b", &"x".repeat(32)] {
        assert_eq!(code(house.greet(&named(name)).await.0), RejectCode::Name, "{name:?}");
    }
}

/// The frames of a recorded client, sent again.
#[tokio::test]
async fn a_recorded_handshake_is_worth_nothing_on_another_connection() {
    let house = house(false, |_, _| {}).await;
    let relay = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let address: ServerAddress = relay.local_addr().expect("an address").to_string().parse().expect("HOST:PORT");
    let record = async {
        let (mut client, _) = relay.accept().await.expect("a client");
        let mut server = TcpStream::connect(house.address.to_string()).await.expect("connected");
        let mut frames = Vec::new();
        for _ in 0..2 {
            frames.push(pass(&mut client, &mut server).await);
            pass(&mut server, &mut client).await;
        }
        frames
    };
    let client = async {
        let transport = connect(&address, &house.link(), DIAL_DEADLINE).await.expect("connected");
        greet(transport, &house.credentials(), GREET_DEADLINE).await
    };
    let (frames, greeted, admitted) = tokio::join!(record, client, house.next());
    assert!(greeted.is_ok() && admitted.await.unwrap().is_ok());
    let (mut stream, admitted) = house.raw().await;
    stream.write_all(&frames[0]).await.expect("Hello");
    read_frame(&mut stream).await;
    stream.write_all(&frames[1]).await.expect("Proof");
    assert_eq!(read_frame(&mut stream).await[1], kind::REJECTED);
    assert_eq!(admitted.await.unwrap().err(), Some(Denied::Token));
}

async fn read_frame(from: &mut (impl AsyncReadExt + Unpin)) -> Vec<u8> {
    let mut frame = vec![0; 6];
    from.read_exact(&mut frame).await.expect("a header");
    let header = Header::read(&frame).expect("a header").expect("whole");
    frame.resize(6 + header.length as usize, 0);
    from.read_exact(&mut frame[6..]).await.expect("a payload");
    frame
}

async fn pass(from: &mut (impl AsyncReadExt + Unpin), to: &mut (impl AsyncWriteExt + Unpin)) -> Vec<u8> {
    let frame = read_frame(from).await;
    to.write_all(&frame).await.expect("passed on");
    to.flush().await.expect("passed on");
    frame
}

/// The attacker has a certificate that the client accepts and passes every frame on to the real server.
#[tokio::test]
async fn a_proof_passed_on_between_two_tls_connections_is_refused() {
    let house = house(true, |_, _| {}).await;
    let folder = tempfile::tempdir().expect("a folder");
    let (attacker, pin) = (tls_of(folder.path()), tls_of(folder.path()).pin());
    let relay = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let address: ServerAddress = relay.local_addr().expect("an address").to_string().parse().expect("HOST:PORT");
    let pass_on = async {
        let (client, _) = relay.accept().await.expect("a client");
        let mut client = attacker.accept(client).await.expect("deceived");
        let mut server = connect(&house.address, &house.link(), DIAL_DEADLINE).await.expect("connected");
        for _ in 0..2 {
            pass(&mut client, &mut server).await;
            pass(&mut server, &mut client).await;
        }
    };
    let client = async {
        let link = ClientLinkBuilder { trust: Trust::Pin(pin), identity: None }.build().expect("a link");
        let transport = connect(&address, &link, DIAL_DEADLINE).await.expect("deceived");
        greet(transport, &house.credentials(), GREET_DEADLINE).await
    };
    let ((), greeted, admitted) = tokio::join!(pass_on, client, house.next());
    assert_eq!(code(greeted), RejectCode::Token);
    assert_eq!(admitted.await.unwrap().err(), Some(Denied::Token));
}

/// A server that does not know the token takes the proof and welcomes the client all the same.
#[tokio::test]
async fn a_server_that_does_not_know_the_token_is_found_out() {
    let house = house(false, |_, _| {}).await;
    let stranger = Token::random();
    let impostor = async {
        let (mut client, _) = house.listener.accept().await.expect("a client");
        let hello = read_frame(&mut client).await;
        let mut frame = BytesMut::new();
        Challenge { version: 1, nonce: [0; 32], agent: None, clock_s: None }.encode(&mut frame);
        client.write_all(&frame).await.expect("sent");
        read_frame(&mut client).await;
        let transcript = Transcript::new(&hello, &frame, &[0; 32]);
        let signature = stranger.verifier().sign(&transcript, &[1; 16], "home");
        let name = Some("home".to_owned());
        let mut frame = BytesMut::new();
        Welcome { session: [1; 16], signature, limits: Limits::OURS, name, agent: None }.encode(&mut frame);
        client.write_all(&frame).await.expect("sent");
    };
    let client = async {
        let transport = connect(&house.address, &house.link(), DIAL_DEADLINE).await.expect("connected");
        greet(transport, &house.credentials(), GREET_DEADLINE).await
    };
    let fault = tokio::join!(impostor, client).1.expect_err("found out");
    assert!(fault == GreetFault::Impostor && fault.needs_person());
}

#[tokio::test]
async fn another_certificate_and_missing_or_unwanted_tls_are_told_apart() {
    let house = house(true, |_, _| {}).await;
    let other = tempfile::tempdir().expect("a folder");
    let wanted = tls_of(other.path()).pin();
    let wrong = ClientLinkBuilder { trust: Trust::Pin(wanted), identity: None }.build().expect("a link");
    let (dialled, admitted) = tokio::join!(connect(&house.address, &wrong, DIAL_DEADLINE), house.next());
    let fault = dialled.expect_err("another server");
    assert!(
        matches!(&fault, DialFault::Link(LinkFault::Certificate(found)) if found.why == Why::Pin(wanted) && found.found == house.pin)
    );
    assert!(fault.needs_person());
    assert!(matches!(admitted.await.unwrap(), Err(Denied::Tls(_))));

    let plain =
        ClientLinkBuilder { trust: Trust::Plaintext { insecure: false }, identity: None }.build().expect("a link");
    let (dialled, admitted) = tokio::join!(connect(&house.address, &plain, DIAL_DEADLINE), house.next());
    let greeted = greet(dialled.expect("connected"), &house.credentials(), GREET_DEADLINE).await;
    assert_eq!((code(greeted), admitted.await.unwrap().err()), (RejectCode::Plaintext, Some(Denied::Plaintext)));

    let open = self::house(false, |_, _| {}).await;
    let link = house.link();
    let (dialled, admitted) = tokio::join!(connect(&open.address, &link, DIAL_DEADLINE), open.next());
    assert!(matches!(dialled, Err(DialFault::Link(LinkFault::Closed))), "{dialled:?}");
    assert_eq!(admitted.await.unwrap().err(), Some(Denied::TlsUnwanted));
}

#[tokio::test]
async fn plaintext_leaves_this_machine_only_where_a_person_insists() {
    let away: ServerAddress = "192.0.2.1:9".parse().expect("HOST:PORT");
    let link =
        |insecure| ClientLinkBuilder { trust: Trust::Plaintext { insecure }, identity: None }.build().expect("a link");
    let short = Duration::from_millis(20);
    let fault = connect(&away, &link(false), short).await.expect_err("not dialled");
    assert_eq!(fault.error(&away).kind(), ErrorKind::Refused);
    assert_ne!(connect(&away, &link(true), short).await.err(), Some(DialFault::PlaintextAway));
}

#[tokio::test]
async fn strangers_are_cut_off_at_the_deadline_and_others_wait_for_nobody() {
    let house = house(true, |_, _| {}).await;
    for (said, denied) in [
        (&b""[..], Denied::Silent),
        (b"\x16", Denied::Slow),
        (b"\x01", Denied::Slow),
        (b"\x01\x10\x00\x00\x00\x50half a Hello", Denied::Slow),
        (b"\x01\x10\x00\x01\x00\x00", Denied::Nonsense("a frame too long for a handshake")),
        (b"\x01\x10\xff\xff\xff\xff", Denied::Nonsense("a frame longer than a mebibyte")),
        (b"\x01\x05\x00\x00\x00\x00", Denied::Nonsense("the first frame")),
        (b"\x01\x99\x00\x00\x00\x00", Denied::Nonsense("the first frame")),
        (b"\x01\x15\x00\x00\x00\x00", Denied::Plaintext),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", Denied::Nonsense("the first byte")),
        (b"SSH-2.0-OpenSSH_9.6\r\n", Denied::Nonsense("the first byte")),
    ] {
        let (mut stream, admitted) = house.raw().await;
        let started = std::time::Instant::now();
        stream.write_all(said).await.expect("sent");
        assert_eq!(admitted.await.unwrap().err(), Some(denied), "{said:?}");
        assert!(started.elapsed() < SOON.handshake * 2, "{said:?}");
        let mut answer = Vec::new();
        let closed = tokio::time::timeout(Duration::from_secs(2), stream.read_to_end(&mut answer)).await;
        assert!(closed.is_ok(), "the connection is closed: {said:?}");
        assert!(answer.is_empty(), "no word to strangers: {said:?}");
    }
    for garbage in [&b"\x16\x03\x01\x40\x01xxxx"[..], b"\x16GET / HTTP/1.1\r\n\r\n", &vec![0x16; 70_000]] {
        let (mut stream, admitted) = house.raw().await;
        let _ = stream.write_all(garbage).await;
        assert!(matches!(admitted.await.unwrap(), Err(Denied::Tls(_) | Denied::Slow | Denied::Gone)));
    }
}

#[tokio::test]
async fn a_flood_of_silent_connections_keeps_nobody_out() {
    let house = house(true, |gate, _| gate.deadlines = Deadlines { handshake: Duration::from_secs(5), ..SOON }).await;
    let mut crowd = Vec::new();
    for _ in 0..600 {
        crowd.push(house.raw().await);
    }
    assert!(house.gate.admission.guests() <= 512);
    let started = std::time::Instant::now();
    let (greeted, admitted) = house.greet(&house.credentials()).await;
    assert!(greeted.is_ok() && admitted.is_ok());
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    drop(crowd);
}

/// Bytes come one at a time, in both directions, as through the worst of networks.
#[tokio::test]
async fn a_handshake_in_pieces_of_one_byte_succeeds() {
    for encrypted in [true, false] {
        let house = house(encrypted, |gate, _| gate.deadlines = Deadlines::OURS).await;
        let relay = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let address: ServerAddress = relay.local_addr().expect("an address").to_string().parse().expect("HOST:PORT");
        let server = house.address.to_string();
        let slicing = tokio::spawn(async move {
            let (client, _) = relay.accept().await.expect("a client");
            let server = TcpStream::connect(server).await.expect("connected");
            client.set_nodelay(true).and_then(|()| server.set_nodelay(true)).expect("no delay");
            let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
            let _ = tokio::join!(slice(from_client, to_server), slice(from_server, to_client));
        });
        let client = async {
            let transport = connect(&address, &house.link(), DIAL_DEADLINE).await.expect("connected");
            greet(transport, &house.credentials(), GREET_DEADLINE).await
        };
        let (greeted, admitted) = tokio::join!(client, house.next());
        assert!(greeted.is_ok() && admitted.await.unwrap().is_ok());
        slicing.abort();
    }
}

async fn slice(mut from: impl AsyncReadExt + Unpin, mut to: impl AsyncWriteExt + Unpin) -> io::Result<()> {
    loop {
        to.write_u8(from.read_u8().await?).await?;
    }
}

#[tokio::test]
async fn a_client_of_version_1_is_one_that_gives_a_sign_of_life() {
    let house = house(true, |gate, _| gate.legacy_v1 = true).await;
    let alive = b"\x01\x05\x00\x00\x00\x00";
    for pause in [Duration::ZERO, SOON.handshake + Duration::from_millis(100)] {
        let (mut stream, admitted) = house.raw().await;
        tokio::time::sleep(pause).await;
        stream.write_all(alive).await.expect("sent");
        let Ok(Admitted::Legacy { leftover, .. }) = admitted.await.unwrap() else { panic!("no client") };
        assert_eq!(leftover[..], alive[..]);
    }
    for (said, denied) in [
        (&b""[..], Denied::Silent),
        (b"\x01\x05\x00\x00\x00\x01x", Denied::Nonsense("the first frame")),
        (b"\x01\x02\x00\x00\x00\x05\x00\x00\x00\x01\x00", Denied::Nonsense("the first frame")),
        (b"\x16\x03\x01\x00\x05late!", Denied::Nonsense("a frame of another version")),
        (b"\x01", Denied::Slow),
    ] {
        let (mut stream, admitted) = house.raw().await;
        tokio::time::sleep(SOON.handshake + Duration::from_millis(50)).await;
        stream.write_all(said).await.expect("sent");
        assert_eq!(admitted.await.unwrap().err(), Some(denied), "{said:?}");
    }
    let (greeted, admitted) = house.greet(&house.credentials()).await;
    assert!(greeted.is_ok() && admitted.is_ok(), "our own clients come in as ever");
}

#[tokio::test]
async fn versions_that_do_not_meet_and_broken_frames_get_their_code() {
    let house = house(false, |_, _| {}).await;
    let hello = |lowest, highest| {
        let mut frame = BytesMut::new();
        let (nonce, token) = ([0; 32], house.token.id().0);
        Hello { lowest, highest, nonce, token, limits: Limits::OURS, name: None, agent: None }.encode(&mut frame);
        frame
    };
    for (said, code) in [(hello(2, 9), 1), (BytesMut::from(&b"\x01\x10\x00\x00\x00\x01x"[..]), 10)] {
        let (mut stream, admitted) = house.raw().await;
        stream.write_all(&said).await.expect("sent");
        let answer = read_frame(&mut stream).await;
        assert_eq!((answer[1], answer[7]), (kind::REJECTED, code));
        assert!(admitted.await.unwrap().is_err());
    }
    let (mut stream, admitted) = house.raw().await;
    stream.write_all(&hello(0, u16::MAX)).await.expect("sent");
    assert_eq!(read_frame(&mut stream).await[6..8], [0, 1], "the version that both speak");
    stream.write_all(&hello(1, 1)).await.expect("sent");
    assert_eq!(admitted.await.unwrap().err(), Some(Denied::Nonsense("no proof after the challenge")));
}

/// Collects what is logged in the thread of the test.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn refusals_are_one_line_a_second_and_no_secret_is_ever_logged() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let guard = tracing::subscriber::set_default(subscriber);
    let house = house(true, |_, _| {}).await;
    let wrong = Token::from_parts(house.token.id(), [7; 32]);
    for token in [&house.token, &wrong, &wrong, &wrong] {
        let credentials = Credentials { token: token.clone(), ..house.credentials() };
        let (greeted, admitted) = house.greet(&credentials).await;
        tracing::trace!(?greeted, ?admitted, ?credentials, gate = ?house.gate.tally, "everything there is");
    }
    tokio::time::sleep(Duration::from_millis(1100)).await;
    drop(guard);
    let text = String::from_utf8(log.0.lock().unwrap().clone()).expect("text");
    let lines = text.lines().filter(|line| line.contains("refused before they were known")).count();
    assert_eq!(lines, 2, "the first, and the rest together:\n{text}");
    assert!(text.contains("wrong token 2"), "{text}");
    let key = std::fs::read_to_string(house.folder.path().join("tunnel-key.pem")).expect("a key");
    let secret = data_encoding::HEXLOWER.encode(house.token.expose_secret());
    let verifier = house.token.verifier();
    for canary in [
        house.token.expose(),
        house.token.expose()[20..].to_owned(),
        secret,
        format!("{:?}", house.token.expose_secret()),
        data_encoding::HEXLOWER.encode(&verifier.stored_key),
        format!("{:?}", verifier.server_key),
        key.lines().nth(1).expect("base 64").to_owned(),
    ] {
        assert!(!text.contains(&canary), "{canary}");
    }
}
