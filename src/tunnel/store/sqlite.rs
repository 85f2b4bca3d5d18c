//! The store in a file: one `SQLite` database, one thread that writes it, and a lock that keeps a second server out.
//!
//! WAL with `synchronous=FULL`: what was acknowledged survives a killed process and a lost machine. The table is the
//! predecessor's with four columns more; its file is migrated in place after a copy was made. Each change and its row of
//! the audit are one transaction. Readers have a connection of their own, so that they do not wait for writes.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Row, params};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;

use super::super::audit::{self, Action, AuditEntry, Author, CREATE_AUDIT};
use super::super::history::{self, CREATE_HISTORY, HistoryWish, Interval, Record};
use super::{Contents, NewMapping, StoreFault, StoredMapping, described};
use crate::disk::create_once;
use crate::error::{Error, ErrorKind, Result};
use crate::model::Port;
use crate::words::trust::TrustWords;
use crate::words::tunnel::TunnelWords;

/// The schema that this program writes, as `user_version`.
const SCHEMA: i64 = 3;

/// Writes that may wait for the thread; the API's own limits keep far below it.
const QUEUE: usize = 64;

/// How long `SQLite` waits for a foreign reader, for example a backup.
const BUSY: Duration = Duration::from_secs(5);

/// Copies of a migrated database that are looked through for a free name.
const COPIES_MAX: u32 = 100;

type Answer<T> = oneshot::Sender<Result<T, StoreFault>>;

enum Write {
    Insert(Box<NewMapping>, Author, Answer<StoredMapping>),
    Update(Box<StoredMapping>, Author, Value, Answer<bool>),
    Remove(Port, Author, Answer<bool>),
    Note(Author, Action, String, Answer<()>),
    Record(Box<Record>, Answer<()>),
}

/// The writer's end of the database. Clones share it; the thread, and the lock with it, ends with the last one.
#[derive(Debug, Clone)]
pub(crate) struct Sqlite {
    writes: mpsc::Sender<Write>,
    reader: Arc<Mutex<Connection>>,
}

impl Sqlite {
    /// Opens or makes the database at `path`, and returns what it holds.
    ///
    /// Another server on the same file is [`ErrorKind::Busy`]; a file that is damaged, unreadable or read-only is
    /// [`ErrorKind::Missing`]; one written by a later version is [`ErrorKind::Refused`].
    pub(crate) fn open(path: &Path) -> Result<(Self, Contents)> {
        let place = || TunnelWords::InDatabase { path: path.to_path_buf() };
        make_folder(path).map_err(|error| error.context(place()))?;
        let lock = lock(path).map_err(|error| error.context(place()))?;
        let mut connection = connect(path).map_err(|error| error.context(place()))?;
        migrate(&mut connection, path).map_err(|error| error.context(place()))?;
        let read = || {
            let contents = Contents { mappings: rows(&connection)?, totals: history::totals(&connection)? };
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let reader = Connection::open_with_flags(path, flags)?;
            reader.busy_timeout(BUSY)?;
            Ok((contents, reader))
        };
        let (contents, reader) = read().map_err(|error| explain(&error, path).context(place()))?;
        let (writes, mut queue) = mpsc::channel(QUEUE);
        thread::Builder::new()
            .name("mappings".to_owned())
            .spawn(move || {
                let _lock = lock;
                while let Some(write) = queue.blocking_recv() {
                    perform(&mut connection, write);
                }
            })
            .map_err(|error| cannot_open(&error))?;
        Ok((Self { writes, reader: Arc::new(Mutex::new(reader)) }, contents))
    }

    /// Hands a write to the thread and waits for its outcome. No deadline: the caller must learn it to act on it.
    async fn write<T>(&self, write: impl FnOnce(Answer<T>) -> Write) -> Result<T, StoreFault> {
        let (answer, answered) = oneshot::channel();
        self.writes.send(write(answer)).await.map_err(|_| StoreFault::Failed)?;
        answered.await.unwrap_or(Err(StoreFault::Failed))
    }

    /// Stores a mapping; it is on disk when this returns.
    pub(crate) async fn insert(&self, mapping: NewMapping, author: Author) -> Result<StoredMapping, StoreFault> {
        self.write(|answer| Write::Insert(Box::new(mapping), author, answer)).await
    }

