//! The store that several servers share: a `PostgreSQL` database, of which each server also hears what others change.
//!
//! A thread of its own has two connections: one for what is asked, in the order in which it is asked, and one that
//! listens (`LISTEN`). Each change, its row of the audit and its `NOTIFY` are one transaction, so that whoever is told
//! finds it there. Notifications are lost with a connection, so the tables are also read when it is made again and
//! every few seconds. Nothing that carries bytes of visitors ever waits for this thread.

use std::error::Error as _;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use futures_util::future::LocalBoxFuture;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::super::audit::{Action, AuditEntry, Author};
use super::super::history::{HistoryWish, Interval, Kept, Record};
use super::super::logbook;
use super::super::token::{Token, TokenId};
use super::super::tokens::{Choice, TokenRecord, TokenTable};
use super::{Contents, NewMapping, StoreFault, StoredMapping, sqlite};
use crate::disk::create_once;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Port, Secret};
use crate::remote::postgres::{ANSWER_WAIT, Place, Trouble, UrlFault, connect, read, why};
use crate::words::tunnel::TunnelWords;

mod schema;
mod tables;
mod tokens;
mod traffic;
mod watching;

/// What may wait for the thread; the API's own limits keep far below it.
const QUEUE: usize = 64;

/// Shorter passwords than this are parts of ordinary words, and masking these would make the log unreadable.
const MASKED_MIN: usize = 6;

/// Something to do with the connection, or to give up without one; tells whether the connection is still good.
type Job = Box<dyn for<'a> FnOnce(Option<&'a mut Client>) -> LocalBoxFuture<'a, bool> + Send>;

/// The shared database. Clones share the thread, which ends with the last one.
#[derive(Debug, Clone)]
pub(in crate::tunnel) struct Postgres {
    jobs: mpsc::Sender<Job>,
    news: News,
    /// Under which name this server counts its traffic; empty for a verb.
    server: Arc<str>,
    /// What keeps a second server out of the same folder.
    _lock: Option<Arc<File>>,
}

/// What the listening connection publishes.
#[derive(Debug, Clone)]
struct News {
    /// Counts the times at which the mappings should be read again.
    changes: watch::Receiver<u64>,
    tokens: watch::Receiver<Arc<TokenTable>>,
    reachable: watch::Receiver<bool>,
}

/// The publishing end of [`News`].
struct Desk {
    changes: watch::Sender<u64>,
    tokens: watch::Sender<Arc<TokenTable>>,
    reachable: watch::Sender<bool>,
}

impl Postgres {
    /// Connects for a server whose folder is that of `path`, and returns what the database holds.
    ///
    /// One that cannot be reached or used is [`ErrorKind::Missing`], one of a later version is [`ErrorKind::Refused`],
    /// another server in the same folder is [`ErrorKind::Busy`].
    pub(super) fn serve(url: &Secret, path: &Path) -> Result<(Self, Contents)> {
        let folder = || TunnelWords::InDatabase { path: path.to_path_buf() };
        sqlite::make_folder(path).map_err(|error| error.context(folder()))?;
        let lock = sqlite::lock(path).map_err(|error| error.context(folder()))?;
        let server = identity(path).map_err(|error| error.context(folder()))?;
        let place = place(url)?;
        let context = TunnelWords::InPostgres { address: place.address.clone() };
        let store = Self { _lock: Some(Arc::new(lock)), server: server.into(), ..Self::start(place, true)? };
        let read = || {
            let name = Arc::clone(&store.server);
            let mappings = store.ask_here(|client| Box::pin(tables::mappings(client)))?;
            let totals = store.ask_here(move |client| Box::pin(traffic::totals(client, name)))?;
            Ok(Contents { mappings, totals })
        };
        let contents = read().map_err(|fault| unusable(fault).context(context))?;
        Ok((store, contents))
    }

    /// Connects for a verb, beside servers that may be running.
    pub(in crate::tunnel) fn beside(url: &Secret) -> Result<Self> {
        Self::start(place(url)?, false)
    }

