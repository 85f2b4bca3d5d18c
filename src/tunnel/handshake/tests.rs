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

use super::*;
use crate::error::ErrorKind;
use crate::tunnel::config::Tls;
use crate::tunnel::proto::frame::{Header, kind};
use crate::tunnel::proto::hello::{RejectCode, Rejected};
use crate::tunnel::proto::limits::Limits;
use crate::tunnel::tls::{ClientLinkBuilder, LinkFault, Pin, ServerTls, TlsFiles, Trust, Why};
use crate::tunnel::token::{SessionKey, Token, TokenId};

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

    fn may_begin(&self, identity: &Identity) -> Result<(), Rejected> {
        if self.taken.as_ref() == Some(&identity.name) {
            return Err(Rejected { code: RejectCode::Connected, retry_after_s: 2, text: String::new() });
        }
        Ok(())
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
    /// Admits the next connection.
    async fn next(&self) -> JoinHandle<Result<Admitted, Denied>> {
        let (stream, peer) = self.listener.accept().await.expect("a connection");
        let permit = self.gate.enter(peer).expect("room");
        let gate = Arc::clone(&self.gate);
        tokio::spawn(async move { admit(stream, peer, permit, &gate).await })
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
