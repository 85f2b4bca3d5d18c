//! Traffic in the shared database. Each server writes rows of its own, so that none overwrites what another counted;
//! sums over the servers count each byte once.

use std::sync::Arc;

use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, Transaction};

use super::Asked;
use crate::tunnel::history::{HistoryWish, Interval, Kept, Record, numbers};
use crate::tunnel::ledger::Totals;

/// Writes a record of `server`, in a few statements however many mappings there are. Writing it twice changes nothing
/// about the totals; what moved is then counted twice in the history.
pub(super) async fn write(client: &mut Client, server: Arc<str>, record: Record) -> Asked<()> {
    let transaction = client.transaction().await?;
    write_moved(&transaction, &server, &record).await?;
    let sql = "INSERT INTO portwright.traffic_totals
        SELECT $1, * FROM unnest($2::bigint[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[])
        ON CONFLICT (server, mapping, client) DO UPDATE SET up_bytes = excluded.up_bytes,
        down_bytes = excluded.down_bytes, connections = excluded.connections";
    let mappings: Vec<i64> = record.totals.iter().map(|(mapping, ..)| *mapping).collect();
    let clients: Vec<&str> = record.totals.iter().map(|(_, client, _)| &**client).collect();
    let [up, down, came] = columns(record.totals.iter().map(|(.., totals)| totals));
    transaction.execute(sql, &[&&*server, &mappings, &clients, &up, &down, &came]).await?;
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
    let sql = "INSERT INTO portwright.traffic_moved
        SELECT $1, $2, * FROM unnest($3::integer[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[])
        ON CONFLICT (recorded_at, server, port, client) DO UPDATE SET
        up_bytes = traffic_moved.up_bytes + excluded.up_bytes,
        down_bytes = traffic_moved.down_bytes + excluded.down_bytes,
        connections = traffic_moved.connections + excluded.connections";
    let ports: Vec<i32> = record.moved.keys().map(|(port, _)| i32::from(*port)).collect();
    let clients: Vec<&str> = record.moved.keys().map(|(_, client)| &**client).collect();
    let [up, down, came] = columns(record.moved.values());
    let values: [&(dyn ToSql + Sync); 7] = [&record.at, &server, &ports, &clients, &up, &down, &came];
    transaction.execute(sql, &values).await.map(drop)
}

/// Returns totals as columns: up, down, connections.
fn columns<'a>(all: impl Iterator<Item = &'a Totals>) -> [Vec<i64>; 3] {
    let mut columns = [Vec::new(), Vec::new(), Vec::new()];
    for totals in all {
        for (column, number) in columns.iter_mut().zip(numbers(*totals)) {
            column.push(number);
        }
    }
    columns
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
