//! Tokens in the file of a single server. What another process changed is noticed through `PRAGMA data_version`.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row, named_params};
use tokio::sync::watch;

use super::{Choice, LOOK_EVERY, TokenRecord, TokenTable, Tokens, read_ports};
use crate::error::{Error, ErrorKind, Result};
use crate::model::PortRange;
use crate::tunnel::audit::{self, Action, Author};
use crate::tunnel::handshake::TokenRow;
use crate::tunnel::store::sqlite::{explain, open_beside};
use crate::tunnel::token::{Token, TokenId, Verifier};
use crate::words::trust::TrustWords;

/// How long the watcher waits for another writer; the next look is soon.
const WATCHER_BUSY: Duration = Duration::from_millis(200);

/// The tokens in a file.
pub(super) struct SqliteTokens(pub(super) Connection);

impl SqliteTokens {
    /// Opens the file, beside a server that may be running on it.
    pub(super) fn open(path: &Path) -> Result<Self> {
        open_beside(path).map(Self)
    }

    /// Keeps what recognises `token`; `false` where another has the name.
    pub(super) fn insert(&self, token: &Token, name: &str, ports: &[String], author: &Author) -> Result<bool> {
        let Verifier { stored_key, server_key } = token.verifier();
        let sql = "INSERT INTO tokens (id, name, stored_key, server_key, ports, created_at)
            VALUES (:id, :name, :stored_key, :server_key, :ports, strftime('%Y-%m-%dT%H:%M:%SZ', 'now'))";
        let id = token.id().to_string();
        let values = named_params! { ":id": id, ":name": name, ":stored_key": stored_key, ":server_key": server_key,
        ":ports": ports.join(",") };
        let made = || {
            let transaction = self.0.unchecked_transaction()?;
            transaction.execute(sql, values)?;
            let detail = serde_json::json!({ "id": id, "ports": ports });
            audit::note(&transaction, author, Action::TokenCreated, name, &detail)?;
            transaction.commit()
        };
        match made() {
            Ok(()) => Ok(true),
            Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation) => Ok(false),
            Err(error) => Err(self.explain(&error)),
        }
    }

    /// Tells whether there has never been a token.
    pub(super) fn is_fresh(&self) -> Result<bool> {
        let any = self.0.query_row("SELECT 1 FROM tokens LIMIT 1", [], |_| Ok(())).optional();
        any.map(|found| found.is_none()).map_err(|error| self.explain(&error))
    }

    /// Revokes the token of this id and forgets what recognised it; one that was revoked before stays as it is.
    pub(super) fn revoke(&self, id: &str, name: &str, author: &Author) -> Result<()> {
        let sql = "UPDATE tokens SET revoked_at = strftime('%Y-%m-%dT%H:%M:%SZ', 'now'), stored_key = x'',
            server_key = x'' WHERE id = ?1 AND revoked_at IS NULL";
        let revoked = || {
            let transaction = self.0.unchecked_transaction()?;
            if transaction.execute(sql, [id])? > 0 {
                let detail = serde_json::json!({ "id": id });
                audit::note(&transaction, author, Action::TokenRevoked, name, &detail)?;
            }
            transaction.commit()
        };
        revoked().map_err(|error: rusqlite::Error| self.explain(&error))
    }

    /// Returns the chosen tokens in the order in which they were made.
    pub(super) fn records(&self, choice: Choice<'_>) -> Result<Vec<TokenRecord>> {
        let (condition, value) = match choice {
            Choice::All => ("?1 = ''", ""),
            Choice::Id(id) => ("id = ?1", id),
            Choice::Named(which) => ("id = lower(?1) OR name = ?1", which),
        };
        let read = || {
            let sql = format!(
                "SELECT id, name, ports, created_at, revoked_at, last_seen_at FROM tokens
                WHERE {condition} ORDER BY rowid"
            );
            let mut statement = self.0.prepare(&sql)?;
            statement.query_map([value], record)?.collect::<rusqlite::Result<Vec<_>>>()
        };
        read().map_err(|error| self.explain(&error))
    }

    fn table(&self) -> rusqlite::Result<TokenTable> {
        let sql = "SELECT id, name, stored_key, server_key, ports FROM tokens WHERE revoked_at IS NULL";
        let mut statement = self.0.prepare_cached(sql)?;
        let mut found = statement.query([])?;
        let mut rows = Vec::new();
        while let Some(row) = found.next()? {
            match token_row(row) {
                Ok(token) => rows.push(token),
                // A row that a person has edited lets nobody in, rather than too many.
                Err(error) => tracing::warn!(%error, "token left alone"),
            }
        }
        Ok(rows.into_iter().collect())
    }

    fn note_seen(&self, id: TokenId) -> rusqlite::Result<()> {
        let sql = "UPDATE tokens SET last_seen_at = strftime('%Y-%m-%dT%H:%M:%SZ', 'now') WHERE id = ?1
            AND (last_seen_at IS NULL OR last_seen_at < strftime('%Y-%m-%dT%H:%M:%SZ', 'now', '-1 minute'))";
        self.0.prepare_cached(sql)?.execute([id.to_string()]).map(drop)
    }

    fn data_version(&self) -> rusqlite::Result<i64> {
        self.0.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))
    }

    fn explain(&self, error: &rusqlite::Error) -> Error {
        explain(error, Path::new(self.0.path().unwrap_or_default()))
    }

    /// Reads the table and watches it from now on, in a thread of its own.
    pub(super) fn watch(self) -> Result<Tokens> {
        let prepared = self.0.busy_timeout(WATCHER_BUSY).and_then(|()| Ok((self.data_version()?, self.table()?)));
        let (mut version, table) = prepared.map_err(|error| self.explain(&error))?;
        let (publish, published) = watch::channel(Arc::new(table));
        let (seen, inbox) = channel();
        let look = move || {
            loop {
                match inbox.recv_timeout(LOOK_EVERY) {
                    Ok(id) => drop(self.note_seen(id).inspect_err(|error| tracing::debug!(%error, "not noted"))),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return,
                }
                // A database that cannot be read for a moment takes no token away.
                if let Err(error) = look(&self, &mut version, &publish) {
                    tracing::debug!(%error, "the tokens cannot be read; trying again");
                }
            }
        };
        let started = thread::Builder::new().name("tokens".to_owned()).spawn(look);
        started.map_err(|error| Error::new(ErrorKind::Missing, TrustWords::NoThread { reason: error.to_string() }))?;
        Ok(Tokens { table: published, seen })
    }
}

