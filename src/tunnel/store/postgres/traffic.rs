//! Traffic in the shared database. Each server writes rows of its own, so that none overwrites what another counted;
//! sums over the servers count each byte once.

use std::sync::Arc;

use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, Transaction};

use super::Asked;
use crate::tunnel::history::{HistoryWish, Interval, Kept, Record, numbers};
use crate::tunnel::ledger::Totals;

/// Writes a record of `server`. Writing it twice changes nothing about the totals.
pub(super) async fn write(client: &mut Client, server: Arc<str>, record: Record) -> Asked<()> {
    let transaction = client.transaction().await?;
    write_moved(&transaction, &server, &record).await?;
    let sql = "INSERT INTO portwright.traffic_totals VALUES ($1, $2, $3, $4, $5, $6)
        ON CONFLICT (server, mapping, client) DO UPDATE SET up_bytes = excluded.up_bytes,
        down_bytes = excluded.down_bytes, connections = excluded.connections";
    let insert = transaction.prepare(sql).await?;
    for (mapping, client, totals) in &record.totals {
        let [up, down, came] = numbers(*totals);
        transaction.execute(&insert, &[&&*server, mapping, &&**client, &up, &down, &came]).await?;
    }
    let sql = "DELETE FROM portwright.traffic_totals WHERE server = $1 AND mapping = ANY($2)";
    transaction.execute(sql, &[&&*server, &record.folded]).await?;
    for table in ["traffic_moved", "traffic_intervals"] {
        let sql = format!("DELETE FROM portwright.{table} WHERE recorded_at < $1");
        transaction.execute(&sql, &[&record.keep_since]).await?;
    }
    transaction.commit().await
}

async fn write_moved(transaction: &Transaction<'_>, server: &str, record: &Record) -> Asked<()> {
    let sql = "INSERT INTO portwright.traffic_intervals VALUES ($1, $2, $3)
        ON CONFLICT (recorded_at, server) DO UPDATE SET seconds = traffic_intervals.seconds + excluded.seconds";
    transaction.execute(sql, &[&record.at, &server, &record.seconds]).await?;
    let sql = "INSERT INTO portwright.traffic_moved VALUES ($1, $2, $3, $4, $5, $6, $7)
        ON CONFLICT (recorded_at, server, port, client) DO UPDATE SET
        up_bytes = traffic_moved.up_bytes + excluded.up_bytes,
        down_bytes = traffic_moved.down_bytes + excluded.down_bytes,
        connections = traffic_moved.connections + excluded.connections";
    let insert = transaction.prepare(sql).await?;
    for ((port, client), totals) in &record.moved {
        let [up, down, came] = numbers(*totals);
        let values: [&(dyn ToSql + Sync); 7] = [&record.at, &server, &i32::from(*port), &&**client, &up, &down, &came];
        transaction.execute(&insert, &values).await?;
    }
    Ok(())
}

/// Reads the totals of `server`.
pub(super) async fn totals(client: &mut Client, server: Arc<str>) -> Asked<Kept> {
    let sql = "SELECT mapping, client, up_bytes, down_bytes, connections FROM portwright.traffic_totals
        WHERE server = $1";
    kept(&client.query(sql, &[&&*server]).await?)
}

/// Reads the totals of all servers but `server`, summed.
pub(super) async fn elsewhere(client: &mut Client, server: Arc<str>) -> Asked<Kept> {
    let sql = "SELECT mapping, client, sum(up_bytes)::bigint, sum(down_bytes)::bigint, sum(connections)::bigint
        FROM portwright.traffic_totals WHERE server <> $1 GROUP BY mapping, client";
    kept(&client.query(sql, &[&&*server]).await?)
}

fn kept(rows: &[Row]) -> Asked<Kept> {
    let mut kept = Kept::new();
    for row in rows {
        let client: String = row.try_get(1)?;
        let number =
            |column: usize| row.try_get::<_, i64>(column).map(|number| u64::try_from(number).unwrap_or_default());
        let totals = Totals { up_bytes: number(2)?, down_bytes: number(3)?, connections: number(4)? };
        kept.entry(row.try_get(0)?).or_default().insert(client.into(), totals);
    }
    Ok(kept)
}

/// Returns what moved in the last intervals through all servers, the newest first.
pub(super) async fn intervals(client: &mut Client, wish: HistoryWish) -> Asked<Vec<Interval>> {
    let HistoryWish { port, client: of, limit, step } = wish;
    let sql = r#"WITH each AS (
            SELECT server, (recorded_at - 1) / $4::bigint AS slot, max(recorded_at) AS ended, sum(seconds) AS seconds
            FROM portwright.traffic_intervals GROUP BY server, slot
        ), last AS (
            SELECT slot, max(ended) AS ended, max(seconds) AS seconds FROM each GROUP BY slot
            ORDER BY slot DESC LIMIT $1::bigint
        ), moved AS (
            SELECT (recorded_at - 1) / $4::bigint AS slot, sum(up_bytes) AS up, sum(down_bytes) AS down,
                sum(connections) AS came
            FROM portwright.traffic_moved WHERE recorded_at > (SELECT min(slot) FROM last) * $4::bigint
                AND ($2::integer IS NULL OR port = $2) AND ($3::text IS NULL OR client = $3) GROUP BY slot
        )
        SELECT to_char(to_timestamp(ended) AT TIME ZONE 'utc', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), seconds::bigint,
            coalesce(up, 0)::bigint, coalesce(down, 0)::bigint, coalesce(came, 0)::bigint
        FROM last LEFT JOIN moved USING (slot) ORDER BY slot DESC"#;
    let values: [&(dyn ToSql + Sync); 4] = [&i64::from(limit), &port.map(i32::from), &of, &i64::from(step)];
    let interval = |row: &Row| {
        Ok(Interval {
            recorded_at: row.try_get(0)?,
            seconds: row.try_get(1)?,
            port: port.unwrap_or_default(),
            bytes_sent: row.try_get(2)?,
            bytes_received: row.try_get(3)?,
            connections: row.try_get(4)?,
        })
    };
    client.query(sql, &values).await?.iter().map(interval).collect()
}
