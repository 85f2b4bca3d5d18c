//! Mappings and the audit in the shared database.

use serde_json::Value;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, Transaction};

use super::super::{NewMapping, StoredMapping, described};
use super::Asked;
use crate::model::Port;
use crate::tunnel::audit::{Action, AuditEntry, Author, ROWS_MAX};

/// The channel of the notifications; its payload says nothing, because whoever hears it reads the tables.
pub(super) const CHANNEL: &str = "portwright";

/// The present, as the tables have it.
pub(super) const NOW: &str = r#"to_char(now() AT TIME ZONE 'utc', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')"#;

/// Tells every server when the transaction is committed.
pub(super) async fn announce(transaction: &Transaction<'_>) -> Asked<()> {
    transaction.execute("SELECT pg_notify($1, '')", &[&CHANNEL]).await.map(drop)
}

/// Writes a row of the audit; the caller's transaction decides whether it stands.
pub(super) async fn note(
    transaction: &Transaction<'_>,
    author: &Author,
    action: Action,
    subject: &str,
    detail: &Value,
) -> Asked<()> {
    let sql = format!(
        "INSERT INTO portwright.audit (at, who, origin, action, subject, detail)
        VALUES ({NOW}, $1, $2, $3, $4, $5) RETURNING id"
    );
    let values: [&(dyn ToSql + Sync); 5] = [&author.who, &author.origin, &action.name(), &subject, &detail.to_string()];
    let id: i64 = transaction.query_one(&sql, &values).await?.try_get(0)?;
    transaction.execute("DELETE FROM portwright.audit WHERE id <= $1", &[&(id - ROWS_MAX)]).await.map(drop)
}

/// Writes a row of the audit about what changes nothing else.
pub(super) async fn note_alone(client: &mut Client, author: Author, action: Action, subject: String) -> Asked<()> {
    let transaction = client.transaction().await?;
    note(&transaction, &author, action, &subject, &Value::Null).await?;
    transaction.commit().await
}

/// Returns the last rows of the audit, the newest first.
pub(super) async fn entries(client: &mut Client, limit: u32, before: Option<i64>) -> Asked<Vec<AuditEntry>> {
    let sql = "SELECT id, at, who, origin, action, subject, detail FROM portwright.audit WHERE id < $1
        ORDER BY id DESC LIMIT $2";
    let rows = client.query(sql, &[&before.unwrap_or(i64::MAX), &i64::from(limit)]).await?;
    rows.iter().map(entry).collect()
}

fn entry(row: &Row) -> Asked<AuditEntry> {
    let detail: String = row.try_get(6)?;
    Ok(AuditEntry {
        id: row.try_get(0)?,
        at: row.try_get(1)?,
        who: row.try_get(2)?,
        origin: row.try_get(3)?,
        action: row.try_get(4)?,
        subject: row.try_get(5)?,
        detail: serde_json::from_str(&detail).unwrap_or(Value::Null),
    })
}

/// Returns every mapping, in the order of the ports.
pub(super) async fn mappings(client: &mut Client) -> Asked<Vec<StoredMapping>> {
    let sql = "SELECT id, source_port, target_host, target_port, use_tunnel, bandwidth_limit, access_rule, access_ips,
        created_at, name, protocol, client, proxy_protocol FROM portwright.mappings ORDER BY source_port";
    let mut found = Vec::new();
    for row in client.query(sql, &[]).await? {
        if let Some(mapping) = stored(&row)? {
            found.push(mapping);
        } else {
            // The table checks its ports; what got around that stays, and the others are served.
            tracing::warn!(id = row.try_get::<_, i64>(0)?, "row left alone");
        }
    }
    Ok(found)
}

