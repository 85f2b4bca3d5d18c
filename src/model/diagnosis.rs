//! What `doctor` sees and what it says of it: plain values that can be written down, read back and judged again.

use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Port, PortRange, Protocol};
use crate::words::{Lang, Message, Say};

/// A sentence in both languages, as it was told. A [`Message`] cannot be written down; this can.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Told {
    /// English.
    pub en: String,
    /// Simplified Chinese.
    pub zh: String,
}

impl From<&Message> for Told {
    fn from(message: &Message) -> Self {
        Self { en: message.say(Lang::En), zh: message.say(Lang::ZhCn) }
    }
}

impl Say for Told {
    fn say(&self, lang: Lang) -> String {
        match lang {
            Lang::En => self.en.clone(),
            Lang::ZhCn => self.zh.clone(),
        }
    }
}

/// A part of the observation.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sight<T> {
    /// It was seen.
    Known(T),
    /// It could not be seen, because of this.
    Unknown(Told),
    /// There is nothing of the kind here.
    #[default]
    Nothing,
}

impl<T> Sight<T> {
    /// Returns what was seen.
    pub const fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Unknown(_) | Self::Nothing => None,
        }
    }
}

/// Everything that `doctor` judges. Holds no secret: names, paths, ports, numbers and sentences alone.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Observation {
    /// `portwright.doctor-facts/1`.
    pub schema: String,
    /// The version of the program that looked.
    pub version: String,
    /// The operating system, as Rust names it: `linux`.
    pub os: String,
    /// The architecture, as Rust names it: `x86_64`.
    pub arch: String,
    /// Who answers where the container engine is expected.
    pub engine: Sight<EngineSight>,
    /// The compose that is installed.
    pub compose: Sight<ComposeSight>,
    /// The project of the directory.
    pub project: Sight<ProjectSight>,
    /// What was launched for the project.
    pub launched: Sight<Vec<RunSight>>,
    /// The bundled tunnel server of the directory.
    pub server: Sight<ServerSight>,
    /// The way of a client to a tunnel server that was named.
    pub client: Sight<ClientSight>,
    /// Memory, limits and counters.
    pub machine: Sight<MachineSight>,
    /// Names and loopback.
    pub network: Sight<NetworkSight>,
    /// Ports that NAT rules send elsewhere.
    pub redirects: Sight<Vec<RedirectSight>>,
    /// What the firewall drops.
    pub firewall: Sight<FirewallSight>,
    /// The services of engines, and ours.
    pub services: Sight<Vec<ServiceSight>>,
    /// Whether the user has folders for state, data and configuration.
    pub has_home: bool,
    /// Variables of the environment that are meant for us and set nothing, each with the one that is nearest.
    pub misspelt: Vec<(String, String)>,
    /// The pool of port leases.
    pub pool: Sight<PoolSight>,
    /// The folders that are written to.
    pub folders: Vec<FolderSight>,
    /// What runs that ended badly have left.
    pub leftovers: Sight<Leftovers>,
}

/// How the question for the engine ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EngineSight {
    /// It answered.
    Answers(EngineAnswer),
    /// It did not.
    Fails(EngineFailure),
}

/// An engine that answered.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct EngineAnswer {
    /// `docker` or `podman`.
    pub kind: String,
    /// Its version.
    pub version: String,
    /// Where it was reached.
    pub address: String,
    /// The system and architecture of its containers, as Go names them: `linux`, `amd64`.
    pub os: String,
    /// The architecture.
    pub arch: String,
    /// Whether its ports are ports of this host.
    pub local: bool,
    /// Whether it runs without root.
    pub rootless: bool,
    /// Its containers; why they could not be listed.
    pub containers: Sight<Vec<ContainerSight>>,
}

/// A container that matters: one of this project or one of ours.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerSight {
    /// Its name.
    pub name: String,
    /// Whether it runs.
    pub running: bool,
    /// The folder that it was made for.
    pub directory: PathBuf,
    /// Whether that folder is still there.
    pub has_directory: bool,
    /// Whether we made it, and not compose.
    pub is_ours: bool,
}

