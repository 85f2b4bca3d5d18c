//! Tokens in the database: made, listed and revoked by one verb, watched by a server that runs beside it.
//!
//! The database holds what recognises a token and never the token. A change of another process is noticed within a
//! second, and published as a whole table.

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use tokio::sync::watch;

use super::audit::Author;
use super::config::DatabaseSettings;
use super::handshake::TokenRow;
#[cfg(feature = "postgres")]
use super::store::Postgres;
use super::store::{Store, shared_url};
use super::token::{Token, TokenId};
use crate::error::{Error, ErrorKind, Result};
use crate::model::PortRange;
use crate::words::trust::TrustWords;

mod sqlite;

use sqlite::SqliteTokens;

/// The longest name of a token, and of a client beside it, in characters: both and the stroke fit into the 64 that a
/// mapping has for its client.
const NAME_CHARS_MAX: usize = 31;

/// How often the file is asked whether another process changed it; it answers within some 20 µs.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(50);

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

/// The tokens in the database, and who changes them.
pub(crate) struct TokenFile(Backend, Author);

enum Backend {
    File(SqliteTokens),
    #[cfg(feature = "postgres")]
    Shared(Postgres),
}

impl TokenFile {
    /// Opens the database, beside a server that may be running on it.
    pub(crate) fn open(database: &DatabaseSettings) -> Result<Self> {
        let backend = match shared_url(database)? {
            #[cfg(feature = "postgres")]
            Some(url) => Backend::Shared(Postgres::beside(&url)?),
            #[cfg(not(feature = "postgres"))]
            Some(_) => return Err(super::store::no_postgres()),
            None => Backend::File(SqliteTokens::open(&database.path)?),
        };
        Ok(Self(backend, Author::local()))
    }

    /// The tokens in the store of a running server.
    pub(crate) fn of(store: &Store, database: &DatabaseSettings) -> Result<Self> {
        #[cfg(feature = "postgres")]
        if let Some(shared) = store.shared() {
            return Ok(Self(Backend::Shared(shared.clone()), Author::local()));
        }
        // A file has a connection for each who asks.
        let _ = store;
        Self::open(database)
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
        let ports: Vec<String> = ports.iter().map(ToString::to_string).collect();
        let made = match &self.0 {
            Backend::File(file) => file.insert(token, name, &ports, &self.1)?,
            #[cfg(feature = "postgres")]
            Backend::Shared(shared) => shared.insert_token(token, name, &ports, &self.1)?,
        };
        if !made {
            let name = name.to_owned();
            return Err(Error::new(ErrorKind::Refused, TrustWords::TokenNameTaken { name: name.clone() })
                .hint(TrustWords::OtherTokenName { name }));
        }
        let id = token.id().to_string();
        let made = self.records(Choice::Id(&id))?.pop();
        made.ok_or_else(|| Error::new(ErrorKind::Internal, TrustWords::NoSuchToken { which: id }))
    }

    /// Tells whether the database has never had a token.
    pub(crate) fn is_fresh(&self) -> Result<bool> {
        match &self.0 {
            Backend::File(file) => file.is_fresh(),
            #[cfg(feature = "postgres")]
            Backend::Shared(shared) => shared.has_no_tokens(),
        }
    }

    /// Returns every token, also the revoked ones, in the order in which they were made.
    pub(crate) fn list(&self) -> Result<Vec<TokenRecord>> {
        self.records(Choice::All)
    }

    /// Returns the token that `which` names: by its id, or by its name among those that are not revoked, else the last
    /// revoked one of that name.
    pub(crate) fn find(&self, which: &str) -> Result<TokenRecord> {
        let mut found = self.records(Choice::Named(which))?;
        let alive = found.iter().position(|record| record.revoked_at.is_none());
        let place = alive.or_else(|| found.len().checked_sub(1));
        place.map(|place| found.swap_remove(place)).ok_or_else(|| {
            Error::new(ErrorKind::Refused, TrustWords::NoSuchToken { which: which.to_owned() })
                .hint(TrustWords::ListTokens)
        })
    }

