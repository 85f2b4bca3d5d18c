//! Servers of others that several machines share, as the tunnel's store and the pool of leases reach them: TLS 1.3 with
//! one provider, and connections to `PostgreSQL`.

use std::path::PathBuf;

#[cfg(feature = "postgres")]
pub(crate) mod postgres;
pub(crate) mod tls;

/// Reads the name of a file in a URL, such as `sslrootcert` in one of `PostgreSQL`.
pub(crate) fn named_file(value: &str) -> PathBuf {
    value.replace("%2F", "/").replace("%20", " ").into()
}
