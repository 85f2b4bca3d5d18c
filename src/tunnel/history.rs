//! Traffic on disk: totals that go on after a restart, and what moved in each interval.

use std::collections::BTreeMap;

use rusqlite::{Connection, Row, params};
use serde::Serialize;

use super::ledger::{ClientName, Totals};

/// Tables of totals by mapping (0 for mappings that are gone) and client, of intervals, and of what moved in them.
/// Times are seconds since 1970.
pub(super) const CREATE_HISTORY: &str = "CREATE TABLE IF NOT EXISTS traffic_totals (
    mapping INTEGER NOT NULL,
    client TEXT NOT NULL,
    up_bytes INTEGER NOT NULL,
    down_bytes INTEGER NOT NULL,
    connections INTEGER NOT NULL,
    PRIMARY KEY (mapping, client)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS traffic_intervals (
    recorded_at INTEGER PRIMARY KEY,
    seconds INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS traffic_moved (
    recorded_at INTEGER NOT NULL,
    port INTEGER NOT NULL,
    client TEXT NOT NULL,
    up_bytes INTEGER NOT NULL,
    down_bytes INTEGER NOT NULL,
    connections INTEGER NOT NULL,
    PRIMARY KEY (recorded_at, port, client)
) WITHOUT ROWID";

/// The id under which the totals of mappings that are gone are kept.
pub(crate) const GONE: i64 = 0;

/// Totals by the id of their mapping and by client.
pub(crate) type Kept = BTreeMap<i64, BTreeMap<ClientName, Totals>>;

/// What happened since the last record.
#[derive(Debug, Default, Clone)]
pub(crate) struct Record {
    /// When it ends, in seconds since 1970.
    pub(crate) at: i64,
    /// How long it is.
    pub(crate) seconds: i64,
    /// What moved, by public port and client.
    pub(crate) moved: BTreeMap<(u16, ClientName), Totals>,
    /// Totals that changed.
    pub(crate) totals: Vec<(i64, ClientName, Totals)>,
    /// Mappings that are gone, and whose totals went into [`GONE`].
    pub(crate) folded: Vec<i64>,
    /// Intervals that ended before this are deleted.
    pub(crate) keep_since: i64,
}

/// What moved in one interval, as the API shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Interval {
    /// Its end: UTC, RFC 3339.
    pub(crate) recorded_at: String,
    /// Its length.
    pub(crate) seconds: i64,
    /// The port that was asked for; 0 for all.
    pub(crate) port: u16,
    /// Bytes from visitors to targets.
    pub(crate) bytes_sent: i64,
    /// Bytes from targets to visitors.
    pub(crate) bytes_received: i64,
    /// Visitors that came.
    pub(crate) connections: i64,
}

/// Returns totals as a database keeps them: up, down, connections.
pub(super) fn numbers(totals: Totals) -> [i64; 3] {
    let Totals { up_bytes, down_bytes, connections } = totals;
    [up_bytes, down_bytes, connections].map(|number| i64::try_from(number).unwrap_or(i64::MAX))
}

/// Writes a record; the caller's transaction makes it whole. Writing it twice changes nothing about the totals.
pub(super) fn write(connection: &Connection, record: &Record) -> rusqlite::Result<()> {
    let sql =
        "INSERT INTO traffic_intervals VALUES (?1, ?2) ON CONFLICT DO UPDATE SET seconds = seconds + excluded.seconds";
    connection.prepare_cached(sql)?.execute([record.at, record.seconds])?;
    let sql = "INSERT INTO traffic_moved VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO UPDATE SET
        up_bytes = up_bytes + excluded.up_bytes, down_bytes = down_bytes + excluded.down_bytes,
        connections = connections + excluded.connections";
    let mut insert = connection.prepare_cached(sql)?;
    for ((port, client), totals) in &record.moved {
        let [up, down, came] = numbers(*totals);
        insert.execute(params![record.at, port, &**client, up, down, came])?;
    }
    let sql = "INSERT INTO traffic_totals VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE SET
        up_bytes = excluded.up_bytes, down_bytes = excluded.down_bytes, connections = excluded.connections";
    let mut insert = connection.prepare_cached(sql)?;
    for (mapping, client, totals) in &record.totals {
        let [up, down, came] = numbers(*totals);
        insert.execute(params![mapping, &**client, up, down, came])?;
    }
    for mapping in &record.folded {
        connection.prepare_cached("DELETE FROM traffic_totals WHERE mapping = ?1")?.execute([mapping])?;
    }
    for table in ["traffic_moved", "traffic_intervals"] {
        let sql = format!("DELETE FROM {table} WHERE recorded_at < ?1");
        connection.prepare_cached(&sql)?.execute([record.keep_since])?;
    }
    Ok(())
}

/// Reads the totals.
pub(super) fn totals(connection: &Connection) -> rusqlite::Result<Kept> {
    let mut statement =
        connection.prepare("SELECT mapping, client, up_bytes, down_bytes, connections FROM traffic_totals")?;
    let mut found = statement.query([])?;
    let mut kept = Kept::new();
    while let Some(row) = found.next()? {
        let client: String = row.get(1)?;
        let number = |column: usize| row.get::<_, i64>(column).map(|number| u64::try_from(number).unwrap_or_default());
        let totals = Totals { up_bytes: number(2)?, down_bytes: number(3)?, connections: number(4)? };
        kept.entry(row.get(0)?).or_default().insert(client.into(), totals);
    }
    Ok(kept)
}

