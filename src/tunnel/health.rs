//! Asks a running server for its health: what the container's health check and a launcher do.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant, SystemTime};

use serde::Deserialize;
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

use super::address::ServerAddress;
use super::handshake::connect;
use super::tls::ClientLink;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{ClockSight, Port};
use crate::words::tunnel::TunnelWords;

/// How long the whole question may take.
const DEADLINE: Duration = Duration::from_secs(2);

/// The most that is read of an answer; ours has some 200 bytes.
const ANSWER_BYTES_MAX: u64 = 16 * 1024;

/// What a server says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Health {
    /// `ok`, or `degraded` when a mapping is not served or the database does not answer.
    pub status: String,
    /// Whether clients may connect.
    pub tunnel_enabled: bool,
    /// Whether a client is connected.
    pub tunnel_connected: bool,
    /// How many are.
    pub clients: usize,
    /// The version of the program.
    pub version: String,
    /// What the server was started with as `PORTWRIGHT_INSTANCE`; empty for a server that nobody launched.
    #[serde(default)]
    pub instance: String,
    /// Its clock beside ours, by the answer's `Date`; `None` where there is none that can be read.
    #[serde(skip)]
    pub clocks: Option<ClockSight>,
}

/// Asks the server at `address` for its health, within two seconds. Blocks the thread.
///
/// Takes no name, because what `localhost` resolves to differs between containers and C libraries. An unspecified
/// address stands for loopback, so that the address a server listens on can be given as it is. No answer, and an answer
/// that is not a tunnel server's, is [`ErrorKind::Unhealthy`].
pub fn health_probe(address: SocketAddr) -> Result<Health> {
    let loopback = match address {
        SocketAddr::V4(_) => SocketAddr::from(([127, 0, 0, 1], address.port())),
        SocketAddr::V6(_) => SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], address.port())),
    };
    let address = if address.ip().is_unspecified() { loopback } else { address };
    let unhealthy = |words| Error::new(ErrorKind::Unhealthy, words);
    let answer = ask(address).map_err(|error| {
        let address = address.to_string();
        unhealthy(TunnelWords::NoAnswer { address, reason: error.to_string() })
    })?;
    understand(&answer).ok_or_else(|| unhealthy(TunnelWords::ForeignAnswer { address: address.to_string() }))
}

/// Tells whether a server's control port answers at `address`, within two seconds: it speaks our protocol in TLS 1.3.
/// Whose certificate it shows is not judged, and nothing is said to it: the connection is made and closed in order, so
/// that nothing has failed for the server.
pub async fn shows_certificate(address: SocketAddr) -> bool {
    let (Ok(link), Some(port)) = (ClientLink::to_look(), Port::new(address.port())) else { return false };
    let Ok(mut met) = connect(&ServerAddress::from((address.ip(), port)), &link, DEADLINE).await else { return false };
    // It was met, however it takes the goodbye.
    let _ = timeout(DEADLINE, met.shutdown()).await;
    true
}

fn ask(address: SocketAddr) -> io::Result<Vec<u8>> {
    let deadline = Instant::now() + DEADLINE;
    let mut stream = TcpStream::connect_timeout(&address, DEADLINE)?;
    stream.set_write_timeout(Some(DEADLINE))?;
    // In one write: a server that answers after the first piece would reset us for the rest.
    let request = format!("GET /health HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        let read = match stream.read(&mut chunk) {
            // A signal, such as that of a child that ended, cuts a read with a deadline short.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        answer.extend_from_slice(chunk.get(..read).unwrap_or_default());
        if read == 0 || answer.len() as u64 > ANSWER_BYTES_MAX {
            return Ok(answer);
        }
    }
}

fn understand(answer: &[u8]) -> Option<Health> {
    let text = std::str::from_utf8(answer).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status_line = head.lines().next()?;
    let ok = status_line.starts_with("HTTP/1.") && status_line.split(' ').nth(1) == Some("200");
    let health: Option<Health> = ok.then(|| serde_json::from_str(body).ok())?;
    let since = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).ok().map(|since| since.as_secs());
    let date = head.lines().filter_map(|line| line.split_once(':')).find(|(name, _)| name.eq_ignore_ascii_case("date"));
    let theirs = date.and_then(|(_, date)| since(httpdate::parse_http_date(date.trim()).ok()?));
    let clocks = theirs.zip(since(SystemTime::now())).map(|(theirs_s, ours_s)| ClockSight { theirs_s, ours_s });
    Some(Health { clocks, ..health? })
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn answered_with(answer: &'static [u8]) -> Result<Health> {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = listener.local_addr().expect("an address");
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a visitor");
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(answer);
        });
        let health = health_probe(address);
        server.join().expect("a server");
        health
    }

    #[test]
    fn only_a_tunnel_servers_answer_is_healthy() {
        let ours = b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n{\"status\":\"ok\",\"tunnel_enabled\":false,\
            \"tunnel_connected\":false,\"clients\":0,\"version\":\"1\",\"instance\":\"abc\"}";
        let health = answered_with(ours).expect("healthy");
        assert_eq!((health.instance.as_str(), health.clocks), ("abc", None));
        let dated = [&b"HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"[..], &ours[17..]].concat().leak();
        let clocks = answered_with(dated).expect("healthy").clocks.expect("a date");
        assert_eq!(clocks.theirs_s, 784_111_777);
        assert!(clocks.ours_s > clocks.theirs_s);
        for foreign in [
            &b"HTTP/1.1 200 OK\r\n\r\n<html>"[..],
            b"HTTP/1.1 404 Not Found\r\n\r\n{}",
            b"SSH-2.0-OpenSSH_9.6\r\n",
            b"",
        ] {
            assert_eq!(answered_with(foreign).expect_err("foreign").kind(), ErrorKind::Unhealthy);
        }
    }

    #[test]
    fn a_silent_server_is_unhealthy_after_two_seconds() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let started = Instant::now();
        let error = health_probe(listener.local_addr().expect("an address")).expect_err("silence");
        assert_eq!(error.kind(), ErrorKind::Unhealthy);
        assert!(started.elapsed() < DEADLINE * 2);
    }
}
