//! What a server gives to its clients: tokens, its pin, and both with its address in a join code.
//!
//! The verbs work on the files of a configuration, beside a server that may be running; the API's key is never needed.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::address::ServerAddress;
use super::audit::Author;
use super::config::{IssuerConfig, ServerConfig, Tls, TunnelSettings};
use super::join_code::JoinCode;
use super::server::{at, sources};
use super::tls::{Pin, ServerTls, TlsFiles};
use super::token::Token;
use super::tokens::{TokenFile, TokenRecord, Tokens};
use crate::error::{Error, ErrorKind, Result};
use crate::host::outward_address;
use crate::model::{Port, PortRange, Secret};
use crate::words::Message;
use crate::words::trust::TrustWords;

/// The name of the token that a server makes at its first start.
const FIRST_TOKEN: &str = "default";

/// Where the configuration of a server comes from.
#[derive(Debug, Clone, Copy)]
pub struct Sources<'a> {
    /// The YAML file.
    pub config: Option<&'a Path>,
    /// A file of variables that complete it.
    pub env_file: Option<&'a Path>,
    /// The process's own variables.
    pub environment: &'a BTreeMap<String, String>,
}

/// A token as people see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenView {
    /// Its public name on the wire, 16 hexadecimal digits.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Public ports that its clients may serve; empty means all.
    pub ports: Vec<String>,
    /// When it was made, in UTC.
    pub created_at: String,
    /// When it was revoked.
    pub revoked_at: Option<String>,
    /// When a client with it was last there, to the minute.
    pub last_seen_at: Option<String>,
}

impl From<TokenRecord> for TokenView {
    fn from(record: TokenRecord) -> Self {
        let TokenRecord { id, name, ports, created_at, revoked_at, last_seen_at } = record;
        let ports = ports.iter().map(ToString::to_string).collect();
        Self { id, name, ports, created_at, revoked_at, last_seen_at }
    }
}

/// A fresh token, which is shown once and kept by nobody.
#[derive(Debug, Clone)]
pub struct IssuedToken {
    /// What is known of it.
    pub view: TokenView,
    /// The token.
    pub token: Secret,
    /// The join code that holds it.
    pub join_code: Secret,
    /// The server's fingerprint; `None` for a server in plaintext.
    pub pin: Option<String>,
}

/// Makes a token called `name` for these public ports; none means all.
///
/// A name that a token has is [`ErrorKind::Refused`]; makes the server's certificate where it is missing.
pub fn create(from: Sources<'_>, name: &str, ports: &[PortRange]) -> Result<IssuedToken> {
    issue(&read(from)?, name, ports, Author::local())
}

/// Makes a token as [`create`] does, for `author`.
pub(crate) fn issue(config: &IssuerConfig, name: &str, ports: &[PortRange], author: Author) -> Result<IssuedToken> {
    let server = advertised(&config.tunnel)?;
    let file = TokenFile::open(&config.database)?.by(author);
    let pin = TlsFiles::of(&config.tunnel.tls, &config.database.path).map(|files| files.pin()).transpose()?;
    let token = Token::random();
    let view = file.insert(&token, name, ports)?.into();
    let text = Secret::new(token.expose());
    let join_code = JoinCode { server, token, pin }.expose();
    Ok(IssuedToken { view, token: text, join_code, pin: pin.map(|pin| pin.to_string()) })
}

/// Returns every token, also the revoked ones.
pub fn list(from: Sources<'_>) -> Result<Vec<TokenView>> {
    list_in(&read(from)?)
}

/// Returns every token as [`list`] does.
pub(crate) fn list_in(config: &IssuerConfig) -> Result<Vec<TokenView>> {
    let records = TokenFile::open(&config.database)?.list()?;
    Ok(records.into_iter().map(TokenView::from).collect())
}

/// Revokes the token that `which` names, for `author`; none is [`ErrorKind::Refused`].
pub(crate) fn take_back(config: &IssuerConfig, which: &str, author: Author) -> Result<TokenView> {
    let file = TokenFile::open(&config.database)?.by(author);
    file.revoke(&file.find(which)?.id).map(TokenView::from)
}

/// Finds a token by its id or its name; none is [`ErrorKind::Refused`].
pub fn find(from: Sources<'_>, which: &str) -> Result<TokenView> {
    TokenFile::open(&read(from)?.database)?.find(which).map(TokenView::from)
}

/// Revokes a token that [`find`] has found; a running server cuts its clients off within a second.
pub fn revoke(from: Sources<'_>, token: &TokenView) -> Result<TokenView> {
    TokenFile::open(&read(from)?.database)?.revoke(&token.id).map(TokenView::from)
}

