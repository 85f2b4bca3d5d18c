//! Records beside rustls as the other end, and beside a peer that breaks each rule.

use std::future::poll_fn;
use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use rcgen::{CertificateParams, KeyPair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::{ServerConfig, SupportedCipherSuite};

use super::*;
use crate::remote::tls::VERSIONS;
use crate::tunnel::tls::record::rehearsal::{ends, sealed, sealed_raw};
use crate::tunnel::tls::{ALPN, ClientLink, Pin, Shaken, Trust, accept, connect};
use crate::tunnel::tls::{ClientLinkBuilder, record};

const SUITES: [SupportedCipherSuite; 3] = [
    ring::cipher_suite::TLS13_AES_128_GCM_SHA256,
    ring::cipher_suite::TLS13_AES_256_GCM_SHA384,
    ring::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
];

async fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let connecting = TcpStream::connect(listener.local_addr().expect("an address"));
    let (near, far) = tokio::join!(connecting, listener.accept());
    (near.expect("connected"), far.expect("accepted").0)
}

/// Client and server of a connection with this cipher, both with rustls.
async fn shaken(suite: SupportedCipherSuite) -> (Shaken, Shaken) {
    let key = KeyPair::generate().expect("a key");
    let certificate = CertificateParams::new(vec!["x".to_owned()]).expect("parameters").self_signed(&key);
    let certificate = certificate.expect("a certificate").der().clone();
    let pin = Pin::of(&certificate).expect("a pin");
    let provider = CryptoProvider { cipher_suites: vec![suite], ..ring::default_provider() };
    let builder = ServerConfig::builder_with_provider(Arc::new(provider)).with_protocol_versions(VERSIONS);
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let config = builder.expect("TLS 1.3").with_no_client_auth().with_single_cert(vec![certificate], key);
    let mut config = config.expect("a configuration");
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.enable_secret_extraction = true;
    let link = ClientLinkBuilder { trust: Trust::Pin(pin), identity: None }.build().expect("a link");
    let ClientLink::Tls(client) = link else { panic!("no TLS") };
    let (near, far) = tcp_pair().await;
    let host = "127.0.0.1".parse().expect("a host");
    let (near, far) = tokio::join!(connect(&client, &host, near), accept(&config, far));
    (near.expect("a client"), far.expect("a server"))
}

fn secure(shaken: Shaken) -> Secure {
    let (tcp, protection) = shaken.hand_over().expect("handed over");
    Secure::new(tcp, protection)
}

async fn write(end: &mut Secure, bytes: &[u8]) -> io::Result<()> {
    let mut bytes = BytesMut::from(bytes);
    poll_fn(|cx| end.poll_write(cx, &mut bytes)).await
}

async fn read(end: &mut Secure, wanted: usize) -> io::Result<BytesMut> {
    let mut bytes = BytesMut::new();
    while bytes.len() < wanted {
        let most = wanted - bytes.len();
        if poll_fn(|cx| end.poll_read(cx, &mut bytes, most)).await? == 0 {
            break;
        }
    }
    Ok(bytes)
}

fn random(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    StdRng::seed_from_u64(seed).fill_bytes(&mut bytes);
    bytes
}

/// What is left unread when rustls hands over, many pieces both ways at once, and the farewell of either side.
async fn talk(mut ours: Secure, mut theirs: Shaken) {
    let (up, down) = (random(1, 3_000_000), random(2, 2_999_999));
    let ours = async {
        let mut sent = 0;
        let mut got = BytesMut::new();
        while sent < up.len() {
            let end = (sent + 70_001).min(up.len());
            write(&mut ours, &up[sent..end]).await.expect("sent");
            sent = end;
            got.extend_from_slice(&read(&mut ours, 70_000.min(down.len() - got.len())).await.expect("received"));
        }
        poll_fn(|cx| ours.poll_finish(cx)).await.expect("a farewell");
        got.extend_from_slice(&read(&mut ours, usize::MAX).await.expect("a farewell"));
        assert!(got == down, "{} bytes", got.len());
    };
    let theirs = async {
        let (mut sent, mut got) = (0, Vec::new());
        while sent < down.len() {
            let end = (sent + 70_000).min(down.len());
            theirs.write_all(&down[sent..end]).await.expect("sent");
            theirs.flush().await.expect("sent");
            sent = end;
            let mut piece = vec![0; 70_001.min(up.len() - got.len())];
            theirs.read_exact(&mut piece).await.expect("received");
            got.extend_from_slice(&piece);
            theirs.change_keys();
        }
        theirs.shutdown().await.expect("a farewell");
        theirs.read_to_end(&mut got).await.expect("a farewell");
        assert!(got == up, "{} bytes", got.len());
    };
    tokio::join!(ours, theirs);
}

