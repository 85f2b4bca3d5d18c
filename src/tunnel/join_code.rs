//! Everything that a client needs in one word: the server's address, its pin and a token.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

use super::address::ServerAddress;
use super::policy::Host;
use super::tls::Pin;
use super::token::{Token, TokenId, base32, from_base32};
use crate::model::{Port, Secret};

/// What every join code begins with.
const PREFIX: &str = "pwj_";

/// The layouts: with the pin of a server's certificate, and for a server in plaintext.
const WITH_PIN: u8 = 1;
const PLAINTEXT: u8 = 2;

/// Bytes of the checksum: one damaged code in four billion goes unnoticed, and the token in it is wrong then.
const CHECKSUM_BYTES: usize = 4;

/// Keeps the checksum apart from any other digest of the same bytes.
const CHECKSUM_LABEL: &[u8] = b"portwright join code";

/// What a join code says. `Debug` does not show the token.
#[derive(Debug, Clone)]
pub(crate) struct JoinCode {
    /// Where the server is.
    pub(crate) server: ServerAddress,
    /// What the client proves.
    pub(crate) token: Token,
    /// How the server is known; `None` for plaintext.
    pub(crate) pin: Option<Pin>,
}

/// Why a text is no join code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JoinCodeFault {
    /// It does not begin as one.
    Foreign,
    /// Letters are missing or wrong.
    Damaged,
    /// A later version made it.
    Newer,
}

impl JoinCode {
    /// Returns the text, for the one place that shows it.
    pub(crate) fn expose(&self) -> Secret {
        let host = self.server.host.to_string();
        let mut bytes = vec![if self.pin.is_some() { WITH_PIN } else { PLAINTEXT }];
        bytes.extend(self.server.port.get().to_be_bytes());
        // A host has at most 253 letters.
        bytes.push(u8::try_from(host.len()).unwrap_or_default());
        bytes.extend(host.as_bytes());
        bytes.extend(self.token.id().0);
        bytes.extend(self.token.expose_secret());
        bytes.extend(self.pin.iter().flat_map(|pin| pin.0));
        let sum = checksum(&bytes);
        bytes.extend(sum);
        Secret::new(format!("{PREFIX}{}", base32(&bytes)))
    }
}

impl FromStr for JoinCode {
    type Err = JoinCodeFault;

    /// Reads a code in either case; blanks and line ends, which terminals and mails put into long words, do not matter.
    fn from_str(text: &str) -> Result<Self, JoinCodeFault> {
        let text: String = text.chars().filter(|letter| !letter.is_whitespace()).collect();
        let (prefix, letters) = text.split_at_checked(PREFIX.len()).ok_or(JoinCodeFault::Foreign)?;
        if !prefix.eq_ignore_ascii_case(PREFIX) {
            return Err(JoinCodeFault::Foreign);
        }
        let bytes = from_base32(letters).ok_or(JoinCodeFault::Damaged)?;
        let (bytes, sum) = bytes.split_last_chunk::<CHECKSUM_BYTES>().ok_or(JoinCodeFault::Damaged)?;
        if checksum(bytes) != *sum {
            return Err(JoinCodeFault::Damaged);
        }
        match bytes.first() {
            Some(&(WITH_PIN | PLAINTEXT)) => parts(bytes).ok_or(JoinCodeFault::Damaged),
            _ => Err(JoinCodeFault::Newer),
        }
    }
}

fn parts(bytes: &[u8]) -> Option<JoinCode> {
    let (&[layout, high, low, length], rest) = bytes.split_first_chunk()?;
    let (host, rest) = rest.split_at_checked(usize::from(length))?;
    let (id, rest) = rest.split_first_chunk()?;
    let (secret, rest) = rest.split_first_chunk()?;
    let host: Host = std::str::from_utf8(host).ok()?.parse().ok()?;
    let port = Port::new(u16::from_be_bytes([high, low]))?;
    let pin = match layout {
        WITH_PIN => Some(Pin(rest.try_into().ok()?)),
        _ if rest.is_empty() => None,
        _ => return None,
    };
    Some(JoinCode { server: ServerAddress { host, port }, token: Token::from_parts(TokenId(*id), *secret), pin })
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let digest = Sha256::new().chain_update(CHECKSUM_LABEL).chain_update(bytes).finalize();
    digest.first_chunk().copied().unwrap_or_default()
}

impl fmt::Display for JoinCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{PREFIX}***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(server: &str, pin: Option<Pin>) -> JoinCode {
        JoinCode { server: server.parse().unwrap(), token: Token::random(), pin }
    }

    #[test]
    fn a_code_comes_back_as_it_was_however_a_terminal_broke_it() {
        for (server, pin) in [
            ("tunnel.example.org:9000", Some(Pin([7; 32]))),
            ("[2001:db8::1]:1", None),
            ("10.0.0.1:65535", Some(Pin([0; 32]))),
        ] {
            let code = code(server, pin);
            let text = code.expose();
            let broken: Vec<&str> =
                text.expose().as_bytes().chunks(40).map(|part| std::str::from_utf8(part).unwrap()).collect();
            for spelt in [text.expose().to_owned(), text.expose().to_ascii_uppercase(), broken.join("\r\n  ") + "\n"] {
                let read: JoinCode = spelt.parse().expect("a code");
                assert_eq!((read.server.to_string().as_str(), read.pin), (server, pin));
                assert_eq!(read.token.expose(), code.token.expose());
            }
            assert!(!format!("{code:?} {code} {text:?}").contains(&code.token.expose()[10..]));
        }
    }

    #[test]
    fn a_damaged_code_is_named_as_damaged() {
        let text = code("tunnel.example.org:9000", Some(Pin([7; 32]))).expose().expose().to_owned();
        for at in 4..text.len() {
            let mut letters: Vec<char> = text.chars().collect();
            letters[at] = if letters[at] == 'a' { 'b' } else { 'a' };
            let broken: String = letters.into_iter().collect();
            assert_eq!(broken.parse::<JoinCode>().err(), Some(JoinCodeFault::Damaged), "letter {at}");
            let short = format!("{}{}", &text[..at], &text[at + 1..]);
            assert_eq!(short.parse::<JoinCode>().err(), Some(JoinCodeFault::Damaged), "without letter {at}");
        }
        for foreign in ["", "pwj", "hello", &text.replace("pwj_", "pwt_")] {
            assert_eq!(foreign.parse::<JoinCode>().err(), Some(JoinCodeFault::Foreign));
        }
        let mut newer = vec![9, 1, 2, 3];
        newer.extend(checksum(&newer));
        assert_eq!(format!("pwj_{}", base32(&newer)).parse::<JoinCode>().err(), Some(JoinCodeFault::Newer));
    }
}
