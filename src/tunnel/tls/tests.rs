//! Certificates made, kept, replaced and refused.

use std::fs;
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::disk::create_once;
use crate::host::open_to_others;
use crate::tunnel::config::Tls;

fn own(folder: &TempDir) -> TlsFiles {
    TlsFiles::of(&Tls::On { files: None, client_ca: None }, &folder.path().join("mappings.db")).expect("TLS")
}

fn given(folder: &TempDir, client_ca: bool) -> TlsFiles {
    let path = |name: &str| folder.path().join(name);
    let client_ca = client_ca.then(|| path("clients.pem"));
    TlsFiles::of(&Tls::On { files: Some((path("cert.pem"), path("key.pem"))), client_ca }, &path("x")).expect("TLS")
}

fn write(folder: &TempDir, name: &str, text: &str) {
    let path = folder.path().join(name);
    let _ = fs::remove_file(&path);
    assert!(create_once(&path, text.as_bytes(), true).expect("written"));
}

fn message(outcome: Result<ServerTls>) -> (ErrorKind, String) {
    let error = outcome.err().expect("a refusal");
    (error.kind(), error.message().to_string())
}

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(vec![]).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("an authority"))
    }

    fn issue(&self, name: &str, last_year: i32) -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("parameters");
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(last_year, 1, 1);
        (params.signed_by(&key, &self.0).expect("issued").pem(), key.serialize_pem())
    }

    fn issue_into(&self, folder: &TempDir, name: &str, last_year: i32) {
        let (certificate, key) = self.issue(name, last_year);
        write(folder, "cert.pem", &certificate);
        write(folder, "key.pem", &key);
    }
}

/// Makes one connection and one byte each way; what the client says to it.
async fn meet(server: &ServerTls, link: &ClientLink, host: &str) -> Result<(), LinkFault> {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let address = listener.local_addr().expect("an address");
    let serve = async {
        let (stream, _) = listener.accept().await.expect("a client");
        let mut stream = server.accept(stream).await.ok()?;
        let byte = stream.read_u8().await.ok()?;
        stream.write_u8(byte).await.ok()?;
        stream.shutdown().await.ok()
    };
    let dial = async {
        let stream = TcpStream::connect(address).await.expect("connected");
        let ClientLink::Tls(config) = link else { panic!("no TLS") };
        let mut stream = connect(config, &host.parse().expect("a host"), stream).await?;
        let fault = |error: std::io::Error| LinkFault::of(&error);
        stream.write_u8(7).await.map_err(fault)?;
        stream.read_u8().await.map(drop).map_err(fault)
    };
    tokio::join!(serve, dial).1
}

fn link(trust: Trust) -> ClientLink {
    ClientLinkBuilder { trust, identity: None }.build().expect("a link")
}

#[test]
fn our_own_certificate_is_made_once_with_a_private_key_and_keeps_its_pin() {
    let folder = tempfile::tempdir().expect("a folder");
    let pin = ServerTls::open(own(&folder)).expect("made").pin();
    let key = folder.path().join("tunnel-key.pem");
    assert!(!open_to_others(&fs::metadata(&key).expect("a key")));
    let before = fs::read(folder.path().join("tunnel-cert.pem")).expect("a certificate");
    assert_eq!(ServerTls::open(own(&folder)).expect("found").pin(), pin);
    assert_eq!(fs::read(folder.path().join("tunnel-cert.pem")).expect("a certificate"), before);
    fs::remove_file(folder.path().join("tunnel-cert.pem")).expect("gone");
    assert_eq!(ServerTls::open(own(&folder)).expect("made for the key that is there").pin(), pin);
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 2);

    let text = fs::read(&key).expect("a key");
    fs::remove_file(&key).expect("gone");
    fs::write(&key, text).expect("with the mode of any file");
    if open_to_others(&fs::metadata(&key).expect("a key")) {
        let error = ServerTls::open(own(&folder)).err().expect("open to others");
        assert_eq!(error.kind(), ErrorKind::Refused);
        assert!(error.way_out().expect("a way out").to_string().contains("chmod 600"));
    }
    fs::remove_file(&key).expect("gone");
    assert_eq!(message(ServerTls::open(own(&folder))).0, ErrorKind::Missing, "a certificate without its key");
    assert!(!key.exists());
    let empty = tempfile::tempdir().expect("a folder");
    assert!(ServerTls::open(given(&empty, false)).is_err() && fs::read_dir(empty.path()).unwrap().count() == 0);
}

