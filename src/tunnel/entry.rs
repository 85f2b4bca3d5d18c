//! What a client was told about its server, read and judged before it dials: a join code, or address, token and trust.

use std::path::{Path, PathBuf};

use super::address::ServerAddress;
use super::join_code::{JoinCode, JoinCodeFault};
use super::tls::{ClientLink, ClientLinkBuilder, Trust};
use super::token::Token;
use crate::error::{Error, ErrorKind, Result};
use crate::host::read_secret;
use crate::model::Secret;
use crate::words::Message;
use crate::words::trust::TrustWords;

/// What was typed or configured; nothing of it is judged yet.
#[derive(Debug, Clone, Default)]
pub(crate) struct EntryWishes {
    /// A join code, which takes the place of server, token and pin.
    pub(crate) join: Option<Secret>,
    /// `HOST:PORT`.
    pub(crate) server: Option<String>,
    /// The token itself, from a variable or from stdin.
    pub(crate) token: Option<Secret>,
    /// A private file that holds the token.
    pub(crate) token_file: Option<PathBuf>,
    /// The server's fingerprint.
    pub(crate) pin: Option<String>,
    /// The certificate of the server's authority.
    pub(crate) ca: Option<PathBuf>,
    /// Certificate and key of this client.
    pub(crate) identity: Option<(PathBuf, PathBuf)>,
    /// Whether a person insists on plaintext.
    pub(crate) insecure: bool,
}

/// All that a client needs to connect, again and again.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// Where the server is.
    pub(crate) server: ServerAddress,
    /// What the client proves.
    pub(crate) token: Token,
    /// How connections are made.
    pub(crate) link: ClientLink,
}

impl Entry {
    /// Reads the wishes. What contradicts itself or cannot be read is [`ErrorKind::Usage`]; no token is
    /// [`ErrorKind::Refused`].
    pub(crate) fn read(wishes: &EntryWishes) -> Result<Self> {
        let EntryWishes { join, server, token, token_file, pin, ca, identity, insecure } = wishes;
        let told = server.is_some() || token.is_some() || token_file.is_some() || pin.is_some() || ca.is_some();
        let (server, token, trust) = match join {
            Some(_) if told => return Err(Error::new(ErrorKind::Usage, TrustWords::JoinCodeSaysAll)),
            Some(code) => {
                let JoinCode { server, token, pin } = read_code(code)?;
                (server, token, pin.map_or(Trust::Plaintext { insecure: *insecure }, Trust::Pin))
            }
            None => {
                let server = read_server(server.as_deref())?;
                (server, read_token(token.as_ref(), token_file.as_deref())?, trust(wishes)?)
            }
        };
        if *insecure && matches!(trust, Trust::Pin(_) | Trust::Authority(_)) {
            return Err(Error::new(ErrorKind::Usage, TrustWords::InsecureWithPin));
        }
        let link = ClientLinkBuilder { trust, identity: identity.clone() }.build()?;
        Ok(Self { server, token, link })
    }

    /// Reads what is needed for a server of version 1: its address, and whether a person insists on plaintext.
    pub(crate) fn v1(server: Option<&str>, insecure: bool) -> Result<(ServerAddress, ClientLink)> {
        let server = read_server(server)?;
        Ok((server, ClientLinkBuilder { trust: Trust::Plaintext { insecure }, identity: None }.build()?))
    }
}

fn read_server(server: Option<&str>) -> Result<ServerAddress> {
    let server = server.ok_or_else(|| Error::new(ErrorKind::Usage, TrustWords::WhichServer))?;
    server.parse().map_err(|_| Error::new(ErrorKind::Usage, TrustWords::BadServer))
}

pub(super) fn read_code(code: &Secret) -> Result<JoinCode> {
    code.expose().parse().map_err(|fault| match fault {
        JoinCodeFault::Foreign => Error::new(ErrorKind::Usage, TrustWords::JoinCodeForeign),
        JoinCodeFault::Damaged => {
            Error::new(ErrorKind::Usage, TrustWords::JoinCodeDamaged).hint(TrustWords::CopyWholeCode)
        }
        JoinCodeFault::Newer => {
            Error::new(ErrorKind::Refused, TrustWords::JoinCodeNewer).hint(TrustWords::SameVersions)
        }
    })
}

fn trust(wishes: &EntryWishes) -> Result<Trust> {
    match (&wishes.pin, &wishes.ca) {
        (Some(_), Some(_)) => Err(Error::new(ErrorKind::Usage, TrustWords::PinOrAuthority)),
        (Some(pin), None) => {
            let pin = pin.parse().map_err(|_| Error::new(ErrorKind::Usage, TrustWords::BadPin))?;
            Ok(Trust::Pin(pin))
        }
        (None, Some(file)) => Ok(Trust::Authority(file.clone())),
        (None, None) if wishes.insecure => Ok(Trust::Plaintext { insecure: true }),
        (None, None) => Ok(Trust::Nobody),
    }
}