    /// Replaces what the row with the id of `mapping` holds, and tells whether there was one; `changes` is what the
    /// audit says. It is on disk when this returns.
    pub(crate) async fn update(
        &self,
        mapping: StoredMapping,
        author: Author,
        changes: Value,
    ) -> Result<bool, StoreFault> {
        self.write(|answer| Write::Update(Box::new(mapping), author, changes, answer)).await
    }

    /// Deletes the mapping of `port` and tells whether there was one; it is gone from the disk when this returns.
    pub(crate) async fn remove(&self, port: Port, author: Author) -> Result<bool, StoreFault> {
        self.write(|answer| Write::Remove(port, author, answer)).await
    }

    /// Notes in the audit what changes nothing on disk.
    pub(crate) async fn note(&self, author: Author, action: Action, subject: String) -> Result<(), StoreFault> {
        self.write(|answer| Write::Note(author, action, subject, answer)).await
    }

    /// Writes a record of traffic.
    pub(crate) async fn record(&self, record: Record) -> Result<(), StoreFault> {
        self.write(|answer| Write::Record(Box::new(record), answer)).await
    }

    /// Returns the last changes, the newest first.
    pub(crate) async fn audit(&self, limit: u32, before: Option<i64>) -> Result<Vec<AuditEntry>, StoreFault> {
        self.read(move |connection| audit::entries(connection, limit, before)).await
    }

    /// Returns what moved in the last intervals, the newest first.
    pub(crate) async fn history(&self, wish: HistoryWish) -> Result<Vec<Interval>, StoreFault> {
        self.read(move |connection| history::intervals(connection, &wish)).await
    }

    async fn read<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreFault> {
        let reader = Arc::clone(&self.reader);
        let asked = spawn_blocking(move || question(&reader.lock().unwrap_or_else(PoisonError::into_inner)));
        asked.await.map_err(|_| StoreFault::Failed)?.map_err(|error| fault(&error))
    }
}

/// Opens the database beside a server that may be running on it. Only where none runs, the file is made or brought up
/// to date; one that runs with an earlier version is [`ErrorKind::Busy`].
pub(in crate::tunnel) fn open_beside(path: &Path) -> Result<Connection> {
    let open = || {
        make_folder(path)?;
        let mut connection = connect(path)?;
        if version(&connection).map_err(|error| explain(&error, path))? != SCHEMA {
            let _lock = lock(path).map_err(|error| match error.kind() {
                ErrorKind::Busy => Error::new(ErrorKind::Busy, TrustWords::ServerOlder).hint(TrustWords::RestartServer),
                _ => error,
            })?;
            migrate(&mut connection, path)?;
        }
        Ok(connection)
    };
    open().map_err(|error: Error| error.context(TunnelWords::InDatabase { path: path.to_path_buf() }))
}

/// A file name beside the database: `mappings.db` → `mappings.db.lock`.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

pub(super) fn lock(path: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    let file = options.create(true).truncate(false).write(true).open(beside(path, ".lock"));
    let file = file.map_err(|error| cannot_open(&error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(Error::new(ErrorKind::Busy, TunnelWords::DatabaseInUse).hint(TunnelWords::OtherDatabase))
        }
        Err(TryLockError::Error(error)) => Err(cannot_open(&error)),
    }
}

pub(super) fn make_folder(path: &Path) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.map_or(Ok(()), fs::create_dir_all).map_err(|error| cannot_open(&error))
}

/// Opens the file, and makes it first where there is none: for its owner alone, because it holds what recognises
/// tokens. `SQLite` gives the files beside it the same mode.
fn connect(path: &Path) -> Result<Connection> {
    if matches!(path.try_exists(), Ok(false)) {
        create_once(path, b"", true)?;
    }
    prepared(path).map_err(|error| explain(&error, path))
}

fn prepared(path: &Path) -> rusqlite::Result<Connection> {
    // Without SQLITE_OPEN_URI, so that a file may be called `file:x?mode=memory`.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    connection.query_row("PRAGMA journal_mode=WAL", [], |_| Ok(()))?;
    connection.execute_batch("PRAGMA synchronous=FULL")?;
    if connection.is_readonly(rusqlite::MAIN_DB)? {
        let read_only = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_READONLY);
        return Err(rusqlite::Error::SqliteFailure(read_only, None));
    }
    let verdict: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if verdict == "ok" {
        Ok(connection)
    } else {
        let damaged = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
        Err(rusqlite::Error::SqliteFailure(damaged, Some(verdict)))
    }
}

