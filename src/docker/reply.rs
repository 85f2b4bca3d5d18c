//! Replies of the engine about containers, as far as they are read: every field may be missing, and a word that is
//! not known is kept as it is.
//!
//! bollard's own types read a whole list as an error when one container is in a state that they do not list; Podman
//! has such states (`stopped`, `initialized`).

use std::collections::HashMap;

use serde::Deserialize;

/// One entry of `GET /containers/json`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Listed {
    pub(super) id: Option<String>,
    pub(super) names: Option<Vec<String>>,
    pub(super) image: Option<String>,
    pub(super) state: Option<String>,
    pub(super) labels: Option<HashMap<String, String>>,
    pub(super) ports: Option<Vec<ListedPort>>,
}

/// A port of [`Listed`].
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct ListedPort {
    #[serde(rename = "IP")]
    pub(super) ip: Option<String>,
    pub(super) private_port: Option<u16>,
    pub(super) public_port: Option<u16>,
    #[serde(rename = "Type")]
    pub(super) protocol: Option<String>,
}

/// `GET /containers/{id}/json`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Inspected {
    pub(super) id: Option<String>,
    pub(super) restart_count: Option<i64>,
    pub(super) state: Option<State>,
    pub(super) config: Option<Config>,
    pub(super) host_config: Option<HostConfig>,
}

/// The state of [`Inspected`].
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct State {
    pub(super) status: Option<String>,
    pub(super) running: Option<bool>,
    pub(super) restarting: Option<bool>,
    pub(super) pid: Option<i64>,
    pub(super) exit_code: Option<i64>,
    pub(super) health: Option<Health>,
}

/// The health of [`State`].
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Health {
    pub(super) status: Option<String>,
    pub(super) log: Option<Vec<Check>>,
}

/// One health check that was run.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Check {
    pub(super) output: Option<String>,
}

/// The configuration of [`Inspected`]; its environment is not read.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Config {
    pub(super) labels: Option<HashMap<String, String>>,
}

/// What [`Inspected`] asks of its host.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct HostConfig {
    pub(super) port_bindings: Option<HashMap<String, Option<Vec<Binding>>>>,
    pub(super) restart_policy: Option<RestartPolicy>,
}

/// A wanted port.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Binding {
    pub(super) host_ip: Option<String>,
    pub(super) host_port: Option<String>,
}

/// Whether the engine starts a container again.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct RestartPolicy {
    pub(super) name: Option<String>,
}

/// `GET /info`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Info {
    pub(super) security_options: Option<Vec<String>>,
}