#[test]
fn files_that_do_not_fit_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new();
    authority.issue_into(&folder, "localhost", 2090);
    write(&folder, "key.pem", &authority.issue("localhost", 2090).1);
    assert!(message(ServerTls::open(given(&folder, false))).1.contains("do not belong together"));
    write(&folder, "key.pem", "no key");
    assert!(message(ServerTls::open(given(&folder, false))).1.contains("no private key"));
    write(&folder, "cert.pem", "no certificate");
    assert!(message(ServerTls::open(given(&folder, false))).1.contains("no certificate"));
    authority.issue_into(&folder, "localhost", 2090);
    assert!(message(ServerTls::open(given(&folder, true))).1.contains("cannot read the certificate"), "no client_ca");
}

/// The pin is the one that openssl computes over the public key.
#[test]
fn a_pin_is_read_in_every_spelling_and_is_that_of_the_key() {
    let key = KeyPair::generate().expect("a key");
    let certificate =
        CertificateParams::new(vec!["x".to_owned()]).expect("parameters").self_signed(&key).expect("made");
    let pin = Pin::of(certificate.der()).expect("a pin");
    let of_key = <sha2::Sha256 as sha2::Digest>::digest(rcgen::PublicKeyData::subject_public_key_info(&key));
    assert_eq!(pin.0, <[u8; 32]>::from(of_key));
    let text = pin.to_string();
    let (prefix, digits) = text.split_at(7);
    assert_eq!((prefix, digits.len()), ("sha256:", 64));
    let pairs: Vec<&str> = digits.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap()).collect();
    for spelt in [text.clone(), digits.to_owned(), text.to_ascii_uppercase(), pairs.join(":"), format!(" {text}\n")] {
        assert_eq!(spelt.parse(), Ok(pin), "{spelt}");
    }
    for broken in [
        "",
        "sha256:",
        &digits[1..],
        &format!("{digits}0"),
        &format!("md5:{digits}"),
        &digits.replace(&digits[..1], "g"),
    ] {
        assert!(broken.parse::<Pin>().is_err(), "{broken}");
    }
}

#[tokio::test]
async fn a_pinned_server_is_accepted_whatever_its_dates_and_names() {
    let folder = tempfile::tempdir().expect("a folder");
    Authority::new().issue_into(&folder, "old.example", 2021);
    let server = ServerTls::open(given(&folder, false)).expect("a certificate");
    let pinned = link(Trust::Pin(server.pin()));
    for host in ["localhost", "127.0.0.1", "a_b"] {
        assert_eq!(meet(&server, &pinned, host).await, Ok(()), "{host}");
    }
    assert_eq!(meet(&server, &pinned, "localhost").await, Ok(()), "a resumed session");
}

#[tokio::test]
async fn another_server_is_refused_and_both_fingerprints_are_told() {
    let folders = [tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder")];
    let servers = folders.each_ref().map(|folder| ServerTls::open(own(folder)).expect("a certificate"));
    let pinned = link(Trust::Pin(servers[0].pin()));
    let fault = meet(&servers[1], &pinned, "localhost").await.expect_err("another");
    let error = fault.error("host:1".to_owned());
    let text = error.to_string();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(servers.iter().all(|server| text.contains(&server.pin().to_string())), "{text}");
    let fault = meet(&servers[1], &link(Trust::Nobody), "localhost").await.expect_err("unpinned");
    let error = fault.error("host:1".to_owned()).to_string();
    assert!(error.contains(&servers[1].pin().to_string()), "{error}");
}

#[tokio::test]
async fn with_an_authority_names_dates_and_issuers_count() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new();
    write(&folder, "ca.pem", &authority.0.pem());
    let trusting = link(Trust::Authority(folder.path().join("ca.pem")));
    let server = |name: &str, last_year: i32| {
        authority.issue_into(&folder, name, last_year);
        ServerTls::open(given(&folder, false)).expect("a certificate")
    };
    assert_eq!(meet(&server("localhost", 2090), &trusting, "localhost").await, Ok(()));
    for (server, words) in [
        (server("localhost", 2021), "expired"),
        (server("other.example", 2090), "other.example"),
        (ServerTls::open(own(&folder)).expect("our own"), "issued"),
    ] {
        let fault = meet(&server, &trusting, "localhost").await.expect_err(words);
        let error = fault.error("host:1".to_owned());
        assert!(error.to_string().contains(words), "{error}");
        let hint = error.way_out().expect("a fingerprint to compare").to_string();
        assert!(hint.contains(&server.pin().to_string()), "{hint}");
    }
}

