//! What is said to the database. Each text is one statement, and so one transaction, but for [`ALONE`].

/// The tables, in a schema of their own: they may stand beside the tunnel's. A port that nobody has is a row without an
/// id; `rested` is 0 for one that was never used, and grows with each that is given back.
pub(super) const CREATE: &str = "
CREATE SCHEMA IF NOT EXISTS portwright_pool;
CREATE TABLE portwright_pool.version (version integer NOT NULL);
CREATE SEQUENCE portwright_pool.rest;
CREATE TABLE portwright_pool.ports (
    host_group text NOT NULL,
    wan bigint NOT NULL,
    port integer NOT NULL CHECK (port BETWEEN 1 AND 65535),
    rested bigint NOT NULL DEFAULT 0,
    id text,
    pid bigint,
    start bigint,
    boot_id text,
    namespace text,
    host text,
    purpose text,
    ttl_ms bigint,
    expires timestamptz,
    PRIMARY KEY (host_group, wan, port),
    CHECK ((id IS NULL) = (expires IS NULL) AND (id IS NULL) = (pid IS NULL)
        AND (id IS NULL) = (purpose IS NULL) AND (id IS NULL) = (ttl_ms IS NULL))
);
CREATE INDEX ports_free ON portwright_pool.ports (host_group, wan, rested, port) WHERE id IS NULL;
CREATE INDEX ports_due ON portwright_pool.ports (host_group, expires) WHERE id IS NOT NULL;
CREATE INDEX ports_id ON portwright_pool.ports (host_group, id) WHERE id IS NOT NULL;
INSERT INTO portwright_pool.version VALUES (1)";

/// Whether the tables are there: asked of the catalogue's own table, because `to_regclass` may answer from a cache that
/// is older than the lock under which it is asked.
pub(super) const IS_THERE: &str =
    "SELECT EXISTS (SELECT FROM pg_tables WHERE schemaname = 'portwright_pool' AND tablename = 'version')";

/// How many ports of a range have a row.
pub(super) const COUNT: &str = "SELECT count(*) FROM portwright_pool.ports
WHERE host_group = $1 AND wan = $2 AND port BETWEEN $3 AND $4";

/// Makes the rows of a range.
pub(super) const LAY_OUT: &str = "INSERT INTO portwright_pool.ports (host_group, wan, port)
SELECT $1, $2, port FROM generate_series($3::integer, $4::integer) AS port ON CONFLICT DO NOTHING";

/// The ports of a range that nobody has, and how they have rested.
pub(super) const FREE: &str = "SELECT port, rested FROM portwright_pool.ports AS own
WHERE host_group = $1 AND wan = $2 AND id IS NULL AND port BETWEEN $3 AND $4 AND NOT port = ANY($5)
    AND NOT EXISTS (SELECT FROM portwright_pool.ports AS other
        WHERE other.host_group = $1 AND other.wan = ANY($6) AND other.port = own.port AND other.id IS NOT NULL)
ORDER BY port";

/// Waits until no other transaction of the group has done this and not ended. The first number is ours, whatever it is.
pub(super) const ALONE: &str = "SELECT pg_advisory_xact_lock(1886351988, hashtext($1))";

/// Takes as many ports as there are ids, or none.
pub(super) const TAKE: &str = "WITH picked AS MATERIALIZED (
    SELECT port FROM portwright_pool.ports AS own
    WHERE host_group = $1 AND wan = $2 AND id IS NULL AND port BETWEEN $3 AND $4 AND NOT port = ANY($5)
        AND NOT EXISTS (SELECT FROM portwright_pool.ports AS other
            WHERE other.host_group = $1 AND other.wan = ANY($6) AND other.port = own.port AND other.id IS NOT NULL)
    ORDER BY rested, port LIMIT $7 FOR UPDATE SKIP LOCKED
), named AS (
    SELECT port, id FROM (SELECT port, row_number() OVER (ORDER BY port) AS place FROM picked) AS numbered
    JOIN unnest($8::text[]) WITH ORDINALITY AS fresh (id, place) USING (place)
)
UPDATE portwright_pool.ports AS own
SET id = named.id, pid = $9, start = $10, boot_id = $11, namespace = $12, host = $13, purpose = $14,
    ttl_ms = $15::bigint,
    expires = now() + $15::bigint * interval '1 millisecond'