const CREATE: &str = "CREATE TABLE mappings (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    source_port INTEGER NOT NULL UNIQUE,
    target_host TEXT NOT NULL DEFAULT '',
    target_port INTEGER NOT NULL,
    use_tunnel INTEGER NOT NULL DEFAULT 0,
    bandwidth_limit INTEGER NOT NULL DEFAULT 0,
    access_rule TEXT NOT NULL DEFAULT 'disabled',
    access_ips TEXT NOT NULL DEFAULT '[]',
    created_at TEXT NOT NULL DEFAULT '',
    name TEXT NOT NULL DEFAULT '',
    protocol TEXT NOT NULL DEFAULT 'tcp',
    client TEXT NOT NULL DEFAULT '',
    proxy_protocol TEXT NOT NULL DEFAULT ''
)";

/// What recognises tokens; a name is free again when its token was revoked.
const CREATE_TOKENS: &str = "CREATE TABLE tokens (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    stored_key BLOB NOT NULL,
    server_key BLOB NOT NULL,
    ports TEXT NOT NULL,
    created_at TEXT NOT NULL,
    revoked_at TEXT,
    last_seen_at TEXT
);
CREATE UNIQUE INDEX tokens_name ON tokens (name) WHERE revoked_at IS NULL";

/// Columns that older tables lack, with what stands for them.
const LATER_COLUMNS: [(&str, &str); 10] = [
    ("target_host", "TEXT NOT NULL DEFAULT ''"),
    ("use_tunnel", "INTEGER NOT NULL DEFAULT 0"),
    ("bandwidth_limit", "INTEGER NOT NULL DEFAULT 0"),
    ("access_rule", "TEXT NOT NULL DEFAULT 'disabled'"),
    ("access_ips", "TEXT NOT NULL DEFAULT '[]'"),
    ("created_at", "TEXT NOT NULL DEFAULT ''"),
    ("name", "TEXT NOT NULL DEFAULT ''"),
    ("protocol", "TEXT NOT NULL DEFAULT 'tcp'"),
    ("client", "TEXT NOT NULL DEFAULT ''"),
    ("proxy_protocol", "TEXT NOT NULL DEFAULT ''"),
];

fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

fn migrate(connection: &mut Connection, path: &Path) -> Result<()> {
    let explained = |error: rusqlite::Error| explain(&error, path);
    let version = version(connection).map_err(explained)?;
    if version > SCHEMA {
        return Err(Error::new(ErrorKind::Refused, TunnelWords::DatabaseNewer).hint(TunnelWords::NewerProgram));
    }
    if version == SCHEMA {
        return Ok(());
    }
    let table = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'mappings'";
    let old = connection.query_row(table, [], |_| Ok(())).optional().map_err(explained)?.is_some();
    if old {
        let copy = (0..COPIES_MAX)
            .map(|number| beside(path, &format!(".before-v{SCHEMA}.{number}")))
            .find(|copy| !copy.exists())
            .ok_or_else(|| Error::new(ErrorKind::Missing, TunnelWords::TooManyCopies))?;
        create_once(&copy, b"", true)?;
        connection.execute("VACUUM INTO ?1", [copy.to_string_lossy()]).map_err(explained)?;
        tracing::info!(copy = %copy.display(), from = version, "bringing the database up to date");
    }
    upgrade(connection, version, old).map_err(explained)
}

fn upgrade(connection: &mut Connection, version: i64, old: bool) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    if old {
        let columns: Vec<String> = transaction
            .prepare("SELECT name FROM pragma_table_info('mappings')")?
            .query_map([], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        let has = |wanted: &str| columns.iter().any(|column| column == wanted);
        let renamed = has("target_ip") && !has("target_host");
        if renamed {
            transaction.execute_batch("ALTER TABLE mappings RENAME COLUMN target_ip TO target_host")?;
        }
        for (column, kind) in LATER_COLUMNS {
            let present = has(column) || (renamed && column == "target_host");
            if !present {
                transaction.execute_batch(&format!("ALTER TABLE mappings ADD COLUMN {column} {kind}"))?;
            }
        }
    } else {
        transaction.execute_batch(CREATE)?;
    }
    if version < 2 {
        transaction.execute_batch(CREATE_TOKENS)?;
    }
    transaction.execute_batch(CREATE_AUDIT)?;
    transaction.execute_batch(CREATE_HISTORY)?;
    transaction.execute_batch(&format!("PRAGMA user_version = {SCHEMA}"))?;
    transaction.commit()
}

