//! `GET /metrics`: what Prometheus scrapes, in its text format 0.0.4, with a bounded number of series.
//!
//! Nothing here is on the path of a byte: counters are read where they stand.

use std::fmt::{Display, Write as _};
use std::fs;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, UNIX_EPOCH};

use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use tokio::task::spawn_blocking;

use super::{Api, Lang, refuse};
use crate::tunnel::ledger::Totals;
use crate::tunnel::refusal::Refusal;

/// The format, as its specification names it.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Mappings and clients that have series of their own; of the others `portwright_unlisted` says how many they are.
const MAPPINGS_MAX: usize = 2000;
const CLIENTS_MAX: usize = 500;

/// Answers of the API since the start.
#[derive(Debug, Default)]
pub(super) struct Requests {
    /// By the first digit of the status, from 1xx to 5xx.
    by_class: [AtomicU64; 5],
    unauthorized: AtomicU64,
    rate_limited: AtomicU64,
    microseconds: AtomicU64,
}

impl Requests {
    /// Notes an answer and how long it took.
    pub(super) fn note(&self, status: StatusCode, took: Duration) {
        let class = usize::from(status.as_u16() / 100).checked_sub(1);
        if let Some(count) = class.and_then(|class| self.by_class.get(class)) {
            count.fetch_add(1, Relaxed);
        }
        match status {
            StatusCode::UNAUTHORIZED => drop(self.unauthorized.fetch_add(1, Relaxed)),
            StatusCode::TOO_MANY_REQUESTS => drop(self.rate_limited.fetch_add(1, Relaxed)),
            _ => {}
        }
        self.microseconds.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Relaxed);
    }
}

pub(super) async fn metrics(State(api): State<Arc<Api>>) -> Response {
    // Off the threads that serve: with ten thousand visitors it takes some milliseconds.
    match spawn_blocking(move || text(&api)).await {
        Ok(text) => (StatusCode::OK, [(CONTENT_TYPE, TEXT_FORMAT)], Body::from(text)).into_response(),
        Err(_) => refuse(Lang::En, &Refusal::internal()),
    }
}

