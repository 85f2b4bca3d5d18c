//! The container engine: Docker or Podman, over its API.
//!
//! Finds the engine and says who it is ([`connect`]), lists the ports of every container, makes an image of this very
//! executable, runs one hardened service, and drives compose for a user's own project. Nothing here prints or asks,
//! and only objects that carry the label `dev.portwright.directory` are ever changed.

mod address;
mod compose;
mod container;
mod elf;
mod engine;
mod failure;
mod image;
mod inside;
mod ports;
mod reply;
mod service;
mod transport;
mod watch;

pub use compose::{ComposeFailure, ComposeProject, ComposeTool};
pub use container::{Action, DeployError, Deployed, Event, Previous};
pub use engine::{Choice, Engine, EngineIdentity, EngineKind, connect};
pub use failure::PortTaken;
pub use image::{Executable, ImageRef, PROGRAM};
pub use inside::Ran;
pub use ports::containers;
pub use service::{FILES_FOLDER, ServiceFile, ServiceSpec, VolumeMount};
pub use watch::{Probe, ServiceStatus, Unhealthy, Verdict};

/// The label that names the folder a deployment belongs to; what does not carry it is not ours.
pub const LABEL_DIRECTORY: &str = "dev.portwright.directory";

/// The label of an image and its containers with the SHA-256 of the image's contents.
pub const LABEL_DIGEST: &str = "dev.portwright.digest";

/// The label with the SHA-256 of everything that a container was made from.
pub const LABEL_CONFIG_HASH: &str = "dev.portwright.config-hash";

/// The label with the instance name, of several copies of one project.
pub const LABEL_INSTANCE: &str = "dev.portwright.instance";

/// The user and group that the service runs as; no user of the host has it by default.
const USER_ID: u64 = 65532;
