//! `mapping` and `tunnel status`: what the HTTP API of a running server does, from the command line.

use std::net::IpAddr;
use std::path::Path;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::args::{AccessArgs, ApiArgs, Arguments, MappingArgs, MappingPortArgs, MappingUpdateArgs, MappingVerb};
use super::output::Paint;
use super::table::{Cell, table};
use super::{Ending, Environment, Interrupt, Talk, runtime, wishes};
use crate::error::{Error, ErrorKind, Result};
use crate::model::Port;
use crate::model::Secret;
use crate::tunnel::caller::{ApiUrl, Caller, key_from_file};
use crate::tunnel::server;
use crate::words::trust::TrustWords;
use crate::words::tunnel::TunnelWords;
use crate::words::verbs::VerbWords;
use crate::words::{Lang, Message, Say};

/// The variable that holds the key, in the process and in `.env`.
const KEY_VARIABLE: &str = "PORTWRIGHT_API_API_KEY";

/// The variable that names the authority of an API at `https://`.
const CA_VARIABLE: &str = "PORTWRIGHT_CA";

/// The variables of a laid-out `.env` that say where the API is published.
const PORT_VARIABLE: &str = "API_PORT";
const BIND_VARIABLE: &str = "PORTWRIGHT_BIND";

/// Where an API is that nothing says more about.
const USUAL: &str = "127.0.0.1:8080";

#[derive(Serialize)]
struct MappingDocument<'a> {
    schema: &'static str,
    mapping: &'a Value,
}

#[derive(Serialize)]
struct ListDocument<'a> {
    schema: &'static str,
    mappings: &'a Value,
}

#[derive(Serialize)]
struct RemoveDocument {
    schema: &'static str,
    removed: Vec<u16>,
}

#[derive(Serialize)]
struct StatusDocument<'a> {
    schema: &'static str,
    api: String,
    status: &'a Value,
    version: &'a Value,
    tunnel_enabled: &'a Value,
    tunnel_connected: &'a Value,
    clients: &'a Value,
    mappings: Counts,
}

#[derive(Serialize, Default)]
struct Counts {
    active: usize,
    waiting: usize,
    failed: usize,
}

pub(super) fn run(arguments: &Arguments, verb: &MappingVerb, talk: &Talk, environment: &Environment) -> Result<Ending> {
    let call = |api: &ApiArgs| access(arguments, api, talk, environment).map(|(_, caller)| caller);
    match verb {
        MappingVerb::Create(typed) => {
            let mapping = ask(&call(&typed.api)?, "/api/mapping/create", Some(&body_of(typed).into()))?;
            changed(talk, "portwright.mapping.create/1", &mapping, |port| TunnelWords::MappingCreated { port })
        }
        MappingVerb::Update(typed) => {
            let mapping = ask(&call(&typed.mapping.api)?, "/api/mapping/update", Some(&update_body(typed)))?;
            changed(talk, "portwright.mapping.update/1", &mapping, |port| TunnelWords::MappingUpdated { port })
        }
        MappingVerb::Reload(typed) => {
            let body = json!({ "port": typed.port });
            let mapping = ask(&call(&typed.api)?, "/api/mapping/reload", Some(&body))?;
            changed(talk, "portwright.mapping.reload/1", &mapping, |port| TunnelWords::MappingReloaded { port })
        }
        MappingVerb::Remove(typed) => remove(&call(&typed.api)?, typed, talk),
        MappingVerb::Import(typed) => super::import::run(arguments, typed, talk, environment),
        MappingVerb::List(typed) => list(&ask(&call(typed)?, "/api/mapping/list", None)?, talk),
    }
}

pub(super) fn ask(caller: &Caller, path: &str, body: Option<&Value>) -> Result<Value> {
    runtime::block_on(async {
        match body {
            Some(body) => caller.post(path, body).await,
            None => caller.get(path).await,
        }
    })?
}

/// Finds the API and its key: what is typed, the process's variables, and `.env` of the directory or, where none is
/// named and the working directory has no key, of the bundled server.
pub(super) fn access(
    arguments: &Arguments,
    typed: &ApiArgs,
    talk: &Talk,
    environment: &Environment,
) -> Result<(ApiUrl, Caller)> {
    let named = arguments.global.directory.as_deref();
    let mut laid = laid_out(named.unwrap_or(Path::new(".")))?;
    if named.is_none() && laid.key.is_none() {
        // A user without a home has no bundled server.
        if let Ok(dirs) = wishes::dirs(environment) {
            let bundled = laid_out(&wishes::bundled_directory(&dirs))?;
            laid = if bundled.key.is_some() { bundled } else { laid };
        }
    }
    let url = typed.api.clone().or(laid.url).unwrap_or_else(|| ApiUrl::at(USUAL));
    let from_process = || environment.variable(KEY_VARIABLE).map(Secret::new);
    let key = match &typed.api_key_file {
        Some(file) => Some(key_from_file(file)?),
        None => from_process().or(laid.key),
    };
    let key = key.ok_or_else(|| Error::new(ErrorKind::Usage, TunnelWords::NoApiKey).hint(TunnelWords::GiveApiKey))?;
    // JSON is never translated.
    let lang = if talk.json { Lang::En } else { talk.lang };
    let caller = Caller::new(url.clone(), key, lang);
    Ok((url.clone(), trusting(caller, &url, typed, environment)?))
}