/// The compose that is installed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ComposeSight {
    /// How it is called: `docker compose`.
    pub command: String,
    /// Major and minor version; 1 is the Python one.
    pub version: (u32, u32),
    /// Why there is none.
    pub trouble: Option<Trouble>,
}

/// Something that was launched.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RunSight {
    /// The container or process.
    pub name: String,
    /// The runtime's word: `running`, `exited`, `restarting`, …
    pub state: String,
    /// `healthy`, `unhealthy`, `starting`; `None` where nothing watches its health.
    pub health: Option<String>,
}

/// The bundled tunnel server.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ServerSight {
    /// Why its configuration cannot be understood.
    pub config_trouble: Option<Trouble>,
    /// From when and until when the certificate that it was given is valid, in seconds since 1970; nothing where it made
    /// one for itself.
    pub certificate: Sight<(u64, u64)>,
    /// Where its API is published.
    pub api: String,
    /// What answers there.
    pub health: Option<HealthSight>,
    /// Where clients connect; `None` where they cannot.
    pub control: Option<String>,
    /// Whether something answers there.
    pub control_answers: bool,
    /// Its mappings, as its API tells them.
    pub mappings: Sight<Vec<MappingSight>>,
}

/// What a server says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct HealthSight {
    /// Whether it is the server of this directory.
    pub is_own: bool,
    /// The version of its program.
    pub version: String,
    /// How many clients are connected.
    pub clients: usize,
    /// Its clock beside ours; `None` where its answer has no date.
    pub clocks: Option<ClockSight>,
}

/// Two clocks at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ClockSight {
    /// What the server's shows, in seconds since 1970.
    pub theirs_s: u64,
    /// What ours shows.
    pub ours_s: u64,
}

/// A mapping of a server.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct MappingSight {
    /// The public port.
    pub port: u16,
    /// `tcp` or `udp`.
    pub protocol: String,
    /// `HOST:PORT` of the target.
    pub target: String,
    /// The client that serves it; empty for the usual one.
    pub client: String,
    /// `active`, `waiting` or `failed`.
    pub state: String,
    /// Why it is not served.
    pub error: Option<String>,
    /// Whether a visitor is kept, and not sent away at once; `None` where that was not tried.
    pub reached: Option<bool>,
}

/// The way of a client to its server.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ClientSight {
    /// The server, `HOST:PORT`.
    pub server: String,
    /// The step that failed: `entry`, `name`, `reach`, `link` or `session`.
    pub failed_at: Option<String>,
    /// Why.
    pub trouble: Option<Trouble>,
    /// What the server's program calls itself.
    pub agent: Option<String>,
    /// Its clock beside ours; `None` where it was not told.
    pub clocks: Option<ClockSight>,
}

/// Memory, limits and counters; `None` where the system does not tell.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct MachineSight {
    /// The system's clock, in seconds since 1970.
    pub clock_s: u64,
    /// Memory in bytes that this process may use at most.
    pub memory_total: Option<u64>,
    /// Memory in bytes that is left.
    pub memory_available: Option<u64>,
    /// How many files this user's processes may have open, at most.
    pub files_own: Option<u64>,
    /// How many files the whole system has open.
    pub files_open: Option<u64>,
    /// How many it may have open.
    pub files_most: Option<u64>,
    /// How many tasks there are.
    pub tasks: Option<u64>,
    /// How many there may be.
    pub tasks_most: Option<u64>,
    /// How many connections may wait to be accepted (`somaxconn`).
    pub backlog: Option<u64>,
    /// How many connections the kernel tracks.
    pub connections: Option<u64>,
    /// How many it can track.
    pub connections_most: Option<u64>,
    /// Whether the kernel forwards IPv4, which published ports of containers need.
    pub forwards: Option<bool>,
    /// How many ports outgoing connections can have.
    pub outgoing_ports: Option<u64>,
}