    fn start(place: Place, listens: bool) -> Result<Self> {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let (changes, tokens) = (watch::Sender::new(0), watch::Sender::new(Arc::default()));
        let desk = Desk { changes, tokens, reachable: watch::Sender::new(true) };
        let news = News {
            changes: desk.changes.subscribe(),
            tokens: desk.tokens.subscribe(),
            reachable: desk.reachable.subscribe(),
        };
        let context = TunnelWords::InPostgres { address: place.address.clone() };
        let failed = |error: std::io::Error| {
            Error::new(ErrorKind::Missing, TunnelWords::NoRuntime { reason: error.to_string() })
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let (opened, opening) = std::sync::mpsc::channel();
        let work = move || {
            runtime.block_on(async move {
                let client = match open(&place, &desk).await {
                    Ok(client) => client,
                    // The one who waits is there until it is told.
                    Err(error) => return drop(opened.send(Err(error))),
                };
                let reachable = desk.reachable.subscribe();
                let watching = listens.then(|| tokio::spawn(watching::watch(place.clone(), desk)));
                if opened.send(Ok(())).is_ok() {
                    work(queue, client, &place, &reachable).await;
                }
                if let Some(task) = watching {
                    task.abort();
                }
            });
        };
        thread::Builder::new().name("database".to_owned()).spawn(work).map_err(failed)?;
        let gone = || unusable(StoreFault::Failed);
        opening.recv().unwrap_or_else(|_| Err(gone())).map_err(|error| error.context(context))?;
        Ok(Self { jobs, news, server: "".into(), _lock: None })
    }

    /// Hands `work` to the thread and waits for its outcome.
    async fn ask<T, W>(&self, work: W) -> Result<T, StoreFault>
    where
        T: Send + 'static,
        W: for<'a> FnOnce(&'a mut Client) -> LocalBoxFuture<'a, Asked<T>> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        self.jobs.send(job(work, move |outcome| drop(answer.send(outcome)))).await.map_err(|_| StoreFault::Failed)?;
        // An answer that never comes took too long.
        answered.await.unwrap_or(Err(StoreFault::Unavailable))
    }

    /// As [`Postgres::ask`], and blocks until then: at a start, and for verbs.
    fn ask_here<T, W>(&self, work: W) -> Result<T, StoreFault>
    where
        T: Send + 'static,
        W: for<'a> FnOnce(&'a mut Client) -> LocalBoxFuture<'a, Asked<T>> + Send + 'static,
    {
        let (answer, answered) = std::sync::mpsc::channel();
        let job = job(work, move |outcome| drop(answer.send(outcome)));
        // A full queue is a database that does not answer.
        self.jobs.try_send(job).map_err(|_| StoreFault::Unavailable)?;
        answered.recv().unwrap_or(Err(StoreFault::Unavailable))
    }

    pub(super) async fn insert(&self, mapping: NewMapping, author: Author) -> Result<StoredMapping, StoreFault> {
        self.ask(move |client| Box::pin(tables::insert(client, mapping, author))).await
    }

    pub(super) async fn update(
        &self,
        mapping: StoredMapping,
        author: Author,
        changes: Value,
    ) -> Result<bool, StoreFault> {
        self.ask(move |client| Box::pin(tables::update(client, mapping, author, changes))).await
    }

    pub(super) async fn remove(&self, port: Port, author: Author) -> Result<bool, StoreFault> {
        self.ask(move |client| Box::pin(tables::remove(client, port, author))).await
    }

    pub(super) async fn note(&self, author: Author, action: Action, subject: String) -> Result<(), StoreFault> {
        self.ask(move |client| Box::pin(tables::note_alone(client, author, action, subject))).await
    }

    pub(super) async fn record(&self, record: Record) -> Result<(), StoreFault> {
        let server = Arc::clone(&self.server);
        self.ask(move |client| Box::pin(traffic::write(client, server, record))).await
    }

    pub(super) async fn audit(&self, limit: u32, before: Option<i64>) -> Result<Vec<AuditEntry>, StoreFault> {
        self.ask(move |client| Box::pin(tables::entries(client, limit, before))).await
    }

    pub(super) async fn history(&self, wish: HistoryWish) -> Result<Vec<Interval>, StoreFault> {
        self.ask(move |client| Box::pin(traffic::intervals(client, wish))).await
    }

    /// Returns every mapping, in the order of the ports.
    pub(super) async fn mappings(&self) -> Result<Vec<StoredMapping>, StoreFault> {
        self.ask(|client| Box::pin(tables::mappings(client))).await
    }

    /// Returns what the other servers have carried.
    pub(super) async fn elsewhere(&self) -> Result<Kept, StoreFault> {
        let server = Arc::clone(&self.server);
        self.ask(move |client| Box::pin(traffic::elsewhere(client, server))).await
    }

    /// Tells when the mappings should be read again.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.news.changes.clone()
    }

    /// Tells whether the database answers.
    pub(super) fn is_reachable(&self) -> bool {
        *self.news.reachable.borrow()
    }

    /// Keeps what recognises `token`; `false` where another has the name.
    pub(in crate::tunnel) fn insert_token(
        &self,
        token: &Token,
        name: &str,
        ports: &[String],
        author: &Author,
    ) -> Result<bool> {
        let (token, name, ports, author) = (token.clone(), name.to_owned(), ports.to_vec(), author.clone());
        match self.ask_here(move |client| Box::pin(tokens::insert(client, token, name, ports, author))) {
            Ok(()) => Ok(true),
            Err(StoreFault::Exists) => Ok(false),
            Err(fault) => Err(unusable(fault)),
        }
    }

    /// Tells whether there has never been a token.
    pub(in crate::tunnel) fn has_no_tokens(&self) -> Result<bool> {
        self.ask_here(|client| Box::pin(tokens::is_fresh(client))).map_err(unusable)
    }

    /// Revokes the token of this id and forgets what recognised it; one that was revoked before stays as it is.
    pub(in crate::tunnel) fn revoke_token(&self, id: &str, name: &str, author: &Author) -> Result<()> {
        let (id, name, author) = (id.to_owned(), name.to_owned(), author.clone());
        self.ask_here(move |client| Box::pin(tokens::revoke(client, id, name, author))).map_err(unusable)
    }

    /// Returns the chosen tokens in the order in which they were made.
    pub(in crate::tunnel) fn tokens(&self, choice: Choice<'_>) -> Result<Vec<TokenRecord>> {
        let (sql, value) = tokens::question(choice);
        self.ask_here(move |client| Box::pin(tokens::records(client, sql, value))).map_err(unusable)
    }

    /// Returns the tokens that are accepted; a receiver sees each change within a second.
    pub(in crate::tunnel) fn token_table(&self) -> watch::Receiver<Arc<TokenTable>> {
        self.news.tokens.clone()
    }

    /// Notes that a client with this token is there.
    pub(in crate::tunnel) fn note_seen(&self, id: TokenId) -> Result<(), StoreFault> {
        self.ask_here(move |client| Box::pin(tokens::note_seen(client, id)))
    }
}