/// Tells an API at `https://` from somebody else by the authority that is named.
fn trusting(caller: Caller, url: &ApiUrl, typed: &ApiArgs, environment: &Environment) -> Result<Caller> {
    let named = typed.ca.clone();
    if !url.is_https() {
        let refused = |_| Err(Error::new(ErrorKind::Usage, TunnelWords::CaWithoutTls));
        return named.map_or(Ok(caller), refused);
    }
    let authority = named.or_else(|| environment.variable(CA_VARIABLE).map(Into::into));
    let missing = || Error::new(ErrorKind::Usage, TunnelWords::ApiUrlTls).hint(TunnelWords::GiveApiCa);
    caller.trusting(&authority.ok_or_else(missing)?)
}

/// What a directory says about a server's API.
#[derive(Default)]
struct LaidOut {
    url: Option<ApiUrl>,
    key: Option<Secret>,
}

fn laid_out(directory: &Path) -> Result<LaidOut> {
    let env_file = directory.join(".env");
    if !env_file.is_file() {
        return Ok(LaidOut::default());
    }
    let variables = server::load_env_file(&env_file)?;
    let value = |name: &str| {
        let found = variables.iter().rev().find(|(known, value)| known == name && !value.is_empty());
        found.map(|(_, value)| value.as_str())
    };
    let bind = value(BIND_VARIABLE).and_then(|bind| bind.parse::<IpAddr>().ok());
    let host = match bind.filter(|bind| !bind.is_unspecified()) {
        Some(IpAddr::V6(address)) => format!("[{address}]"),
        Some(IpAddr::V4(address)) => address.to_string(),
        None => "127.0.0.1".to_owned(),
    };
    let url = value(PORT_VARIABLE).map(|port| ApiUrl::at(format!("{host}:{port}")));
    Ok(LaidOut { url, key: value(KEY_VARIABLE).map(Secret::new) })
}

/// What was typed, as fields; what was not is left to the server.
fn body_of(typed: &MappingArgs) -> Map<String, Value> {
    let way = &typed.way;
    let (host, port) = way.target.as_ref().map_or((None, None), |target| (target.host.as_ref(), target.port));
    let through = if way.tunnel { Some(true) } else { way.direct.then_some(false) };
    let fields = [
        ("port", Some(json!(typed.port))),
        ("target_host", host.map(|host| json!(host))),
        ("target_port", port.map(|port| json!(port))),
        ("use_tunnel", through.map(Value::from)),
        ("client", way.client.clone().map(Value::from)),
        ("protocol", way.protocol.clone().map(Value::from)),
        ("proxy_protocol", way.proxy_protocol.clone().map(Value::from)),
        ("bandwidth_limit", typed.limit.map(Value::from)),
        ("name", typed.name.clone().map(Value::from)),
    ];
    let given = fields.into_iter().chain(access_fields(&typed.access));
    given.filter_map(|(field, value)| Some((field.to_owned(), value?))).collect()
}

fn update_body(typed: &MappingUpdateArgs) -> Value {
    let mut body = body_of(&typed.mapping);
    if typed.open {
        body.insert("access_rule".to_owned(), "disabled".into());
    }
    body.into()
}

/// Rule and list, where either is typed.
fn access_fields(typed: &AccessArgs) -> Vec<(&'static str, Option<Value>)> {
    let (rule, networks) = match (typed.allow.as_slice(), typed.deny.as_slice()) {
        ([], []) => return Vec::new(),
        ([], deny) => ("blacklist", deny),
        (allow, _) => ("whitelist", allow),
    };
    vec![("access_rule", Some(Value::from(rule))), ("access_ips", Some(json!(networks)))]
}