fn look(file: &SqliteTokens, version: &mut i64, publish: &watch::Sender<Arc<TokenTable>>) -> rusqlite::Result<()> {
    let present = file.data_version()?;
    if present == *version {
        return Ok(());
    }
    let table = file.table()?;
    *version = present;
    TokenTable::publish(publish, table);
    Ok(())
}

fn record(row: &Row<'_>) -> rusqlite::Result<TokenRecord> {
    Ok(TokenRecord {
        id: row.get(0)?,
        name: row.get(1)?,
        ports: ports(row, 2)?,
        created_at: row.get(3)?,
        revoked_at: row.get(4)?,
        last_seen_at: row.get(5)?,
    })
}

fn token_row(row: &Row<'_>) -> rusqlite::Result<TokenRow> {
    let id: String = row.get(0)?;
    let id = id.parse().map_err(|_| broken(0))?;
    let (stored_key, server_key) = (row.get(2)?, row.get(3)?);
    Ok(TokenRow { id, name: row.get(1)?, verifier: Verifier { stored_key, server_key }, ports: ports(row, 4)? })
}

fn ports(row: &Row<'_>, column: usize) -> rusqlite::Result<Vec<PortRange>> {
    read_ports(&row.get::<_, String>(column)?).ok_or_else(|| broken(column))
}

fn broken(column: usize) -> rusqlite::Error {
    rusqlite::Error::InvalidColumnType(column, "a token".to_owned(), rusqlite::types::Type::Text)
}
