//! Tokens in the shared database.

use serde_json::json;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row};

use super::Asked;
use super::tables::{NOW, announce, note};
use crate::tunnel::audit::{Action, Author};
use crate::tunnel::handshake::TokenRow;
use crate::tunnel::token::{Token, TokenId, Verifier};
use crate::tunnel::tokens::{Choice, TokenRecord, TokenTable, read_ports};

/// Keeps what recognises `token`.
pub(super) async fn insert(
    client: &mut Client,
    token: Token,
    name: String,
    ports: Vec<String>,
    author: Author,
) -> Asked<()> {
    let Verifier { stored_key, server_key } = token.verifier();
    let id = token.id().to_string();
    let sql = format!(
        "INSERT INTO portwright.tokens (id, name, stored_key, server_key, ports, created_at)
        VALUES ($1, $2, $3, $4, $5, {NOW})"
    );
    let values: [&(dyn ToSql + Sync); 5] =
        [&id, &name, &stored_key.as_slice(), &server_key.as_slice(), &ports.join(",")];
    let transaction = client.transaction().await?;
    transaction.execute(&sql, &values).await?;
    let detail = json!({ "id": id, "ports": ports });
    note(&transaction, &author, Action::TokenCreated, &name, &detail).await?;
    announce(&transaction).await?;
    transaction.commit().await
}

/// Tells whether there has never been a token.
pub(super) async fn is_fresh(client: &mut Client) -> Asked<bool> {
    let found = client.query_opt("SELECT 1 FROM portwright.tokens LIMIT 1", &[]).await?;
    Ok(found.is_none())
}

/// Revokes a token and forgets what recognised it.
pub(super) async fn revoke(client: &mut Client, id: String, name: String, author: Author) -> Asked<()> {
    let sql = format!(
        "UPDATE portwright.tokens SET revoked_at = {NOW}, stored_key = '', server_key = ''
        WHERE id = $1 AND revoked_at IS NULL"
    );
    let transaction = client.transaction().await?;
    if transaction.execute(&sql, &[&id]).await? > 0 {
        note(&transaction, &author, Action::TokenRevoked, &name, &json!({ "id": id })).await?;
        announce(&transaction).await?;
    }
    transaction.commit().await
}

/// Returns the statement for a choice, and its value.
pub(super) fn question(choice: Choice<'_>) -> (String, String) {
    let (condition, value) = match choice {
        Choice::All => ("$1 = ''", ""),
        Choice::Id(id) => ("id = $1", id),
        Choice::Named(which) => ("id = lower($1) OR name = $1", which),
    };
    let columns = "id, name, ports, created_at, revoked_at, last_seen_at";
    (format!("SELECT {columns} FROM portwright.tokens WHERE {condition} ORDER BY number"), value.to_owned())
}

/// Returns what is known of tokens. One whose ports were edited by hand is shown with none that it could serve alone,
/// and lets nobody in.
pub(super) async fn records(client: &mut Client, sql: String, value: String) -> Asked<Vec<TokenRecord>> {
    let rows = client.query(&sql, &[&value]).await?;
    rows.iter().map(record).collect()
}

fn record(row: &Row) -> Asked<TokenRecord> {
    let ports: String = row.try_get(2)?;
    Ok(TokenRecord {
        id: row.try_get(0)?,
        name: row.try_get(1)?,
        ports: read_ports(&ports).unwrap_or_default(),
        created_at: row.try_get(3)?,
        revoked_at: row.try_get(4)?,
        last_seen_at: row.try_get(5)?,
    })
}

/// Returns the tokens that are accepted.
pub(super) async fn table(client: &Client) -> Asked<TokenTable> {
    let sql = "SELECT id, name, stored_key, server_key, ports FROM portwright.tokens WHERE revoked_at IS NULL";
    let mut rows = Vec::new();
    for row in client.query(sql, &[]).await? {
        if let Some(token) = token_row(&row)? {
            rows.push(token);
        } else {
            // A row that a person has edited lets nobody in, rather than too many.
            tracing::warn!(name = row.try_get::<_, String>(1)?, "token left alone");
        }
    }
    Ok(rows.into_iter().collect())
}

fn token_row(row: &Row) -> Asked<Option<TokenRow>> {
    let key = |column: usize| row.try_get::<_, &[u8]>(column).map(|bytes| <[u8; 32]>::try_from(bytes).ok());
    let (id, ports): (&str, &str) = (row.try_get(0)?, row.try_get(4)?);
    let (Ok(id), Some(ports), Some(stored_key), Some(server_key)) = (id.parse(), read_ports(ports), key(2)?, key(3)?)
    else {
        return Ok(None);
    };
    Ok(Some(TokenRow { id, name: row.try_get(1)?, verifier: Verifier { stored_key, server_key }, ports }))
}

/// Notes that a client with this token is there, once a minute at most.
pub(super) async fn note_seen(client: &mut Client, id: TokenId) -> Asked<()> {
    let sql = format!(
        "UPDATE portwright.tokens SET last_seen_at = {NOW} WHERE id = $1 AND (last_seen_at IS NULL
        OR last_seen_at::timestamptz < now() - interval '1 minute')"
    );
    client.execute(&sql, &[&id.to_string()]).await.map(drop)
}
