//! TLS to a database that several servers share: with an authority, or with whoever answers.

use std::path::Path;
use std::sync::Arc;

use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{ClientConfig, DigitallySignedStruct, Error as TlsError, SignatureScheme};

use super::{VERSIONS, provider, read_authorities, unusable};
use crate::error::Result;

/// The protocol name (ALPN) of `PostgreSQL`, from its documentation of the protocol.
const ALPN: &[u8] = b"postgresql";

/// Returns how connections to the database are made: its certificate is one of `authority`, or any without.
pub(crate) fn database_config(authority: Option<&Path>) -> Result<ClientConfig> {
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
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(config)
}

/// Takes every certificate whose key the peer has.
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
    ) -> Result<ServerCertVerified, TlsError> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        // Never asked: version 1.2 is not offered.
        Err(TlsError::General("TLS 1.2".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls13_signature(message, certificate, signed, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
