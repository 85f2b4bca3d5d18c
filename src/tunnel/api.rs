//! The HTTP API: routes, the envelope of every answer, and the connections that carry them.
//!
//! `routes` is the table of everything that is answered; the router and `/openapi.json` both come from it. Every answer
//! but `/health`, `/metrics` and `/openapi.json` is `{"success", "message", "data"}`, a refusal also has a stable
//! `"code"`. Messages follow `Accept-Language`. The URI's query is never logged, and no answer depends on a cookie.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header::{ACCEPT_LANGUAGE, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tower_service::Service;

use super::config::ServerConfig;
use super::dashboard;
use super::forward::{Pace, accept};
use super::guard::{Guard, network_of};
use super::mappings::Mappings;
use super::refusal::{RETRY_AFTER_S, Refusal};
use super::relay::reset;
use crate::words::tunnel::TunnelWords;
use crate::words::{Lang, Say};

mod changes;
mod metrics;
mod openapi;
mod questions;
mod routes;
mod tokens;

use metrics::Requests;
use routes::{Door, ROUTES};

/// The largest body; an access list of 256 networks needs a sixth of it.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// How long a request's head may take; also how long an idle connection is kept.
const HEAD_DEADLINE: Duration = Duration::from_secs(5);

/// How long a request's body may take.
const BODY_DEADLINE: Duration = Duration::from_secs(10);

/// The largest head, in bytes; more headers than a browser sends.
const HEAD_BYTES_MAX: usize = 32 * 1024;

/// How long one connection is served before it is asked to come again, and how long it may then take to finish.
const CONNECTION_LIFE: (Duration, Duration) = (Duration::from_mins(5), Duration::from_secs(10));

/// Connections at a time from one address, and from all.
const CONNECTIONS_MAX: (usize, usize) = (64, 512);

/// Who sent a request.
#[derive(Debug, Clone, Copy)]
struct Peer(IpAddr);

/// What the routes need.
struct Api {
    guard: Guard,
    mappings: Mappings,
    config: ServerConfig,
    wrong_keys: Pace,
    requests: Requests,
    started: SystemTime,
}

/// The running API.
pub(crate) struct ApiServer {
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

impl ApiServer {
    /// Answers requests on `listener`.
    pub(crate) fn start(listener: TcpListener, config: ServerConfig, mappings: Mappings) -> Self {
        let (stop, stopping) = watch::channel(false);
        let accepts = Arc::clone(mappings.accepts());
        let guard = Guard::new(config.api.clone());
        let (requests, started) = (Requests::default(), SystemTime::now());
        let api = Arc::new(Api { guard, mappings, config, wrong_keys: Pace::default(), requests, started });
        let task = tokio::spawn(serve(listener, routes(&api), accepts, stopping));
        Self { stop, task }
    }

    /// Accepts nothing more, and waits until the requests under way are answered.
    pub(crate) async fn stop(self) {
        self.stop.send_replace(true);
        // A panic of the task was logged by the runtime; the API is closed either way.
        let _ = self.task.await;
    }
}

fn routes(api: &Arc<Api>) -> Router {
    let behind = |door: Door| {
        let endpoints = ROUTES.iter().filter(|endpoint| endpoint.door == door);
        endpoints.fold(Router::new(), |router, endpoint| router.route(endpoint.path, (endpoint.handler)()))
    };
    let guarded = behind(Door::Key)
        .route("/api/{*rest}", axum::routing::any(unknown))
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(Arc::clone(api), check_caller));
    let scraped = behind(Door::Scraper)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(Arc::clone(api), check_scraper));
    behind(Door::Open)
        .route("/", get(dashboard::page))
        .route("/dashboard/{name}", get(dashboard::file))
        .route("/dashboard/words/{name}", get(dashboard::words))
        .method_not_allowed_fallback(wrong_method)
        .merge(guarded)
        .merge(scraped)
        .fallback(unknown)
        .layer(from_fn_with_state(Arc::clone(api), check_site))
        .with_state(Arc::clone(api))
}