/// Reads the token; one that is not there, or is none, never lets the client start without.
fn read_token(token: Option<&Secret>, file: Option<&Path>) -> Result<Token> {
    let text = match (token, file) {
        (Some(_), Some(_)) => return Err(Error::new(ErrorKind::Usage, TrustWords::TokenTwice)),
        (Some(text), None) => text.clone(),
        (None, Some(path)) => {
            let open = |path| Message::from(TrustWords::SecretFileOpen { path });
            let close = |path| Message::from(TrustWords::CloseSecretFile { path });
            Secret::new(read_secret(path, TrustWords::TokenUnreadable, open, close)?)
        }
        (None, None) => {
            return Err(Error::new(ErrorKind::Refused, TrustWords::TokenMissing).hint(TrustWords::NewToken));
        }
    };
    let refused = |_| Error::new(ErrorKind::Refused, TrustWords::BadToken).hint(TrustWords::NewToken);
    text.expose().parse().map_err(refused)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::create_once;
    use crate::host::open_to_others;
    use crate::tunnel::tls::Pin;

    fn wishes() -> EntryWishes {
        EntryWishes {
            server: Some("tunnel.example.org:9000".to_owned()),
            token: Some(Secret::new(Token::random().expose())),
            ..EntryWishes::default()
        }
    }

    fn kind(wishes: &EntryWishes) -> ErrorKind {
        Entry::read(wishes).expect_err("a refusal").kind()
    }

    #[test]
    fn a_join_code_says_all_and_nothing_may_contradict_it() {
        let token = Token::random();
        let server = "tunnel.example.org:9000".parse().unwrap();
        let code = JoinCode { server, token: token.clone(), pin: Some(Pin([7; 32])) }.expose();
        let join = |text: &str| EntryWishes { join: Some(Secret::new(text)), ..EntryWishes::default() };
        let entry = Entry::read(&join(code.expose())).expect("all that is needed");
        assert_eq!(
            (entry.server.to_string().as_str(), entry.token.expose()),
            ("tunnel.example.org:9000", token.expose())
        );
        assert!(matches!(entry.link, ClientLink::Tls(_)));
        let letters = &token.expose()[10..];
        assert!(!format!("{entry:?} {:?}", join(code.expose())).contains(letters));
        for broken in [&code.expose()[..100], "pwj_", &code.expose().replacen('a', "b", 1), "hello"] {
            let error = Entry::read(&join(broken)).expect_err("damaged");
            assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
        }
        let damaged = Entry::read(&join(&code.expose()[..100])).expect_err("damaged");
        assert!(damaged.to_string().contains("damaged"), "{damaged}");
        assert_eq!(kind(&EntryWishes { join: Some(code.clone()), ..wishes() }), ErrorKind::Usage);
        assert_eq!(kind(&EntryWishes { insecure: true, ..join(code.expose()) }), ErrorKind::Usage);
    }

    #[test]
    fn no_token_no_start_and_nothing_is_ignored() {
        assert!(Entry::read(&wishes()).is_ok());
        for text in ["", "changeme", "your-secret", "linux.do", "pwt_", "8f1d2c3b4a5968778695a4b3c2d1e0ff"] {
            assert_eq!(kind(&EntryWishes { token: Some(Secret::new(text)), ..wishes() }), ErrorKind::Refused, "{text}");
        }
        assert_eq!(kind(&EntryWishes { token: None, ..wishes() }), ErrorKind::Refused);
        assert_eq!(kind(&EntryWishes { server: None, ..wishes() }), ErrorKind::Usage);
        assert_eq!(kind(&EntryWishes { server: Some("host".to_owned()), ..wishes() }), ErrorKind::Usage);
        assert_eq!(kind(&EntryWishes { pin: Some("sha256:12".to_owned()), ..wishes() }), ErrorKind::Usage);
        let pin = Some(Pin([1; 32]).to_string());
        assert_eq!(kind(&EntryWishes { pin: pin.clone(), ca: Some("ca.pem".into()), ..wishes() }), ErrorKind::Usage);
        assert_eq!(kind(&EntryWishes { pin: pin.clone(), insecure: true, ..wishes() }), ErrorKind::Usage);
        assert_eq!(kind(&EntryWishes { token_file: Some("file".into()), ..wishes() }), ErrorKind::Usage);
        assert_eq!(kind(&EntryWishes { ca: Some("/nonexistent/ca.pem".into()), ..wishes() }), ErrorKind::Missing);
        assert!(Entry::read(&EntryWishes { pin, ..wishes() }).is_ok());
    }

    #[test]
    fn a_token_file_is_for_its_owner_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let (token, path) = (Token::random(), folder.path().join("token"));
        let of = |path: &Path| EntryWishes { token: None, token_file: Some(path.to_path_buf()), ..wishes() };
        assert_eq!(kind(&of(&path)), ErrorKind::Missing);
        create_once(&path, format!("{}\n", token.expose()).as_bytes(), true).expect("written");
        assert_eq!(Entry::read(&of(&path)).expect("read").token.expose(), token.expose());
        let open = folder.path().join("open");
        std::fs::write(&open, token.expose()).expect("written");
        if open_to_others(&std::fs::metadata(&open).expect("a file")) {
            assert_eq!(kind(&of(&open)), ErrorKind::Refused);
        }
    }
}