/// Columns as text or number whatever the predecessor declared them as; `NULL` becomes the default.
const SELECT: &str = "SELECT id, source_port, ifnull(target_host, ''), target_port, ifnull(use_tunnel, 0) <> 0,
    max(ifnull(bandwidth_limit, 0), 0), ifnull(access_rule, ''), ifnull(access_ips, ''),
    cast(ifnull(created_at, '') AS TEXT), name, protocol, client, proxy_protocol FROM mappings ORDER BY source_port";

fn rows(connection: &Connection) -> rusqlite::Result<Vec<StoredMapping>> {
    let mut statement = connection.prepare(SELECT)?;
    let mut found = statement.query([])?;
    let mut rows = Vec::new();
    while let Some(row) = found.next()? {
        match stored(row) {
            Ok(mapping) => rows.push(mapping),
            // The predecessor accepted port 0; its row stays, and the others are served.
            Err(error) => tracing::warn!(id = row.get::<_, i64>(0).unwrap_or_default(), %error, "row left alone"),
        }
    }
    Ok(rows)
}

fn stored(row: &Row<'_>) -> rusqlite::Result<StoredMapping> {
    let port = |column: usize| {
        let number: i64 = row.get(column)?;
        let port = u16::try_from(number).ok().and_then(Port::new);
        port.ok_or(rusqlite::Error::IntegralValueOutOfRange(column, number))
    };
    Ok(StoredMapping {
        id: row.get(0)?,
        created_at: row.get(8)?,
        mapping: NewMapping {
            source_port: port(1)?,
            target_host: row.get(2)?,
            target_port: port(3)?,
            use_tunnel: row.get(4)?,
            bandwidth_limit: row.get::<_, i64>(5)?.unsigned_abs(),
            access_rule: row.get(6)?,
            access_ips: row.get(7)?,
            name: row.get(9)?,
            protocol: row.get(10)?,
            client: row.get(11)?,
            proxy_protocol: row.get(12)?,
        },
    })
}

fn perform(connection: &mut Connection, write: Write) {
    match write {
        Write::Insert(mapping, author, answer) => whole(connection, answer, |it| insert(it, *mapping, &author)),
        Write::Update(mapping, author, changes, answer) => {
            whole(connection, answer, |it| update(it, &mapping, &author, &changes));
        }
        Write::Remove(port, author, answer) => whole(connection, answer, |it| remove(it, port, &author)),
        Write::Note(author, action, subject, answer) => {
            whole(connection, answer, |it| audit::note(it, &author, action, &subject, &Value::Null));
        }
        Write::Record(record, answer) => whole(connection, answer, |it| history::write(it, &record)),
    }
}

/// Does everything or nothing, and answers when it is on disk.
fn whole<T>(connection: &mut Connection, answer: Answer<T>, write: impl FnOnce(&Connection) -> rusqlite::Result<T>) {
    let attempt = || {
        let transaction = connection.transaction()?;
        let outcome = write(&transaction)?;
        transaction.commit()?;
        Ok(outcome)
    };
    // A receiver that is gone is a request that was given up; its write stands all the same.
    let _ = answer.send(attempt().map_err(|error| fault(&error)));
}

fn insert(connection: &Connection, mapping: NewMapping, author: &Author) -> rusqlite::Result<StoredMapping> {
    let sql = "INSERT INTO mappings (source_port, target_host, target_port, use_tunnel, bandwidth_limit, access_rule,
        access_ips, name, protocol, client, proxy_protocol, created_at)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, strftime('%Y-%m-%dT%H:%M:%SZ', 'now'))";
    connection.prepare_cached(sql)?.execute(params![
        mapping.source_port.get(),
        mapping.target_host,
        mapping.target_port.get(),
        mapping.use_tunnel,
        limit(&mapping),
        mapping.access_rule,
        mapping.access_ips,
        mapping.name,
        mapping.protocol,
        mapping.client,
        mapping.proxy_protocol,
    ])?;
    let id = connection.last_insert_rowid();
    let created_at = connection.query_row("SELECT created_at FROM mappings WHERE id = ?1", [id], |row| row.get(0))?;
    let port = mapping.source_port.to_string();
    audit::note(connection, author, Action::MappingCreated, &port, &described(&mapping))?;
    Ok(StoredMapping { id, created_at, mapping })
}

