//! The routes that only ask: health, lists, traffic, the audit and the log.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use serde_json::{Value, json};

use super::{Api, grant, json_response, language, refuse};
use crate::model::Port;
use crate::tunnel::history::HistoryWish;
use crate::tunnel::ledger::{ClientName, Totals, VisitView};
use crate::tunnel::logbook;
use crate::tunnel::mappings::Counted;
use crate::tunnel::refusal::Refusal;
use crate::tunnel::sessions::Running;
use crate::words::tunnel::{TunnelWords, Wanting};

/// Intervals, log lines and rows of the audit that are answered without `limit`, and the most that are.
const ROWS: (u32, u32) = (100, 1000);

/// The most seconds of history that are put together: a day.
const STEP_MAX: u32 = 86_400;

/// Connections that are answered without `limit`, and the most that are.
const CONNECTIONS: (u32, u32) = (1000, 10_000);

/// What `/health` answers; fixed by the contract, `instance` is ours.
#[derive(Serialize)]
struct HealthAnswer<'a> {
    status: &'static str,
    tunnel_enabled: bool,
    tunnel_connected: bool,
    clients: usize,
    version: &'static str,
    instance: &'a str,
}

pub(super) async fn health(State(api): State<Arc<Api>>) -> Response {
    let status = if api.mappings.healthy() { "ok" } else { "degraded" };
    let clients = api.mappings.clients().len();
    let answer = HealthAnswer {
        status,
        tunnel_enabled: api.config.tunnel.enabled,
        tunnel_connected: clients > 0,
        clients,
        version: env!("CARGO_PKG_VERSION"),
        instance: &api.config.instance,
    };
    json_response(StatusCode::OK, &answer)
}

pub(super) async fn list(State(api): State<Arc<Api>>, request: Request) -> Response {
    let lang = language(request.headers());
    grant(lang, &TunnelWords::MappingsListed, &api.mappings.list(lang))
}

/// A client as `clients` shows it.
#[derive(Serialize)]
struct ClientAnswer {
    name: String,
    address: String,
    connected_at: u64,
    streams: usize,
    agent: Option<String>,
    ports: Vec<String>,
}

/// Seconds since 1970; a clock before that is broken.
fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

pub(super) async fn clients(State(api): State<Arc<Api>>, request: Request) -> Response {
    let lang = language(request.headers());
    let answer = |running: Running| ClientAnswer {
        streams: running.streams(),
        address: running.peer.to_string(),
        connected_at: seconds(running.since),
        name: running.identity.name,
        agent: running.identity.agent,
        ports: running.identity.ports.iter().map(ToString::to_string).collect(),
    };
    let clients: Vec<_> = api.mappings.clients().into_iter().map(answer).collect();
    grant(lang, &TunnelWords::ClientsListed, &clients)
}

/// The parameters of a URL, each of them known.
struct Query(Vec<(String, String)>);

impl Query {
    fn read(request: &Request, known: &[&str]) -> Result<Self, Refusal> {
        let pairs = request.uri().query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let pairs = pairs.map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (name.to_owned(), value.to_owned())
        });
        let pairs: Vec<_> = pairs.collect();
        match pairs.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            Some((name, _)) => Err(Refusal::unknown_field(name.clone())),
            None => Ok(Self(pairs)),
        }
    }

    fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// A number of rows; more than there may be counts as the most.
    fn limit(&self, (usual, most): (u32, u32)) -> Result<u32, Refusal> {
        let Some(text) = self.get("limit") else { return Ok(usual) };
        let number: u64 = text.parse().map_err(|_| Refusal::field("limit", Wanting::CountOf { most }))?;
        if number == 0 {
            return Err(Refusal::field("limit", Wanting::CountOf { most }));
        }
        Ok(u32::try_from(number).unwrap_or(most).min(most))
    }

    /// Seconds that are put together; 1 for none.
    fn step(&self) -> Result<u32, Refusal> {
        let wrong = || Refusal::field("step", Wanting::CountOf { most: STEP_MAX });
        let step = self.get("step").map_or(Ok(1), str::parse).map_err(|_| wrong())?;
        if (1..=STEP_MAX).contains(&step) { Ok(step) } else { Err(wrong()) }
    }

    /// A port; 0 and -1 stand for all, as they do for the predecessor.
    fn port(&self) -> Result<Option<u16>, Refusal> {
        match self.get("port") {
            None | Some("0" | "-1") => Ok(None),
            Some(text) => text.parse().map(Some).map_err(|_| Refusal::field("port", Wanting::PortNumber)),
        }
    }
}

