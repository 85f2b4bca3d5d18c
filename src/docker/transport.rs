//! How requests of bollard reach the engine: one connection a request, the API version in the path, and a limit on
//! every reply.
//!
//! bollard's own transports send paths without a version and read replies without a limit, so it is given this one.

use std::fmt::Write as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bollard::errors::Error as Raw;
use bollard::{API_DEFAULT_VERSION, BollardRequest, Docker};
use bytes::Bytes;
use hyper::Response;
use hyper::body::{Body as _, Incoming};
use hyper::header::HOST;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::address::Address;
use super::engine::dial;
use super::failure::ReplyTooLarge;

/// The most bytes of one reply. A host with 1000 containers lists them in about 2 MB.
pub(super) const REPLY_LIMIT: u64 = 16 * 1024 * 1024;

/// bollard's own limit on the wait for a reply's head, in seconds; each call has a shorter deadline of its own.
const HEAD_TIMEOUT: u64 = 120;

/// The way to one engine, and the version of the API to ask for.
#[derive(Debug, Clone)]
pub(super) struct Link {
    address: Arc<Address>,
    prefix: Arc<str>,
}

impl Link {
    /// Makes the way to `address` that asks for `version` of the API, or for the newest when `None`.
    pub(super) fn new(address: &Address, version: Option<String>) -> Self {
        let prefix = version.map_or_else(String::new, |version| format!("/v{version}"));
        Self { address: Arc::new(address.clone()), prefix: prefix.into() }
    }

    /// Returns a client of bollard that goes this way.
    pub(super) fn client(&self) -> Result<Docker, Raw> {
        let link = self.clone();
        let send = move |request: BollardRequest| exchange(link.clone(), request);
        Docker::connect_with_custom_transport(send, Some("http://engine"), HEAD_TIMEOUT, API_DEFAULT_VERSION)
    }

    /// Reads what is at `path` (with its query) as JSON, into a type of ours.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Raw> {
        let request = hyper::Request::get(path).body(bollard::body_full(Bytes::new()))?;
        let reply = exchange(self.clone(), request).await?;
        let status = reply.status();
        let mut body = reply.into_body();
        let mut bytes = Vec::new();
        while let Some(frame) = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
            bytes.extend_from_slice(frame?.data_ref().map(AsRef::as_ref).unwrap_or_default());
        }
        if status.is_success() {
            return Ok(serde_json::from_slice(&bytes)?);
        }
        let message = serde_json::from_slice::<Refusal>(&bytes).map(|refusal| refusal.message);
        let message = message.unwrap_or_else(|_| String::from_utf8_lossy(&bytes).into_owned());
        Err(Raw::DockerResponseServerError { status_code: status.as_u16(), message })
    }
}

/// The body of a reply that is an error.
#[derive(Deserialize)]
struct Refusal {
    message: String,
}

/// Writes a value of a query: everything but letters, digits and `-_.` as `%XX`.
pub(super) fn query_value(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len() * 2), |mut out, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => out.push(char::from(byte)),
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
        out
    })
}

async fn exchange(link: Link, request: BollardRequest) -> Result<Response<Incoming>, Raw> {
    let (mut head, body) = request.into_parts();
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    let endless = head.uri.path().ends_with("/logs") && path.contains("follow=true");
    head.uri = format!("{}{path}", link.prefix).parse().map_err(Raw::from)?;
    head.headers.insert(HOST, hyper::header::HeaderValue::from_static("engine"));

    let limit = if endless { None } else { Some(REPLY_LIMIT) };
    let stream = Capped { stream: dial(&link.address).await?, left: limit };
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // A program in a container speaks over the connection itself.
    tokio::spawn(connection.with_upgrades());
    Ok(sender.send_request(hyper::Request::from_parts(head, body)).await?)
}

/// A connection of whatever kind the engine listens on.
pub(super) trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

/// A connection that gives up after so many bytes of reply.
struct Capped {
    stream: Box<dyn Connection>,
    left: Option<u64>,
}

impl AsyncRead for Capped {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut self.stream).poll_read(context, buffer);
        let read = (buffer.filled().len() - before) as u64;
        if let Some(left) = self.left {
            match left.checked_sub(read) {
                Some(rest) => self.left = Some(rest),
                None => return Poll::Ready(Err(io::Error::other(ReplyTooLarge(REPLY_LIMIT)))),
            }
        }
        outcome
    }
}

impl AsyncWrite for Capped {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
