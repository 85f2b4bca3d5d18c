//! What one service of ours is to be, and the hardened container that it becomes.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use bollard::models::{
    ContainerCreateBody, HealthConfig, HostConfig, HostConfigLogConfig, Mount, MountType, PortBinding, RestartPolicy,
    RestartPolicyNameEnum,
};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::address::hex;
use super::engine::{EngineIdentity, EngineKind};
use super::image::ImageRef;
use super::{LABEL_CONFIG_HASH, LABEL_DIGEST, LABEL_DIRECTORY, LABEL_INSTANCE, USER_ID};
use crate::model::Published;

/// The folder in the container that [`ServiceSpec::files`] land in.
pub const FILES_FOLDER: &str = "/etc/portwright";

/// Between two health checks.
const HEALTH_INTERVAL: Duration = Duration::from_secs(5);

/// Between two health checks while the service starts; Docker 28 waits 5 s for the first one without it, and engines
/// below 25 ignore it.
const HEALTH_START_INTERVAL: Duration = Duration::from_millis(250);

/// How long a service may start before failed checks count.
const HEALTH_START_PERIOD: Duration = Duration::from_secs(20);

/// How long one check may take.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(3);

/// After so many failed checks a service is unhealthy.
const HEALTH_RETRIES: i64 = 3;

/// The most threads: a tokio runtime has one a core and up to 512 blocking ones.
const PIDS_LIMIT: i64 = 1024;

/// The service's log on disk is at most three files of this size; Docker's default has no limit. Podman keeps its own
/// log driver, which knows neither `json-file` nor a number of files.
const LOG_SIZE: &str = "10m";

/// A volume of ours and where the container sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeMount {
    /// The volume's name on the engine.
    pub name: String,
    /// The folder in the container; `/data` belongs to the service's user.
    pub target: String,
}

/// A file that the container gets in [`FILES_FOLDER`]: readable by the service, not writable, gone with the container.
#[derive(Clone, PartialEq, Eq)]
pub struct ServiceFile {
    /// The file's name, without a folder.
    pub name: String,
    /// What is in it; may be a secret.
    pub contents: Vec<u8>,
}

impl fmt::Debug for ServiceFile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ServiceFile").field("name", &self.name).finish_non_exhaustive()
    }
}

/// One service as it is to run.
#[derive(Clone, PartialEq, Eq)]
pub struct ServiceSpec {
    /// The container's name.
    pub name: String,
    /// The image to run.
    pub image: ImageRef,
    /// The arguments of the image's program.
    pub command: Vec<String>,
    /// Environment variables. Anyone who may inspect the container can read them: secrets belong into `files`.
    pub env: Vec<(String, String)>,
    /// More labels; ours win.
    pub labels: BTreeMap<String, String>,
    /// The published ports. An engine starts a process a port: beyond about 100, use `host_network`.
    pub ports: Vec<Published>,
    /// Whether the service listens on the host's own network instead of published ports.
    pub host_network: bool,
    /// The volumes, made when they are missing.
    pub volumes: Vec<VolumeMount>,
    /// The files, all in [`FILES_FOLDER`].
    pub files: Vec<ServiceFile>,
    /// The folder that the deployment belongs to.
    pub directory: PathBuf,
    /// The instance name, of several copies of one project.
    pub instance: Option<String>,
    /// The command of the health check, run in the container; exit code 0 is healthy. Empty: no check.
    pub health: Vec<String>,
}

impl fmt::Debug for ServiceSpec {
    /// Leaves out the values of the environment: they may be secrets.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.env.iter().map(|(name, _)| name.as_str()).collect();
        formatter
            .debug_struct("ServiceSpec")
            .field("name", &self.name)
            .field("image", &self.image)
            .field("command", &self.command)
            .field("env", &names)
            .field("ports", &self.ports)
            .field("volumes", &self.volumes)
            .field("files", &self.files)
            .field("directory", &self.directory)
            .finish_non_exhaustive()
    }
}