/// Names and loopback.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkSight {
    /// Whether a socket can be bound to 127.0.0.1.
    pub loopback: bool,
    /// Whether the host has IPv6.
    pub ipv6: bool,
    /// The addresses of `localhost`; none where it has none.
    pub localhost: Sight<Vec<IpAddr>>,
    /// The name servers of the resolver.
    pub nameservers: Sight<Vec<String>>,
}

/// Ports that a NAT rule sends elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RedirectSight {
    /// The protocol.
    pub protocol: Protocol,
    /// The first port.
    pub first: Port,
    /// The last port.
    pub last: Port,
    /// Where they are sent.
    pub to: String,
}

/// What the firewall drops of what comes in.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct FirewallSight {
    /// Whether everything is dropped that is not let in by a rule.
    pub drops: bool,
    /// Ports that a rule lets in.
    pub lets_in: Vec<PortRange>,
}

/// A service of the system.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ServiceSight {
    /// Its name: `docker.service`.
    pub name: String,
    /// The manager's word: `active`, `inactive`, `failed`, …
    pub active: String,
    /// Whether it is started with the system: `enabled`, `disabled`, `static`, …
    pub starts: String,
    /// How often it was started again since it was started by a person.
    pub restarts: u32,
}

/// The pool of port leases.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PoolSight {
    /// Its file.
    pub path: PathBuf,
    /// How many leases there are.
    pub leases: usize,
    /// Why it cannot be used.
    pub trouble: Option<Trouble>,
    /// Whether it is damaged, and parts of it can still be read.
    pub is_damaged: bool,
    /// Why the file that names the WANs cannot be used.
    pub config_trouble: Option<Trouble>,
    /// Leases that are over and whose ports are in use all the same.
    pub over_in_use: Vec<Port>,
    /// Its WANs.
    pub wans: Vec<WanSight>,
}

/// How many ports a WAN has left.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct WanSight {
    /// Its number.
    pub index: u32,
    /// Its ports.
    pub total: usize,
    /// Those that can still be leased.
    pub free: usize,
}

/// Why no engine answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineFailure {
    /// What kind of failure it is.
    pub fault: EngineFault,
    /// What happened.
    pub why: Told,
    /// What helps.
    pub remedy: Option<Told>,
}

/// Kinds of failures, each with another remedy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EngineFault {
    /// There is no socket.
    Absent,
    /// The address, or the docker context that should name it, is of no use.
    Address,
    /// It speaks no version of the API that we speak.
    Versions,
    /// Something is there, and gives no answer, no permission, or no sense.
    Broken,
}

/// The project of the directory.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ProjectSight {
    /// The directory.
    pub directory: PathBuf,
    /// Whether it is a user's own compose project, not one that we laid out.
    pub is_compose: bool,
    /// Why its files cannot be read, with the place and what helps.
    pub trouble: Option<Trouble>,
    /// What its files say that deserves a look.
    pub lints: Vec<Told>,
    /// Its published ports; why they could not be judged.
    pub ports: Sight<Vec<PortSight>>,
}

/// Something that went wrong, as an error tells it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Trouble {
    /// What.
    pub what: Told,
    /// What helps.
    pub remedy: Option<Told>,
}

/// A published port with the judgement of `check`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortSight {
    /// `service:container_port`.
    pub name: String,
    /// The port; `None` where the engine chooses.
    pub port: Option<Port>,
    /// The port in the container.
    pub container_port: Port,
    /// The protocol.
    pub protocol: Protocol,
    /// The address on the host; empty for all.
    pub host_ip: String,
    /// `free`, `own`, `conflict`, `reserved`, `privileged`, `unknown`.
    pub state: String,
    /// Why the state is what it is.
    pub reason: Option<Told>,
    /// The file and line where it is published.
    pub place: String,
    /// The range of ports of outgoing connections, where the port is in it and not kept out of it.
    pub at_risk: Option<PortRange>,
}

