//! The dashboard: a page that works without internet, made of files in this executable and of the API's own routes.
//!
//! The files hold no texts for people; the page fetches those in its reader's language. Nothing here needs the key.

use axum::extract::Path;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value};

use crate::words::dashboard::DashboardWords as D;
use crate::words::{Lang, Say};

const SCRIPT: &str = "text/javascript; charset=utf-8";

/// The files of the page below `/dashboard/`, with their media types.
const FILES: [(&str, &str, &str); 16] = [
    ("style.css", "text/css; charset=utf-8", include_str!("dashboard/style.css")),
    ("icon.svg", "image/svg+xml", include_str!("dashboard/icon.svg")),
    ("app.js", SCRIPT, include_str!("dashboard/app.js")),
    ("dom.js", SCRIPT, include_str!("dashboard/dom.js")),
    ("form.js", SCRIPT, include_str!("dashboard/form.js")),
    ("plot.js", SCRIPT, include_str!("dashboard/plot.js")),
    ("server.js", SCRIPT, include_str!("dashboard/server.js")),
    ("words.js", SCRIPT, include_str!("dashboard/words.js")),
    ("overview.js", SCRIPT, include_str!("dashboard/overview.js")),
    ("mappings.js", SCRIPT, include_str!("dashboard/mappings.js")),
    ("connections.js", SCRIPT, include_str!("dashboard/connections.js")),
    ("traffic.js", SCRIPT, include_str!("dashboard/traffic.js")),
    ("clients.js", SCRIPT, include_str!("dashboard/clients.js")),
    ("tokens.js", SCRIPT, include_str!("dashboard/tokens.js")),
    ("audit.js", SCRIPT, include_str!("dashboard/audit.js")),
    ("logs.js", SCRIPT, include_str!("dashboard/logs.js")),
];

/// The page itself.
pub(crate) async fn page() -> Response {
    answer("text/html; charset=utf-8", include_str!("dashboard/index.html"))
}