impl ServiceSpec {
    /// Returns the body that creates the container, and the hash of everything it is made from.
    pub(super) fn body(&self, engine: &EngineIdentity) -> (ContainerCreateBody, String) {
        let mut body = ContainerCreateBody {
            user: Some(format!("{USER_ID}:{USER_ID}")),
            image: Some(self.image.tag.clone()),
            cmd: Some(self.command.clone()),
            env: Some(self.env.iter().map(|(name, value)| format!("{name}={value}")).collect()),
            exposed_ports: Some(self.ports.iter().map(inner_port).collect()),
            volumes: (!self.files.is_empty()).then(|| vec![FILES_FOLDER.to_owned()]),
            healthcheck: Some(self.health_check()),
            stop_signal: Some("SIGTERM".to_owned()),
            host_config: Some(self.host_config(engine)),
            ..ContainerCreateBody::default()
        };
        let mut labels: HashMap<String, String> = self.labels.clone().into_iter().collect();
        labels.insert(LABEL_DIRECTORY.to_owned(), self.directory.display().to_string());
        labels.insert(LABEL_DIGEST.to_owned(), self.image.digest.clone());
        if let Some(instance) = &self.instance {
            labels.insert(LABEL_INSTANCE.to_owned(), instance.clone());
        }
        body.labels = Some(labels);
        let hash = self.hash(&body);
        body.labels.get_or_insert_default().insert(LABEL_CONFIG_HASH.to_owned(), hash.clone());
        (body, hash)
    }

    fn hash(&self, body: &ContainerCreateBody) -> String {
        let mut sum = Sha256::new();
        let mut canonical = String::new();
        write_sorted(&serde_json::to_value(body).unwrap_or_default(), &mut canonical);
        sum.update(canonical.as_bytes());
        for file in &self.files {
            sum.update((file.name.len() as u64).to_be_bytes());
            sum.update(file.name.as_bytes());
            sum.update((file.contents.len() as u64).to_be_bytes());
            sum.update(&file.contents);
        }
        hex(&sum.finalize())
    }

    fn health_check(&self) -> HealthConfig {
        let nanos = |time: Duration| i64::try_from(time.as_nanos()).ok();
        if self.health.is_empty() {
            return HealthConfig { test: Some(vec!["NONE".to_owned()]), ..HealthConfig::default() };
        }
        HealthConfig {
            test: Some(std::iter::once("CMD".to_owned()).chain(self.health.iter().cloned()).collect()),
            interval: nanos(HEALTH_INTERVAL),
            timeout: nanos(HEALTH_TIMEOUT),
            retries: Some(HEALTH_RETRIES),
            start_period: nanos(HEALTH_START_PERIOD),
            start_interval: nanos(HEALTH_START_INTERVAL),
        }
    }