fn update(
    connection: &Connection,
    StoredMapping { id, mapping, .. }: &StoredMapping,
    author: &Author,
    changes: &Value,
) -> rusqlite::Result<bool> {
    let sql =
        "UPDATE mappings SET bandwidth_limit = ?2, access_rule = ?3, access_ips = ?4, name = ?5, target_host = ?6,
        target_port = ?7, use_tunnel = ?8, client = ?9, protocol = ?10, proxy_protocol = ?11 WHERE id = ?1";
    let values = params![
        id,
        limit(mapping),
        mapping.access_rule,
        mapping.access_ips,
        mapping.name,
        mapping.target_host,
        mapping.target_port.get(),
        mapping.use_tunnel,
        mapping.client,
        mapping.protocol,
        mapping.proxy_protocol,
    ];
    let found = connection.prepare_cached(sql)?.execute(values)? > 0;
    if found {
        audit::note(connection, author, Action::MappingUpdated, &mapping.source_port.to_string(), changes)?;
    }
    Ok(found)
}

fn remove(connection: &Connection, port: Port, author: &Author) -> rusqlite::Result<bool> {
    let found = connection.prepare_cached("DELETE FROM mappings WHERE source_port = ?1")?.execute([port.get()])? > 0;
    if found {
        audit::note(connection, author, Action::MappingRemoved, &port.to_string(), &Value::Null)?;
    }
    Ok(found)
}

fn limit(mapping: &NewMapping) -> i64 {
    i64::try_from(mapping.bandwidth_limit).unwrap_or(i64::MAX)
}

fn fault(error: &rusqlite::Error) -> StoreFault {
    tracing::error!(%error, "the database refused a write");
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreFault::Full,
        Some(ErrorCode::ConstraintViolation) => StoreFault::Exists,
        _ => StoreFault::Failed,
    }
}

pub(super) fn cannot_open(error: &io::Error) -> Error {
    Error::new(ErrorKind::Missing, TunnelWords::DatabaseUnreadable { reason: error.to_string() })
        .hint(TunnelWords::CheckDatabaseAccess)
}