fn text(api: &Api) -> String {
    let mut page = Page::default();
    page.family("portwright_build_info", "gauge", "The version that runs; always 1.");
    page.sample("portwright_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    page.family("portwright_start_time_seconds", "gauge", "When the API was opened, in seconds since 1970.");
    let started = api.started.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    page.sample("portwright_start_time_seconds", &[], started);
    page.family("portwright_healthy", "gauge", "1 while every mapping is served, as in /health.");
    page.sample("portwright_healthy", &[], u8::from(api.mappings.healthy()));
    let states = api.mappings.states();
    page.family("portwright_mappings", "gauge", "Mappings by their state.");
    for (state, count) in [("active", states.active), ("waiting", states.waiting), ("failed", states.failed)] {
        page.sample("portwright_mappings", &[("state", state)], count);
    }
    let clients = api.mappings.clients();
    page.family("portwright_clients", "gauge", "Clients that are connected.");
    page.sample("portwright_clients", &[], clients.len());
    page.family("portwright_streams", "gauge", "Streams on the sessions of clients.");
    page.sample(
        "portwright_streams",
        &[],
        clients.iter().map(crate::tunnel::sessions::Running::streams).sum::<usize>(),
    );
    of_mappings(api, &mut page);
    of_clients(api, &mut page);
    of_requests(&api.requests, &mut page);
    of_process(&mut page);
    page.0
}

fn of_mappings(api: &Api, page: &mut Page) {
    let counted = api.mappings.counted();
    let rows: Vec<_> = counted
        .iter()
        .take(MAPPINGS_MAX)
        .map(|one| (one.mapping.source_port.to_string(), one.ledger.totals(), one.ledger.live()))
        .collect();
    page.family("portwright_mapping_bytes_total", "counter", "Payload of a mapping: up is to the target.");
    for (port, Totals { up_bytes, down_bytes, .. }, _) in &rows {
        page.sample("portwright_mapping_bytes_total", &[("port", port), ("direction", "up")], up_bytes);
        page.sample("portwright_mapping_bytes_total", &[("port", port), ("direction", "down")], down_bytes);
    }
    page.family("portwright_mapping_connections_total", "counter", "Visitors that a mapping has had.");
    for (port, Totals { connections, .. }, _) in &rows {
        page.sample("portwright_mapping_connections_total", &[("port", port)], connections);
    }
    page.family("portwright_mapping_connections", "gauge", "Visitors that are there.");
    for (port, _, live) in &rows {
        page.sample("portwright_mapping_connections", &[("port", port)], live);
    }
    page.family("portwright_mapping_refused_total", "counter", "Visitors that were not served since the start.");
    for one in counted.iter().take(MAPPINGS_MAX) {
        let port = one.mapping.source_port.to_string();
        for (reason, count) in one.ledger.refused().filter(|(_, count)| *count > 0) {
            page.sample("portwright_mapping_refused_total", &[("port", &port), ("reason", reason.label())], count);
        }
    }
    page.family("portwright_unlisted", "gauge", "Mappings and clients without series of their own.");
    let mappings = counted.len().saturating_sub(MAPPINGS_MAX);
    let clients = api.mappings.accounts().by_client().len().saturating_sub(CLIENTS_MAX);
    page.sample("portwright_unlisted", &[("kind", "mappings")], mappings);
    page.sample("portwright_unlisted", &[("kind", "clients")], clients);
}

fn of_clients(api: &Api, page: &mut Page) {
    let all = api.mappings.accounts().by_client();
    let total: Totals = all.values().copied().sum();
    page.family("portwright_bytes_total", "counter", "Payload of all mappings that there ever were.");
    page.sample("portwright_bytes_total", &[("direction", "up")], total.up_bytes);
    page.sample("portwright_bytes_total", &[("direction", "down")], total.down_bytes);
    page.family("portwright_connections_total", "counter", "Visitors of all mappings that there ever were.");
    page.sample("portwright_connections_total", &[], total.connections);
    page.family("portwright_client_bytes_total", "counter", "Payload that a client carried.");
    for (client, totals) in all.iter().filter(|(client, _)| !client.is_empty()).take(CLIENTS_MAX) {
        page.sample("portwright_client_bytes_total", &[("client", client), ("direction", "up")], totals.up_bytes);
        page.sample("portwright_client_bytes_total", &[("client", client), ("direction", "down")], totals.down_bytes);
    }
}

fn of_requests(requests: &Requests, page: &mut Page) {
    let read = |counter: &AtomicU64| counter.load(Relaxed);
    page.family("portwright_api_requests_total", "counter", "Answers of the API by the class of their status.");
    for (class, count) in ["1xx", "2xx", "3xx", "4xx", "5xx"].iter().zip(&requests.by_class) {
        page.sample("portwright_api_requests_total", &[("class", class)], read(count));
    }
    page.family("portwright_api_unauthorized_total", "counter", "Requests without the right key.");
    page.sample("portwright_api_unauthorized_total", &[], read(&requests.unauthorized));
    page.family("portwright_api_rate_limited_total", "counter", "Requests of callers that asked too often.");
    page.sample("portwright_api_rate_limited_total", &[], read(&requests.rate_limited));
    page.family("portwright_api_seconds_total", "counter", "Time that answers took, all together.");
    let seconds = Duration::from_micros(read(&requests.microseconds)).as_secs_f64();
    page.sample("portwright_api_seconds_total", &[], seconds);
}

/// What Linux tells about this process; left out where it does not.
fn of_process(page: &mut Page) {
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        page.family("process_open_fds", "gauge", "Open descriptors.");
        page.sample("process_open_fds", &[], open.count());
    }
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let most = limits.lines().find_map(|line| line.strip_prefix("Max open files")?.split_whitespace().next());
    if let Some(most) = most.and_then(|most| most.parse::<u64>().ok()) {
        page.family("process_max_fds", "gauge", "The most descriptors that this process may open.");
        page.sample("process_max_fds", &[], most);
    }
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next());
    if let Some(kibibytes) = resident.and_then(|kibibytes| kibibytes.parse::<u64>().ok()) {
        page.family("process_resident_memory_bytes", "gauge", "Memory in use.");
        page.sample("process_resident_memory_bytes", &[], kibibytes * 1024);
    }
}

/// A page in the text format.
#[derive(Default)]
struct Page(String);

impl Page {
    /// Begins a family; its samples follow.
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing into a string cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (place, (label, text)) in labels.iter().enumerate() {
            let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let opening = if place == 0 { '{' } else { ',' };
            let _ = write!(self.0, "{opening}{label}=\"{text}\"");
        }
        let closing = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.0, "{closing} {value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped_and_answers_are_counted_by_their_class() {
        let mut page = Page::default();
        page.family("x_total", "counter", "Things.");
        page.sample("x_total", &[("client", "a\"b\\c\nd"), ("direction", "up")], 3);
        page.sample("x_total", &[], 0.5);
        let text = "# HELP x_total Things.\n# TYPE x_total counter\nx_total{client=\"a\\\"b\\\\c\\nd\",direction=\"up\"} 3\n\
            x_total 0.5\n";
        assert_eq!(page.0, text);
        let requests = Requests::default();
        for status in [StatusCode::OK, StatusCode::UNAUTHORIZED, StatusCode::TOO_MANY_REQUESTS] {
            requests.note(status, Duration::from_millis(500));
        }
        let mut page = Page::default();
        of_requests(&requests, &mut page);
        for line in [
            "portwright_api_requests_total{class=\"2xx\"} 1",
            "portwright_api_requests_total{class=\"4xx\"} 2",
            "portwright_api_unauthorized_total 1",
            "portwright_api_rate_limited_total 1",
            "portwright_api_seconds_total 1.5",
        ] {
            assert!(page.0.lines().any(|found| found == line), "{line}: {}", page.0);
        }
    }
}