/// Which intervals are asked for.
#[derive(Debug, Clone)]
pub(crate) struct HistoryWish {
    /// One public port; all without it.
    pub(crate) port: Option<u16>,
    /// One client; all without it.
    pub(crate) client: Option<String>,
    /// The most intervals.
    pub(crate) limit: u32,
    /// Intervals that end within the same so many seconds are one; 1 leaves each as it was recorded.
    pub(crate) step: u32,
}

/// Returns what moved in the last intervals, the newest first.
pub(super) fn intervals(connection: &Connection, wish: &HistoryWish) -> rusqlite::Result<Vec<Interval>> {
    let HistoryWish { port, client, limit, step } = wish;
    let sql = "WITH last AS (
            SELECT (recorded_at - 1) / ?4 AS slot, max(recorded_at) AS ended, sum(seconds) AS seconds
            FROM traffic_intervals GROUP BY slot ORDER BY slot DESC LIMIT ?1
        ), moved AS (
            SELECT (recorded_at - 1) / ?4 AS slot, sum(up_bytes) AS up, sum(down_bytes) AS down, sum(connections) AS came
            FROM traffic_moved WHERE recorded_at > (SELECT min(slot) FROM last) * ?4
                AND (?2 IS NULL OR port = ?2) AND (?3 IS NULL OR client = ?3) GROUP BY slot
        )
        SELECT strftime('%Y-%m-%dT%H:%M:%SZ', ended, 'unixepoch'), seconds, ifnull(up, 0), ifnull(down, 0), ifnull(came, 0)
        FROM last LEFT JOIN moved USING (slot) ORDER BY slot DESC";
    let interval = |row: &Row<'_>| {
        Ok(Interval {
            recorded_at: row.get(0)?,
            seconds: row.get(1)?,
            port: port.unwrap_or_default(),
            bytes_sent: row.get(2)?,
            bytes_received: row.get(3)?,
            connections: row.get(4)?,
        })
    };
    connection.prepare_cached(sql)?.query_map(params![limit, port, client, step], interval)?.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moved(up_bytes: u64, down_bytes: u64, connections: u64) -> Totals {
        Totals { up_bytes, down_bytes, connections }
    }

    #[test]
    fn intervals_are_summed_by_port_and_client_and_forgotten_in_time() {
        let connection = Connection::open_in_memory().expect("a database");
        connection.execute_batch(CREATE_HISTORY).expect("tables");
        let home = ClientName::from("home");
        let record = |at, keep_since, moved_bytes: &[(u16, u64)]| Record {
            at,
            seconds: 60,
            moved: moved_bytes.iter().map(|(port, up)| ((*port, home.clone()), moved(*up, 1, 1))).collect(),
            totals: vec![(7, home.clone(), moved(10, 2, 2)), (GONE, home.clone(), moved(1, 1, 1))],
            folded: vec![8],
            keep_since,
        };
        for record in [record(60, 0, &[(10022, 5)]), record(120, 0, &[]), record(180, 100, &[(10022, 3), (10080, 4)])] {
            write(&connection, &record).expect("written");
        }
        let wish =
            |port, client: Option<&str>| HistoryWish { port, client: client.map(str::to_owned), limit: 10, step: 1 };
        let sums = |port, client| {
            let rows = intervals(&connection, &wish(port, client)).expect("rows");
            rows.iter().map(|row| (row.bytes_sent, row.connections)).collect::<Vec<_>>()
        };
        assert_eq!(sums(None, None), [(7, 2), (0, 0)], "the first interval is too old");
        assert_eq!(sums(Some(10022), None), [(3, 1), (0, 0)]);
        assert_eq!(sums(None, Some("office")), [(0, 0), (0, 0)]);
        let newest =
            intervals(&connection, &HistoryWish { limit: 1, ..wish(Some(10080), Some("home")) }).expect("rows");
        let expected = Interval {
            recorded_at: "1970-01-01T00:03:00Z".to_owned(),
            seconds: 60,
            port: 10080,
            bytes_sent: 4,
            bytes_received: 1,
            connections: 1,
        };
        assert_eq!(newest, [expected]);
        let together = intervals(&connection, &HistoryWish { step: 120, ..wish(None, None) }).expect("rows");
        let shape = |row: &Interval| (row.recorded_at.clone(), row.seconds, row.bytes_sent);
        let expected = [("1970-01-01T00:03:00Z".to_owned(), 60, 7), ("1970-01-01T00:02:00Z".to_owned(), 60, 0)];
        assert_eq!(together.iter().map(shape).collect::<Vec<_>>(), expected, "120 ends one, 180 lies in the next");
        let hour = intervals(&connection, &HistoryWish { step: 3600, ..wish(None, None) }).expect("rows");
        assert_eq!(hour.iter().map(shape).collect::<Vec<_>>(), [("1970-01-01T00:03:00Z".to_owned(), 120, 7)]);
        let kept = totals(&connection).expect("totals");
        assert_eq!(kept.keys().copied().collect::<Vec<_>>(), [GONE, 7]);
        assert_eq!(kept.get(&7).and_then(|clients| clients.get("home")), Some(&moved(10, 2, 2)));
    }
}
