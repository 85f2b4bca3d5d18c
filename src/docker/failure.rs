//! What can go wrong between us and the engine, and what its texts mean.

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use bollard::errors::Error as Raw;

use crate::error::{Error, ErrorKind};
use crate::model::Port;
use crate::words::docker::DockerWords;

/// How much of an engine's text an error shows.
const TEXT_LIMIT: usize = 600;

/// The mark of a reply that went over its limit, inside an [`io::Error`].
#[derive(Debug)]
pub(super) struct ReplyTooLarge(pub(super) u64);

impl fmt::Display for ReplyTooLarge {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "more than {} bytes", self.0)
    }
}

impl StdError for ReplyTooLarge {}

/// A call to the engine that did not work.
#[derive(Debug)]
pub(super) enum Failure {
    /// No answer within this many seconds.
    Late(&'static str, u64),
    /// An answer, or a connection, that is no good.
    Bad(&'static str, Raw),
}

/// Runs one call of the API under a deadline; `call` names the endpoint in errors.
pub(super) async fn within<T>(
    call: &'static str,
    deadline: Duration,
    future: impl Future<Output = Result<T, Raw>>,
) -> Result<T, Failure> {
    match tokio::time::timeout(deadline, future).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(Raw::RequestTimeoutError)) | Err(_) => {
            Err(Failure::Late(call, deadline.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX)))
        }
        Ok(Err(raw)) => Err(Failure::Bad(call, raw)),
    }
}

impl Failure {
    /// Returns the status and text, when the engine answered with an error.
    pub(super) fn answer(&self) -> Option<(u16, &str)> {
        match self {
            Self::Bad(_, Raw::DockerResponseServerError { status_code, message }) => Some((*status_code, message)),
            Self::Bad(_, Raw::DockerStreamError { error }) => Some((500, error)),
            _ => None,
        }
    }

    /// Tells whether the engine answered "no such thing".
    pub(super) fn is_not_found(&self) -> bool {
        self.answer().is_some_and(|(status, _)| status == 404)
    }

    /// Returns the operating system's error at the bottom, if there is one.
    pub(super) fn io(&self) -> Option<&io::Error> {
        match self {
            Self::Bad(_, raw) => find::<io::Error>(raw),
            Self::Late(..) => None,
        }
    }
}

/// Walks from an error to its causes until one is an `E`.
fn find<'a, E: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(current) = next {
        if let Some(found) = current.downcast_ref::<E>() {
            return Some(found);
        }
        if let Some(Raw::IOError { err }) = current.downcast_ref::<Raw>()
            && let Some(found) = (err as &dyn StdError).downcast_ref::<E>()
        {
            return Some(found);
        }
        if let Some(inner) = current.downcast_ref::<io::Error>().and_then(io::Error::get_ref)
            && let Some(found) = inner.downcast_ref::<E>()
        {
            return Some(found);
        }
        next = current.source();
    }
    None
}

fn too_large(raw: &Raw) -> Option<u64> {
    if let Some(mark) = find::<ReplyTooLarge>(raw) {
        return Some(mark.0);
    }
    find::<io::Error>(raw)
        .and_then(io::Error::get_ref)
        .and_then(|inner| inner.downcast_ref::<ReplyTooLarge>())
        .map(|m| m.0)
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        let (call, raw) = match failure {
            Failure::Late(call, seconds) => {
                return Self::new(ErrorKind::Missing, DockerWords::EngineSilent { call: call.to_owned(), seconds })
                    .hint(DockerWords::HungHint);
            }
            Failure::Bad(call, raw) => (call.to_owned(), raw),
        };
        let words = match raw {
            Raw::DockerResponseServerError { status_code, message } => {
                DockerWords::EngineSaid { call, status: status_code, text: clip(&message) }
            }
            Raw::DockerStreamError { error } => DockerWords::EngineSaid { call, status: 500, text: clip(&error) },
            Raw::JsonDataError { message, .. } => DockerWords::InvalidReply { call, reason: message },
            Raw::JsonSerdeError { err } => DockerWords::InvalidReply { call, reason: err.to_string() },
            Raw::StrParseError { err } => DockerWords::InvalidReply { call, reason: err.to_string() },
            raw => match too_large(&raw) {
                Some(limit) => DockerWords::ReplyTooLarge { call, limit },
                None => DockerWords::EngineCut { call, reason: reason(&raw) },
            },
        };
        let kind = match words {
            DockerWords::EngineSaid { .. } => ErrorKind::Refused,
            _ => ErrorKind::Missing,
        };
        Self::new(kind, words).hint(DockerWords::EngineLogsHint)
    }
}

/// Says an error with its causes on one line.
pub(super) fn reason(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let more = cause.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        next = cause.source();
    }
    clip(&text)
}

/// Makes an engine's text fit into an error: one line, without control characters, not endless.
pub(super) fn clip(text: &str) -> String {
    let clean: String =
        text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(TEXT_LIMIT + 1).collect();
    match clean.char_indices().nth(TEXT_LIMIT) {
        Some((end, _)) => format!("{}…", clean.get(..end).unwrap_or_default()),
        None => clean,
    }
}

