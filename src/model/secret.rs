//! A secret that hides itself when shown and takes the same time to compare whatever is offered.

use std::fmt;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// A password, key or token.
///
/// `Debug` and `Display` write `***`; there is no `Serialize`. Only [`Secret::expose`] gives the text.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Takes `text` into custody.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns the text, for the one place that must write it to a private file or a header.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Tells whether `offered` is the secret. Both are hashed (SHA-256) and the digests are compared in constant time,
    /// so neither the length nor the first differing byte can be learnt from the duration.
    #[must_use]
    pub fn matches(&self, offered: &[u8]) -> bool {
        Sha256::digest(self.0.as_bytes()).as_slice().ct_eq(Sha256::digest(offered).as_slice()).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_shows_stars_and_knows_itself() {
        let secret = Secret::new("canary-4f1d");
        assert_eq!(format!("{secret} {secret:?}"), "*** ***");
        assert!(secret.matches(b"canary-4f1d"));
        for wrong in ["", "canary-4f1", "canary-4f1d ", "CANARY-4F1D"] {
            assert!(!secret.matches(wrong.as_bytes()), "{wrong:?}");
        }
    }
}