/// A folder that is written to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct FolderSight {
    /// What it is for: `state`, `data`, `project`, `temporary`.
    pub purpose: String,
    /// The folder, or the nearest one above it that exists.
    pub path: PathBuf,
    /// Bytes that this user may still write; why that cannot be known.
    pub free_bytes: Sight<u64>,
    /// Whether this user may write to it.
    pub writable: bool,
    /// Whether it is of another user, or others may write to it; only told of our own folders.
    pub open_to_others: bool,
    /// The file system, where it is one whose locks do not reach every machine that has it: `NFS`.
    pub shared_disk: Option<String>,
    /// Files that may still be made; nothing where the file system has no such limit.
    pub free_files: Sight<u64>,
}

/// What runs that ended badly have left.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Leftovers {
    /// The verb of a change of files that was interrupted.
    pub interrupted: Option<String>,
    /// Whether another run is at it right now.
    pub in_progress: bool,
    /// Half-written files beside those of the project that no run will look for again.
    pub staged: Vec<PathBuf>,
    /// Records of the state that cannot be understood.
    pub damaged: Vec<Trouble>,
    /// The process of a native service that was not stopped and is gone.
    pub dead_service: Option<u32>,
}

/// What a check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All is well.
    Pass,
    /// It works, and should be looked at.
    Warn,
    /// It does not work.
    Fail,
    /// It could not be looked at.
    Unknown,
    /// It does not apply here, or was not asked for.
    Skipped,
}

impl Outcome {
    /// Returns the stable name used in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Fail => "fail",
            Self::Unknown => "unknown",
            Self::Skipped => "skipped",
        }
    }
}

/// How much depends on a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Nothing can be launched, changed or reached without it.
    Error,
    /// Something will go wrong sooner or later.
    Warning,
}

impl Severity {
    /// Returns the stable name used in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// What `doctor --fix` can do by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fix {
    /// Settle an interrupted change of files.
    Recover,
    /// Remove half-written files.
    RemoveStaged(Vec<PathBuf>),
    /// Take the rights of others away from these folders of ours.
    MakePrivate(Vec<PathBuf>),
    /// Set a damaged pool aside and keep what can be read of it.
    MendPool(PathBuf),
}

/// The answer of one check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was found.
    pub outcome: Outcome,
    /// What shows it.
    pub evidence: Vec<Message>,
    /// What helps, for everything but a pass.
    pub remedy: Option<Message>,
    /// What `--fix` can do.
    pub fix: Option<Fix>,
}

impl Finding {
    fn new(outcome: Outcome, evidence: Vec<Message>, remedy: Option<Message>) -> Self {
        Self { outcome, evidence, remedy, fix: None }
    }

    /// All is well, as this shows.
    pub fn pass(evidence: impl Into<Message>) -> Self {
        Self::new(Outcome::Pass, vec![evidence.into()], None)
    }

    /// It works, and should be looked at.
    pub fn warn(evidence: Vec<Message>, remedy: impl Into<Message>) -> Self {
        Self::new(Outcome::Warn, evidence, Some(remedy.into()))
    }

    /// It does not work.
    pub fn fail(evidence: Vec<Message>, remedy: impl Into<Message>) -> Self {
        Self::new(Outcome::Fail, evidence, Some(remedy.into()))
    }

    /// It could not be looked at.
    pub fn unknown(why: impl Into<Message>) -> Self {
        Self::new(Outcome::Unknown, vec![why.into()], None)
    }

    /// It does not apply here.
    pub fn skipped(why: impl Into<Message>) -> Self {
        Self::new(Outcome::Skipped, vec![why.into()], None)
    }

    /// Adds what helps.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<Message>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// Adds what `--fix` can do.
    #[must_use]
    pub fn fixable(mut self, fix: Fix) -> Self {
        self.fix = Some(fix);
        self
    }
}
