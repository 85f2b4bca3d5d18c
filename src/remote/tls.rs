//! TLS 1.3 as every room has it: one provider, certificates from files, and clients of servers that are not ours.

use std::path::Path;
use std::sync::Arc;

use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    self, ClientConfig, DigitallySignedStruct, Error as TlsError, RootCertStore, SignatureScheme,
    SupportedProtocolVersion,
};

use crate::error::{Error, ErrorKind, Result};
use crate::host::read_text;
use crate::words::trust::TrustWords;

/// TLS 1.3 alone: version 1.2 has no exporter that is safe by itself.
pub(crate) const VERSIONS: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

/// The provider, named so that no other crate's default counts. AES-128-GCM first, because every machine that matters
/// has it in hardware; a client that has not asks for `ChaCha20` by offering nothing else.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    let cipher_suites = vec![
        ring::cipher_suite::TLS13_AES_128_GCM_SHA256,
        ring::cipher_suite::TLS13_AES_256_GCM_SHA384,
        ring::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
    ];
    Arc::new(CryptoProvider { cipher_suites, ..ring::default_provider() })
}

/// Returns how connections to a server of the protocol `alpn` are made: its certificate is one of `authority` for the
/// name that is dialled, or any without.
pub(crate) fn client_config(authority: Option<&Path>, alpn: &[u8]) -> Result<ClientConfig> {
    let provider = provider();
    let algorithms = provider.signature_verification_algorithms;
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(VERSIONS);
    let builder = builder.map_err(|error| unusable(&error))?;
    let mut config = if let Some(path) = authority {
        builder.with_root_certificates(read_authorities(path)?).with_no_client_auth()
    } else {
        let check = Arc::new(Whoever(algorithms));
        builder.dangerous().with_custom_certificate_verifier(check).with_no_client_auth()
    };
    config.alpn_protocols = vec![alpn.to_vec()];
    Ok(config)
}

/// Takes every server that has the key of the certificate that it shows: against those who listen, and not against one
/// in between. Databases may ask for that (`sslmode=require`); sessions of a tunnel never do.
#[derive(Debug)]
struct Whoever(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for Whoever {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> std::result::Result<ServerCertVerified, TlsError> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, TlsError> {
        verify_tls12_signature(message, certificate, signed, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, TlsError> {
        verify_tls13_signature(message, certificate, signed, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

/// Reads a chain of certificates in PEM, the own one first.
pub(crate) fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let text = read_text(path, TrustWords::CertificateUnreadable)?;
    let chain: Vec<_> =
        CertificateDer::pem_slice_iter(text.as_bytes()).collect::<std::result::Result<_, _>>().unwrap_or_default();
    if chain.is_empty() {
        return Err(Error::new(ErrorKind::Missing, TrustWords::NoCertificate { path: path.to_path_buf() }));
    }
    Ok(chain)
}

/// Reads the certificates of authorities.
pub(crate) fn read_authorities(path: &Path) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in read_chain(path)? {
        roots.add(certificate).map_err(|error| broken(path, &error))?;
    }
    Ok(roots)
}

/// A certificate or a key that cannot be used.
pub(crate) fn broken(path: &Path, error: &dyn std::fmt::Display) -> Error {
    let words = TrustWords::CertificateBroken { path: path.to_path_buf(), reason: error.to_string() };
    Error::new(ErrorKind::Missing, words)
}

/// A failure of the library where none is expected.
pub(crate) fn unusable(error: &rustls::Error) -> Error {
    Error::new(ErrorKind::Internal, TrustWords::TlsUnusable { reason: error.to_string() })
}