/// What the database answered.
type Asked<T> = Result<T, tokio_postgres::Error>;

fn job<T, W>(work: W, answer: impl FnOnce(Result<T, StoreFault>) + Send + 'static) -> Job
where
    T: Send + 'static,
    W: for<'a> FnOnce(&'a mut Client) -> LocalBoxFuture<'a, Asked<T>> + Send + 'static,
{
    Box::new(move |client| {
        Box::pin(async move {
            let Some(client) = client else {
                answer(Err(StoreFault::Unavailable));
                return false;
            };
            let outcome = work(client).await.map_err(|error| fault(&error));
            let is_good = !matches!(outcome, Err(StoreFault::Unavailable));
            answer(outcome);
            is_good
        })
    })
}

/// Reads the URL; the error never repeats it.
fn place(url: &Secret) -> Result<Place> {
    let place = read(url).map_err(|fault| match fault {
        UrlFault::Wrong => Error::new(ErrorKind::Usage, TunnelWords::DatabaseUrlWrong),
        UrlFault::NoRoots => Error::new(ErrorKind::Usage, TunnelWords::DatabaseRootsMissing),
        UrlFault::Unusable(error) => error,
    })?;
    // Nothing logs it; what a library may do one day is masked all the same.
    if let Some(password) = place.config.get_password().filter(|password| password.len() >= MASKED_MIN) {
        logbook::hide(&Secret::new(String::from_utf8_lossy(password)));
    }
    Ok(place)
}