FROM named
WHERE own.host_group = $1 AND own.wan = $2 AND own.port = named.port AND (SELECT count(*) FROM picked) = $7
RETURNING own.port, own.id";

/// The leases of a group; of some ports, or of one id.
pub(super) const LEASES: &str = "SELECT wan, port, id, pid, start, boot_id, namespace, host, purpose, ttl_ms,
    ceil(extract(epoch FROM expires - now()) * 1000)::bigint
FROM portwright_pool.ports
WHERE host_group = $1 AND id IS NOT NULL AND expires > now()
    AND ($2::integer[] IS NULL OR port = ANY($2)) AND ($3::text IS NULL OR id = $3)";

/// Lets the ports of leases rest whose time is over.
pub(super) const EXPIRE: &str = "UPDATE portwright_pool.ports AS own
SET id = NULL, pid = NULL, start = NULL, boot_id = NULL, namespace = NULL, host = NULL, purpose = NULL, ttl_ms = NULL,
    expires = NULL, rested = nextval('portwright_pool.rest')
FROM (SELECT * FROM portwright_pool.ports WHERE host_group = $1 AND id IS NOT NULL AND expires <= now()
    FOR UPDATE SKIP LOCKED) AS old
WHERE own.host_group = old.host_group AND own.wan = old.wan AND own.port = old.port
RETURNING old.wan, old.port, old.id, old.pid, old.start, old.boot_id, old.namespace, old.host, old.purpose, old.ttl_ms,
    0::bigint";

/// Gives leases back.
pub(super) const GIVE_BACK: &str = "UPDATE portwright_pool.ports AS own
SET id = NULL, pid = NULL, start = NULL, boot_id = NULL, namespace = NULL, host = NULL, purpose = NULL, ttl_ms = NULL,
    expires = NULL, rested = nextval('portwright_pool.rest')
FROM (SELECT ports.* FROM portwright_pool.ports AS ports
    JOIN unnest($2::bigint[], $3::integer[], $4::text[]) AS named (wan, port, id) USING (wan, port, id)
    WHERE host_group = $1 FOR UPDATE OF ports) AS old
WHERE own.host_group = old.host_group AND own.wan = old.wan AND own.port = old.port
RETURNING old.wan, old.port, old.id, old.pid, old.start, old.boot_id, old.namespace, old.host, old.purpose, old.ttl_ms,
    greatest(0, ceil(extract(epoch FROM old.expires - now()) * 1000)::bigint)";

/// Lets leases begin anew, and enters those again that have ended and whose ports nobody has.
pub(super) const RENEW: &str = "UPDATE portwright_pool.ports AS own
SET id = kept.id, pid = kept.pid, start = kept.start, boot_id = kept.boot_id, namespace = kept.namespace,
    host = kept.host, purpose = kept.purpose, ttl_ms = kept.ttl_ms,
    expires = now() + kept.ttl_ms * interval '1 millisecond'
FROM unnest($2::bigint[], $3::integer[], $4::text[], $5::bigint[], $6::bigint[], $7::text[], $8::text[], $9::text[],
    $10::text[], $11::bigint[])
    AS kept (wan, port, id, pid, start, boot_id, namespace, host, purpose, ttl_ms)
WHERE own.host_group = $1 AND own.wan = kept.wan AND own.port = kept.port AND (own.id IS NULL OR own.id = kept.id)
RETURNING own.wan, own.port, own.id, own.pid, own.start, own.boot_id, own.namespace, own.host, own.purpose, own.ttl_ms,
    own.ttl_ms";
