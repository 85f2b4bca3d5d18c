//! TLS 1.3 of the tunnel: one provider, one protocol name, certificates of the server, and how a client checks them.
//!
//! `server` keeps the server's certificate, `client` judges it, `pin` is how people compare it.

mod client;
#[cfg(feature = "postgres")]
mod database;
mod pin;
mod server;
mod validity;

use std::path::Path;
use std::sync::Arc;

use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, RootCertStore, SupportedProtocolVersion};

#[cfg(test)]
pub(crate) use client::Why;
pub(crate) use client::{ClientLink, ClientLinkBuilder, LinkFault, Trust, WebTls, connect};
#[cfg(feature = "postgres")]
pub(crate) use database::database_config;
pub(crate) use pin::Pin;
pub(crate) use server::{ServerTls, TlsFiles};
pub use validity::certificate_validity;

use super::files::{read_secret, read_text};
use crate::error::{Error, ErrorKind, Result};
use crate::words::Message;
use crate::words::trust::TrustWords;

/// The protocol inside TLS (ALPN); a peer that speaks another one is not ours.
const ALPN: &[u8] = b"portwright/1";

/// The label under which both ends of one TLS connection, and nobody between them, compute the same 32 bytes.
pub(crate) const EXPORTER: &[u8] = b"EXPORTER-portwright-tunnel";

/// TLS 1.3 alone: version 1.2 has no exporter that is safe by itself.
const VERSIONS: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

/// The provider, named so that no other crate's default counts. AES-128-GCM first, because every machine that matters
/// has it in hardware; a client that has not asks for `ChaCha20` by offering nothing else.
fn provider() -> Arc<CryptoProvider> {
    let cipher_suites = vec![
        ring::cipher_suite::TLS13_AES_128_GCM_SHA256,
        ring::cipher_suite::TLS13_AES_256_GCM_SHA384,
        ring::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
    ];
    Arc::new(CryptoProvider { cipher_suites, ..ring::default_provider() })
}

/// Tells whether the two ends agreed on our protocol.
pub(crate) fn is_ours(connection: &rustls::CommonState) -> bool {
    connection.alpn_protocol() == Some(ALPN)
}

/// Reads a chain of certificates in PEM, the own one first.
fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let text = read_text(path, TrustWords::CertificateUnreadable)?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(text.as_bytes()).collect::<Result<_, _>>().unwrap_or_default();
    if chain.is_empty() {
        return Err(Error::new(ErrorKind::Missing, TrustWords::NoCertificate { path: path.to_path_buf() }));
    }
    Ok(chain)
}

/// Reads a private key in PEM, from a file that nobody else can read.
fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>> {
    let open = |path| Message::from(TrustWords::SecretFileOpen { path });
    let close = |path| Message::from(TrustWords::CloseSecretFile { path });
    let text = read_secret(path, TrustWords::KeyUnreadable, open, close)?;
    PrivateKeyDer::from_pem_slice(text.as_bytes())
        .map_err(|_| Error::new(ErrorKind::Missing, TrustWords::NoKey { path: path.to_path_buf() }))
}

/// Reads the certificates of authorities.
fn read_authorities(path: &Path) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in read_chain(path)? {
        roots.add(certificate).map_err(|error| broken(path, &error))?;
    }
    Ok(roots)
}

fn broken(path: &Path, error: &dyn std::fmt::Display) -> Error {
    let words = TrustWords::CertificateBroken { path: path.to_path_buf(), reason: error.to_string() };
    Error::new(ErrorKind::Missing, words)
}

/// A failure of the library where none is expected.
fn unusable(error: &rustls::Error) -> Error {
    Error::new(ErrorKind::Internal, TrustWords::TlsUnusable { reason: error.to_string() })
}

#[cfg(test)]
mod tests;
