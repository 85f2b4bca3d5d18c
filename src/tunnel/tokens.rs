//! Tokens in the database: made, listed and revoked by one verb, watched by a server that runs beside it.
//!
//! The database holds what recognises a token and never the token. A change of another process is noticed within a
//! second, through `PRAGMA data_version`, and published as a whole table.

use std::collections::HashMap;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row, named_params};
use tokio::sync::watch;

use super::audit::{self, Action, Author};
use super::handshake::TokenRow;
use super::store::{explain, open_beside};
use super::token::{Token, TokenId, Verifier};
use crate::error::{Error, ErrorKind, Result};
use crate::model::PortRange;
use crate::words::trust::TrustWords;

/// The longest name of a token, and of a client beside it, in characters: both and the stroke fit into the 64 that a
/// mapping has for its client.
const NAME_CHARS_MAX: usize = 31;

/// How often the database is asked whether another process changed it; it answers within some 20 µs.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How long the watcher waits for another writer; the next look is soon.
const WATCHER_BUSY: Duration = Duration::from_millis(200);

/// The client of version 1, of which there is one at a time. No token may have this name: its mappings would be served
/// by whoever connects.
pub(crate) const V1_CLIENT: &str = "legacy";

/// Tells whether `name` can be the name of a token, or of a client.
pub(crate) fn is_name(name: &str) -> bool {
    let letter = |letter: char| letter.is_alphanumeric() || matches!(letter, '-' | '_' | '.');
    (1..=NAME_CHARS_MAX).contains(&name.chars().count()) && name.chars().all(letter)
}

/// Returns the name of a client: that of its token, or below it the one that it goes by, so that no client can take
/// the name of another token's.
pub(crate) fn resolved_name(token: &str, wished: Option<&str>) -> String {
    match wished {
        Some(wished) if wished != token => format!("{token}/{wished}"),
        _ => token.to_owned(),
    }
}

/// What is known of a token, without what recognises it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TokenRecord {
    pub(crate) id: String,
    pub(crate) name: String,
    /// Public ports that its clients may serve; empty means all.
    pub(crate) ports: Vec<PortRange>,
    /// UTC, RFC 3339, as the other times.
    pub(crate) created_at: String,
    pub(crate) revoked_at: Option<String>,
    pub(crate) last_seen_at: Option<String>,
}

/// The tokens in the database file, and who changes them.
pub(crate) struct TokenFile(Connection, Author);

impl TokenFile {
    /// Opens the database, beside a server that may be running on it.
    pub(crate) fn open(database: &Path) -> Result<Self> {
        open_beside(database).map(|connection| Self(connection, Author::local()))
    }

    /// Says who makes the changes, for the audit; without this it is whoever may write the server's files.
    pub(crate) fn by(self, author: Author) -> Self {
        Self(self.0, author)
    }