/// Tells whether a configuration says by itself where clients find the server. One that cannot be read does not.
#[must_use]
pub fn names_address(yaml: &str, env_file: &str) -> bool {
    let variables = dotenvy::from_read_iter(env_file.as_bytes()).collect::<Result<BTreeMap<_, _>, _>>();
    let config = variables.ok().and_then(|variables| IssuerConfig::parse(yaml, &variables).ok());
    config.is_some_and(|config| config.tunnel.address.is_some())
}

fn read(from: Sources<'_>) -> Result<IssuerConfig> {
    let (yaml, variables) = sources(from.config, from.env_file, from.environment)?;
    IssuerConfig::parse(&yaml, &variables).map_err(|error| at(error, from.config))
}

/// Returns where clients find the server: as configured, else where it listens; where it listens everywhere, the
/// address that this machine uses towards the internet.
fn advertised(tunnel: &TunnelSettings) -> Result<ServerAddress> {
    if let Some(address) = &tunnel.address {
        return Ok(address.clone());
    }
    let (listen, port) = (tunnel.listen.ip(), tunnel.listen.port());
    let loopback = || std::net::Ipv4Addr::LOCALHOST.into();
    let address = if listen.is_unspecified() { outward_address().unwrap_or_else(loopback) } else { listen };
    let port = Port::new(port).ok_or_else(|| Error::new(ErrorKind::Usage, TrustWords::NoTunnelPort))?;
    Ok(ServerAddress::from((address, port)))
}

/// What a server needs at its door.
pub(crate) struct Door {
    /// The certificate; `None` for plaintext.
    pub(crate) tls: Option<Arc<ServerTls>>,
    /// Who is let in.
    pub(crate) tokens: Tokens,
    /// At the first start, the code of the first token, to be shown once.
    pub(crate) join_code: Option<Secret>,
}

impl Door {
    /// Reads or makes certificate and tokens, after the store has brought the database up to date. Plaintext that
    /// other machines can reach is [`ErrorKind::Refused`] unless a person insists.
    pub(crate) fn open(config: &ServerConfig, file: TokenFile, insecure: bool) -> Result<Self> {
        let tunnel = &config.tunnel;
        if tunnel.tls == Tls::Off {
            judge_plaintext(tunnel, insecure)?;
        }
        let files = TlsFiles::of(&tunnel.tls, &config.database.path);
        let tls = files.map(ServerTls::open).transpose()?.map(Arc::new);
        let pin = tls.as_ref().map(|tls| tls.pin());
        if let Some(pin) = pin {
            tracing::info!(%pin, "clients know this server by its pin");
        }
        let mut join_code = None;
        if file.is_fresh()? {
            if config.first_token {
                join_code = first_join_code(tunnel, &file, pin)?;
            } else {
                tracing::info!("no client can connect yet; `portwright tunnel token create --name NAME` makes a token");
            }
        }
        Ok(Self { tls, tokens: Tokens::watch(file)?, join_code })
    }
}

fn first_join_code(tunnel: &TunnelSettings, file: &TokenFile, pin: Option<Pin>) -> Result<Option<Secret>> {
    let (server, token) = (advertised(tunnel)?, Token::random());
    match file.insert(&token, FIRST_TOKEN, &[]) {
        Ok(_) => Ok(Some(JoinCode { server, token, pin }.expose())),
        // Another server on the same database was first, and shows the code of its token.
        Err(error) if matches!(error.message(), Message::Trust(TrustWords::TokenNameTaken { .. })) => Ok(None),
        Err(error) => Err(error),
    }
}

