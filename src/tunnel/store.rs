//! Where mappings, tokens, the audit and traffic are kept: in a file, or in a database that several servers share.
//!
//! An enum of two and no trait: both are known when the program is built, every caller has the same concrete type, and
//! the compiler checks that each does everything. What is asked of them is the same; what differs is who else may
//! change it. A file has one server; of a shared database [`Store::changes`] tells when to read it again.

use std::path::PathBuf;

use serde_json::{Value, json};
use tokio::sync::watch;

use super::audit::{Action, AuditEntry, Author};
use super::config::{DatabaseSettings, SharedDatabase};
use super::history::{HistoryWish, Interval, Kept, Record};
use super::logbook;
use crate::error::Result;
#[cfg(not(feature = "postgres"))]
use crate::error::{Error, ErrorKind};
use crate::host::read_secret;
use crate::model::{Port, Secret};
use crate::remote::named_file;
use crate::words::tunnel::TunnelWords;

#[cfg(feature = "postgres")]
mod postgres;
pub(super) mod sqlite;

#[cfg(feature = "postgres")]
pub(super) use postgres::Postgres;
use sqlite::Sqlite;

/// A mapping to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NewMapping {
    pub(crate) source_port: Port,
    pub(crate) target_host: String,
    pub(crate) target_port: Port,
    pub(crate) use_tunnel: bool,
    /// Bytes a second in each direction; 0 is unlimited.
    pub(crate) bandwidth_limit: u64,
    /// `disabled`, `whitelist` or `blacklist`.
    pub(crate) access_rule: String,
    /// A JSON array of networks, as the predecessor keeps it.
    pub(crate) access_ips: String,
    pub(crate) name: String,
    /// `tcp` or `udp`.
    pub(crate) protocol: String,
    pub(crate) client: String,
    /// The PROXY header that the target gets: `v1`, `v2`, or empty for none.
    pub(crate) proxy_protocol: String,
}

/// A mapping as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredMapping {
    pub(crate) id: i64,
    /// UTC, RFC 3339; rows of the predecessor keep what it wrote.
    pub(crate) created_at: String,
    pub(crate) mapping: NewMapping,
}

/// Why a write did not happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StoreFault {
    /// The disk is full.
    Full,
    /// The port has a row.
    Exists,
    /// The shared database does not answer. Whether the write happened is not known; if it did, it is served soon.
    Unavailable,
    /// The database refused, or its thread is gone; the log says more.
    Failed,
}

/// What a database held when it was opened.
#[derive(Debug)]
pub(crate) struct Contents {
    /// Every mapping, in the order of the ports.
    pub(crate) mappings: Vec<StoredMapping>,
    /// What each has carried so far.
    pub(crate) totals: Kept,
}

/// The store of a running server. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Store(Backend);

#[derive(Debug, Clone)]
enum Backend {
    File(Sqlite),
    #[cfg(feature = "postgres")]
    Shared(Postgres),
}

impl Store {
    /// Opens or makes the database, and returns what it holds.
    ///
    /// Another server on the same file is [`Busy`](crate::error::ErrorKind::Busy); one that is damaged, unreadable or
    /// read-only is [`Missing`](crate::error::ErrorKind::Missing); one written by a later version is
    /// [`Refused`](crate::error::ErrorKind::Refused).
    pub(crate) fn open(database: &DatabaseSettings) -> Result<(Self, Contents)> {
        match shared_url(database)? {
            #[cfg(feature = "postgres")]
            Some(url) => {
                let (store, contents) = Postgres::serve(&url, &database.path)?;
                Ok((Self(Backend::Shared(store)), contents))
            }
            #[cfg(not(feature = "postgres"))]
            Some(_) => Err(no_postgres()),
            None => {
                let (store, contents) = Sqlite::open(&database.path)?;
                Ok((Self(Backend::File(store)), contents))
            }
        }
    }

    /// The shared database, where there is one.
    #[cfg(feature = "postgres")]
    pub(super) fn shared(&self) -> Option<&Postgres> {
        match &self.0 {
            Backend::File(_) => None,
            Backend::Shared(shared) => Some(shared),
        }
    }

    /// Tells when the mappings should be read again, because another server may have changed them; `None` where there
    /// is no other.
    pub(crate) fn changes(&self) -> Option<watch::Receiver<u64>> {
        match &self.0 {
            Backend::File(_) => None,
            #[cfg(feature = "postgres")]
            Backend::Shared(shared) => Some(shared.changes()),
        }
    }

    /// Tells whether the database answers, as far as is known.
    pub(crate) fn is_reachable(&self) -> bool {
        match &self.0 {
            Backend::File(_) => true,
            #[cfg(feature = "postgres")]
            Backend::Shared(shared) => shared.is_reachable(),
        }
    }

    /// Reads what others may have changed: every mapping, in the order of the ports, and as totals what the other
    /// servers have carried. `None` where there are no others.
    pub(crate) async fn read_again(&self) -> Result<Option<Contents>, StoreFault> {
        match &self.0 {
            Backend::File(_) => std::future::ready(Ok(None)).await,
            #[cfg(feature = "postgres")]
            Backend::Shared(shared) => {
                Ok(Some(Contents { mappings: shared.mappings().await?, totals: shared.elsewhere().await? }))
            }
        }
    }

