//! etcd's JSON gateway (`/v3/…`, part of every etcd since 3.4): one connection, with TLS and a password where the URL has
//! them. Keys and values are base64, whole numbers are text, as the gateway's protobuf has them.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use data_encoding::BASE64;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::error::{Error, ErrorKind, Result};
use crate::model::Secret;
use crate::remote::tls::client_config;
use crate::words::lease::LeaseWords;

/// The port of etcd's clients, from its documentation.
const PORT: u16 = 2379;

/// The protocol name (ALPN) of HTTP/1.1, RFC 7301.
const ALPN: &[u8] = b"http/1.1";

/// What an etcd says whose token has ended; a new one is asked for.
const TOKEN_ENDED: &str = "invalid auth token";

/// Where an etcd is, and who we are there.
pub(super) struct Place {
    endpoints: Vec<(String, u16)>,
    user: Option<(String, Secret)>,
    tls: Option<Arc<ClientConfig>>,
    /// For people: the endpoints, never the password.
    pub(super) address: String,
}

/// Why nothing came of it.
#[derive(Debug)]
pub(super) enum Fault {
    /// The connection failed, or the token has ended: worth another try.
    Lost(String),
    /// The etcd refused.
    Refused(String),
}

impl Fault {
    fn lost(error: impl std::fmt::Display) -> Self {
        Self::Lost(error.to_string())
    }
}

pub(super) type Outcome<T> = std::result::Result<T, Fault>;

trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

impl Place {
    /// Reads `etcd://[USER:PASSWORD@]HOST[:PORT][,HOST[:PORT]…]`, or `etcds://` with `?cacert=FILE` behind it.
    pub(super) fn read(url: &Secret) -> Result<Self> {
        let wrong = || Error::new(ErrorKind::Usage, LeaseWords::StoreUrlWrong);
        let (scheme, rest) = url.expose().trim().split_once("://").ok_or_else(wrong)?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (user, hosts) = match rest.rsplit_once('@') {
            Some((user, hosts)) => (Some(user.split_once(':').ok_or_else(wrong)?), hosts),
            None => (None, rest),
        };
        let user = user.map(|(name, password)| Some((decoded(name)?, Secret::new(decoded(password)?))));
        let user = user.map_or(Ok(None), |user| user.map(Some).ok_or_else(wrong))?;
        let address = hosts.trim_end_matches('/').to_owned();
        let endpoints = address.split(',').map(endpoint).collect::<Option<Vec<_>>>().ok_or_else(wrong)?;
        let authority = match query.split_once('=') {
            None if query.is_empty() => None,
            Some(("cacert", path)) => Some(PathBuf::from(decoded(path).ok_or_else(wrong)?)),
            _ => return Err(wrong()),
        };
        let tls = match (scheme, authority) {
            ("etcd", None) => None,
            ("etcds", Some(path)) => Some(Arc::new(client_config(Some(&path), ALPN)?)),
            ("etcds", None) => return Err(Error::new(ErrorKind::Usage, LeaseWords::EtcdRootsMissing)),
            _ => return Err(wrong()),
        };
        Ok(Self { endpoints, user, tls, address })
    }
}

/// Reads `HOST`, `HOST:PORT`, `[IPV6]` or `[IPV6]:PORT`.
fn endpoint(text: &str) -> Option<(String, u16)> {
    let (host, rest) = match text.strip_prefix('[') {
        Some(inner) => inner.split_once(']')?,
        None => text.find(':').map_or((text, ""), |at| text.split_at(at)),
    };
    let port = match rest.strip_prefix(':') {
        Some(port) => port.parse().ok()?,
        None if rest.is_empty() => PORT,
        None => return None,
    };
    (!host.is_empty()).then(|| (host.to_owned(), port))
}

/// Takes `%XX` apart.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let hex = |digit: Option<u8>| char::from(digit?).to_digit(16);
        let byte = if byte == b'%' { u8::try_from(hex(rest.next())? * 16 + hex(rest.next())?).ok()? } else { byte };
        bytes.push(byte);
    }
    String::from_utf8(bytes).ok()
}

/// A connection to one of the endpoints.
pub(super) struct Gateway {
    sender: SendRequest<Full<Bytes>>,
    host: String,
    token: Option<Secret>,
}

impl Gateway {
    /// Connects to the first endpoint that answers.
    pub(super) async fn connect(place: &Place) -> Outcome<Self> {
        let mut last = Fault::Lost(String::new());
        for (host, port) in &place.endpoints {
            match Self::reach(place, host, *port).await {
                Ok(gateway) => return Ok(gateway),
                Err(fault) => last = fault,
            }
        }
        Err(last)
    }