/// Shows a mapping as it is after a change. One that is not served is a warning: the change was made all the same.
fn changed(
    talk: &Talk,
    schema: &'static str,
    mapping: &Value,
    words: impl FnOnce(Port) -> TunnelWords,
) -> Result<Ending> {
    if talk.json {
        talk.json(&MappingDocument { schema, mapping })?;
        return Ok(Ending::Done);
    }
    let port = mapping.get("source_port").and_then(Value::as_u64).and_then(|port| u16::try_from(port).ok());
    if let Some(port) = port.and_then(Port::new) {
        talk.say(words(port));
    }
    if let Some(reason) = mapping.get("error").and_then(Value::as_str) {
        talk.warn(VerbWords::NotServed { state: text(mapping, "state"), reason: reason.to_owned() });
    }
    Ok(Ending::Done)
}

fn remove(caller: &Caller, typed: &MappingPortArgs, talk: &Talk) -> Result<Ending> {
    // A port that was named is consent enough where nobody can be asked.
    if !typed.yes && talk.can_ask() {
        let question = VerbWords::AskRemoveMapping { port: typed.port };
        if !super::service::agree(talk, &Interrupt::install(), question)? {
            return Ok(Ending::Judged(ErrorKind::Interrupted));
        }
    }
    ask(caller, "/api/mapping/remove", Some(&json!({ "port": typed.port })))?;
    if talk.json {
        talk.json(&RemoveDocument { schema: "portwright.mapping.remove/1", removed: vec![typed.port.get()] })?;
    } else {
        talk.say(TunnelWords::MappingRemoved { port: typed.port });
    }
    Ok(Ending::Done)
}

