//! Facts: everything that was seen on this machine, and everything that could not be seen and why.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Endpoint, Port, PortRange, Protocol};
use crate::words::Message;

/// The operating system that was observed (not the one that decides).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Os {
    /// Linux.
    Linux,
    /// macOS.
    MacOs,
    /// Windows.
    Windows,
    /// Anything else.
    Other,
}

/// A value that may be impossible to see: "no containers" and "could not ask the engine" are different answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen<T> {
    /// It was seen.
    Known(T),
    /// It could not be seen, because of this.
    Unknown(Message),
}

impl<T> Seen<T> {
    /// Returns the value if it was seen.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Unknown(_) => None,
        }
    }
}

/// Something that could not be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unseen {
    /// A stable name of what was not seen: `socket-owners`, `containers`, `nat-rules`, …
    pub what: &'static str,
    /// Why not, with the command that would help.
    pub why: Message,
}

/// How a socket occupies its port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SocketState {
    /// TCP, accepting connections.
    Listen,
    /// TCP, bound but neither listening nor connected: absent from `/proc/net/tcp`, and yet in the way.
    Bound,
    /// TCP, the local end of a connection (an outgoing one, or an accepted one whose listener may be gone).
    Connected,
    /// TCP, waiting out `TIME_WAIT`.
    TimeWait,
    /// UDP, bound and not connected.
    Open,
}

impl SocketState {
    /// Returns the stable name used in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Listen => "listen",
            Self::Bound => "bound",
            Self::Connected => "connected",
            Self::TimeWait => "time-wait",
            Self::Open => "open",
        }
    }
}

/// A socket with the one that owns it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Socket {
    /// What it occupies.
    pub endpoint: Endpoint,
    /// How.
    pub state: SocketState,
    /// Who owns it, as far as the system told.
    pub owner: Owner,
}

/// The owner of a socket; every field is `None` where it could not be known, and `why_unknown` says why.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Owner {
    /// Process id; never that of a port forwarder of an engine when the container behind it is known.
    pub pid: Option<u32>,
    /// Process name.
    pub process: Option<String>,
    /// User name, or the number where it has no name.
    pub user: Option<String>,
    /// The container that the socket belongs to or forwards to.
    pub container: Option<ContainerRef>,
    /// Why the process is not known, with what would help.
    pub why_unknown: Option<Message>,
}

/// A container by name, with its place in a compose project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerRef {
    /// The full id.
    pub id: String,
    /// The name without the leading slash.
    pub name: String,
    /// The compose labels, when it has them.
    pub compose: Option<ComposeIdentity>,
}

/// Where a container comes from, as compose labels it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComposeIdentity {
    /// `com.docker.compose.project`.
    pub project: String,
    /// `com.docker.compose.service`.
    pub service: String,
    /// `com.docker.compose.project.working_dir`; tells two projects of one name apart.
    pub directory: Option<PathBuf>,
}

/// What a container does at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContainerState {
    /// It runs (also while paused or restarting): its ports are taken.
    Running,
    /// It exists and will want its ports when it starts.
    Stopped,
}

/// A container with the ports that it publishes now or would publish when started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// Its name and origin.
    pub identity: ContainerRef,
    /// Whether it runs.
    pub state: ContainerState,
    /// Whether the engine starts it again by itself (restart policy `always` or `unless-stopped`).
    pub restarts: bool,
    /// The process id of its first process on this host, for finding the owner of sockets in the host's network.
    pub pid: Option<u32>,
    /// Its published ports.
    pub published: Vec<Published>,
    /// The folder that a deployment of ours belongs to (label `dev.portwright.directory`), when it is one.
    pub portwright_directory: Option<PathBuf>,
}

/// One published port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// The address on the host; `None` for all.
    pub host_ip: Option<IpAddr>,
    /// The port on the host.
    pub host_port: Port,
    /// The port in the container.
    pub container_port: Port,
    /// The protocol.
    pub protocol: Protocol,
}

/// Ports that another copy of the same project has been given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promise {
    /// The instance; `None` for the project itself.
    pub instance: Option<String>,
    /// The ports.
    pub ports: PortRange,
    /// The protocol.
    pub protocol: Protocol,
}

/// What the kernel answered to a real bind on an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProbeOutcome {
    /// The bind worked.
    Free,
    /// Somebody has it (`EADDRINUSE`).
    InUse,
    /// This user may not bind it (`EACCES`): a privileged port, or an excluded range on Windows.
    Denied,
    /// The address is not one of this host (`EADDRNOTAVAIL`).
    NotLocal,
    /// The host has no such address family (`EAFNOSUPPORT`).
    NoFamily,
    /// Something else went wrong; the system's text.
    Failed(String),
}

/// Everything that was seen.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "independent observations, each read by its name")]
pub struct Facts {
    /// The operating system.
    pub os: Os,
    /// Whether the user may bind privileged ports and see the processes of others.
    pub privileged_user: bool,
    /// Whether the host has IPv6.
    pub ipv6: bool,
    /// Sockets that occupy ports: TCP listening and bound, UDP bound, and other TCP states on wanted ports.
    pub sockets: Seen<Vec<Socket>>,
    /// Containers, running and stopped.
    pub containers: Seen<Vec<Container>>,
    /// The range from which the system takes ports for outgoing connections.
    pub ephemeral: Option<PortRange>,
    /// Ports that the system keeps from being bound (excluded ranges on Windows).
    pub excluded: Vec<PortRange>,
    /// Ports that automatic choice leaves alone (`ip_local_reserved_ports`): a bind works all the same.
    pub reserved: Vec<PortRange>,
    /// The lowest port that an ordinary user may bind.
    pub unprivileged_from: u16,
    /// Whether binds on this host say anything about the engine's ports (false for an engine on another host).
    pub engine_is_local: bool,
    /// Whether the engine binds with more rights than this user has (a daemon of root).
    pub engine_is_privileged: bool,
    /// Answers of the kernel to binds.
    pub probes: BTreeMap<Endpoint, ProbeOutcome>,
    /// Ports that were chosen for this project before, by mapping name.
    pub sticky: BTreeMap<String, Port>,
    /// Ports of the other copies of this project, whether they run or not.
    pub promised: Vec<Promise>,
    /// Process ids of a native service of this very project.
    pub own_pids: Vec<u32>,
    /// What could not be looked at.
    pub unseen: Vec<Unseen>,
}
