//! Bindings: the judgement on each published port, as the contract's JSON shows it.

use super::MappingId;
use super::{Mapping, Port};
use crate::words::Message;

/// The judgement on one published port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BindingState {
    /// Nobody has it.
    Free,
    /// This very project has it.
    Own,
    /// Somebody else has it, or no bind to it can work.
    Conflict,
    /// The system keeps it from being bound.
    Reserved,
    /// This user may not bind it.
    Privileged,
    /// It could not be looked at; neither free nor taken.
    Unknown,
}

impl BindingState {
    /// Returns the stable name used in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Own => "own",
            Self::Conflict => "conflict",
            Self::Reserved => "reserved",
            Self::Privileged => "privileged",
            Self::Unknown => "unknown",
        }
    }

    /// Tells whether the service cannot start with it.
    #[must_use]
    pub const fn blocks(self) -> bool {
        matches!(self, Self::Conflict | Self::Reserved)
    }
}

/// What kind of thing holds a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HolderKind {
    /// A process of this host.
    Process,
    /// A container.
    Container,
    /// Something that could not be named.
    Unknown,
}

impl HolderKind {
    /// Returns the stable name used in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Container => "container",
            Self::Unknown => "unknown",
        }
    }
}

/// Who holds a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// What it is.
    pub kind: HolderKind,
    /// Process id.
    pub pid: Option<u32>,
    /// Process name.
    pub process: Option<String>,
    /// User name.
    pub user: Option<String>,
    /// Container name.
    pub container: Option<String>,
    /// Compose project of the container.
    pub compose_project: Option<String>,
    /// Compose service of the container.
    pub compose_service: Option<String>,
}

/// One published port with its judgement. A mapping of n ports has n bindings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// The mapping it comes from.
    pub mapping: MappingId,
    /// The published port; `None` when the engine chooses.
    pub port: Option<Port>,
    /// The port in the container.
    pub container_port: Port,
    /// The judgement.
    pub state: BindingState,
    /// Who holds the port, when it is taken.
    pub holder: Option<Holder>,
    /// A port that would do, when this one does not.
    pub suggested: Option<Port>,
    /// Why the state is what it is; also why the holder is not known.
    pub reason: Option<Message>,
}

impl Binding {
    /// Returns the name by which `--port NAME=PORT` reaches exactly this mapping: `service:container_port`.
    #[must_use]
    pub fn name(&self, mapping: &Mapping) -> String {
        format!("{}:{}", mapping.service, self.container_port)
    }
}