#[tokio::test]
async fn either_end_understands_rustls_with_each_cipher_while_both_change_keys() {
    for suite in SUITES {
        let (client, mut server) = shaken(suite).await;
        server.write_all(b"early").await.expect("sent");
        server.flush().await.expect("sent");
        let mut client = secure(client);
        client.outgoing.sealer.wear_out_after(20);
        assert_eq!(&read(&mut client, 5).await.expect("received")[..], b"early");
        talk(client, server).await;

        let (mut client, server) = shaken(suite).await;
        client.write_all(b"early").await.expect("sent");
        client.flush().await.expect("sent");
        let mut server = secure(server);
        server.outgoing.sealer.wear_out_after(20);
        assert_eq!(&read(&mut server, 5).await.expect("received")[..], b"early");
        talk(server, client).await;
    }
}

#[tokio::test]
async fn data_that_rustls_had_opened_is_not_lost_and_keys_that_it_changed_are_noticed() {
    let (mut client, mut server) = shaken(SUITES[0]).await;
    server.write_all(b"hello, early").await.expect("sent");
    server.flush().await.expect("sent");
    let mut start = [0; 6];
    client.read_exact(&mut start).await.expect("received");
    let mut client = secure(client);
    server.write_all(b" and late").await.expect("sent");
    server.flush().await.expect("sent");
    assert_eq!(&read(&mut client, 15).await.expect("received")[..], b" early and late");

    let (mut client, server) = shaken(SUITES[0]).await;
    client.change_keys();
    client.write_all(b"x").await.expect("sent");
    client.flush().await.expect("sent");
    assert!(client.hand_over().is_err(), "the keys that were told are not those in use");
    drop(server);
}

/// From a plain connection into records and back, without a copy, in pieces of every length.
#[tokio::test]
async fn bytes_pass_between_plain_connections_and_records() {
    let (client, server) = shaken(SUITES[0]).await;
    let (mut client, mut server) = (secure(client), secure(server));
    let ((mut source, near), (mut far, mut sink)) = (tcp_pair().await, tcp_pair().await);
    let bytes = random(3, 5_000_000);
    let send = async {
        source.write_all(&bytes).await.expect("sent");
        source.shutdown().await.expect("closed");
    };
    let seal = async {
        let mut turn = 0;
        loop {
            let most = [1, 16_383, 16_384, 16_385, 131_072, 1 << 20][turn % 6];
            turn += 1;
            let taken = poll_fn(|cx| client.poll_take(cx, &near, most)).await.expect("taken");
            assert!(taken <= most);
            poll_fn(|cx| client.poll_flush(cx)).await.expect("sent");
            if taken == 0 {
                return poll_fn(|cx| client.poll_finish(cx)).await.expect("a farewell");
            }
        }
    };
    let open = async {
        let mut turn = 0;
        while poll_fn(|cx| server.poll_open(cx)).await.expect("opened") > 0 {
            let most = [1, 50_000, 1 << 20][turn % 3];
            turn += 1;
            let passed = poll_fn(|cx| server.poll_pass(cx, &mut far, most)).await.expect("passed");
            assert!((1..=most).contains(&passed));
            server.rest();
        }
        far.shutdown().await.expect("closed");
    };
    let receive = async {
        let mut got = Vec::new();
        sink.read_to_end(&mut got).await.expect("received");
        assert!(got == bytes, "{} bytes", got.len());
    };
    tokio::join!(send, seal, open, receive);
    assert!(client.outgoing.slab.is_none() && server.incoming.bytes.capacity() == 0, "nothing is held for nothing");
}

/// Records that are all padding, more of them than a buffer holds, and some noise after the farewell.
#[tokio::test]
async fn what_brings_no_data_takes_no_room() {
    let ((mut peer, tcp), (mut sealer, opener)) = (tcp_pair().await, ends());
    let protection = Protection { sealer: ends().0, opener, early: BytesMut::new(), ended: false };
    let mut ours = Secure::new(tcp, protection);
    let padded = [&[content::DATA][..], &[0; DATA_MAX]].concat();
    let mut records: Vec<u8> = (0..EMPTY_MAX).flat_map(|_| sealed_raw(&mut sealer, &padded)).collect();
    assert!(records.len() > SPARE_BYTES);
    records.extend(sealed(&mut sealer, content::DATA, b"data"));
    records.extend(sealed(&mut sealer, content::ALERT, &[1, alert::CLOSE_NOTIFY]));
    records.extend([7; 1000]);
    let received = async {
        assert_eq!(&read(&mut ours, 9).await.expect("a farewell")[..], b"data");
        assert_eq!(poll_fn(|cx| ours.poll_open(cx)).await.expect("a farewell"), 0);
    };
    let (sent, ()) = tokio::join!(peer.write_all(&records), received);
    sent.expect("sent");
    assert_eq!(ours.incoming.bytes.capacity(), 0);
}

#[tokio::test]
async fn a_connection_that_is_cut_has_no_orderly_end() {
    let (client, server) = shaken(SUITES[0]).await;
    let (mut client, mut server) = (secure(client), secure(server));
    write(&mut server, b"some").await.expect("sent");
    drop(server);
    assert_eq!(&read(&mut client, 4).await.expect("received")[..], b"some");
    assert_eq!(read(&mut client, 1).await.expect_err("no end").kind(), io::ErrorKind::UnexpectedEof);
}

