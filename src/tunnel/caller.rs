//! Talks to the API of a running server: what the verbs for mappings stand on.
//!
//! The server's API has no TLS of its own; what a proxy before it shows is judged by the authority that is named. The key
//! goes in a header and nowhere else.

use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper::header::{ACCEPT_LANGUAGE, AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::policy::Host;
use super::server::read_key;
use super::tls::{LinkFault, WebTls};
use crate::error::{Error, ErrorKind, Result};
use crate::model::Secret;
use crate::words::Lang;
use crate::words::tunnel::TunnelWords;

/// How long a connection may take, and how long an answer: a removal waits for the disk alone.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
const ANSWER_DEADLINE: Duration = Duration::from_secs(30);

/// The most that is read of an answer; ten thousand mappings need a quarter of it.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Where an API is: `http://HOST:PORT` or `https://HOST:PORT`, without a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiUrl {
    authority: String,
    is_https: bool,
}

impl ApiUrl {
    /// The API at `address`, which is a host or an address in brackets with a port.
    #[must_use]
    pub fn at(address: impl fmt::Display) -> Self {
        Self { authority: address.to_string(), is_https: false }
    }

    /// Tells whether it is reached by TLS.
    #[must_use]
    pub const fn is_https(&self) -> bool {
        self.is_https
    }
}

impl fmt::Display for ApiUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_https { "https" } else { "http" };
        write!(formatter, "{scheme}://{}", self.authority)
    }
}

impl FromStr for ApiUrl {
    type Err = TunnelWords;

    /// Reads `http://HOST[:PORT]`, `https://HOST[:PORT]` or `HOST:PORT`; without a port it is 80 or 443, as in every URL.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (bare, usual, is_https) = match (text.strip_prefix("http://"), text.strip_prefix("https://")) {
            (Some(rest), _) => (rest, Some(80), false),
            (None, Some(rest)) => (rest, Some(443), true),
            (None, None) => (text, None, false),
        };
        let authority = bare.strip_suffix('/').unwrap_or(bare);
        let uri: hyper::Uri = format!("http://{authority}/").parse().map_err(|_| TunnelWords::ApiUrlBroken)?;
        let plain = uri.path() == "/" && uri.query().is_none() && !authority.contains('@');
        match (uri.host(), uri.port_u16(), usual) {
            (Some(host), Some(port), _) if plain && port > 0 => {
                Ok(Self { authority: format!("{host}:{port}"), is_https })
            }
            (Some(host), None, Some(port)) if plain && authority == host => {
                Ok(Self { authority: format!("{host}:{port}"), is_https })
            }
            _ => Err(TunnelWords::ApiUrlBroken),
        }
    }
}

/// A caller of one API.
#[derive(Debug, Clone)]
pub struct Caller {
    url: ApiUrl,
    key: Secret,
    lang: Lang,
    tls: Option<WebTls>,
}

impl Caller {
    /// Makes a caller whose refusals are worded in `lang`.
    #[must_use]
    pub fn new(url: ApiUrl, key: Secret, lang: Lang) -> Self {
        Self { url, key, lang, tls: None }
    }

    /// Takes for an API behind TLS whoever has a certificate of this authority.
    ///
    /// # Errors
    /// `Missing` when the file cannot be read or holds no certificate.
    pub fn trusting(self, authority: &Path) -> Result<Self> {
        Ok(Self { tls: Some(WebTls::trusting(authority)?), ..self })
    }

    /// Asks, and returns what the answer says: `data` in an envelope, all of it elsewhere.
    ///
    /// Nobody who answers is [`ErrorKind::Missing`]; a refusal, whatever its code, is [`ErrorKind::Refused`].
    pub async fn get(&self, path: &str) -> Result<Value> {
        self.ask(Method::GET, path, Bytes::new()).await
    }

