//! Everything that the API answers, as one table: the router and the `OpenAPI` document are made from it.

use std::sync::Arc;

use axum::routing::{MethodRouter, get, post};

use super::{Api, changes, metrics, openapi, questions, tokens};

/// How a route is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Post,
}

/// What a route asks of its callers, besides a `Host` of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Door {
    /// Nothing.
    Open,
    /// A network that may ask, a rate, and the key.
    Key,
    /// As [`Door::Key`], without the key where `api.metrics_public` is set.
    Scraper,
}

/// What a field holds.
#[derive(Debug)]
pub(super) enum Kind {
    Whole,
    Text,
    TextOrNull,
    Flag,
    Any,
    Texts,
    One(&'static Shape),
    Many(&'static Shape),
}

/// A field of a body, an answer or a query.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) needed: bool,
    pub(super) about: &'static str,
}

/// The fields of an object.
#[derive(Debug)]
pub(super) struct Shape(pub(super) &'static [Field]);

/// A route.
pub(super) struct Endpoint {
    pub(super) method: Method,
    pub(super) path: &'static str,
    pub(super) door: Door,
    pub(super) about: &'static str,
    pub(super) query: &'static [Field],
    pub(super) body: Option<&'static Shape>,
    /// What `data` is; without the envelope for open routes and for text.
    pub(super) answer: Kind,
    pub(super) handler: fn() -> MethodRouter<Arc<Api>>,
}

const fn field(name: &'static str, kind: Kind, about: &'static str) -> Field {
    Field { name, kind, needed: false, about }
}

const fn needed(name: &'static str, kind: Kind, about: &'static str) -> Field {
    Field { name, kind, needed: true, about }
}

const fn question(
    path: &'static str,
    about: &'static str,
    query: &'static [Field],
    answer: Kind,
    handler: fn() -> MethodRouter<Arc<Api>>,
) -> Endpoint {
    Endpoint { method: Method::Get, path, door: Door::Key, about, query, body: None, answer, handler }
}

const fn change(
    path: &'static str,
    about: &'static str,
    body: &'static Shape,
    answer: Kind,
    handler: fn() -> MethodRouter<Arc<Api>>,
) -> Endpoint {
    Endpoint { method: Method::Post, path, door: Door::Key, about, query: &[], body: Some(body), answer, handler }
}

/// All routes.
pub(super) const ROUTES: &[Endpoint] = &[
    Endpoint {
        door: Door::Open,
        ..question("/health", "How the server is", &[], Kind::One(&HEALTH), || get(questions::health))
    },
    Endpoint {
        door: Door::Open,
        ..question("/openapi.json", "This document", &[], Kind::Any, || get(openapi::openapi))
    },
    Endpoint {
        door: Door::Scraper,
        ..question("/metrics", "Counters for Prometheus", &[], Kind::Text, || get(metrics::metrics))
    },
    change("/api/mapping/create", "Opens a mapping and keeps it", &CREATE, Kind::One(&MAPPING), || {
        post(changes::create)
    }),
    change(
        "/api/mapping/update",
        "Changes what is named and leaves the rest; visitors stay, unless the way to the target is another one",
        &UPDATE,
        Kind::One(&MAPPING),
        || post(changes::update),
    ),
    change(
        "/api/mapping/reload",
        "Closes the listener of one mapping and opens it anew; its visitors have 5 s to finish",
        &PORT,
        Kind::One(&MAPPING),
        || post(changes::reload),
    ),
    change("/api/mapping/remove", "Closes a mapping; its visitors have 5 s to finish", &PORT, Kind::One(&PORT), || {
        post(changes::remove)
    }),
    question("/api/mapping/list", "All mappings", &[], Kind::Many(&MAPPING), || get(questions::list)),
    question("/api/clients", "Clients that are connected", &[], Kind::Many(&CLIENT), || get(questions::clients)),
    question("/api/stats/traffic", "What was carried, each byte once", &[], Kind::One(&TRAFFIC), || {
        get(questions::traffic)
    }),
    question("/api/stats/history", "What moved in the last intervals", HISTORY_QUERY, Kind::Many(&INTERVAL), || {
        get(questions::history)
    }),
    question("/api/stats/connections", "Visitors that are there", CONNECTIONS_QUERY, Kind::One(&CONNECTIONS), || {
        get(questions::connections)
    }),
    question("/api/audit", "Who changed what, the newest first", AUDIT_QUERY, Kind::Many(&AUDIT), || {
        get(questions::audit)
    }),
    question("/api/logs", "The last minutes of the log, the oldest first", LOGS_QUERY, Kind::Many(&LOG_LINE), || {
        get(questions::logs)
    }),
    question("/api/tokens", "All tokens, also the revoked ones", &[], Kind::Many(&TOKEN), || get(tokens::list)),
    change("/api/tokens/create", "Makes a token and shows it this once", &TOKEN_CREATE, Kind::One(&NEW_TOKEN), || {
        post(tokens::create)
    }),
    change(
        "/api/tokens/revoke",
        "Takes a token back; its clients are cut off at once",
        &TOKEN_REVOKE,
        Kind::One(&TOKEN),
        || post(tokens::revoke),
    ),
];

const HEALTH: Shape = Shape(&[
    needed("status", Kind::Text, "ok, or degraded when a mapping is not served or the database does not answer"),
    needed("tunnel_enabled", Kind::Flag, "Whether clients may connect"),
    needed("tunnel_connected", Kind::Flag, "Whether a client is connected"),
    needed("clients", Kind::Whole, "How many are"),
    needed("version", Kind::Text, "The version of the program"),
    needed("instance", Kind::Text, "What a launcher called this server"),
]);

const PORT: Shape = Shape(&[
    field("port", Kind::Whole, "The public port"),
    field("source_port", Kind::Whole, "The same under its later name; one of both"),
]);

const CREATE: Shape = Shape(&[
    field("port", Kind::Whole, "The public port"),
    field("source_port", Kind::Whole, "The same under its later name; one of both"),
    field("target_ip", Kind::Text, "The target, an address or a name; 127.0.0.1 without it"),
    field("target_host", Kind::Text, "The same under its later name"),
    field("target_port", Kind::Whole, "Its port; the public one without it, through the tunnel less target_offset"),
    field("use_tunnel", Kind::Flag, "Whether a client reaches the target"),
    field("client", Kind::Text, "The client's name"),
    field("protocol", Kind::Text, "tcp or udp"),
    field("proxy_protocol", Kind::Text, "v1 or v2: a header that names the visitor; through the tunnel"),
    field("bandwidth_limit", Kind::Whole, "Bytes a second in each direction; 0 is no limit"),
    field("access_rule", Kind::Text, "disabled, whitelist or blacklist"),
    field("access_ips", Kind::Any, "Up to 256 addresses or networks; a list, or a string that holds one"),
    field("name", Kind::Text, "For people"),
]);

const UPDATE: Shape = Shape(&[
    field("port", Kind::Whole, "The public port"),
    field("source_port", Kind::Whole, "The same under its later name; one of both"),
    field("target_ip", Kind::Text, "The target, an address or a name"),
    field("target_host", Kind::Text, "The same under its later name"),
    field("target_port", Kind::Whole, "Its port"),
    field("use_tunnel", Kind::Flag, "Whether a client reaches the target"),
    field("client", Kind::Text, "The client's name; empty for the usual one"),
    field("protocol", Kind::Text, "tcp or udp"),
    field("proxy_protocol", Kind::Text, "v1, v2, or empty for none"),
    field("bandwidth_limit", Kind::Whole, "Bytes a second in each direction; 0 is no limit"),
    field("access_rule", Kind::Text, "disabled, whitelist or blacklist"),
    field("access_ips", Kind::Any, "Up to 256 addresses or networks; a list, or a string that holds one"),
    field("name", Kind::Text, "For people"),
]);

const MAPPING: Shape = Shape(&[
    needed("id", Kind::Whole, "Its number in the database"),
    needed("name", Kind::Text, "For people"),
    needed("protocol", Kind::Text, "tcp or udp"),
    needed("proxy_protocol", Kind::Text, "v1, v2 or empty"),
    needed("client", Kind::Text, "The client that serves it; empty for the usual one"),
    needed("source_port", Kind::Whole, "The public port"),
    needed("target_ip", Kind::TextOrNull, "The target where it is an address"),
    needed("target_host", Kind::Text, "The target"),
    needed("target_port", Kind::Whole, "Its port"),
    needed("use_tunnel", Kind::Flag, "Whether a client reaches the target"),
    needed("bandwidth_limit", Kind::Whole, "Bytes a second in each direction; 0 is no limit"),
    needed("access_rule", Kind::Text, "disabled, whitelist or blacklist"),
    needed("access_ips", Kind::Texts, "Addresses and networks of visitors"),
    needed("created_at", Kind::Text, "UTC"),
    needed("state", Kind::Text, "active, waiting (for a client) or failed"),
    needed("error", Kind::TextOrNull, "Why it is not served"),
    needed("connections", Kind::Whole, "Visitors that are there"),
]);

const CLIENT: Shape = Shape(&[
    needed("name", Kind::Text, "Its token's name, or below it the one that it goes by"),
    needed("address", Kind::Text, "Where it connects from"),
    needed("connected_at", Kind::Whole, "Seconds since 1970"),
    needed("streams", Kind::Whole, "Visitors that it serves"),
    needed("agent", Kind::TextOrNull, "What it says it is"),
    needed("ports", Kind::Texts, "Public ports that it may serve; empty for all"),
]);

const SENT: Field = needed("bytes_sent", Kind::Whole, "From visitors to targets");
const RECEIVED: Field = needed("bytes_received", Kind::Whole, "From targets to visitors");
const VISITORS: Field = needed("connections", Kind::Whole, "Visitors so far");
const RATE_SENT: Field = needed("rate_sent", Kind::Whole, "Bytes a second at present");
const RATE_RECEIVED: Field = needed("rate_received", Kind::Whole, "Bytes a second at present");
const NOW: Field = needed("timestamp", Kind::Whole, "Seconds since 1970");
const UPDATED: Field = needed("last_update", Kind::Whole, "Seconds since 1970");

const TRAFFIC: Shape = Shape(&[
    NOW,
    needed("tunnel", Kind::One(&TUNNEL_TRAFFIC), "What clients carried; a part of the total"),
    needed("mappings", Kind::Many(&MAPPING_TRAFFIC), "What each mapping carried"),
    needed("total_sent", Kind::Whole, "All of it, also of mappings that are gone"),
    needed("total_received", Kind::Whole, "All of it, also of mappings that are gone"),
    needed("total_connections", Kind::Whole, "All visitors, also of mappings that are gone"),
]);

const TUNNEL_TRAFFIC: Shape = Shape(&[SENT, RECEIVED, VISITORS, UPDATED]);

const MAPPING_TRAFFIC: Shape = Shape(&[
    needed("port", Kind::Whole, "The public port"),
    needed("name", Kind::Text, "For people"),
    SENT,
    RECEIVED,
    VISITORS,
    needed("live", Kind::Whole, "Visitors that are there"),
    RATE_SENT,
    RATE_RECEIVED,
    UPDATED,
    needed("clients", Kind::Many(&CLIENT_TRAFFIC), "By the client that dialled; empty for the server itself"),
]);

const CLIENT_TRAFFIC: Shape = Shape(&[needed("client", Kind::Text, "Its name"), SENT, RECEIVED, VISITORS]);

const HISTORY_QUERY: &[Field] = &[
    field("port", Kind::Whole, "One public port; all without it"),
    field("client", Kind::Text, "One client; all without it"),
    field("limit", Kind::Whole, "How many intervals: 100, at most 1000"),
    field("step", Kind::Whole, "Seconds whose intervals are put together, at most 86400; each by itself without it"),
];

const INTERVAL: Shape = Shape(&[
    needed("recorded_at", Kind::Text, "Its end, in UTC"),
    needed("seconds", Kind::Whole, "Its length"),
    needed("port", Kind::Whole, "The port that was asked for; 0 for all"),
    SENT,
    RECEIVED,
    needed("connections", Kind::Whole, "Visitors that came"),
]);

const CONNECTIONS_QUERY: &[Field] = &[
    field("port", Kind::Whole, "One public port; all that have visitors without it"),
    field("limit", Kind::Whole, "How many visitors: 1000, at most 10000"),
];

const CONNECTIONS: Shape = Shape(&[
    NOW,
    needed("total", Kind::Whole, "Visitors of all mappings"),
    needed("mappings", Kind::Many(&MAPPING_CONNECTIONS), "Mappings with their visitors"),
]);

const MAPPING_CONNECTIONS: Shape = Shape(&[
    needed("source_port", Kind::Whole, "The public port"),
    needed("name", Kind::Text, "For people"),
    needed("target_host", Kind::Text, "The target"),
    needed("target_port", Kind::Whole, "Its port"),
    needed("use_tunnel", Kind::Flag, "Whether a client reaches the target"),
    needed("bandwidth_limit", Kind::Whole, "Bytes a second in each direction; 0 is no limit"),
    needed("access_rule", Kind::Text, "disabled, whitelist or blacklist"),
    needed("total_connections", Kind::Whole, "Visitors that are there"),
    needed("active_connections", Kind::Many(&CONNECTION), "They, as far as the limit goes"),
]);

const CONNECTION: Shape = Shape(&[
    needed("client_addr", Kind::Text, "The visitor's address"),
    needed("target_addr", Kind::Text, "The target"),
    needed("client", Kind::Text, "The client that dialled; empty for the server itself"),
    SENT,
    RECEIVED,
    RATE_SENT,
    RATE_RECEIVED,
    needed("connected_at", Kind::Whole, "Seconds since 1970"),
    needed("duration", Kind::Whole, "Seconds"),
]);

const AUDIT_QUERY: &[Field] = &[
    field("limit", Kind::Whole, "How many rows: 100, at most 1000"),
    field("before", Kind::Whole, "Only rows with a smaller id, for the next page"),
];

const AUDIT: Shape = Shape(&[
    needed("id", Kind::Whole, "Counts up"),
    needed("at", Kind::Text, "UTC"),
    needed("who", Kind::Text, "api-key, or local for a verb on the server's files"),
    needed("origin", Kind::Text, "The caller's address"),
    needed("action", Kind::Text, "mapping.create, .update, .reload, .remove, token.create, .revoke"),
    needed("subject", Kind::Text, "The port, or the token's name"),
    needed("detail", Kind::Any, "What was set; never a secret"),
]);

const LOGS_QUERY: &[Field] = &[
    field("limit", Kind::Whole, "How many lines: 100, at most 1000"),
    field("level", Kind::Text, "Only lines that are at least this important: error, warn, info, debug, trace"),
];

const LOG_LINE: Shape = Shape(&[
    needed("at_ms", Kind::Whole, "Milliseconds since 1970"),
    needed("level", Kind::Text, "error, warn, info, debug or trace"),
    needed("message", Kind::Text, "The message and its fields, with secrets masked"),
]);

const ID: Field = needed("id", Kind::Text, "16 hexadecimal digits");
const NAME: Field = needed("name", Kind::Text, "What people call it");
const PORTS: Field = needed("ports", Kind::Texts, "Public ports that its clients may serve; empty for all");
const CREATED: Field = needed("created_at", Kind::Text, "UTC");
const REVOKED: Field = needed("revoked_at", Kind::TextOrNull, "UTC");
const SEEN: Field = needed("last_seen_at", Kind::TextOrNull, "UTC, to the minute");

const TOKEN: Shape = Shape(&[ID, NAME, PORTS, CREATED, REVOKED, SEEN]);

const NEW_TOKEN: Shape = Shape(&[
    ID,
    NAME,
    PORTS,
    CREATED,
    REVOKED,
    SEEN,
    needed("token", Kind::Text, "The token, shown this once"),
    needed("join_code", Kind::Text, "Token, address and pin in one word"),
    needed("pin", Kind::TextOrNull, "The server's pin; null without TLS"),
]);

const TOKEN_CREATE: Shape = Shape(&[
    needed("name", Kind::Text, "At most 31 letters, digits and the signs - _ ."),
    field("ports", Kind::Texts, "Public ports that its clients may serve, such as 10000-10009; all without it"),
]);

const TOKEN_REVOKE: Shape = Shape(&[needed("token", Kind::Text, "Its name or its id")]);
