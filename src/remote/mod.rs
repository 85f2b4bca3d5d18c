//! Servers of others that several machines share, as the tunnel's store and the pool of leases reach them: TLS 1.3 with
//! one provider, and connections to `PostgreSQL`.

#[cfg(feature = "postgres")]
pub(crate) mod postgres;
pub(crate) mod tls;

use std::path::PathBuf;

/// Reads the name of a file in a URL, as `sslrootcert` of PostgreSQL's has one.
pub(crate) fn named_file(value: &str) -> PathBuf {
    value.replace("%2F", "/").replace("%20", " ").into()
}