    async fn reach(place: &Place, host: &str, port: u16) -> Outcome<Self> {
        let stream = TcpStream::connect((host, port)).await.map_err(Fault::lost)?;
        stream.set_nodelay(true).map_err(Fault::lost)?;
        let stream: Box<dyn Wire> = match &place.tls {
            None => Box::new(stream),
            Some(config) => {
                let name = ServerName::try_from(host.to_owned()).map_err(Fault::lost)?;
                let connector = TlsConnector::from(Arc::clone(config));
                Box::new(connector.connect(name, stream).await.map_err(Fault::lost)?)
            }
        };
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(Fault::lost)?;
        // It ends with its sender; what goes wrong is told there.
        tokio::spawn(async move { drop(connection.await) });
        let host = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        let mut gateway = Self { sender, host, token: None };
        if let Some((name, password)) = &place.user {
            let asked = json!({ "name": name, "password": password.expose() });
            let answer = gateway.ask("auth/authenticate", &asked).await?;
            gateway.token = at(&answer, "/token").as_str().map(Secret::new);
        }
        Ok(gateway)
    }

    pub(super) fn has_ended(&self) -> bool {
        self.sender.is_closed()
    }

    /// Asks `/v3/ROUTE`.
    pub(super) async fn ask(&mut self, route: &str, body: &Value) -> Outcome<Value> {
        let request = Request::post(format!("/v3/{route}")).header(HOST, &self.host);
        let request = request.header(CONTENT_TYPE, "application/json");
        let request = match &self.token {
            Some(token) => request.header(AUTHORIZATION, token.expose()),
            None => request,
        };
        let request = request.body(Full::new(Bytes::from(body.to_string()))).map_err(Fault::lost)?;
        self.sender.ready().await.map_err(Fault::lost)?;
        let response = self.sender.send_request(request).await.map_err(Fault::lost)?;
        let status = response.status();
        let bytes = response.into_body().collect().await.map_err(Fault::lost)?.to_bytes();
        let answer: Value = serde_json::from_slice(&bytes).map_err(|_| Fault::Refused(format!("HTTP {status}")))?;
        if status == StatusCode::OK {
            return Ok(answer);
        }
        let said = ["/message", "/error"].iter().find_map(|name| at(&answer, name).as_str()).unwrap_or("?").to_owned();
        let is_for_now = said.contains(TOKEN_ENDED) || status == StatusCode::SERVICE_UNAVAILABLE;
        Err(if is_for_now { Fault::Lost(said) } else { Fault::Refused(said) })
    }
}

/// Returns what is at `path` (RFC 6901) of an answer; the gateway leaves out what is empty or 0.
pub(super) fn at<'a>(answer: &'a Value, path: &str) -> &'a Value {
    answer.pointer(path).unwrap_or(&Value::Null)
}

/// Returns the keys of an answer.
pub(super) fn keys(answer: &Value) -> &[Value] {
    at(answer, "/kvs").as_array().map(Vec::as_slice).unwrap_or_default()
}

/// Writes bytes as the gateway has them.
pub(super) fn encoded(text: &str) -> String {
    BASE64.encode(text.as_bytes())
}

/// Reads a text of the gateway.
pub(super) fn text(value: &Value) -> Option<String> {
    String::from_utf8(BASE64.decode(value.as_str()?.as_bytes()).ok()?).ok()
}

/// Reads a whole number, which the gateway leaves out when it is 0.
pub(super) fn number(value: &Value) -> i64 {
    value.as_i64().or_else(|| value.as_str()?.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_endpoints_and_a_user_whose_password_is_never_repeated() {
        let place = Place::read(&Secret::new("etcd://fleet:can%40ary@one:1,[::1],two")).unwrap();
        let there = [("one".to_owned(), 1), ("::1".to_owned(), PORT), ("two".to_owned(), PORT)];
        assert_eq!((place.endpoints.as_slice(), place.address.as_str()), (&there[..], "one:1,[::1],two"));
        assert_eq!(
            place.user.map(|(name, password)| (name, password.expose().to_owned())),
            Some(("fleet".into(), "can@ary".into()))
        );
        for wrong in
            ["etcd://", "etcd://canary@one", "etcd://one:x", "etcd://one,,two", "etcds://one", "etcd://one?a=b"]
        {
            let Err(error) = Place::read(&Secret::new(wrong)) else { panic!("{wrong} was read") };
            assert!(error.kind() == ErrorKind::Usage && !error.to_string().contains("canary"), "{error}");
        }
    }
}