pub(in crate::tunnel) fn explain(error: &rusqlite::Error, path: &Path) -> Error {
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            Error::new(ErrorKind::Missing, TunnelWords::DatabaseDamaged)
                .hint(TunnelWords::MoveDatabase { path: path.to_path_buf(), aside: beside(path, ".damaged") })
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            Error::new(ErrorKind::Busy, TunnelWords::DatabaseInUse).hint(TunnelWords::OtherDatabase)
        }
        _ => Error::new(ErrorKind::Missing, TunnelWords::DatabaseUnreadable { reason: error.to_string() })
            .hint(TunnelWords::CheckDatabaseAccess),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(number: u16) -> Port {
        Port::new(number).expect("a port")
    }

    fn mapping(number: u16) -> NewMapping {
        NewMapping {
            source_port: port(number),
            target_host: "127.0.0.1".to_owned(),
            target_port: port(80),
            use_tunnel: false,
            bandwidth_limit: 0,
            access_rule: "disabled".to_owned(),
            access_ips: "[]".to_owned(),
            name: "<img onerror>".to_owned(),
            protocol: "tcp".to_owned(),
            client: String::new(),
            proxy_protocol: "v2".to_owned(),
        }
    }

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
    }

    /// The lock goes with the thread, which ends a moment after the last handle.
    fn reopen(path: &Path) -> (Sqlite, Contents) {
        let give_up = std::time::Instant::now() + Duration::from_secs(5);
        loop {
            match Sqlite::open(path) {
                Ok(opened) => return opened,
                Err(error) => assert!(std::time::Instant::now() < give_up, "{error}"),
            }
            thread::yield_now();
        }
    }

    #[test]
    fn what_is_stored_is_there_again_and_what_is_removed_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("deep/er/mappings.db");
        let (store, contents) = Sqlite::open(&path).expect("a database");
        assert!(contents.mappings.is_empty());
        let first = block_on(store.insert(mapping(10022), Author::local())).expect("stored");
        block_on(store.insert(mapping(10080), Author::local())).expect("stored");
        assert_eq!(block_on(store.insert(mapping(10022), Author::local())), Err(StoreFault::Exists));
        assert_eq!(block_on(store.remove(port(10080), Author::local())), Ok(true));
        assert_eq!(block_on(store.remove(port(10080), Author::local())), Ok(false));
        assert!(first.created_at.ends_with('Z'), "{}", first.created_at);
        let second = Sqlite::open(&path).expect_err("the database is in use");
        assert_eq!(second.kind(), ErrorKind::Busy);
        drop(store);
        let (store, contents) = reopen(&path);
        assert_eq!(contents.mappings, [first]);
        let audit = block_on(store.audit(10, None)).expect("the audit");
        let said: Vec<_> = audit.iter().map(|entry| (entry.action.as_str(), entry.subject.as_str())).collect();
        assert_eq!(said, [("mapping.remove", "10080"), ("mapping.create", "10080"), ("mapping.create", "10022")]);
    }

    #[test]
    fn a_database_of_the_predecessor_is_copied_and_opened() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("mappings.db");
        let old = Connection::open(&path).expect("a database");
        old.execute_batch(
            "CREATE TABLE mappings (id INTEGER PRIMARY KEY AUTOINCREMENT, source_port INTEGER NOT NULL UNIQUE,
             target_ip TEXT NOT NULL, target_port INTEGER NOT NULL, created_at DATETIME DEFAULT CURRENT_TIMESTAMP);
             CREATE TABLE traffic_records (id INTEGER PRIMARY KEY, port INTEGER);
             INSERT INTO mappings (source_port, target_ip, target_port) VALUES (10022, '10.0.0.5', 22), (0, 'x', 1);",
        )
        .expect("rows");
        drop(old);
        let (store, Contents { mappings: rows, .. }) = Sqlite::open(&path).expect("migrated");
        assert_eq!(rows.len(), 1, "the row of port 0 is left alone");
        assert_eq!((rows[0].mapping.target_host.as_str(), rows[0].mapping.target_port), ("10.0.0.5", port(22)));
        assert_eq!((rows[0].mapping.protocol.as_str(), rows[0].mapping.proxy_protocol.as_str()), ("tcp", ""));
        let copy = Connection::open(folder.path().join("mappings.db.before-v3.0")).expect("a copy");
        let kept: i64 = copy.query_row("SELECT count(target_ip) FROM mappings", [], |row| row.get(0)).expect("rows");
        assert_eq!(kept, 2);
        block_on(store.insert(mapping(10080), Author::local())).expect("stored beside the old ones");
        drop(store);
        assert_eq!(reopen(&path).1.mappings.len(), 2);
    }

    #[test]
    fn a_database_is_opened_beside_a_server_unless_that_is_an_older_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("mappings.db");
        open_beside(&path).expect("made where there is none");
        let (store, _) = Sqlite::open(&path).expect("not locked by the one beside");
        open_beside(&path).expect("beside a server");
        let connection = open_beside(&path).expect("beside a server");
        connection.execute_batch("DROP TABLE tokens; PRAGMA user_version = 1").expect("as an older server leaves it");
        let error = open_beside(&path).expect_err("an older server");
        assert!(error.kind() == ErrorKind::Busy && error.way_out().is_some(), "{error}");
        drop((store, connection));
        let (store, _) = reopen(&path);
        open_beside(&path).expect("brought up to date").execute_batch("SELECT id FROM tokens").expect("a table");
        drop(store);
        for name in ["mappings.db", "mappings.db.before-v3.0"] {
            let metadata = fs::metadata(folder.path().join(name)).expect("a file");
            assert!(!crate::host::open_to_others(&metadata), "{name}");
        }
    }

    #[test]
    fn a_damaged_or_newer_database_is_refused_with_a_way_out() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("mappings.db");
        fs::write(&path, "this is no database, and it is long enough to have a header of a hundred bytes ".repeat(9))
            .expect("a file");
        let error = Sqlite::open(&path).expect_err("damaged");
        assert_eq!(error.kind(), ErrorKind::Missing);
        assert!(error.way_out().is_some());
        fs::remove_file(&path).expect("gone");
        Connection::open(&path).and_then(|newer| newer.execute_batch("PRAGMA user_version = 99")).expect("newer");
        assert_eq!(Sqlite::open(&path).expect_err("newer").kind(), ErrorKind::Refused);
        assert_eq!(Sqlite::open(folder.path()).expect_err("a folder").kind(), ErrorKind::Missing);
    }
}
