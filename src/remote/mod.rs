//! Servers of others that several machines share, as the tunnel's store and the pool of leases reach them: TLS 1.3 with
//! one provider, and connections to `PostgreSQL`.

#[cfg(feature = "postgres")]
pub(crate) mod postgres;
pub(crate) mod tls;