#[tokio::test]
async fn a_server_with_client_ca_lets_in_only_its_clients() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new();
    authority.issue_into(&folder, "localhost", 2090);
    write(&folder, "clients.pem", &authority.0.pem());
    let server = ServerTls::open(given(&folder, true)).expect("a certificate");
    let pin = Trust::Pin(server.pin());
    assert_eq!(meet(&server, &link(pin.clone()), "localhost").await, Err(LinkFault::WantsCertificate));
    for (issuer, welcome) in [(&authority, true), (&Authority::new(), false)] {
        let (certificate, key) = issuer.issue("client", 2090);
        write(&folder, "client.pem", &certificate);
        write(&folder, "client-key.pem", &key);
        let identity = Some((folder.path().join("client.pem"), folder.path().join("client-key.pem")));
        let link = ClientLinkBuilder { trust: pin.clone(), identity }.build().expect("a link");
        assert_eq!(meet(&server, &link, "localhost").await.is_ok(), welcome);
    }
}

#[tokio::test]
async fn a_certificate_replaced_on_disk_is_used_and_a_broken_one_is_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new();
    authority.issue_into(&folder, "localhost", 2090);
    let server = ServerTls::open(given(&folder, false)).expect("a certificate");
    let first = server.pin();
    let later = |seconds| Instant::now() + Duration::from_secs(seconds);
    write(&folder, "cert.pem", &authority.issue("localhost", 2090).0);
    server.config_at(later(2));
    assert_eq!(server.pin(), first, "half of a renewal");
    assert_eq!(meet(&server, &link(Trust::Pin(first)), "localhost").await, Ok(()));
    authority.issue_into(&folder, "localhost", 2090);
    server.config_at(later(2));
    assert_eq!(server.pin(), first, "looked at a moment ago");
    server.config_at(later(4));
    assert_ne!(server.pin(), first);
    assert_eq!(meet(&server, &link(Trust::Pin(server.pin())), "localhost").await, Ok(()));
    fs::remove_file(folder.path().join("key.pem")).expect("gone");
    let second = server.pin();
    server.config_at(later(6));
    assert_eq!(server.pin(), second);
}

/// A `ClientHello` of TLS 1.2 as a library without 1.3 sends it.
#[tokio::test]
async fn tls_1_2_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = ServerTls::open(own(&folder)).expect("a certificate");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let address = listener.local_addr().expect("an address");
    let body = [
        &[3, 3][..],
        &[0x11; 32],
        &[0, 0, 2, 0xc0, 0x2b, 1, 0],
        &[0, 22],
        &[0, 10, 0, 4, 0, 2, 0, 23],
        &[0, 13, 0, 4, 0, 2, 4, 3],
        &[0, 11, 0, 2, 1, 0],
    ]
    .concat();
    let length = u8::try_from(body.len()).expect("short");
    let record = [&[0x16, 3, 1, 0, length + 4, 1, 0, 0, length][..], &body].concat();
    let serve = async {
        let (stream, _) = listener.accept().await.expect("a client");
        server.accept(stream).await.expect_err("refused")
    };
    let dial = async {
        let mut stream = TcpStream::connect(address).await.expect("connected");
        stream.write_all(&record).await.expect("sent");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.expect("an alert");
        answer
    };
    let (error, answer) = tokio::join!(serve, dial);
    assert_eq!(answer, [0x15, 3, 3, 0, 2, 2, 70], "protocol_version: {error}");
}
