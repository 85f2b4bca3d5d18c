//! The fingerprint by which people and clients know a server.

use std::fmt;
use std::str::FromStr;

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use sha2::{Digest, Sha256};
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::server::ParsedCertificate;

/// What a pin begins with when it is written.
const PREFIX: &str = "sha256:";

/// The SHA-256 of a certificate's public key (`SubjectPublicKeyInfo`): it stays when the certificate is renewed with
/// the same key, whatever its dates and names say.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Pin(pub(crate) [u8; 32]);

/// A text that is no pin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PinFault;

impl Pin {
    /// Returns the pin of a certificate; `None` when it cannot be parsed.
    pub(crate) fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let parsed = ParsedCertificate::try_from(certificate).ok()?;
        Some(Self(Sha256::digest(parsed.subject_public_key_info()).into()))
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{PREFIX}{}", HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl FromStr for Pin {
    type Err = PinFault;

    /// Reads 64 hexadecimal digits in either case, with or without `sha256:`, and with colons between them as openssl
    /// writes them.
    fn from_str(text: &str) -> Result<Self, PinFault> {
        let text = text.trim().to_ascii_lowercase();
        let digits = text.strip_prefix(PREFIX).unwrap_or(&text).replace(':', "");
        let bytes = HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).map_err(|_| PinFault)?;
        bytes.try_into().map(Self).map_err(|_| PinFault)
    }
}