/// A file of the page.
pub(crate) async fn file(Path(name): Path<String>) -> Response {
    match FILES.iter().find(|(file, ..)| *file == name) {
        Some((_, media_type, content)) => answer(media_type, content),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// The page's texts in one language, `en.json` or `zh-CN.json`.
pub(crate) async fn words(Path(name): Path<String>) -> Response {
    let lang = match name.as_str() {
        "en.json" => Lang::En,
        "zh-CN.json" => Lang::ZhCn,
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    let texts: Map<String, Value> =
        TEXTS.iter().map(|(key, text)| ((*key).to_owned(), text.say(lang).into())).collect();
    ([(CONTENT_TYPE, "application/json")], Value::Object(texts).to_string()).into_response()
}

fn answer(media_type: &'static str, content: &'static str) -> Response {
    // Older browsers than those that know the policy's `frame-ancestors`.
    let frames = HeaderName::from_static("x-frame-options");
    ([(CONTENT_TYPE, media_type), (frames, "DENY")], content).into_response()
}

/// Every text with the name that the page has for it; fields are left as names in braces.
const TEXTS: [(&str, D); 126] = [
    ("sign_in", D::SignIn),
    ("sign_out", D::SignOut),
    ("signed_out", D::SignedOut),
    ("api_key", D::ApiKey),
    ("key_stays", D::KeyStays),
    ("language", D::Language),
    ("theme", D::Theme),
    ("theme_auto", D::ThemeAuto),
    ("theme_light", D::ThemeLight),
    ("theme_dark", D::ThemeDark),
    ("views", D::Views),
    ("loading", D::Loading),
    ("unreachable", D::Unreachable),
    ("cancel", D::Cancel),
    ("save", D::Save),
    ("create", D::Create),
    ("none", D::None),
    ("optional", D::Optional),
    ("actions", D::Actions),
    ("overview", D::Overview),
    ("server", D::Server),
    ("ok", D::Ok),
    ("degraded", D::Degraded),
    ("version", D::Version),
    ("live_connections", D::LiveConnections),
    ("needs_attention", D::NeedsAttention),
    ("all_well", D::AllWell),
    ("no_client", D::NoClient),
    ("mappings", D::Mappings),
    ("new_mapping", D::NewMapping),
    ("no_mappings", D::NoMappings),
    ("count_mappings", D::CountMappings { count: "{count}" }),
    ("port", D::Port),
    ("port_hint", D::PortHint),
    ("name", D::Name),
    ("target", D::Target),
    ("target_host", D::TargetHost),
    ("target_host_hint", D::TargetHostHint),
    ("target_port", D::TargetPort),
    ("target_port_hint", D::TargetPortHint),
    ("way", D::Way),
    ("through_tunnel", D::ThroughTunnel),
    ("through_client", D::ThroughClient { client: "{client}" }),
    ("usual_client", D::UsualClient),
    ("directly", D::Directly),
    ("client", D::Client),
    ("client_hint", D::ClientHint),
    ("protocol", D::Protocol),
    ("proxy_header", D::ProxyHeader),
    ("proxy_hint", D::ProxyHint),
    ("state", D::State),
    ("state_active", D::StateActive),
    ("state_waiting", D::StateWaiting),
    ("state_failed", D::StateFailed),
    ("reason", D::Reason),
    ("limit", D::Limit),
    ("limit_hint", D::LimitHint),
    ("access", D::Access),
    ("access_disabled", D::AccessDisabled),
    ("access_whitelist", D::AccessWhitelist),
    ("access_blacklist", D::AccessBlacklist),
    ("networks", D::Networks),
    ("networks_hint", D::NetworksHint),
    ("created", D::Created),
    ("edit", D::Edit),
    ("edit_mapping", D::EditMapping { port: "{port}" }),
    ("edit_text", D::EditText),
    ("saved", D::Saved),
    ("reload", D::Reload),
    ("reload_text", D::ReloadText { port: "{port}" }),
    ("reloaded", D::Reloaded),
    ("remove", D::Remove),
    ("remove_text", D::RemoveText { port: "{port}", target: "{target}" }),
    ("removed", D::Removed),
    ("connections", D::Connections),
    ("no_connections", D::NoConnections),
    ("count_shown", D::CountShown { shown: "{shown}", count: "{count}" }),
    ("visitor", D::Visitor),
    ("since", D::Since),
    ("duration", D::Duration),
    ("rate", D::Rate),
    ("to_target", D::ToTarget),
    ("to_visitor", D::ToVisitor),
    ("traffic", D::Traffic),
    ("all_mappings", D::AllMappings),
    ("period", D::Period),
    ("last_hour", D::LastHour),
    ("last_day", D::LastDay),
    ("last_week", D::LastWeek),
    ("traffic_of", D::TrafficOf { port: "{port}" }),
    ("traffic_of_all", D::TrafficOfAll),
    ("no_history", D::NoHistory),
    ("stats_off", D::StatsOff),
    ("totals", D::Totals),
    ("clients", D::Clients),
    ("no_clients", D::NoClients),
    ("address", D::Address),
    ("streams", D::Streams),
    ("ports", D::Ports),
    ("all_ports", D::AllPorts),
    ("program", D::Program),
    ("version_1", D::Version1),
    ("tokens", D::Tokens),
    ("new_token", D::NewToken),
    ("no_tokens", D::NoTokens),
    ("ports_hint", D::PortsHint),
    ("token_shown", D::TokenShown),
    ("close", D::Close),
    ("created_at", D::CreatedAt),
    ("last_seen", D::LastSeen),
    ("revoke", D::Revoke),
    ("revoke_text", D::RevokeText { name: "{name}" }),
    ("revoked", D::Revoked),
    ("valid", D::Valid),
    ("revoked_now", D::RevokedNow),
    ("audit", D::Audit),
    ("no_audit", D::NoAudit),
    ("when", D::When),
    ("who", D::Who),
    ("what", D::What),
    ("subject", D::Subject),
    ("details", D::Details),
    ("logs", D::Logs),
    ("no_logs", D::NoLogs),
    ("level", D::Level),
    ("text", D::Text),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn scripts() -> impl Iterator<Item = (&'static str, &'static str)> {
        FILES.iter().filter(|(_, media_type, _)| *media_type == SCRIPT).map(|(name, _, content)| (*name, *content))
    }

    /// Keys in `t("…")`, and those in `` t(`prefix_${…}`) `` as their prefix.
    fn wanted() -> (BTreeSet<String>, BTreeSet<String>) {
        let (mut keys, mut prefixes) = (BTreeSet::new(), BTreeSet::new());
        for (_, content) in scripts() {
            let called = |(at, _): &(usize, &str)| !content[..*at].ends_with(|letter: char| letter.is_alphanumeric());
            for (at, call) in content.match_indices("t(\"").filter(called) {
                keys.extend(content[at + call.len()..].split('"').next().map(str::to_owned));
            }
            for (at, call) in content.match_indices("t(`").filter(called) {
                prefixes.extend(content[at + call.len()..].split("${").next().map(str::to_owned));
            }
        }
        (keys, prefixes)
    }

    #[test]
    fn every_text_that_the_page_asks_for_is_there() {
        let known: BTreeSet<String> = TEXTS.iter().map(|(key, _)| (*key).to_owned()).collect();
        let (keys, prefixes) = wanted();
        assert!(keys.len() > 50, "{keys:?}");
        let missing: Vec<_> = keys.difference(&known).collect();
        assert!(missing.is_empty(), "{missing:?}");
        for prefix in prefixes {
            assert!(known.iter().any(|key| key.starts_with(&prefix)), "{prefix}");
        }
    }

    #[test]
    fn the_page_keeps_the_key_in_memory_and_reads_nothing_as_markup() {
        for (name, content) in scripts() {
            for banned in [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
                "localStorage",
                "sessionStorage",
                "document.cookie",
                "http://",
                "https://",
                ".style",
                "onclick=\"",
            ] {
                let allowed = banned == "http://" && content.contains("http://www.w3.org/2000/svg");
                assert!(!content.contains(banned) || allowed, "{name}: {banned}");
            }
        }
        let page = include_str!("dashboard/index.html");
        assert!(
            !page.contains("<style") && page.matches("<script").count() == page.matches("src=\"/dashboard/").count()
        );
    }
}
