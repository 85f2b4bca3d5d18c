//! What was launched for the project, the bundled server in particular, and a client's way to a server.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::project::trouble;
use super::{in_time, unknown};
use crate::deploy::order::ProjectOrder;
use crate::deploy::{LoadedProject, ProjectKind, bundled, native, read, service, verify};
use crate::disk::Dirs;
use crate::error::Result;
use crate::model::{
    ClientSight, HealthSight, MappingSight, Port, Project, Protocol, PublishedPort, RunSight, Secret, ServerSight,
    Sight,
};
use crate::tunnel::caller::{ApiUrl, Caller};
use crate::tunnel::client::ClientOptions;
use crate::tunnel::config::Tls;
use crate::tunnel::{self, examine};
use crate::words::Lang;

/// The variable that holds the API's key.
const KEY_VARIABLE: &str = "PORTWRIGHT_API_API_KEY";

/// How long the way to a server may take; below the deadline of a part, so that the failing step is told.
const WAY: Duration = Duration::from_millis(4_500);

/// The most mappings that are tried from end to end: each is a connection.
const TRIED_MAX: usize = 100;

/// What was launched for the project.
pub(super) async fn launched(order: &ProjectOrder, dirs: Option<&Dirs>) -> Sight<Vec<RunSight>> {
    let (Ok(Some(loaded)), Some(dirs)) = (read(order), dirs) else { return Sight::Nothing };
    let looked = Box::pin(async {
        let state = loaded.state(dirs).ok().flatten();
        match service::status(order, &loaded, state.as_ref()).await {
            Ok(found) if found.is_empty() => Sight::Nothing,
            Ok(found) => {
                let of = |found: service::ServiceState| RunSight {
                    name: found.name,
                    state: found.state,
                    health: found.health,
                };
                Sight::Known(found.into_iter().map(of).collect())
            }
            Err(error) => unknown(error.message()),
        }
    });
    in_time(looked).await
}

/// The bundled server of the directory, whether it runs or not.
pub(super) async fn server(order: &ProjectOrder, dirs: Option<&Dirs>) -> Sight<ServerSight> {
    match read(order) {
        Ok(Some(loaded)) if loaded.kind == ProjectKind::Bundled => {
            let state = dirs.and_then(|dirs| loaded.state(dirs).ok().flatten());
            let record = state.and_then(|state| native::record(state.folder()));
            let is_process = record.is_some_and(|record| record.serves());
            in_time(async { Sight::Known(Box::pin(of(&loaded, is_process)).await) }).await
        }
        _ => Sight::Nothing,
    }
}

async fn of(loaded: &LoadedProject, is_process: bool) -> ServerSight {
    let project = &loaded.project;
    let (config, env_file) = (project.directory.join(bundled::CONFIG_FILE), project.directory.join(".env"));
    let variables = bundled::native_environment(project).into_iter().collect();
    let read = tunnel::server::load(
        Some(&config),
        Some(&env_file).filter(|path| path.is_file()).map(|path| &**path),
        &variables,
    );
    let certificate = match &read {
        Ok(config) => match &config.tunnel.tls {
            Tls::On { files: Some((certificate, _)), .. } => dates(certificate),
            Tls::On { files: None, .. } | Tls::Off => Sight::Nothing,
        },
        Err(_) => Sight::Nothing,
    };
    let wants_certificate =
        read.as_ref().is_ok_and(|config| matches!(config.tunnel.tls, Tls::On { client_ca: Some(_), .. }));
    let api = bundled::api(project).map(verify::address_of);
    let control = bundled::control(project).map(verify::address_of);
    let wanted = bundled::instance(&project.directory);
    let health = async { verify::health(api?).await };
    let answers = async {
        match control {
            // A look without a certificate would be a failure in the server's log.
            Some(address) if wants_certificate => verify::reached(address).await,
            Some(address) => verify::takes_clients(address).await,
            None => false,
        }
    };
    let place = |port: Port| if is_process { Some(port) } else { published(project, port) };
    let (health, control_answers, mappings) = tokio::join!(health, answers, mappings(api, &env_file, place));
    ServerSight {
        config_trouble: read.as_ref().err().map(trouble),
        certificate,
        api: api.map(|address| address.to_string()).unwrap_or_default(),
        health: health.map(|health| HealthSight {
            is_own: health.instance == wanted,
            version: health.version,
            clients: health.clients,
            clocks: health.clocks,
        }),
        control: control.map(|address| address.to_string()),
        control_answers,
        mappings,
    }
}