    /// Stores a mapping; it is on disk when this returns.
    pub(crate) async fn insert(&self, mapping: NewMapping, author: Author) -> Result<StoredMapping, StoreFault> {
        match &self.0 {
            Backend::File(file) => file.insert(mapping, author).await,
            #[cfg(feature = "postgres")]
            Backend::Shared(shared) => shared.insert(mapping, author).await,
        }
    }

    /// Replaces what the row with the id of `mapping` holds, and tells whether there was one; `changes` is what the
    /// audit says. It is on disk when this returns.
    pub(crate) async fn update(
        &self,
        mapping: StoredMapping,
        author: Author,
        changes: Value,
    ) -> Result<bool, StoreFault> {
        match &self.0 {
            Backend::File(file) => file.update(mapping, author, changes).await,
            #[cfg(feature = "postgres")]
            Backend::Shared(shared) => shared.update(mapping, author, changes).await,
        }
    }

    /// Deletes the mapping of `port` and tells whether there was one; it is gone from the disk when this returns.
    pub(crate) async fn remove(&self, port: Port, author: Author) -> Result<bool, StoreFault> {
        match &self.0 {
            Backend::File(file) => file.remove(port, author).await,
            #[cfg(feature = "postgres")]
            Backend::Shared(shared) => shared.remove(port, author).await,
        }
    }

    /// Notes in the audit what changes nothing on disk.
    pub(crate) async fn note(&self, author: Author, action: Action, subject: String) -> Result<(), StoreFault> {
        match &self.0 {
            Backend::File(file) => file.note(author, action, subject).await,
            #[cfg(feature = "postgres")]
            Backend::Shared(shared) => shared.note(author, action, subject).await,
        }
    }

    /// Writes a record of traffic.
    pub(crate) async fn record(&self, record: Record) -> Result<(), StoreFault> {
        match &self.0 {
            Backend::File(file) => file.record(record).await,
            #[cfg(feature = "postgres")]
            Backend::Shared(shared) => shared.record(record).await,
        }
    }

    /// Returns the last changes, the newest first.
    pub(crate) async fn audit(&self, limit: u32, before: Option<i64>) -> Result<Vec<AuditEntry>, StoreFault> {
        match &self.0 {
            Backend::File(file) => file.audit(limit, before).await,
            #[cfg(feature = "postgres")]
            Backend::Shared(shared) => shared.audit(limit, before).await,
        }
    }

    /// Returns what moved in the last intervals, the newest first.
    pub(crate) async fn history(&self, wish: HistoryWish) -> Result<Vec<Interval>, StoreFault> {
        match &self.0 {
            Backend::File(file) => file.history(wish).await,
            #[cfg(feature = "postgres")]
            Backend::Shared(shared) => shared.history(wish).await,
        }
    }
}

/// Returns where the shared database is, if there is one, and keeps it out of the log. A file of it that others can read
/// is [`Refused`](crate::error::ErrorKind::Refused).
pub(super) fn shared_url(database: &DatabaseSettings) -> Result<Option<Secret>> {
    let url = match &database.shared {
        None => return Ok(None),
        Some(SharedDatabase::Url(url)) => url.clone(),
        Some(SharedDatabase::File(path)) => {
            let text = read_secret(
                path,
                TunnelWords::UrlFileUnreadable,
                |path| TunnelWords::UrlFileOpen { path }.into(),
                |path| TunnelWords::CloseKeyFile { path }.into(),
            )?;
            Secret::new(text.trim())
        }
    };
    logbook::hide(&url);
    Ok(Some(url))
}

/// Returns the file of an authority that the URL of a shared database names, as far as that can be read.
pub(crate) fn database_authority(database: &DatabaseSettings) -> Option<PathBuf> {
    let url = shared_url(database).ok()??;
    let (_, query) = url.expose().split_once('?')?;
    query.split('&').find_map(|pair| pair.strip_prefix("sslrootcert=")).map(named_file)
}

/// What a program without `PostgreSQL` says to a configuration with it.
#[cfg(not(feature = "postgres"))]
pub(super) fn no_postgres() -> Error {
    Error::new(ErrorKind::Usage, TunnelWords::NoPostgres).hint(TunnelWords::BuildWithPostgres)
}

/// What the audit says of a new mapping.
fn described(mapping: &NewMapping) -> Value {
    json!({
        "name": mapping.name,
        "protocol": mapping.protocol,
        "client": mapping.client,
        "target_host": mapping.target_host,
        "target_port": mapping.target_port,
        "use_tunnel": mapping.use_tunnel,
        "proxy_protocol": mapping.proxy_protocol,
        "bandwidth_limit": mapping.bandwidth_limit,
        "access_rule": mapping.access_rule,
        "access_ips": mapping.access_ips,
    })
}

#[cfg(all(test, not(feature = "postgres")))]
mod tests {
    use super::*;

    #[test]
    fn a_program_without_postgresql_says_how_to_get_one_with_it() {
        let shared = Some(SharedDatabase::Url(Secret::new("postgres://tunnel:canary@db/tunnel")));
        let error = Store::open(&DatabaseSettings { path: "mappings.db".into(), shared }).expect_err("a refusal");
        assert_eq!(error.kind(), ErrorKind::Usage);
        assert!(error.way_out().is_some() && !error.to_string().contains("canary"), "{error}");
    }
}