    /// Keeps what recognises `token`; a name that a token has is [`ErrorKind::Refused`].
    pub(crate) fn insert(&self, token: &Token, name: &str, ports: &[PortRange]) -> Result<TokenRecord> {
        // A name that reads like an id would make `revoke` ambiguous.
        if !is_name(name) || TokenId::from_str(name).is_ok() {
            return Err(Error::new(ErrorKind::Usage, TrustWords::BadTokenName));
        }
        if name == V1_CLIENT {
            return Err(Error::new(ErrorKind::Usage, TrustWords::TokenNameReserved { name: name.to_owned() }));
        }
        let Verifier { stored_key, server_key } = token.verifier();
        let ports: Vec<String> = ports.iter().map(ToString::to_string).collect();
        let sql = "INSERT INTO tokens (id, name, stored_key, server_key, ports, created_at)
            VALUES (:id, :name, :stored_key, :server_key, :ports, strftime('%Y-%m-%dT%H:%M:%SZ', 'now'))";
        let id = token.id().to_string();
        let values = named_params! { ":id": id, ":name": name, ":stored_key": stored_key, ":server_key": server_key,
        ":ports": ports.join(",") };
        let made = || {
            let transaction = self.0.unchecked_transaction()?;
            transaction.execute(sql, values)?;
            let detail = serde_json::json!({ "id": id, "ports": ports });
            audit::note(&transaction, &self.1, Action::TokenCreated, name, &detail)?;
            transaction.commit()
        };
        match made() {
            Ok(()) => {}
            Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation) => {
                let name = name.to_owned();
                return Err(Error::new(ErrorKind::Refused, TrustWords::TokenNameTaken { name: name.clone() })
                    .hint(TrustWords::OtherTokenName { name }));
            }
            Err(error) => return Err(self.explain(&error)),
        }
        let made = self.records("WHERE id = ?1", &id)?.pop();
        made.ok_or_else(|| Error::new(ErrorKind::Internal, TrustWords::NoSuchToken { which: id }))
    }

    /// Tells whether the database has never had a token.
    pub(crate) fn is_fresh(&self) -> Result<bool> {
        let any = self.0.query_row("SELECT 1 FROM tokens LIMIT 1", [], |_| Ok(())).optional();
        any.map(|found| found.is_none()).map_err(|error| self.explain(&error))
    }

    /// Returns every token, also the revoked ones, in the order in which they were made.
    pub(crate) fn list(&self) -> Result<Vec<TokenRecord>> {
        self.records("WHERE ?1 = ''", "")
    }

    /// Returns the token that `which` names: by its id, or by its name among those that are not revoked, else the last
    /// revoked one of that name.
    pub(crate) fn find(&self, which: &str) -> Result<TokenRecord> {
        let mut found = self.records("WHERE id = lower(?1) OR name = ?1", which)?;
        let alive = found.iter().position(|record| record.revoked_at.is_none());
        let place = alive.or_else(|| found.len().checked_sub(1));
        place.map(|place| found.swap_remove(place)).ok_or_else(|| {
            Error::new(ErrorKind::Refused, TrustWords::NoSuchToken { which: which.to_owned() })
                .hint(TrustWords::ListTokens)
        })
    }

    /// Revokes a token and returns what is known of it now. What recognised it is forgotten.
    pub(crate) fn revoke(&self, id: &str) -> Result<TokenRecord> {
        let sql = "UPDATE tokens SET revoked_at = strftime('%Y-%m-%dT%H:%M:%SZ', 'now'), stored_key = x'',
            server_key = x'' WHERE id = ?1 AND revoked_at IS NULL";
        let name = self.find(id)?.name;
        let revoked = || {
            let transaction = self.0.unchecked_transaction()?;
            if transaction.execute(sql, [id])? > 0 {
                let detail = serde_json::json!({ "id": id });
                audit::note(&transaction, &self.1, Action::TokenRevoked, &name, &detail)?;
            }
            transaction.commit()
        };
        revoked().map_err(|error: rusqlite::Error| self.explain(&error))?;
        self.find(id)
    }

    fn records(&self, condition: &str, value: &str) -> Result<Vec<TokenRecord>> {
        let read = || {
            let sql = format!(
                "SELECT id, name, ports, created_at, revoked_at, last_seen_at FROM tokens {condition} ORDER BY rowid"
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
        let mut table = TokenTable::default();
        while let Some(row) = found.next()? {
            match token_row(row) {
                Ok(token) => drop(table.0.insert(token.id, token)),
                // A row that a person has edited lets nobody in, rather than too many.
                Err(error) => tracing::warn!(%error, "token left alone"),
            }
        }
        Ok(table)
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
    let text: String = row.get(column)?;
    let ranges = text.split(',').filter(|range| !range.is_empty());
    ranges.map(|range| range.parse().map_err(|_| broken(column))).collect()
}

fn broken(column: usize) -> rusqlite::Error {
    rusqlite::Error::InvalidColumnType(column, "a token".to_owned(), rusqlite::types::Type::Text)
}

/// The tokens that are accepted now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct TokenTable(HashMap<TokenId, TokenRow>);

impl TokenTable {
    /// Finds a token that was not revoked.
    pub(crate) fn get(&self, id: TokenId) -> Option<&TokenRow> {
        self.0.get(&id)
    }
}

/// The tokens as a running server sees them. Clones share the watcher, which ends with the last one.
#[derive(Debug, Clone)]
pub(crate) struct Tokens {
    table: watch::Receiver<Arc<TokenTable>>,
    seen: Sender<TokenId>,
}

impl Tokens {
    /// Reads the table and watches it from now on, in a thread of its own.
    pub(crate) fn watch(file: TokenFile) -> Result<Self> {
        let prepared = file.0.busy_timeout(WATCHER_BUSY).and_then(|()| Ok((file.data_version()?, file.table()?)));
        let (mut version, table) = prepared.map_err(|error| file.explain(&error))?;
        let (publish, published) = watch::channel(Arc::new(table));
        let (seen, inbox) = channel();
        let look = move || {
            loop {
                match inbox.recv_timeout(LOOK_EVERY) {
                    Ok(id) => drop(file.note_seen(id).inspect_err(|error| tracing::debug!(%error, "not noted"))),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return,
                }
                // A database that cannot be read for a moment takes no token away.
                if let Err(error) = look(&file, &mut version, &publish) {
                    tracing::debug!(%error, "the tokens cannot be read; trying again");
                }
            }
        };
        let started = thread::Builder::new().name("tokens".to_owned()).spawn(look);
        started.map_err(|error| Error::new(ErrorKind::Missing, TrustWords::NoThread { reason: error.to_string() }))?;
        Ok(Self { table: published, seen })
    }

    /// Returns the tokens that are accepted; a receiver sees each change within a second.
    pub(crate) fn table(&self) -> watch::Receiver<Arc<TokenTable>> {
        self.table.clone()
    }

    /// Finds a token that was not revoked.
    pub(crate) fn get(&self, id: TokenId) -> Option<TokenRow> {
        self.table.borrow().get(id).cloned()
    }

    /// Notes that a client with this token is there; written once a minute at most.
    pub(crate) fn seen(&self, id: TokenId) {
        // Fails only when the thread is gone.
        let _ = self.seen.send(id);
    }
}

fn look(file: &TokenFile, version: &mut i64, publish: &watch::Sender<Arc<TokenTable>>) -> rusqlite::Result<()> {
    let present = file.data_version()?;
    if present == *version {
        return Ok(());
    }
    let table = file.table()?;
    *version = present;
    publish.send_if_modified(|published| {
        let changed = **published != table;
        if changed {
            *published = Arc::new(table);
        }
        changed
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(folder: &tempfile::TempDir) -> TokenFile {
        TokenFile::open(&folder.path().join("mappings.db")).expect("a database")
    }

    #[test]
    fn names_of_clients_stay_below_the_names_of_their_tokens() {
        assert_eq!(resolved_name("home", None), "home");
        assert_eq!(resolved_name("home", Some("home")), "home");
        assert_eq!(resolved_name("home", Some("office")), "home/office");
        for name in ["home", "nas-1", "家里", "a.b_c", &"x".repeat(31)] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "a/b", "a b", "a\nb", "<img>", &"x".repeat(32)] {
            assert!(!is_name(name), "{name:?}");
        }
    }

    #[test]
    fn a_token_is_kept_listed_and_revoked() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = file(&folder);
        let (first, second) = (Token::random(), Token::random());
        let ports: Vec<PortRange> = vec!["10000-10009".parse().unwrap(), "10022".parse().unwrap()];
        let made = file.insert(&first, "home", &ports).expect("made");
        assert_eq!((made.name.as_str(), &made.ports, made.revoked_at.as_ref()), ("home", &ports, None));
        assert!(made.created_at.ends_with('Z'), "{}", made.created_at);
        let error = file.insert(&second, "home", &[]).expect_err("taken");
        assert!(error.kind() == ErrorKind::Refused && error.way_out().is_some());
        for name in ["", "a/b", "0123456789abcdef"] {
            assert_eq!(file.insert(&second, name, &[]).expect_err("no name").kind(), ErrorKind::Usage);
        }
        assert_eq!(file.find("HOME").expect_err("another name").kind(), ErrorKind::Refused);
        assert_eq!(file.find(&first.id().to_string().to_uppercase()).expect("by id"), made);
        let revoked = file.revoke(&made.id).expect("revoked");
        assert!(revoked.revoked_at.is_some());
        assert_eq!(file.revoke(&made.id).expect("again"), revoked);
        let again = file.insert(&second, "home", &[]).expect("the name is free again");
        assert_eq!(file.find("home").expect("the one that is accepted"), again);
        assert_eq!(file.list().expect("both"), [revoked, again]);
        let audit = audit::entries(&file.0, 10, None).expect("the audit");
        let said: Vec<_> = audit.iter().map(|entry| (entry.action.as_str(), entry.who.as_str())).collect();
        assert_eq!(
            said,
            [("token.create", "local"), ("token.revoke", "local"), ("token.create", "local")],
            "each once"
        );
    }

    #[tokio::test]
    async fn a_running_server_notices_tokens_that_others_make_and_revoke() {
        let folder = tempfile::tempdir().expect("a folder");
        let (ours, theirs) = (file(&folder), file(&folder));
        let token = Token::random();
        let tokens = Tokens::watch(ours).expect("watched");
        let mut table = tokens.table();
        assert!(tokens.get(token.id()).is_none());
        let soon = Duration::from_secs(5);
        let made = theirs.insert(&token, "home", &["10022".parse().unwrap()]).expect("made");
        tokio::time::timeout(soon, table.changed()).await.expect("within a second").expect("watched");
        let row = tokens.get(token.id()).expect("known");
        assert_eq!((row.name.as_str(), row.ports, row.verifier), ("home", made.ports.clone(), token.verifier()));
        tokens.seen(token.id());
        let seen = async {
            while theirs.find("home").expect("there").last_seen_at.is_none() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(soon, seen).await.expect("noted");
        assert!(!table.has_changed().expect("watched"), "being seen is no change");
        theirs.revoke(&made.id).expect("revoked");
        tokio::time::timeout(soon, table.changed()).await.expect("within a second").expect("watched");
        assert!(tokens.get(token.id()).is_none());
        theirs.0.execute("UPDATE tokens SET revoked_at = NULL, ports = 'all'", []).expect("edited by hand");
        theirs.insert(&Token::random(), "other", &[]).expect("made");
        tokio::time::timeout(soon, table.changed()).await.expect("within a second").expect("watched");
        assert!(tokens.get(token.id()).is_none(), "a row that cannot be read lets nobody in");
        drop(tokens);
        tokio::time::timeout(soon, table.changed()).await.expect("the watcher ends").expect_err("ended");
    }
}