/// Gives all of it at once to who has read nothing yet.
fn understood(records: &[u8]) -> Result<Incoming, BadRecord> {
    let mut incoming = Incoming::new(ends().1, BytesMut::new(), false);
    incoming.bytes.extend_from_slice(records);
    incoming.open().map(|()| incoming)
}

fn refused(records: &[Vec<u8>]) -> &'static str {
    understood(&records.concat()).err().expect("refused").0
}

#[test]
fn a_peer_that_breaks_a_rule_is_found_out() {
    use record::content::{ALERT, DATA, HANDSHAKE};
    let (update, again) = ([24, 0, 0, 1, 0], [24, 0, 0, 1, 1]);
    let one = |content, inner: &[u8]| refused(&[sealed(&mut ends().0, content, inner)]);
    assert_eq!(one(20, &[1]), "a record of an unknown kind");
    assert_eq!(one(99, b"x"), "a record of an unknown kind");
    assert_eq!(one(ALERT, &[2, 20]), "the peer gave up");
    assert_eq!(one(ALERT, &[1]), "an alert of a wrong length");
    assert_eq!(one(ALERT, &[]), "an alert of a wrong length");
    assert_eq!(one(HANDSHAKE, &[]), "a message in pieces");
    assert_eq!(one(HANDSHAKE, &[24, 0, 0]), "a message in pieces");
    assert_eq!(one(HANDSHAKE, &[4, 0, 0, 9, 1]), "a message in pieces");
    assert_eq!(one(HANDSHAKE, &[24, 0, 0, 1, 2]), "a message out of turn");
    assert_eq!(one(HANDSHAKE, &[24, 0, 0, 2, 0, 0]), "a message out of turn");
    assert_eq!(one(HANDSHAKE, &[update, update].concat()), "a message out of turn");
    assert_eq!(one(HANDSHAKE, &[1, 0, 0, 0]), "a message out of turn");

    let mut sealer = ends().0;
    let empty: Vec<_> = (0..=EMPTY_MAX).map(|_| sealed(&mut sealer, DATA, b"")).collect();
    assert_eq!(refused(&empty), "too many records without data");
    assert!(understood(&empty[..EMPTY_MAX].concat()).is_ok());
    let mut sealer = ends().0;
    let between: Vec<_> = (0..200).map(|at| sealed(&mut sealer, DATA, if at % 30 == 0 { b"x" } else { b"" })).collect();
    assert_eq!(understood(&between.concat()).expect("in order").held, 7);

    let mut sealer = ends().0;
    let records = [sealed(&mut sealer, HANDSHAKE, &[4, 0, 0, 1, 0]), sealed(&mut sealer, HANDSHAKE, &again)];
    let incoming = understood(&records.concat()).expect("in order");
    assert!(incoming.asked && !incoming.ended, "a ticket, and a wish for new keys");
    let mut sealer = ends().0;
    let records = [sealed(&mut sealer, ALERT, &[1, 90]), sealed(&mut sealer, ALERT, &[1, 0]), b"what not".to_vec()];
    assert!(understood(&records.concat()).expect("in order").ended, "nothing after the farewell is looked at");
}

/// Records of all lengths and kinds, received in pieces of all lengths, taken in pieces of all lengths.
#[test]
fn whatever_the_pieces_are_the_data_is_the_same() {
    for seed in 0..300 {
        let mut dice = StdRng::seed_from_u64(seed);
        let (mut sealer, opener) = ends();
        let (mut stream, mut data, mut empty) = (Vec::new(), Vec::new(), 0);
        for _ in 0..dice.random_range(1..60) {
            let length = match dice.random_range(0..4) {
                0 => dice.random_range(0..4),
                1 => dice.random_range(0..300),
                2 => DATA_MAX,
                _ => dice.random_range(0..=DATA_MAX),
            };
            if dice.random_ratio(1, 10) && empty < EMPTY_MAX {
                let mut room = [0; 64];
                let length = sealer.update(&mut room).expect("sealed");
                stream.extend_from_slice(&room[..length]);
                empty += 1;
            }
            let piece = random(dice.random(), length);
            stream.extend_from_slice(&sealed(&mut sealer, content::DATA, &piece));
            data.extend_from_slice(&piece);
            empty = if piece.is_empty() { empty + 1 } else { 0 };
        }
        let mut incoming = Incoming::new(opener, BytesMut::new(), false);
        let (mut given, mut got) = (0, Vec::new());
        while got.len() < data.len() {
            let longest = if dice.random() { 40 } else { 200_000 };
            let piece = dice.random_range(1..=longest);
            let end = (given + piece).min(stream.len());
            incoming.bytes.extend_from_slice(&stream[given..end]);
            given = end;
            incoming.open().expect("in order");
            while incoming.held > 0 && dice.random_ratio(9, 10) {
                let most = dice.random_range(1..=incoming.held * 2);
                let taken: usize = incoming
                    .pieces(most)
                    .map(|piece| {
                        got.extend_from_slice(piece);
                        piece.len()
                    })
                    .sum();
                assert!(taken == most.min(incoming.held), "seed {seed}");
                incoming.take(taken);
            }
            if dice.random() {
                incoming.rest();
            }
        }
        assert!(got == data && incoming.held == 0, "seed {seed}");
    }
}