pub(super) fn text(value: &Value, field: &str) -> String {
    value.get(field).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn list(mappings: &Value, talk: &Talk) -> Result<Ending> {
    if talk.json {
        talk.json(&ListDocument { schema: "portwright.mapping.list/1", mappings })?;
        return Ok(Ending::Done);
    }
    let rows: Vec<_> = mappings.as_array().into_iter().flatten().map(row).collect();
    if rows.is_empty() {
        talk.note(VerbWords::NoMappings);
        talk.hint(VerbWords::HintNoMappings);
        return Ok(Ending::Done);
    }
    let headers: [Message; 8] = [
        VerbWords::PublicPortColumn.into(),
        VerbWords::TargetColumn.into(),
        VerbWords::ClientColumn.into(),
        VerbWords::StateColumn.into(),
        VerbWords::VisitorsColumn.into(),
        VerbWords::LimitColumn.into(),
        VerbWords::AccessColumn.into(),
        VerbWords::NameColumn.into(),
    ];
    talk.data(&table(&headers, &rows, talk.lang, talk.out))?;
    for mapping in mappings.as_array().into_iter().flatten() {
        if let Some(reason) =
            mapping.get("error").and_then(Value::as_str).filter(|_| text(mapping, "state") == "failed")
        {
            let port = number(mapping, "source_port").to_string();
            talk.warn(VerbWords::MappingFailed { port, reason: reason.to_owned() });
        }
    }
    Ok(Ending::Done)
}

pub(super) fn number(value: &Value, field: &str) -> u64 {
    value.get(field).and_then(Value::as_u64).unwrap_or_default()
}

fn row(mapping: &Value) -> Vec<Cell> {
    let state = text(mapping, "state");
    let paint = match state.as_str() {
        "active" => Paint::Green,
        "waiting" => Paint::Yellow,
        _ => Paint::Red,
    };
    let protocol = text(mapping, "protocol");
    let through = mapping.get("use_tunnel").and_then(Value::as_bool) == Some(true);
    let client = text(mapping, "client");
    let limit = number(mapping, "bandwidth_limit");
    let networks = mapping.get("access_ips").and_then(Value::as_array).map_or(0, Vec::len);
    let access = match text(mapping, "access_rule").as_str() {
        "whitelist" => format!("+{networks}"),
        "blacklist" => format!("-{networks}"),
        _ => String::new(),
    };
    vec![
        Cell::new(&format!("{}/{protocol}", number(mapping, "source_port"))),
        Cell::new(&format!("{}:{}", text(mapping, "target_host"), number(mapping, "target_port"))),
        Cell::new(&if through && client.is_empty() { "*".to_owned() } else { client }),
        Cell::new(&state).painted(paint),
        Cell::new(&number(mapping, "connections").to_string()),
        Cell::new(&if limit > 0 { format!("{limit} B/s") } else { String::new() }),
        Cell::new(&access),
        Cell::new(&text(mapping, "name")),
    ]
}

/// `tunnel status`: how the server is, who is connected, and how many mappings are served.
pub(super) fn status(arguments: &Arguments, typed: &ApiArgs, talk: &Talk, environment: &Environment) -> Result<Ending> {
    let (url, caller) = access(arguments, typed, talk, environment)?;
    let health = ask(&caller, "/health", None)?;
    let clients = ask(&caller, "/api/clients", None)?;
    let mappings = ask(&caller, "/api/mapping/list", None)?;
    let mut counts = Counts::default();
    for mapping in mappings.as_array().into_iter().flatten() {
        match text(mapping, "state").as_str() {
            "active" => counts.active += 1,
            "waiting" => counts.waiting += 1,
            _ => counts.failed += 1,
        }
    }
    if talk.json {
        let of = |field: &str| health.get(field).unwrap_or(&Value::Null);
        talk.json(&StatusDocument {
            schema: "portwright.tunnel.status/1",
            api: url.to_string(),
            status: of("status"),
            version: of("version"),
            tunnel_enabled: of("tunnel_enabled"),
            tunnel_connected: of("tunnel_connected"),
            clients: &clients,
            mappings: counts,
        })?;
    } else {
        people_status(&url, &health, &clients, &counts, talk)?;
    }
    let healthy = text(&health, "status") == "ok";
    Ok(if healthy { Ending::Done } else { Ending::Judged(ErrorKind::Unhealthy) })
}

fn people_status(url: &ApiUrl, health: &Value, clients: &Value, counts: &Counts, talk: &Talk) -> Result<()> {
    let lines = [
        VerbWords::ServerHealth { address: url.to_string(), status: text(health, "status") },
        VerbWords::MappingCounts { active: counts.active, waiting: counts.waiting, failed: counts.failed },
    ];
    let said: String = lines.iter().map(|line| line.say(talk.lang) + "\n").collect();
    talk.data(&said)?;
    let rows: Vec<_> = clients.as_array().into_iter().flatten().map(client_row).collect();
    if rows.is_empty() {
        talk.note(VerbWords::NoClients);
        return Ok(());
    }
    let headers: [Message; 4] = [
        VerbWords::NameColumn.into(),
        VerbWords::AddressColumn.into(),
        VerbWords::VisitorsColumn.into(),
        TrustWords::PortsColumn.into(),
    ];
    talk.data(&table(&headers, &rows, talk.lang, talk.out))
}

fn client_row(client: &Value) -> Vec<Cell> {
    let ports: Vec<_> =
        client.get("ports").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    vec![
        Cell::new(&text(client, "name")),
        Cell::new(&text(client, "address")),
        Cell::new(&number(client, "streams").to_string()),
        Cell::new(&ports.join(" ")),
    ]
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::super::args::Verb;
    use super::*;

    fn body(line: &str) -> Value {
        let arguments = Arguments::try_parse_from(line.split_whitespace()).expect(line);
        match arguments.verb {
            Verb::Mapping { verb: MappingVerb::Create(typed) } => body_of(&typed).into(),
            Verb::Mapping { verb: MappingVerb::Update(typed) } => update_body(&typed),
            other => panic!("another verb: {other:?}"),
        }
    }

    #[test]
    fn flags_become_fields_and_what_is_not_typed_is_left_to_the_server() {
        for (line, expected) in [
            ("create 10022", json!({ "port": 10022 })),
            ("create 10022 --target 22 --client home", json!({ "port": 10022, "target_port": 22, "client": "home" })),
            (
                "create 10080 --target web.lan:80 --direct --limit 1000 --name web",
                json!({ "port": 10080, "target_host": "web.lan", "target_port": 80, "use_tunnel": false,
                    "bandwidth_limit": 1000, "name": "web" }),
            ),
            (
                "create 10053 --target [::1]:53 --tunnel --protocol udp --proxy-protocol v2 --deny 10.0.0.0/8",
                json!({ "port": 10053, "target_host": "::1", "target_port": 53, "use_tunnel": true, "protocol": "udp",
                    "proxy_protocol": "v2", "access_rule": "blacklist", "access_ips": ["10.0.0.0/8"] }),
            ),
            ("update 10022 --limit 0", json!({ "port": 10022, "bandwidth_limit": 0 })),
            (
                "update 10022 --target db.lan --client home --proxy-protocol v1",
                json!({ "port": 10022, "target_host": "db.lan", "client": "home", "proxy_protocol": "v1" }),
            ),
            ("update 10022 --direct", json!({ "port": 10022, "use_tunnel": false })),
            ("update 10022 --open", json!({ "port": 10022, "access_rule": "disabled" })),
            (
                "update 10022 --allow 10.0.0.1 --allow 10.0.0.2",
                json!({ "port": 10022, "access_rule": "whitelist", "access_ips": ["10.0.0.1", "10.0.0.2"] }),
            ),
        ] {
            assert_eq!(body(&format!("portwright mapping {line}")), expected, "{line}");
        }
        for line in
            ["create", "create 0", "create 1 --tunnel --direct", "update 1 --allow x --deny y", "update 1 --limit x"]
        {
            let line = format!("portwright mapping {line}");
            assert!(Arguments::try_parse_from(line.split_whitespace()).is_err(), "{line}");
        }
    }
}