fn stored(row: &Row) -> Asked<Option<StoredMapping>> {
    let port = |column: usize| {
        let number = row.try_get::<_, i32>(column)?;
        Ok::<_, tokio_postgres::Error>(u16::try_from(number).ok().and_then(Port::new))
    };
    let (Some(source_port), Some(target_port)) = (port(1)?, port(3)?) else { return Ok(None) };
    let mapping = NewMapping {
        source_port,
        target_host: row.try_get(2)?,
        target_port,
        use_tunnel: row.try_get(4)?,
        bandwidth_limit: row.try_get::<_, i64>(5)?.unsigned_abs(),
        access_rule: row.try_get(6)?,
        access_ips: row.try_get(7)?,
        name: row.try_get(9)?,
        protocol: row.try_get(10)?,
        client: row.try_get(11)?,
        proxy_protocol: row.try_get(12)?,
    };
    Ok(Some(StoredMapping { id: row.try_get(0)?, created_at: row.try_get(8)?, mapping }))
}

/// Stores a mapping; it is in the database when this returns.
pub(super) async fn insert(client: &mut Client, mapping: NewMapping, author: Author) -> Asked<StoredMapping> {
    let sql = format!(
        "INSERT INTO portwright.mappings (source_port, target_host, target_port, use_tunnel, bandwidth_limit,
        access_rule, access_ips, name, protocol, client, proxy_protocol, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, {NOW}) RETURNING id, created_at"
    );
    let values: [&(dyn ToSql + Sync); 11] = [
        &i32::from(mapping.source_port.get()),
        &mapping.target_host,
        &i32::from(mapping.target_port.get()),
        &mapping.use_tunnel,
        &limit(&mapping),
        &mapping.access_rule,
        &mapping.access_ips,
        &mapping.name,
        &mapping.protocol,
        &mapping.client,
        &mapping.proxy_protocol,
    ];
    let transaction = client.transaction().await?;
    let row = transaction.query_one(&sql, &values).await?;
    let (id, created_at) = (row.try_get(0)?, row.try_get(1)?);
    let port = mapping.source_port.to_string();
    note(&transaction, &author, Action::MappingCreated, &port, &described(&mapping)).await?;
    announce(&transaction).await?;
    transaction.commit().await?;
    Ok(StoredMapping { id, created_at, mapping })
}

/// Replaces what may change of a mapping, and tells whether it was there.
pub(super) async fn update(
    client: &mut Client,
    StoredMapping { id, mapping, .. }: StoredMapping,
    author: Author,
    changes: Value,
) -> Asked<bool> {
    let sql = "UPDATE portwright.mappings SET bandwidth_limit = $2, access_rule = $3, access_ips = $4, name = $5,
        target_host = $6, target_port = $7, use_tunnel = $8, client = $9, protocol = $10, proxy_protocol = $11
        WHERE id = $1";
    let values: [&(dyn ToSql + Sync); 11] = [
        &id,
        &limit(&mapping),
        &mapping.access_rule,
        &mapping.access_ips,
        &mapping.name,
        &mapping.target_host,
        &i32::from(mapping.target_port.get()),
        &mapping.use_tunnel,
        &mapping.client,
        &mapping.protocol,
        &mapping.proxy_protocol,
    ];
    let transaction = client.transaction().await?;
    let found = transaction.execute(sql, &values).await? > 0;
    if found {
        note(&transaction, &author, Action::MappingUpdated, &mapping.source_port.to_string(), &changes).await?;
        announce(&transaction).await?;
    }
    transaction.commit().await?;
    Ok(found)
}

/// Deletes the mapping of `port` and tells whether there was one.
pub(super) async fn remove(client: &mut Client, port: Port, author: Author) -> Asked<bool> {
    let transaction = client.transaction().await?;
    let sql = "DELETE FROM portwright.mappings WHERE source_port = $1";
    let found = transaction.execute(sql, &[&i32::from(port.get())]).await? > 0;
    if found {
        note(&transaction, &author, Action::MappingRemoved, &port.to_string(), &Value::Null).await?;
        announce(&transaction).await?;
    }
    transaction.commit().await?;
    Ok(found)
}

fn limit(mapping: &NewMapping) -> i64 {
    i64::try_from(mapping.bandwidth_limit).unwrap_or(i64::MAX)
}
