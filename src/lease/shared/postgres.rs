//! Leases in `PostgreSQL`: one row for each port, so that the database hands out rows that nobody else looks at
//! (`FOR UPDATE SKIP LOCKED`), the longest-rested first. Time is the database's `now()`.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, Statement};

use super::line::{Connection, Line};
use super::{Record, Wanted, Which, unusable};
use crate::error::{Error, ErrorKind, Result};
use crate::lease::table::{Free, Granted, Now, best_block};
use crate::model::{Port, PortRange, Secret};
use crate::remote::postgres::{Place, Trouble, UrlFault, connect, read, why};
use crate::words::lease::LeaseWords;

mod sql;

/// The version of the tables that this program writes.
const SCHEMA: i32 = 1;

/// What keeps two that start at once from making the tables twice: any number that nobody else uses.
const MIGRATION_LOCK: i64 = 0x706f_7274_706f_6f6c;

/// The database of a fleet.
#[derive(Debug)]
pub(in crate::lease) struct Postgres {
    line: Line<Session>,
    group: String,
    /// What has a row for each port already: WAN, first and last port.
    laid_out: Mutex<BTreeSet<(u32, Port, Port)>>,
}

/// A connection, and what was prepared on it.
struct Session {
    client: Client,
    statements: HashMap<&'static str, Statement>,
}

type Values<'a> = &'a [&'a (dyn ToSql + Sync)];

impl Session {
    async fn query(&mut self, sql: &'static str, values: Values<'_>) -> std::result::Result<Vec<Row>, Trouble> {
        let statement = if let Some(statement) = self.statements.get(sql) {
            statement.clone()
        } else {
            let statement = self.client.prepare(sql).await?;
            self.statements.insert(sql, statement.clone());
            statement
        };
        Ok(self.client.query(&statement, values).await?)
    }

    /// Takes ports of a WAN that shares its address with others, whose rows are not its own: one at a time in a group.
    /// A connection on which this was broken off is not used again, and so its transaction ends.
    async fn take_alone(&mut self, group: &str, values: Values<'_>) -> std::result::Result<Vec<Row>, Trouble> {
        // Each statement sees what was there when it began, so the taking sees what others did before the lock.
        self.client.batch_execute("BEGIN ISOLATION LEVEL READ COMMITTED").await?;
        self.query(sql::ALONE, &[&group]).await?;
        let rows = self.query(sql::TAKE, values).await?;
        self.client.batch_execute("COMMIT").await?;
        Ok(rows)
    }
}

/// Why nothing came of it.
enum Fault {
    Trouble(Trouble),
    Newer,
}

impl From<Trouble> for Fault {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}

impl From<tokio_postgres::Error> for Fault {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Trouble(error.into())
    }
}

type Outcome<T> = std::result::Result<T, Fault>;

impl Connection for Session {
    type Place = Place;
    type Fault = Fault;

    /// Connects, and makes the tables where there are none.
    async fn open(place: &Place) -> Outcome<Self> {
        let mut client = connect(place, None).await?;
        let there = client.query_one(sql::IS_THERE, &[]).await?;
        if !there.try_get::<_, bool>(0)? {
            let transaction = client.transaction().await?;
            transaction.execute("SELECT pg_advisory_xact_lock($1)", &[&MIGRATION_LOCK]).await?;
            let found = transaction.query_one(sql::IS_THERE, &[]).await?;
            if !found.try_get::<_, bool>(0)? {
                transaction.batch_execute(sql::CREATE).await?;
            }
            transaction.commit().await?;
        }
        let row = client.query_one("SELECT max(version) FROM portwright_pool.version", &[]).await?;
        if row.try_get::<_, i32>(0)? > SCHEMA {
            return Err(Fault::Newer);
        }
        Ok(Self { client, statements: HashMap::new() })
    }

    fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    fn is_lost(fault: &Fault) -> bool {
        matches!(fault, Fault::Trouble(Trouble::Database(error)) if is_lost(error))
    }

    fn said(fault: Fault, address: &str) -> Error {
        match fault {
            Fault::Newer => Error::new(ErrorKind::Refused, LeaseWords::StoreNewer).hint(LeaseWords::StoreNewerHint),
            Fault::Trouble(trouble) => unusable(address, why(&trouble)),
        }
    }

    fn address(place: &Place) -> &str {
        &place.address
    }
}

impl Postgres {
    pub(super) fn open(url: &Secret, group: &str, patience: Duration) -> Result<Self> {
        let place = read(url).map_err(|fault| match fault {
            UrlFault::Wrong => Error::new(ErrorKind::Usage, LeaseWords::StoreUrlWrong),
            UrlFault::NoRoots => Error::new(ErrorKind::Usage, LeaseWords::StoreRootsMissing),
            UrlFault::Unusable(error) => error,
        })?;
        Ok(Self { line: Line::new(place, patience)?, group: group.to_owned(), laid_out: Mutex::default() })
    }