    fn host_config(&self, engine: &EngineIdentity) -> HostConfig {
        let mut bindings: HashMap<String, Option<Vec<PortBinding>>> = HashMap::new();
        for port in &self.ports {
            bindings.entry(inner_port(port)).or_default().get_or_insert_default().push(PortBinding {
                host_ip: Some(port.host_ip.map(|ip| ip.to_string()).unwrap_or_default()),
                host_port: Some(port.host_port.to_string()),
            });
        }
        let mounts = self.volumes.iter().map(|volume| Mount {
            target: Some(volume.target.clone()),
            source: Some(volume.name.clone()),
            typ: Some(MountType::VOLUME),
            ..Mount::default()
        });
        let log = [("max-size", LOG_SIZE), ("max-file", "3")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        let docker = engine.kind == EngineKind::Docker;
        let host_gateway = docker && !self.host_network && engine.api != "1.40";
        HostConfig {
            port_bindings: (!self.host_network).then_some(bindings),
            network_mode: self.host_network.then(|| "host".to_owned()),
            mounts: Some(mounts.collect()),
            readonly_rootfs: Some(true),
            cap_drop: Some(vec!["ALL".to_owned()]),
            security_opt: Some(vec!["no-new-privileges".to_owned()]),
            tmpfs: Some(HashMap::from([("/tmp".to_owned(), "rw,noexec,nosuid,size=16m".to_owned())])),
            pids_limit: Some(PIDS_LIMIT),
            restart_policy: Some(RestartPolicy {
                name: Some(RestartPolicyNameEnum::UNLESS_STOPPED),
                maximum_retry_count: None,
            }),
            log_config: docker.then(|| HostConfigLogConfig {
                typ: Some("json-file".to_owned()),
                config: Some(log.into_iter().collect()),
            }),
            extra_hosts: host_gateway.then(|| vec!["host.docker.internal:host-gateway".to_owned()]),
            ..HostConfig::default()
        }
    }
}

fn inner_port(port: &Published) -> String {
    format!("{}/{}", port.container_port, port.protocol)
}

/// Writes JSON with the keys of every object in order: a `HashMap` has another order in every process.
fn write_sorted(value: &Value, out: &mut String) {
    match value {
        Value::Object(fields) => {
            let sorted: BTreeMap<&String, &Value> = fields.iter().collect();
            out.push('{');
            for (name, field) in sorted {
                out.push_str(&Value::from(name.as_str()).to_string());
                out.push(':');
                write_sorted(field, out);
                out.push(',');
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for item in items {
                write_sorted(item, out);
                out.push(',');
            }
            out.push(']');
        }
        plain => out.push_str(&plain.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Port, Protocol};

    fn engine() -> EngineIdentity {
        EngineIdentity {
            kind: EngineKind::Docker,
            version: String::new(),
            api: "1.41".to_owned(),
            os: "linux".to_owned(),
            arch: "amd64".to_owned(),
            address: String::new(),
            local: true,
            rootless: false,
        }
    }

    fn spec() -> ServiceSpec {
        let port = |number| Published {
            host_ip: "127.0.0.1".parse().ok(),
            host_port: Port::new(number).expect("a port"),
            container_port: Port::new(8000).expect("a port"),
            protocol: Protocol::Tcp,
        };
        ServiceSpec {
            name: "pwtest".to_owned(),
            image: ImageRef { tag: "localhost/x:1".to_owned(), digest: "d1".to_owned() },
            command: vec!["tunnel".to_owned(), "server".to_owned()],
            env: vec![("TOKEN".to_owned(), "canary-secret".to_owned())],
            labels: (0..20).map(|number| (format!("label{number}"), number.to_string())).collect(),
            ports: vec![port(18000), port(18001)],
            host_network: false,
            volumes: vec![VolumeMount { name: "v".to_owned(), target: "/data".to_owned() }],
            files: vec![ServiceFile { name: "config.yaml".to_owned(), contents: b"canary-file".to_vec() }],
            directory: PathBuf::from("/srv/x"),
            instance: None,
            health: vec!["/portwright".to_owned(), "health".to_owned()],
        }
    }

    #[test]
    fn the_hash_is_stable_and_notices_every_change() {
        let (_, hash) = spec().body(&engine());
        assert_eq!(hash, spec().body(&engine()).1);
        let changes: [fn(&mut ServiceSpec); 6] = [
            |spec| spec.image.digest = "d2".to_owned(),
            |spec| spec.command.push("-v".to_owned()),
            |spec| spec.env[0].1.push('x'),
            |spec| spec.ports.truncate(1),
            |spec| spec.files[0].contents.push(b'x'),
            |spec| spec.host_network = true,
        ];
        for change in changes {
            let mut other = spec();
            change(&mut other);
            assert_ne!(hash, other.body(&engine()).1, "{other:?}");
        }
    }

    #[test]
    fn the_container_is_hardened() {
        let (body, _) = spec().body(&engine());
        let host = body.host_config.expect("a host configuration");
        assert_eq!(body.user.as_deref(), Some("65532:65532"));
        assert_eq!(host.readonly_rootfs, Some(true));
        assert_eq!(host.cap_drop, Some(vec!["ALL".to_owned()]));
        assert_eq!(host.security_opt, Some(vec!["no-new-privileges".to_owned()]));
        assert_eq!((host.privileged, host.binds, host.cap_add), (None, None, None));
        assert_eq!(host.port_bindings.expect("bindings")["8000/tcp"].as_ref().map(Vec::len), Some(2));
    }

    #[test]
    fn secrets_show_in_neither_debug_nor_labels() {
        let (body, _) = spec().body(&engine());
        let shown = format!("{:?} {:?}", spec(), body.labels);
        assert!(!shown.contains("canary"), "{shown}");
    }
}
