//! The routes that change mappings.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::response::Response;
use serde_json::json;

use super::{Api, Peer, grant, json_body, language, refuse};
use crate::model::Port;
use crate::tunnel::audit::Author;
use crate::tunnel::mappings::Mappings;
use crate::tunnel::refusal::Refusal;
use crate::tunnel::request;
use crate::words::Lang;
use crate::words::tunnel::TunnelWords;

/// Says for the audit who sent a request.
pub(super) fn author(request: &Request) -> Author {
    Author::api(request.extensions().get().map_or_else(String::new, |Peer(peer)| peer.to_string()))
}

/// Does what a body asks for, in a task of its own, so that a caller who hangs up does not leave half a change.
async fn change<T: Send + 'static, F: Future<Output = Result<(), Refusal>> + Send + 'static>(
    api: &Api,
    request: Request,
    read: impl FnOnce(&Bytes) -> Result<(Port, T), Refusal>,
    work: impl FnOnce(Mappings, Port, T, Author) -> F,
) -> Result<Port, Refusal> {
    let author = author(&request);
    let (port, wanted) = read(&json_body(request).await?)?;
    tokio::spawn(work(api.mappings.clone(), port, wanted, author)).await.map_err(|_| Refusal::internal())??;
    Ok(port)
}

fn answer(api: &Api, lang: Lang, outcome: Result<Port, Refusal>, said: impl FnOnce(Port) -> TunnelWords) -> Response {
    match outcome {
        Ok(port) => grant(lang, &said(port), &api.mappings.show(port, lang)),
        Err(refusal) => refuse(lang, &refusal),
    }
}

fn one_port(body: &Bytes) -> Result<(Port, ()), Refusal> {
    request::one_port(body).map(|port| (port, ()))
}

pub(super) async fn create(State(api): State<Arc<Api>>, request: Request) -> Response {
    let lang = language(request.headers());
    let read = |body: &Bytes| {
        let wanted = request::create(body, &api.config.ports, api.config.tunnel.target_offset)?;
        Ok((wanted.row.source_port, wanted))
    };
    let work = |mappings: Mappings, _, wanted, author| async move { mappings.create(wanted, author).await.map(drop) };
    let outcome = change(&api, request, read, work).await;
    answer(&api, lang, outcome, |port| TunnelWords::MappingCreated { port })
}

pub(super) async fn update(State(api): State<Arc<Api>>, request: Request) -> Response {
    let lang = language(request.headers());
    let work = |mappings: Mappings, port, changes, author| async move { mappings.update(port, changes, author).await };
    let outcome = change(&api, request, |body| request::update(body), work).await;
    answer(&api, lang, outcome, |port| TunnelWords::MappingUpdated { port })
}

pub(super) async fn reload(State(api): State<Arc<Api>>, request: Request) -> Response {
    let lang = language(request.headers());
    let work = |mappings: Mappings, port, (), author| async move { mappings.reload(port, author).await };
    let outcome = change(&api, request, one_port, work).await;
    answer(&api, lang, outcome, |port| TunnelWords::MappingReloaded { port })
}

pub(super) async fn remove(State(api): State<Arc<Api>>, request: Request) -> Response {
    let lang = language(request.headers());
    let work = |mappings: Mappings, port, (), author| async move { mappings.remove(port, author).await };
    match change(&api, request, one_port, work).await {
        Ok(port) => grant(lang, &TunnelWords::MappingRemoved { port }, &json!({ "port": port })),
        Err(refusal) => refuse(lang, &refusal),
    }
}