fn dates(certificate: &Path) -> Sight<(u64, u64)> {
    match tunnel::certificate_validity(certificate) {
        Ok(dates) => Sight::Known(dates),
        Err(error) => unknown(error.message()),
    }
}

/// The port of this host at which a port of the server's container is published.
fn published(project: &Project, port: Port) -> Option<Port> {
    project.mappings.iter().filter(|mapping| mapping.protocol == Protocol::Tcp).find_map(|mapping| {
        let PublishedPort::Fixed(range) = mapping.published else { return None };
        let step = port.get().checked_sub(mapping.container.first().get())?;
        range.ports().nth(usize::from(step)).filter(|_| mapping.container.contains(port))
    })
}

/// Asks the API for the mappings, and visits each that may be visited from here.
async fn mappings(
    api: Option<SocketAddr>,
    env_file: &Path,
    place: impl Fn(Port) -> Option<Port>,
) -> Sight<Vec<MappingSight>> {
    let Some(api) = api else { return Sight::Nothing };
    let listed = async {
        let key = key(env_file)?;
        Caller::new(ApiUrl::at(api), key, Lang::En).get("/api/mapping/list").await
    };
    match listed.await {
        Ok(list) => {
            let list = list.as_array().map(Vec::as_slice).unwrap_or_default();
            let mut found = Vec::new();
            let mut visits = tokio::task::JoinSet::new();
            for (index, mapping) in list.iter().enumerate() {
                let seen = mapping_of(mapping);
                let is_open = mapping["access_rule"] == "disabled" && seen.protocol == "tcp";
                let here = Port::new(seen.port).and_then(&place).filter(|_| is_open && seen.state == "active");
                if let Some(here) = here.filter(|_| index < TRIED_MAX) {
                    let address = SocketAddr::new(api.ip(), here.get());
                    visits.spawn(async move { (index, verify::reached(address).await) });
                }
                found.push(seen);
            }
            while let Some(visit) = visits.join_next().await {
                if let Ok((index, reached)) = visit
                    && let Some(seen) = found.get_mut(index)
                {
                    seen.reached = Some(reached);
                }
            }
            Sight::Known(found)
        }
        Err(error) => unknown(error.message()),
    }
}

/// Reads the API's key; the last assignment counts.
fn key(env_file: &Path) -> Result<Secret> {
    let variables = tunnel::server::load_env_file(env_file)?;
    let found = variables.iter().rev().find(|(name, _)| name == KEY_VARIABLE);
    Ok(Secret::new(found.map(|(_, value)| value.as_str()).unwrap_or_default()))
}

fn mapping_of(mapping: &Value) -> MappingSight {
    let text = |field: &str| mapping[field].as_str().unwrap_or_default().to_owned();
    let number = |field: &str| mapping[field].as_u64().and_then(|number| u16::try_from(number).ok()).unwrap_or(0);
    MappingSight {
        port: number("source_port"),
        protocol: text("protocol"),
        target: format!("{}:{}", text("target_host"), number("target_port")),
        client: text("client"),
        state: text("state"),
        error: mapping["error"].as_str().map(str::to_owned),
        reached: None,
    }
}

/// Goes a client's way to the server that was named.
pub(super) async fn client(options: Option<&ClientOptions>) -> Sight<ClientSight> {
    let Some(options) = options else { return Sight::Nothing };
    let examined = examine::examine(options, WAY).await;
    let (failed_at, trouble) = match &examined.failed {
        Some((step, error)) => (Some(step.name().to_owned()), Some(trouble(error))),
        None => (None, None),
    };
    Sight::Known(ClientSight {
        server: examined.server,
        failed_at,
        trouble,
        agent: examined.agent,
        clocks: examined.clocks,
    })
}