/// Counts as the predecessor names them: sent to the target, received from it.
#[derive(Serialize)]
struct Counts {
    bytes_sent: u64,
    bytes_received: u64,
    connections: u64,
}

impl From<Totals> for Counts {
    fn from(Totals { up_bytes, down_bytes, connections }: Totals) -> Self {
        Self { bytes_sent: up_bytes, bytes_received: down_bytes, connections }
    }
}

#[derive(Serialize)]
struct TrafficAnswer {
    timestamp: u64,
    tunnel: TunnelTraffic,
    mappings: Vec<MappingTraffic>,
    total_sent: u64,
    total_received: u64,
    total_connections: u64,
}

#[derive(Serialize)]
struct TunnelTraffic {
    #[serde(flatten)]
    counts: Counts,
    last_update: u64,
}

#[derive(Serialize)]
struct MappingTraffic {
    port: Port,
    name: String,
    #[serde(flatten)]
    counts: Counts,
    live: usize,
    rate_sent: u64,
    rate_received: u64,
    last_update: u64,
    clients: Vec<ClientTraffic>,
}

#[derive(Serialize)]
struct ClientTraffic {
    client: String,
    #[serde(flatten)]
    counts: Counts,
}

fn mapping_traffic(now: u64, counted: Counted) -> MappingTraffic {
    let by_client = counted.by_client();
    let Counted { mapping, ledger, .. } = counted;
    let client = |(client, totals): (&ClientName, &Totals)| ClientTraffic {
        client: client.to_string(),
        counts: Counts::from(*totals),
    };
    let (rate_sent, rate_received) = ledger.rates();
    MappingTraffic {
        port: mapping.source_port,
        name: mapping.name,
        counts: by_client.values().copied().sum::<Totals>().into(),
        live: ledger.live(),
        rate_sent,
        rate_received,
        last_update: now,
        clients: by_client.iter().map(client).collect(),
    }
}

pub(super) async fn traffic(State(api): State<Arc<Api>>, request: Request) -> Response {
    let lang = language(request.headers());
    let now = seconds(SystemTime::now());
    let all = api.mappings.accounts().everywhere();
    // Each byte counts once: what clients carried is a part of the total, and not added to it.
    let tunnel: Totals = all.iter().filter(|(client, _)| !client.is_empty()).map(|(_, totals)| *totals).sum();
    let total: Totals = all.values().copied().sum();
    let answer = TrafficAnswer {
        timestamp: now,
        tunnel: TunnelTraffic { counts: tunnel.into(), last_update: now },
        mappings: api.mappings.counted().into_iter().map(|counted| mapping_traffic(now, counted)).collect(),
        total_sent: total.up_bytes,
        total_received: total.down_bytes,
        total_connections: total.connections,
    };
    grant(lang, &TunnelWords::TrafficListed, &answer)
}

pub(super) async fn history(State(api): State<Arc<Api>>, request: Request) -> Response {
    let lang = language(request.headers());
    let query = Query::read(&request, &["port", "limit", "client", "step"]);
    let outcome = async {
        let query = query?;
        let (port, limit, step) = (query.port()?, query.limit(ROWS)?, query.step()?);
        if !api.config.stats.enabled {
            return Err(Refusal::new(503, "stats_disabled", TunnelWords::StatsDisabled));
        }
        let client = query.get("client").map(str::to_owned);
        api.mappings.store().history(HistoryWish { port, client, limit, step }).await.map_err(Refusal::storage)
    };
    match outcome.await {
        Ok(intervals) => grant(lang, &TunnelWords::HistoryListed, &intervals),
        Err(refusal) => refuse(lang, &refusal),
    }
}