fn judge_plaintext(tunnel: &TunnelSettings, insecure: bool) -> Result<()> {
    if tunnel.listen.ip().is_loopback() {
        return Ok(());
    }
    if !insecure {
        let address = tunnel.listen.to_string();
        return Err(
            Error::new(ErrorKind::Refused, TrustWords::PlaintextListener { address }).hint(TrustWords::TlsOrLoopback)
        );
    }
    tracing::warn!(listen = %tunnel.listen, "the tunnel speaks plaintext; everybody on the way can read and change it");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn config(folder: &Path, more: &str) -> ServerConfig {
        let yaml = format!("database: {{ path: {}/mappings.db }}\ntunnel: {{ {more} }}", folder.display());
        let key = environment(&[("PORTWRIGHT_API_API_KEY", "8f1d2c3b4a5968778695a4b3c2d1e0ff")]);
        ServerConfig::parse(&yaml, &key, |_| unreachable!("no key file")).expect("a configuration")
    }

    fn open_door(config: &ServerConfig, insecure: bool) -> Result<Door> {
        Door::open(config, TokenFile::open(&config.database)?, insecure)
    }

    #[test]
    fn a_first_start_makes_one_token_and_shows_its_code_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let config = config(folder.path(), "address: 'tunnel.example.org:443'");
        let door = open_door(&config, false).expect("a door");
        let code: JoinCode = door.join_code.expect("a code").expose().parse().expect("whole");
        assert_eq!(code.server.to_string(), "tunnel.example.org:443");
        assert_eq!(code.pin, door.tls.as_ref().map(|tls| tls.pin()));
        let row = door.tokens.get(code.token.id()).expect("known");
        assert_eq!((row.name.as_str(), &row.verifier), ("default", &code.token.verifier()));
        assert!(open_door(&config, false).expect("a door").join_code.is_none(), "a second start");
        let file = TokenFile::open(&config.database).expect("the tokens");
        file.revoke(&row.id.to_string()).expect("revoked");
        assert!(open_door(&config, false).expect("a door").join_code.is_none(), "revoked is not the same as none");
        let stored = std::fs::read(&config.database.path).expect("the database");
        let secret = code.token.expose_secret();
        assert!(!stored.windows(32).any(|window| window == secret), "the database does not hold the token");
    }

    #[test]
    fn a_token_needs_no_api_key_and_its_code_says_where_the_server_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let database = folder.path().join("mappings.db").display().to_string();
        let code = |more: &[(&str, &str)], name: &str| {
            let mut variables = environment(&[("PORTWRIGHT_DATABASE_PATH", &database)]);
            variables.extend(environment(more));
            let from = Sources { config: None, env_file: None, environment: &variables };
            let issued = create(from, name, &["10000-10009".parse().unwrap()]).expect("a token");
            assert_eq!(
                (issued.view.name.as_str(), issued.view.ports.as_slice()),
                (name, &["10000-10009".to_owned()][..])
            );
            let code: JoinCode = issued.join_code.expose().parse().expect("a code");
            assert_eq!(
                (code.token.expose(), code.pin.map(|pin| pin.to_string())),
                (issued.token.expose().to_owned(), issued.pin)
            );
            code
        };
        let everywhere = code(&[], "a");
        let outward = outward_address().unwrap_or_else(|| std::net::Ipv4Addr::LOCALHOST.into());
        assert_eq!(everywhere.server, ServerAddress::from((outward, Port::new(9000).unwrap())));
        assert!(everywhere.pin.is_some());
        let local = [("PORTWRIGHT_TUNNEL_LISTEN", "127.0.0.1"), ("PORTWRIGHT_TUNNEL_TLS", "off")];
        let plain = code(&local, "b");
        assert_eq!((plain.server.to_string().as_str(), plain.pin), ("127.0.0.1:9000", None));
        assert_eq!(
            code(&[("PORTWRIGHT_TUNNEL_ADDRESS", "[2001:db8::1]:1")], "c").server.to_string(),
            "[2001:db8::1]:1"
        );
    }

    #[test]
    fn a_server_that_was_told_not_to_makes_no_token() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut config = config(folder.path(), "");
        config.first_token = false;
        let door = open_door(&config, false).expect("a door");
        assert!(door.join_code.is_none());
        assert_eq!(TokenFile::open(&config.database).expect("the tokens").list().expect("none"), []);
    }

    #[test]
    fn an_address_is_named_by_the_configuration_or_its_variables() {
        assert!(names_address("tunnel: { address: 'example.org:9000' }", ""));
        assert!(names_address("", "PORTWRIGHT_TUNNEL_ADDRESS=example.org:9000\n"));
        for (yaml, variables) in [("", "API_PORT=1\n"), ("tunnel: { listen_port: 9000 }", ""), ("tunnel: [", "=")] {
            assert!(!names_address(yaml, variables), "{yaml} {variables}");
        }
    }

    #[test]
    fn plaintext_for_other_machines_needs_a_person_who_insists() {
        let folder = tempfile::tempdir().expect("a folder");
        let open =
            |more: &str, insecure| open_door(&config(folder.path(), more), insecure).map(|door| door.tls.is_none());
        let error = open("tls: off", false).expect_err("refused");
        assert!(error.kind() == ErrorKind::Refused && error.way_out().is_some());
        assert_eq!(open("tls: off", true), Ok(true));
        assert_eq!(open("tls: off, listen: 127.0.0.1", false), Ok(true));
        assert_eq!(open("tls: auto", false), Ok(false));
    }
}
