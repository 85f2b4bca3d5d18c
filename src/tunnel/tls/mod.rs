//! TLS 1.3 of the tunnel: one provider, one protocol name, certificates of the server, and how a client checks them.
//!
//! `server` keeps the server's certificate, `client` judges it, `pin` is how people compare it.

mod client;
mod pin;
pub(crate) mod record;
mod server;
mod shaken;
mod validity;
mod whole;

use std::path::Path;

use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;

#[cfg(test)]
pub(crate) use client::Why;
pub(crate) use client::{ClientLink, ClientLinkBuilder, LinkFault, Trust, WebTls, connect};
pub(crate) use pin::Pin;
#[cfg(test)]
pub(crate) use server::accept;
pub(crate) use server::{ServerTls, TlsFiles};
pub(crate) use shaken::{Protection, Shaken};
pub use validity::certificate_validity;

use crate::error::{Error, ErrorKind, Result};
use crate::host::read_secret;
use crate::remote::tls::{VERSIONS, broken, provider, read_authorities, read_chain, unusable};
use crate::words::Message;
use crate::words::trust::TrustWords;

/// The protocol inside TLS (ALPN); a peer that speaks another one is not ours.
pub(crate) const ALPN: &[u8] = b"portwright/1";

/// The label under which both ends of one TLS connection, and nobody between them, compute the same 32 bytes.
pub(crate) const EXPORTER: &[u8] = b"EXPORTER-portwright-tunnel";

/// Reads a private key in PEM, from a file that nobody else can read.
fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>> {
    let open = |path| Message::from(TrustWords::SecretFileOpen { path });
    let close = |path| Message::from(TrustWords::CloseSecretFile { path });
    let text = read_secret(path, TrustWords::KeyUnreadable, open, close)?;
    PrivateKeyDer::from_pem_slice(text.as_bytes())
        .map_err(|_| Error::new(ErrorKind::Missing, TrustWords::NoKey { path: path.to_path_buf() }))
}

#[cfg(test)]
mod tests;