    /// Makes a row for each port of a range, once for each process.
    fn lay_out(&self, wan: u32, range: PortRange) -> Result<()> {
        let key = (wan, range.first(), range.last());
        if self.laid_out.lock().unwrap_or_else(PoisonError::into_inner).contains(&key) {
            return Ok(());
        }
        let (number, first, last) = (i64::from(wan), whole(range.first()), whole(range.last()));
        self.line.run(&async |session| {
            let rows = session.query(sql::COUNT, &[&self.group, &number, &first, &last]).await?;
            let there: i64 = rows.first().map_or(Ok(0), |row| row.try_get(0))?;
            if there < i64::from(range.count()) {
                session.query(sql::LAY_OUT, &[&self.group, &number, &first, &last]).await?;
            }
            Ok(())
        })?;
        self.laid_out.lock().unwrap_or_else(PoisonError::into_inner).insert(key);
        Ok(())
    }

    pub(super) fn take(&self, wanted: &Wanted<'_>, now: &Now) -> Result<Option<Vec<Granted>>> {
        self.lay_out(wanted.wan, wanted.range)?;
        let deadline = Instant::now() + self.line.patience();
        for excluded in wanted.excluded() {
            let excluded: Vec<i32> = excluded.into_iter().map(whole).collect();
            // Rows that others are about to take are skipped: with enough of them left, that was chance.
            loop {
                let (leases, enough) = self.take_some(wanted, &excluded, now)?;
                if leases.is_some() {
                    return Ok(leases);
                }
                if !enough || Instant::now() >= deadline {
                    break;
                }
            }
        }
        Ok(None)
    }

    /// Tries once; the second value tells whether there seem to be enough ports.
    fn take_some(&self, wanted: &Wanted<'_>, excluded: &[i32], now: &Now) -> Result<(Option<Vec<Granted>>, bool)> {
        let wan = i64::from(wanted.wan);
        let shared: Vec<i64> = wanted.shared_with.iter().map(|wan| i64::from(*wan)).collect();
        let free = async |session: &mut Session| -> Outcome<Vec<Free>> {
            let (first, last) = (whole(wanted.range.first()), whole(wanted.range.last()));
            let rows = session.query(sql::FREE, &[&self.group, &wan, &first, &last, &excluded, &shared]).await?;
            rows.iter()
                .map(|row| Ok((0, u32::try_from(row.try_get::<_, i64>(1)?).unwrap_or(0), port(row, 0)?)))
                .collect()
        };
        let range = if wanted.contiguous {
            let free = self.line.run(&free)?;
            let Some(block) = best_block(&free, wanted.count) else { return Ok((None, false)) };
            block.first().copied().zip(block.last().copied()).and_then(|(first, last)| PortRange::new(first, last))
        } else {
            Some(wanted.range)
        };
        let range = range.unwrap_or(wanted.range);
        let (first, last) = (whole(range.first()), whole(range.last()));
        // Any port stands for those that the database chooses.
        let made = wanted.leases(&vec![range.first(); wanted.count], now);
        let ids: Vec<&str> = made.iter().map(|lease| lease.id.as_str()).collect();
        let Some(record) = made.first().map(Record::of) else { return Ok((Some(Vec::new()), true)) };
        let rows = self.line.run(&async |session| {
            let (count, start) = (i64::try_from(wanted.count).unwrap_or(i64::MAX), record.start.map(whole_64));
            let (pid, ttl_ms) = (i64::from(record.pid), whole_64(record.ttl_ms));
            let values: Values<'_> = &[
                &self.group,
                &wan,
                &first,
                &last,
                &excluded,
                &shared,
                &count,
                &ids,
                &pid,
                &start,
                &record.boot_id,
                &record.namespace,
                &record.host,
                &record.purpose,
                &ttl_ms,
            ];
            let rows = if shared.is_empty() {
                session.query(sql::TAKE, values).await?
            } else {
                session.take_alone(&self.group, values).await?
            };
            rows.iter().map(|row| Ok((port(row, 0)?, row.try_get(1)?))).collect::<Outcome<Vec<(Port, String)>>>()
        })?;
        if rows.is_empty() {
            return Ok((None, self.line.run(&free)?.len() >= wanted.count));
        }
        let lease = |(port, id)| Record { id, ..record.clone() }.lease(wanted.wan, port, record.ttl_ms, now);
        let mut leases: Vec<Granted> = rows.into_iter().map(lease).collect();
        leases.sort_by_key(|lease| lease.port);
        Ok((Some(leases), true))
    }

    pub(super) fn leases(&self, which: Which<'_>, now: &Now) -> Result<Vec<Granted>> {
        let (ports, id) = match which {
            Which::All => (None, None),
            Which::Ports(ports) => (Some(ports.iter().copied().map(whole).collect::<Vec<i32>>()), None),
            Which::Id(id) => (None, Some(id)),
        };
        self.line.run(&async |session| granted(&session.query(sql::LEASES, &[&self.group, &ports, &id]).await?, now))
    }

    pub(super) fn expire(&self, now: &Now) -> Result<Vec<Granted>> {
        self.line.run(&async |session| granted(&session.query(sql::EXPIRE, &[&self.group]).await?, now))
    }

    pub(super) fn give_back(&self, leases: &[Granted], now: &Now) -> Result<Vec<Granted>> {
        let (wans, ports, ids) = named(leases);
        self.line.run(&async |session| {
            granted(&session.query(sql::GIVE_BACK, &[&self.group, &wans, &ports, &ids]).await?, now)
        })
    }

    pub(super) fn renew(&self, leases: &[Granted], now: &Now) -> Result<Vec<Granted>> {
        let (wans, ports, ids) = named(leases);
        let records: Vec<Record> = leases.iter().map(Record::of).collect();
        let pids: Vec<i64> = records.iter().map(|record| i64::from(record.pid)).collect();
        let starts: Vec<Option<i64>> = records.iter().map(|record| record.start.map(whole_64)).collect();
        let boots: Vec<_> = records.iter().map(|record| record.boot_id.as_deref()).collect();
        let namespaces: Vec<_> = records.iter().map(|record| record.namespace.as_deref()).collect();
        let hosts: Vec<_> = records.iter().map(|record| record.host.as_deref()).collect();
        let purposes: Vec<&str> = records.iter().map(|record| record.purpose.as_str()).collect();
        let ttls: Vec<i64> = records.iter().map(|record| whole_64(record.ttl_ms)).collect();
        self.line.run(&async |session| {
            let values: Values<'_> =
                &[&self.group, &wans, &ports, &ids, &pids, &starts, &boots, &namespaces, &hosts, &purposes, &ttls];
            granted(&session.query(sql::RENEW, values).await?, now)
        })
    }
}

