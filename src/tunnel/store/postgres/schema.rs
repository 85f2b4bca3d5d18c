//! The tables, in a schema of their own, so that they can stand beside those of other programs.

use tokio_postgres::Client;

/// The version that this program writes.
pub(super) const SCHEMA: i32 = 1;

/// What keeps two servers that start at once from making the tables twice: any number that nobody else uses.
const MIGRATION_LOCK: i64 = 0x706f_7274_7772_6967;

/// Times of day are text, UTC in RFC 3339, as in the file; those of traffic are seconds since 1970.
const CREATE: &str = "
CREATE SCHEMA IF NOT EXISTS portwright;
CREATE TABLE portwright.version (version integer NOT NULL);
CREATE TABLE portwright.mappings (
    id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    source_port integer NOT NULL UNIQUE CHECK (source_port BETWEEN 1 AND 65535),
    target_host text NOT NULL,
    target_port integer NOT NULL CHECK (target_port BETWEEN 1 AND 65535),
    use_tunnel boolean NOT NULL,
    bandwidth_limit bigint NOT NULL CHECK (bandwidth_limit >= 0),
    access_rule text NOT NULL,
    access_ips text NOT NULL,
    created_at text NOT NULL,
    name text NOT NULL,
    protocol text NOT NULL,
    client text NOT NULL,
    proxy_protocol text NOT NULL
);
CREATE TABLE portwright.tokens (
    number bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    id text NOT NULL UNIQUE,
    name text NOT NULL,
    stored_key bytea NOT NULL,
    server_key bytea NOT NULL,
    ports text NOT NULL,
    created_at text NOT NULL,
    revoked_at text,
    last_seen_at text
);
CREATE UNIQUE INDEX tokens_name ON portwright.tokens (name) WHERE revoked_at IS NULL;
CREATE TABLE portwright.audit (
    id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    at text NOT NULL,
    who text NOT NULL,
    origin text NOT NULL,
    action text NOT NULL,
    subject text NOT NULL,
    detail text NOT NULL
);
CREATE TABLE portwright.traffic_totals (
    server text NOT NULL,
    mapping bigint NOT NULL,
    client text NOT NULL,
    up_bytes bigint NOT NULL,
    down_bytes bigint NOT NULL,
    connections bigint NOT NULL,
    PRIMARY KEY (server, mapping, client)
);
CREATE TABLE portwright.traffic_intervals (
    recorded_at bigint NOT NULL,
    server text NOT NULL,
    seconds bigint NOT NULL,
    PRIMARY KEY (recorded_at, server)
);
CREATE TABLE portwright.traffic_moved (
    recorded_at bigint NOT NULL,
    server text NOT NULL,
    port integer NOT NULL,
    client text NOT NULL,
    up_bytes bigint NOT NULL,
    down_bytes bigint NOT NULL,
    connections bigint NOT NULL,
    PRIMARY KEY (recorded_at, server, port, client)
);
INSERT INTO portwright.version VALUES (1)";

/// Makes the tables where there are none, and returns the version that is there now. A later one is left alone.
pub(super) async fn migrate(client: &mut Client) -> Result<i32, tokio_postgres::Error> {
    let transaction = client.transaction().await?;
    transaction.execute("SELECT pg_advisory_xact_lock($1)", &[&MIGRATION_LOCK]).await?;
    let found = transaction.query_one("SELECT to_regclass('portwright.version') IS NOT NULL", &[]).await?;
    if !found.try_get::<_, bool>(0)? {
        transaction.batch_execute(CREATE).await?;
    }
    let version = transaction.query_one("SELECT max(version) FROM portwright.version", &[]).await?.try_get(0)?;
    transaction.commit().await?;
    Ok(version)
}
