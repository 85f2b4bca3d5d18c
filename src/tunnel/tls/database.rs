//! TLS to a database that several servers share: with an authority, or with whoever answers.

use std::path::Path;
use std::sync::Arc;

use tokio_rustls::rustls::ClientConfig;

use super::client::ServerCheck;
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
        let check = Arc::new(ServerCheck::whoever(algorithms));
        builder.dangerous().with_custom_certificate_verifier(check).with_no_client_auth()
    };
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(config)
}