    /// Revokes a token and returns what is known of it now. What recognised it is forgotten.
    pub(crate) fn revoke(&self, id: &str) -> Result<TokenRecord> {
        let name = self.find(id)?.name;
        match &self.0 {
            Backend::File(file) => file.revoke(id, &name, &self.1)?,
            #[cfg(feature = "postgres")]
            Backend::Shared(shared) => shared.revoke_token(id, &name, &self.1)?,
        }
        self.find(id)
    }

    fn records(&self, choice: Choice<'_>) -> Result<Vec<TokenRecord>> {
        match &self.0 {
            Backend::File(file) => file.records(choice),
            #[cfg(feature = "postgres")]
            Backend::Shared(shared) => shared.tokens(choice),
        }
    }
}

/// Which tokens are asked for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Choice<'a> {
    All,
    Id(&'a str),
    /// By the id in either case, or by the name.
    Named(&'a str),
}

/// Reads the ranges as the database keeps them: separated by commas. `None` where a person has edited them.
pub(super) fn read_ports(text: &str) -> Option<Vec<PortRange>> {
    text.split(',').filter(|range| !range.is_empty()).map(|range| range.parse().ok()).collect()
}

/// The tokens that are accepted now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct TokenTable(HashMap<TokenId, TokenRow>);

impl FromIterator<TokenRow> for TokenTable {
    fn from_iter<I: IntoIterator<Item = TokenRow>>(rows: I) -> Self {
        Self(rows.into_iter().map(|row| (row.id, row)).collect())
    }
}

impl TokenTable {
    /// Publishes `table` where it differs from what is published.
    pub(super) fn publish(publish: &watch::Sender<Arc<Self>>, table: Self) {
        publish.send_if_modified(|published| {
            let changed = **published != table;
            if changed {
                *published = Arc::new(table);
            }
            changed
        });
    }

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
        match file.0 {
            Backend::File(file) => file.watch(),
            #[cfg(feature = "postgres")]
            Backend::Shared(shared) => watch_shared(shared),
        }
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

/// Watches the tokens of a shared database through its listening connection; a thread notes who was seen.
#[cfg(feature = "postgres")]
fn watch_shared(shared: Postgres) -> Result<Tokens> {
    let table = shared.token_table();
    let (seen, inbox) = std::sync::mpsc::channel();
    let note = move || {
        for id in inbox {
            // When a client was last there matters less than the client.
            if let Err(fault) = shared.note_seen(id) {
                tracing::debug!(?fault, "not noted");
            }
        }
    };
    let started = std::thread::Builder::new().name("tokens".to_owned()).spawn(note);
    started.map_err(|error| Error::new(ErrorKind::Missing, TrustWords::NoThread { reason: error.to_string() }))?;
    Ok(Tokens { table, seen })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tunnel::audit;

    fn file(folder: &tempfile::TempDir) -> TokenFile {
        let path = folder.path().join("mappings.db");
        TokenFile::open(&DatabaseSettings { path, shared: None }).expect("a database")
    }

    fn connection(file: &TokenFile) -> &rusqlite::Connection {
        match &file.0 {
            Backend::File(file) => &file.0,
            #[cfg(feature = "postgres")]
            Backend::Shared(_) => panic!("a file"),
        }
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
        let audit = audit::entries(connection(&file), 10, None).expect("the audit");
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
        connection(&theirs).execute("UPDATE tokens SET revoked_at = NULL, ports = 'all'", []).expect("edited by hand");
        theirs.insert(&Token::random(), "other", &[]).expect("made");
        tokio::time::timeout(soon, table.changed()).await.expect("within a second").expect("watched");
        assert!(tokens.get(token.id()).is_none(), "a row that cannot be read lets nobody in");
        drop(tokens);
        tokio::time::timeout(soon, table.changed()).await.expect("the watcher ends").expect_err("ended");
    }
}