    /// Asks for a change. As [`Caller::get`]; where the answer got lost, the change may have been made, which is
    /// [`ErrorKind::Partial`].
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.ask(Method::POST, path, body.to_string().into()).await
    }

    async fn ask(&self, method: Method, path: &str, body: Bytes) -> Result<Value> {
        let connecting = timeout(CONNECT_DEADLINE, TcpStream::connect(&self.url.authority)).await;
        let connected = connecting.map_err(|_| self.unreachable("timed out"))?;
        let stream = connected.map_err(|error| self.unreachable(&error.to_string()))?;
        if !self.url.is_https {
            return self.exchange(stream, method, path, body).await;
        }
        // Without an authority nobody can be trusted; whoever forgets it is told so before.
        let tls = self.tls.as_ref().ok_or_else(|| Error::new(ErrorKind::Usage, TunnelWords::ApiUrlTls))?;
        let (host, _) = self.url.authority.rsplit_once(':').unwrap_or((&self.url.authority, ""));
        let host: Host = host.parse().map_err(|_| Error::new(ErrorKind::Usage, TunnelWords::ApiUrlBroken))?;
        let shaking = timeout(CONNECT_DEADLINE, tls.connect(&host, stream)).await;
        let shaken = shaking.map_err(|_| self.unreachable("timed out"))?;
        self.exchange(shaken.map_err(|fault| self.untrusted(&fault))?, method, path, body).await
    }

    async fn exchange<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        &self,
        stream: S,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Value> {
        let (mut sender, connection) = http1::handshake::<_, Full<Bytes>>(TokioIo::new(stream))
            .await
            .map_err(|error| self.unreachable(&error.to_string()))?;
        // Ends with the sender; what goes wrong on it is told by the request.
        let driver = tokio::spawn(connection);
        let changes = method == Method::POST;
        let request = self.request(method, path, body)?;
        let lost = |reason: String| {
            if changes { self.lost(reason) } else { self.unreachable(&reason) }
        };
        let exchange = async {
            let answer = sender.send_request(request).await.map_err(|error| lost(error.to_string()))?;
            let collected = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
            collected.map(http_body_util::Collected::to_bytes).map_err(|error| lost(error.to_string()))
        };
        let answer = timeout(ANSWER_DEADLINE, exchange).await.map_err(|_| lost("timed out".to_owned()))??;
        driver.abort();
        self.understand(&answer)
    }

    fn request(&self, method: Method, path: &str, body: Bytes) -> Result<Request<Full<Bytes>>> {
        let language = match self.lang {
            Lang::En => "en",
            Lang::ZhCn => "zh-CN",
        };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, &self.url.authority)
            .header(AUTHORIZATION, format!("Bearer {}", self.key.expose()))
            .header(ACCEPT_LANGUAGE, language)
            .header(CONTENT_TYPE, "application/json");
        // The one part that comes from outside is the key.
        request.body(Full::new(body)).map_err(|_| Error::new(ErrorKind::Usage, TunnelWords::KeyUnsendable))
    }

    fn understand(&self, answer: &[u8]) -> Result<Value> {
        let foreign = || Error::new(ErrorKind::Missing, TunnelWords::ForeignAnswer { address: self.url.to_string() });
        let mut answer: Value = serde_json::from_slice(answer).map_err(|_| foreign())?;
        let Some(success) = answer.get("success").and_then(Value::as_bool) else {
            return if answer.is_object() { Ok(answer) } else { Err(foreign()) };
        };
        if success {
            return Ok(answer.get_mut("data").map(Value::take).unwrap_or_default());
        }
        let text = |field: &str| answer.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (message, code) = (text("message"), text("code"));
        let is_key = code.starts_with("key_");
        let refusal = Error::new(ErrorKind::Refused, TunnelWords::ApiRefused { message, code });
        Err(if is_key { refusal.hint(TunnelWords::GiveApiKey) } else { refusal })
    }

    fn unreachable(&self, reason: &str) -> Error {
        let words = TunnelWords::ApiUnreachable { url: self.url.to_string(), reason: reason.to_owned() };
        Error::new(ErrorKind::Missing, words).hint(TunnelWords::NameApi)
    }

    /// Why no TLS came about. What a person can do is said of an API, and not of a tunnel's server.
    fn untrusted(&self, fault: &LinkFault) -> Error {
        match fault {
            LinkFault::Certificate(_) => fault.error(self.url.to_string()).hint(TunnelWords::CompareApiCa),
            LinkFault::Foreign | LinkFault::Closed => self.unreachable("TLS 1.3").hint(TunnelWords::ApiWithoutTls),
            LinkFault::WantsCertificate | LinkFault::Broken(_) | LinkFault::Tls(_) => fault.error(self.url.to_string()),
        }
    }

    fn lost(&self, reason: String) -> Error {
        let words = TunnelWords::AnswerLost { url: self.url.to_string(), reason };
        Error::new(ErrorKind::Partial, words).hint(TunnelWords::LookAtMappings)
    }
}

/// Reads the file that holds an API's key; one that others can read is [`ErrorKind::Refused`].
pub fn key_from_file(path: &Path) -> Result<Secret> {
    read_key(path).map(|text| Secret::new(text.trim_end_matches(['\r', '\n'])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_api_is_named_by_a_url_or_by_host_and_port() {
        for (text, url) in [
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
            ("localhost:8081", "http://localhost:8081"),
            ("http://tunnel.example.org", "http://tunnel.example.org:80"),
            ("http://[::1]:8080", "http://[::1]:8080"),
            ("https://tunnel.example.org", "https://tunnel.example.org:443"),
            ("https://[::1]:8443/", "https://[::1]:8443"),
        ] {
            assert_eq!(text.parse::<ApiUrl>().expect(text).to_string(), url);
        }
        for text in [
            "",
            "localhost",
            "http://",
            "https://",
            "https://x/api",
            "http://x:0",
            "http://x:y",
            "http://x/api",
            "http://a@x:1",
            "x:1?key=y",
        ] {
            assert_eq!(text.parse::<ApiUrl>(), Err(TunnelWords::ApiUrlBroken), "{text}");
        }
    }

    #[test]
    fn refusals_keep_their_words_and_code_and_foreign_answers_are_no_answers() {
        let caller = Caller::new(ApiUrl::at("localhost:1"), Secret::new("k"), Lang::En);
        let data = caller.understand(br#"{"success":true,"message":"","data":[1]}"#).expect("granted");
        assert_eq!(data, serde_json::json!([1]));
        assert_eq!(caller.understand(br#"{"status":"ok"}"#).expect("no envelope")["status"], "ok");
        let refused = br#"{"success":false,"message":"port 22 is in use","data":null,"code":"port_in_use"}"#;
        let error = caller.understand(refused).expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::Refused);
        assert!(error.to_string().contains("port 22 is in use") && error.to_string().contains("port_in_use"));
        let error = caller.understand(br#"{"success":false,"message":"x","code":"key_wrong"}"#).expect_err("refused");
        assert!(error.way_out().is_some());
        for foreign in [&b"<html>"[..], b"[]", b""] {
            assert_eq!(caller.understand(foreign).expect_err("foreign").kind(), ErrorKind::Missing);
        }
    }
}
