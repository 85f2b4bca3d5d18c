//! Who changed what: one row for each change of a mapping or a token, written in the same transaction as the change.

use rusqlite::{Connection, Row, params};
use serde::Serialize;

/// Rows that are kept; older ones go when a new one is written. At a change a minute that is two months.
pub(super) const ROWS_MAX: i64 = 100_000;

/// The table; `at` is UTC in RFC 3339, `detail` JSON.
pub(super) const CREATE_AUDIT: &str = "CREATE TABLE IF NOT EXISTS audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at TEXT NOT NULL,
    who TEXT NOT NULL,
    origin TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    detail TEXT NOT NULL
)";

/// Who asks for a change, and from where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Author {
    /// `api-key`, or `local` for a verb that works on the server's files.
    pub(crate) who: &'static str,
    /// The address of the caller; empty for a verb on this machine.
    pub(crate) origin: String,
}

impl Author {
    /// Whoever has the API's key, at `origin`.
    pub(crate) fn api(origin: String) -> Self {
        Self { who: "api-key", origin }
    }

    /// Whoever may write the server's files.
    pub(crate) fn local() -> Self {
        Self { who: "local", origin: String::new() }
    }
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    MappingCreated,
    MappingUpdated,
    MappingReloaded,
    MappingRemoved,
    TokenCreated,
    TokenRevoked,
}

impl Action {
    /// Returns the stable name.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::MappingCreated => "mapping.create",
            Self::MappingUpdated => "mapping.update",
            Self::MappingReloaded => "mapping.reload",
            Self::MappingRemoved => "mapping.remove",
            Self::TokenCreated => "token.create",
            Self::TokenRevoked => "token.revoke",
        }
    }
}

/// A row as the API shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct AuditEntry {
    pub(crate) id: i64,
    /// UTC, RFC 3339.
    pub(crate) at: String,
    pub(crate) who: String,
    pub(crate) origin: String,
    pub(crate) action: String,
    /// The port of a mapping, or the name of a token.
    pub(crate) subject: String,
    /// What was set, as JSON; never a secret.
    pub(crate) detail: serde_json::Value,
}

/// Writes a row; the caller's transaction decides whether it stands.
pub(super) fn note(
    connection: &Connection,
    author: &Author,
    action: Action,
    subject: &str,
    detail: &serde_json::Value,
) -> rusqlite::Result<()> {
    let sql = "INSERT INTO audit (at, who, origin, action, subject, detail)
        VALUES (strftime('%Y-%m-%dT%H:%M:%SZ', 'now'), ?1, ?2, ?3, ?4, ?5)";
    connection.prepare_cached(sql)?.execute(params![
        author.who,
        author.origin,
        action.name(),
        subject,
        detail.to_string()
    ])?;
    let oldest = connection.last_insert_rowid() - ROWS_MAX;
    connection.prepare_cached("DELETE FROM audit WHERE id <= ?1")?.execute([oldest]).map(drop)
}

/// Returns the last rows, the newest first, `limit` at most; those before `before` where that is given.
pub(super) fn entries(connection: &Connection, limit: u32, before: Option<i64>) -> rusqlite::Result<Vec<AuditEntry>> {
    let sql = "SELECT id, at, who, origin, action, subject, detail FROM audit WHERE id < ?1 ORDER BY id DESC LIMIT ?2";
    let mut statement = connection.prepare_cached(sql)?;
    statement.query_map(params![before.unwrap_or(i64::MAX), limit], entry)?.collect()
}

fn entry(row: &Row<'_>) -> rusqlite::Result<AuditEntry> {
    let detail: String = row.get(6)?;
    Ok(AuditEntry {
        id: row.get(0)?,
        at: row.get(1)?,
        who: row.get(2)?,
        origin: row.get(3)?,
        action: row.get(4)?,
        subject: row.get(5)?,
        detail: serde_json::from_str(&detail).unwrap_or(serde_json::Value::Null),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_changes_are_kept_and_the_oldest_go() {
        let connection = Connection::open_in_memory().expect("a database");
        connection.execute_batch(CREATE_AUDIT).expect("a table");
        connection
            .execute_batch("INSERT INTO audit VALUES (1, '', 'local', '', 'token.create', 'home', '{}')")
            .expect("a row");
        let skip = format!("UPDATE sqlite_sequence SET seq = {ROWS_MAX} WHERE name = 'audit'");
        connection.execute_batch(&skip).expect("as after many changes");
        let detail = serde_json::json!({ "port": 10022 });
        note(&connection, &Author::api("192.0.2.1".to_owned()), Action::MappingCreated, "10022", &detail)
            .expect("noted");
        note(&connection, &Author::local(), Action::TokenRevoked, "home", &serde_json::Value::Null).expect("noted");
        let all = entries(&connection, 10, None).expect("rows");
        let said: Vec<_> = all.iter().map(|entry| (entry.action.as_str(), entry.subject.as_str())).collect();
        assert_eq!(said, [("token.revoke", "home"), ("mapping.create", "10022")], "the first row is gone");
        let [_, created] = all.as_slice() else { panic!("two rows") };
        assert_eq!((created.who.as_str(), created.origin.as_str()), ("api-key", "192.0.2.1"));
        assert_eq!(created.detail, detail);
        assert_eq!(entries(&connection, 1, Some(created.id + 1)).expect("rows"), std::slice::from_ref(created));
    }
}