/// Does what is asked until nobody can ask any more.
async fn work(mut queue: mpsc::Receiver<Job>, client: Client, place: &Place, reachable: &watch::Receiver<bool>) {
    let mut client = Some(client);
    while let Some(job) = queue.recv().await {
        client = client.filter(|client| !client.is_closed());
        // While the listening connection finds nobody, neither would this one: a refusal at once is worth more.
        if client.is_none() && *reachable.borrow() {
            client =
                connect(place, None).await.inspect_err(|error| tracing::warn!(error = %why(error), "no database")).ok();
        }
        let is_good = timeout(ANSWER_WAIT, job(client.as_mut())).await.unwrap_or(false);
        if !is_good {
            client = None;
        }
    }
}

/// Makes the first connection and brings the tables up to date.
async fn open(place: &Place, desk: &Desk) -> Result<Client> {
    let missing = |error: &Trouble| {
        Error::new(ErrorKind::Missing, TunnelWords::PostgresUnusable { reason: why(error) })
            .hint(TunnelWords::CheckPostgres)
    };
    let mut client = connect(place, None).await.map_err(|error| missing(&error))?;
    let prepared = timeout(ANSWER_WAIT, async {
        let version = schema::migrate(&mut client).await?;
        let table = tokens::table(&client).await?;
        Ok::<_, tokio_postgres::Error>((version, table))
    });
    let prepared = prepared.await.map_err(|_| missing(&Trouble::Slow))?;
    let (version, table) = prepared.map_err(|error| missing(&Trouble::Database(error)))?;
    if version > schema::SCHEMA {
        return Err(Error::new(ErrorKind::Refused, TunnelWords::DatabaseNewer).hint(TunnelWords::NewerProgram));
    }
    TokenTable::publish(&desk.tokens, table);
    Ok(client)
}

fn fault(error: &tokio_postgres::Error) -> StoreFault {
    let Some(code) = error.code() else {
        tracing::warn!(%error, "the database cannot be reached");
        return StoreFault::Unavailable;
    };
    if *code == SqlState::UNIQUE_VIOLATION {
        return StoreFault::Exists;
    }
    let reason = error.source().map(ToString::to_string);
    tracing::error!(code = code.code(), reason, "the database refused");
    match code.code().get(..2) {
        _ if *code == SqlState::DISK_FULL => StoreFault::Full,
        // Lost connections, no more of them, and a server that stops.
        Some("08" | "57") => StoreFault::Unavailable,
        _ if *code == SqlState::TOO_MANY_CONNECTIONS => StoreFault::Unavailable,
        _ => StoreFault::Failed,
    }
}

fn unusable(fault: StoreFault) -> Error {
    let words = match fault {
        StoreFault::Unavailable => TunnelWords::StorageUnavailable,
        StoreFault::Full => TunnelWords::StorageFull,
        StoreFault::Exists | StoreFault::Failed => TunnelWords::PostgresRefused,
    };
    Error::new(ErrorKind::Missing, words).hint(TunnelWords::CheckPostgres)
}

/// Returns the name under which the server of this folder counts its traffic, and makes it at the first start.
fn identity(path: &Path) -> Result<String> {
    let file = sqlite::beside(path, ".server");
    let fresh = format!("{:016x}", rand::random::<u64>());
    if matches!(file.try_exists(), Ok(false)) {
        create_once(&file, fresh.as_bytes(), true)?;
    }
    let text = std::fs::read_to_string(&file).map_err(|error| sqlite::cannot_open(&error))?;
    let name = text.trim();
    // An empty file is what a full disk left; a name of another form was written by a person and serves as well.
    Ok(if name.is_empty() { fresh } else { name.to_owned() })
}