/// Tells whether an error is that of a connection and not of what was asked.
fn is_lost(error: &tokio_postgres::Error) -> bool {
    let class =
        |code: &tokio_postgres::error::SqlState| code.code().get(..2).is_some_and(|two| ["08", "57"].contains(&two));
    error.code().is_none_or(class)
}

fn named(leases: &[Granted]) -> (Vec<i64>, Vec<i32>, Vec<&str>) {
    let wans = leases.iter().map(|lease| i64::from(lease.wan.unwrap_or_default())).collect();
    let ports = leases.iter().map(|lease| whole(lease.port)).collect();
    (wans, ports, leases.iter().map(|lease| lease.id.as_str()).collect())
}

fn whole(port: Port) -> i32 {
    i32::from(port.get())
}

fn whole_64(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn port(row: &Row, at: usize) -> Outcome<Port> {
    let number = u16::try_from(row.try_get::<_, i32>(at)?).ok().and_then(Port::new);
    // The table's own check keeps others out.
    Ok(number.unwrap_or(Port::MAX))
}

/// Reads rows of `wan, port, id, pid, start, boot_id, namespace, host, purpose, ttl_ms, left_ms`.
fn granted(rows: &[Row], now: &Now) -> Outcome<Vec<Granted>> {
    let natural = |value: i64| u64::try_from(value).unwrap_or(0);
    let lease = |row: &Row| {
        let record = Record {
            id: row.try_get(2)?,
            pid: u32::try_from(row.try_get::<_, i64>(3)?).unwrap_or_default(),
            start: row.try_get::<_, Option<i64>>(4)?.map(natural),
            boot_id: row.try_get(5)?,
            namespace: row.try_get(6)?,
            host: row.try_get(7)?,
            purpose: row.try_get(8)?,
            ttl_ms: natural(row.try_get(9)?),
        };
        let wan = u32::try_from(row.try_get::<_, i64>(0)?).unwrap_or_default();
        Ok(record.lease(wan, port(row, 1)?, natural(row.try_get(10)?), now))
    };
    let mut leases = rows.iter().map(lease).collect::<Outcome<Vec<Granted>>>()?;
    leases.sort_by_key(|lease| (lease.wan, lease.port));
    Ok(leases)
}
