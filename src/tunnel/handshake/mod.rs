//! From a TCP connection to a peer that is known, on both sides.
//!
//! `dial` connects a client, `greet` proves its token, `admit` is the server's door, `admission` counts who waits at
//! it; `transport` is the connection in plaintext or TLS, and `wire` the frames on it.

mod admission;
mod admit;
mod dial;
mod greet;
mod transport;
mod wire;

pub(crate) use admission::Permit;
pub(crate) use admit::{Admitted, Gate, Identity, Registry, TokenRow, admit};
pub(crate) use dial::{DIAL_DEADLINE, DialFault, connect};
pub(crate) use greet::{Credentials, GREET_DEADLINE, GreetFault, Greeted, greet, greet_and_note, join};
pub(crate) use transport::Transport;

/// The name of a session on the wire, drawn by the server.
pub(crate) type SessionId = [u8; 16];

/// What both sides call themselves.
const AGENT: &str = concat!("portwright ", env!("CARGO_PKG_VERSION"));

/// The clock in seconds since 1970; `None` before that.
fn seconds_now() -> Option<u64> {
    std::time::SystemTime::UNIX_EPOCH.elapsed().ok().map(|since| since.as_secs())
}

#[cfg(test)]
mod tests;