/// Outermost: judges where the request seems to come from, and puts the security headers on every answer.
async fn check_site(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let lang = language(request.headers());
    let started = Instant::now();
    let mut response = match api.guard.check_site(request.method(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refuse(lang, &refusal),
    };
    for (name, value) in [
        ("content-security-policy", "default-src 'self'; frame-ancestors 'none'"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-store"),
        ("vary", "accept-language"),
    ] {
        response.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    api.requests.note(response.status(), started.elapsed());
    response
}

/// Around everything below `/api`: network, rate and key.
async fn check_caller(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    admit(&api, true, request, next).await
}

/// Around `/metrics`: network and rate, and the key unless the configuration says otherwise.
async fn check_scraper(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    admit(&api, !api.config.api.metrics_public, request, next).await
}

async fn admit(api: &Api, needs_key: bool, request: Request, next: Next) -> Response {
    let lang = language(request.headers());
    let Some(Peer(peer)) = request.extensions().get().copied() else { return refuse(lang, &Refusal::internal()) };
    let judged = api
        .guard
        .check_address(peer)
        .and_then(|()| if needs_key { api.guard.check_key(request.uri(), request.headers()) } else { Ok(()) });
    match judged {
        Ok(()) => next.run(request).await,
        Err(refusal) => {
            if refusal.status == 401 && api.wrong_keys.due() {
                tracing::warn!(%peer, code = refusal.code, "request without the right key");
            }
            refuse(lang, &refusal)
        }
    }
}

async fn unknown(request: Request) -> Response {
    refuse(language(request.headers()), &Refusal::new(404, "not_found", TunnelWords::NoSuchRoute))
}

async fn wrong_method(request: Request) -> Response {
    refuse(language(request.headers()), &Refusal::new(405, "method_not_allowed", TunnelWords::WrongMethod))
}

/// Reads a JSON body within its limits.
async fn json_body(request: Request) -> Result<Bytes, Refusal> {
    let (parts, body) = request.into_parts();
    let media_type = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = media_type.split(';').next().unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case("application/json") {
        return Err(Refusal::new(415, "unsupported_media_type", TunnelWords::JsonOnly));
    }
    let collected = timeout(BODY_DEADLINE, Limited::new(body, BODY_BYTES_MAX).collect()).await;
    match collected {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            Err(Refusal::new(413, "body_too_large", TunnelWords::BodyTooLarge { limit: BODY_BYTES_MAX }))
        }
        Ok(Err(_)) => Err(Refusal::new(400, "body_broken", TunnelWords::BodyBroken)),
        Err(_) => Err(Refusal::new(408, "body_timeout", TunnelWords::BodyTimeout)),
    }
}

/// The language that `Accept-Language` prefers among ours; English when it names neither.
fn language(headers: &HeaderMap) -> Lang {
    let accepted = headers.get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut best = (0.0, Lang::En);
    for choice in accepted.split(',') {
        let (tag, weight) = choice.split_once(';').unwrap_or((choice, "q=1"));
        let weight: f64 = weight.trim().strip_prefix("q=").and_then(|weight| weight.parse().ok()).unwrap_or(0.0);
        if let Some(lang) = Lang::from_tag(tag.trim()).filter(|_| weight > best.0) {
            best = (weight, lang);
        }
    }
    best.1
}

fn grant(lang: Lang, words: &TunnelWords, data: &impl Serialize) -> Response {
    json_response(StatusCode::OK, &json!({ "success": true, "message": words.say(lang), "data": data }))
}

fn refuse(lang: Lang, refusal: &Refusal) -> Response {
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let message = refusal.words.say(lang);
    let mut envelope = json!({ "success": false, "message": message, "data": Value::Null, "code": refusal.code });
    if let (Some(field), Some(envelope)) = (&refusal.field, envelope.as_object_mut()) {
        envelope.insert("field".to_owned(), Value::from(field.as_str()));
    }
    let mut response = json_response(status, &envelope);
    if refusal.status == 429 {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(RETRY_AFTER_S));
    }
    response
}

fn json_response(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(bytes) => (status, [(CONTENT_TYPE, "application/json")], Body::from(bytes)).into_response(),
        Err(error) => {
            tracing::error!(%error, "cannot write an answer");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

async fn serve(listener: TcpListener, routes: Router, accepts: Arc<Pace>, mut stopping: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    let count = Arc::new(Count::default());
    loop {
        tokio::select! {
            () = stopped(&mut stopping) => break,
            Some(_) = connections.join_next() => {}
            (stream, peer) = accept(&listener, &accepts) => match count.enter(peer) {
                Some(seat) => {
                    connections.spawn(converse(stream, seat, routes.clone(), stopping.clone()));
                }
                None => reset(stream),
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // A sender that is gone means the same as `true`.
    let _ = stopping.wait_for(|stop| *stop).await;
}

/// Serves the requests of one connection.
async fn converse(stream: TcpStream, seat: Seat, routes: Router, mut stopping: watch::Receiver<bool>) {
    let peer = Peer(seat.peer);
    let service = hyper::service::service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(peer);
        routes.clone().call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_DEADLINE)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        // Broken and slow peers are their own affair.
        _ = connection.as_mut() => return,
        () = stopped(&mut stopping) => {}
        () = sleep(CONNECTION_LIFE.0) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = timeout(CONNECTION_LIFE.1, connection).await;
}

/// How many connections each address has.
#[derive(Default)]
struct Count(Mutex<HashMap<IpAddr, usize>>);

/// A connection's place in the count, given back when dropped.
struct Seat {
    count: Arc<Count>,
    peer: IpAddr,
}

impl Count {
    fn enter(self: &Arc<Self>, peer: SocketAddr) -> Option<Seat> {
        let peer = peer.ip().to_canonical();
        let mut seats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = seats.values().sum();
        let own = seats.entry(network_of(peer)).or_default();
        if *own >= CONNECTIONS_MAX.0 || all >= CONNECTIONS_MAX.1 {
            return None;
        }
        *own += 1;
        Some(Seat { count: Arc::clone(self), peer })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut seats = self.count.0.lock().unwrap_or_else(PoisonError::into_inner);
        let network = network_of(self.peer);
        if let Some(own) = seats.get_mut(&network) {
            *own -= 1;
            if *own == 0 {
                seats.remove(&network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_preferred_language_of_ours_is_spoken() {
        for (accepted, lang) in [
            ("", Lang::En),
            ("zh-CN,zh;q=0.9,en;q=0.8", Lang::ZhCn),
            ("en;q=0.5, zh;q=0.7", Lang::ZhCn),
            ("fr, de;q=0.9", Lang::En),
            ("zh;q=0", Lang::En),
            ("zh;q=x,en", Lang::En),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_LANGUAGE, HeaderValue::from_static(accepted));
            assert_eq!(language(&headers), lang, "{accepted}");
        }
    }

    #[test]
    fn one_address_cannot_take_every_connection() {
        let count = Arc::new(Count::default());
        let peer = "10.0.0.1:1".parse().unwrap();
        let seats: Vec<_> = (0..CONNECTIONS_MAX.0).map(|_| count.enter(peer).expect("a seat")).collect();
        assert!(count.enter(peer).is_none());
        assert!(count.enter("10.0.0.2:1".parse().unwrap()).is_some());
        drop(seats);
        assert!(count.enter(peer).is_some());
    }
}
