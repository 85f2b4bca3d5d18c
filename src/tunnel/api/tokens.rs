//! The routes for tokens: what `portwright tunnel token` does, from afar.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use serde::Serialize;
use serde_json::Value;
use tokio::task::spawn_blocking;

use super::changes::author;
use super::{Api, grant, json_body, language, refuse};
use crate::error::{Error, Result as Outcome};
use crate::model::PortRange;
use crate::tunnel::config::IssuerConfig;
use crate::tunnel::issuing::{self, IssuedToken, TokenView};
use crate::tunnel::refusal::Refusal;
use crate::tunnel::request::Fields;
use crate::words::tunnel::{TunnelWords, Wanting};

/// The most ranges of one token.
const RANGES_MAX: usize = 64;

/// A token as the API shows it.
#[derive(Serialize)]
struct TokenAnswer {
    id: String,
    name: String,
    ports: Vec<String>,
    created_at: String,
    revoked_at: Option<String>,
    last_seen_at: Option<String>,
}

impl From<TokenView> for TokenAnswer {
    fn from(view: TokenView) -> Self {
        let TokenView { id, name, ports, created_at, revoked_at, last_seen_at } = view;
        Self { id, name, ports, created_at, revoked_at, last_seen_at }
    }
}

/// A fresh token: the one answer that ever holds it.
#[derive(Serialize)]
struct FreshAnswer<'a> {
    #[serde(flatten)]
    known: TokenAnswer,
    token: &'a str,
    join_code: &'a str,
    pin: Option<String>,
}

/// Works on the server's files off the threads that serve.
async fn on_files<T: Send + 'static>(
    api: &Api,
    work: impl FnOnce(&IssuerConfig) -> Outcome<T> + Send + 'static,
) -> Result<T, Refusal> {
    let config = IssuerConfig { tunnel: api.config.tunnel.clone(), database: api.config.database.clone() };
    let done = spawn_blocking(move || work(&config)).await.map_err(|_| Refusal::internal())?;
    done.map_err(|error: Error| {
        let refusal = Refusal::token(&error);
        if refusal.status >= 500 {
            tracing::error!(%error, "the tokens cannot be changed");
        }
        refusal
    })
}

pub(super) async fn list(State(api): State<Arc<Api>>, request: Request) -> Response {
    let lang = language(request.headers());
    match on_files(&api, issuing::list_in).await {
        Ok(tokens) => {
            grant(lang, &TunnelWords::TokensListed, &tokens.into_iter().map(TokenAnswer::from).collect::<Vec<_>>())
        }
        Err(refusal) => refuse(lang, &refusal),
    }
}

pub(super) async fn create(State(api): State<Arc<Api>>, request: Request) -> Response {
    let lang = language(request.headers());
    let outcome = async {
        let author = author(&request);
        let (name, ports) = read_create(&json_body(request).await?)?;
        if !api.config.tunnel.enabled {
            return Err(Refusal::new(503, "tunnel_unavailable", TunnelWords::TunnelUnavailable));
        }
        on_files(&api, move |config| issuing::issue(config, &name, &ports, author)).await
    };
    match outcome.await {
        Ok(IssuedToken { view, token, join_code, pin }) => {
            let words = TunnelWords::TokenMade { name: view.name.clone() };
            let (token, join_code) = (token.expose(), join_code.expose());
            grant(lang, &words, &FreshAnswer { known: view.into(), token, join_code, pin })
        }
        Err(refusal) => refuse(lang, &refusal),
    }
}

fn read_create(body: &[u8]) -> Result<(String, Vec<PortRange>), Refusal> {
    let mut fields = Fields::read(body)?;
    let (name, ports) = (fields.take("name"), fields.take("ports"));
    fields.end()?;
    let Some(Value::String(name)) = name else { return Err(Refusal::field("name", Wanting::Text)) };
    let wrong = || Refusal::field("ports", Wanting::Ranges);
    let texts: Vec<String> = match ports {
        None => Vec::new(),
        Some(list) => serde_json::from_value(list).map_err(|_| wrong())?,
    };
    if texts.len() > RANGES_MAX {
        return Err(wrong());
    }
    let ranges = texts.iter().map(|text| text.parse().map_err(|_| wrong())).collect::<Result<_, _>>()?;
    Ok((name, ranges))
}

pub(super) async fn revoke(State(api): State<Arc<Api>>, request: Request) -> Response {
    let lang = language(request.headers());
    let outcome = async {
        let author = author(&request);
        let mut fields = Fields::read(&json_body(request).await?)?;
        let which = fields.take("token");
        fields.end()?;
        let Some(Value::String(which)) = which else { return Err(Refusal::field("token", Wanting::Text)) };
        on_files(&api, move |config| issuing::take_back(config, &which, author)).await
    };
    match outcome.await {
        Ok(token) => grant(lang, &TunnelWords::TokenTakenBack { name: token.name.clone() }, &TokenAnswer::from(token)),
        Err(refusal) => refuse(lang, &refusal),
    }
}