fn visit(now: u64, target: &str, visit: &VisitView) -> Value {
    let since = seconds(visit.since);
    json!({
        "client_addr": visit.peer.to_string(),
        "target_addr": target,
        "client": &*visit.client,
        "bytes_sent": visit.up_bytes,
        "bytes_received": visit.down_bytes,
        "rate_sent": visit.rates.0,
        "rate_received": visit.rates.1,
        "connected_at": since,
        "duration": now.saturating_sub(since),
    })
}

pub(super) async fn connections(State(api): State<Arc<Api>>, request: Request) -> Response {
    let lang = language(request.headers());
    let read = || {
        let query = Query::read(&request, &["port", "limit"])?;
        Ok((query.port()?, query.limit(CONNECTIONS)?))
    };
    let (port, limit) = match read() {
        Ok(read) => read,
        Err(refusal) => return refuse(lang, &refusal),
    };
    let now = seconds(SystemTime::now());
    let mut left = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut total = 0;
    let mut shown = Vec::new();
    for Counted { mapping, ledger, .. } in api.mappings.counted() {
        let live = ledger.live();
        total += live;
        let wanted = port.map_or(live > 0, |port| port == mapping.source_port.get());
        if !wanted {
            continue;
        }
        let target = format!("{}:{}", mapping.target_host, mapping.target_port);
        let visits: Vec<_> = ledger.visits(left).iter().map(|there| visit(now, &target, there)).collect();
        left -= visits.len();
        shown.push(json!({
            "source_port": mapping.source_port,
            "name": mapping.name,
            "target_host": mapping.target_host,
            "target_port": mapping.target_port,
            "use_tunnel": mapping.use_tunnel,
            "bandwidth_limit": mapping.bandwidth_limit,
            "access_rule": mapping.access_rule,
            "total_connections": live,
            "active_connections": visits,
        }));
    }
    let data = json!({ "timestamp": now, "total": total, "mappings": shown });
    grant(lang, &TunnelWords::ConnectionsListed, &data)
}

pub(super) async fn audit(State(api): State<Arc<Api>>, request: Request) -> Response {
    let lang = language(request.headers());
    let query = Query::read(&request, &["limit", "before"]);
    let outcome = async {
        let query = query?;
        let most = u32::MAX;
        let wrong = |_| Refusal::field("before", Wanting::CountOf { most });
        let before = query.get("before").map(|text| text.parse().map_err(wrong)).transpose()?;
        api.mappings.store().audit(query.limit(ROWS)?, before).await.map_err(Refusal::storage)
    };
    match outcome.await {
        Ok(entries) => grant(lang, &TunnelWords::AuditListed, &entries),
        Err(refusal) => refuse(lang, &refusal),
    }
}

pub(super) async fn logs(request: Request) -> Response {
    let lang = language(request.headers());
    let read = || {
        let query = Query::read(&request, &["limit", "level"])?;
        let least = match query.get("level") {
            None => tracing::Level::TRACE,
            Some(text @ ("error" | "warn" | "info" | "debug" | "trace")) => {
                text.parse().map_err(|_| Refusal::internal())?
            }
            Some(_) => return Err(Refusal::field("level", Wanting::Level)),
        };
        let limit = usize::try_from(query.limit(ROWS)?).unwrap_or(usize::MAX);
        Ok(logbook::lines(limit, least))
    };
    match read() {
        Ok(lines) => grant(lang, &TunnelWords::LogsListed, &lines),
        Err(refusal) => refuse(lang, &refusal),
    }
}