/// A published port that the engine could not bind, because something else has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortTaken {
    /// The address on the host, where the engine's text names it.
    pub address: Option<IpAddr>,
    /// The port on the host, where the engine's text names it.
    pub port: Option<Port>,
    /// The engine's own words.
    pub text: String,
}

/// What the text of a failed start says about ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PortFailure {
    /// Something else has it.
    Taken(PortTaken),
    /// The address is not one of the engine's host.
    NotLocal(PortTaken),
}

/// After these words an engine names the address and port that it could not bind, measured on Docker 20.10, 26, 28
/// and Podman 4.3; the longer of two that begin alike comes first.
const BEFORE_ENDPOINT: [&str; 8] = [
    "failed to bind host port for ",
    "failed to bind host port ",
    "Bind for ",
    "listen tcp4 ",
    "listen tcp6 ",
    "listen tcp ",
    "listen udp4 ",
    "listen udp6 ",
];

/// Reads the text of a failed start; `None` when it is not about ports.
pub(super) fn classify(text: &str) -> Option<PortFailure> {
    let taken = ["port is already allocated", "address already in use"].iter().any(|words| text.contains(words));
    let not_local = text.contains("cannot assign requested address");
    if !taken && !not_local {
        return None;
    }
    let after = |words: &&str| text.rfind(*words).and_then(|at| text.get(at + words.len()..));
    let endpoint = BEFORE_ENDPOINT.iter().find_map(|words| after(words).and_then(read_endpoint));
    let found = PortTaken {
        address: endpoint.map(|(address, _)| address),
        port: endpoint.map(|(_, port)| port),
        text: clip(text),
    };
    Some(if taken { PortFailure::Taken(found) } else { PortFailure::NotLocal(found) })
}

/// Reads `1.2.3.4:80…`, `[::]:80…` or `:::80…` at the start of a text.
fn read_endpoint(text: &str) -> Option<(IpAddr, Port)> {
    let (address, rest) = match text.strip_prefix('[') {
        Some(inside) => inside.split_once("]:")?,
        None if text.starts_with(":::") => ("::", text.get(3..)?),
        None => text.split_once(':')?,
    };
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    Some((address.parse().ok()?, digits.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(text: &str) -> (String, u16) {
        match classify(text) {
            Some(PortFailure::Taken(PortTaken { address: Some(address), port: Some(port), .. })) => {
                (address.to_string(), port.get())
            }
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn each_engine_s_words_for_a_taken_port_are_understood() {
        let texts = [
            "driver failed programming external connectivity on endpoint web (0123456789ab): Error starting \
             userland proxy: listen tcp4 0.0.0.0:18100: bind: address already in use",
            "driver failed programming external connectivity on endpoint web (0123456789ab): listen tcp4 \
             0.0.0.0:18100: bind: address already in use",
            "failed to set up container networking: driver failed programming external connectivity on endpoint \
             web (01): failed to bind host port for 0.0.0.0:18100:172.17.0.2:8000/tcp: address already in use",
            "failed to set up container networking: driver failed programming external connectivity on endpoint \
             web (01): failed to bind host port 0.0.0.0:18100/tcp: address already in use",
            "driver failed programming external connectivity on endpoint web (01): Bind for 0.0.0.0:18100 \
             failed: port is already allocated",
            "cannot listen on the TCP port: listen tcp4 0.0.0.0:18100: bind: address already in use",
            "ERROR: for web  Cannot start service web: driver failed programming external connectivity on \
             endpoint x_web_1 (01): Bind for 0.0.0.0:18100 failed: port is already allocated",
        ];
        for text in texts {
            assert_eq!(taken(text), ("0.0.0.0".to_owned(), 18100));
        }
        assert_eq!(taken("listen tcp6 [::1]:53: bind: address already in use"), ("::1".to_owned(), 53));
        assert_eq!(taken("Bind for :::53 failed: port is already allocated"), ("::".to_owned(), 53));
        assert_eq!(taken("listen udp4 127.0.0.1:53: bind: address already in use"), ("127.0.0.1".to_owned(), 53));
    }

    #[test]
    fn a_port_that_cannot_be_read_is_still_a_taken_port() {
        let found = classify("something: address already in use");
        assert!(matches!(found, Some(PortFailure::Taken(PortTaken { address: None, port: None, .. }))), "{found:?}");
    }

    #[test]
    fn an_address_of_another_host_is_not_a_taken_port() {
        let found = classify(
            "Error starting userland proxy: listen tcp4 10.99.99.99:18102: bind: cannot assign requested address",
        );
        assert!(matches!(found, Some(PortFailure::NotLocal(_))), "{found:?}");
        assert_eq!(classify("no such image: web"), None);
        assert_eq!(classify("error setting rlimit type 7: operation not permitted"), None);
    }

    #[test]
    fn texts_of_an_engine_are_cut_and_cleaned() {
        assert_eq!(clip("  a\nb\u{1b}[31m "), "a b [31m");
        assert_eq!(clip(&"é".repeat(5000)).chars().count(), TEXT_LIMIT + 1);
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_classified_without_panic(text in ".{0,200}") {
            for words in BEFORE_ENDPOINT {
                let _ = classify(&format!("{words}{text} address already in use"));
            }
        }
    }
}
