//! The container engine: Docker or Podman, over its API.
//!
//! Finds the engine and says who it is ([`connect`]), lists the ports of every container, makes an image of this very
//! executable, runs one hardened service, and drives compose for a user's own project. Nothing here prints or asks,
//! and only objects that carry the label `dev.portwright.directory` are ever changed.

mod address;
mod engine;
mod failure;
mod ports;
mod transport;

pub use engine::{Choice, Engine, EngineIdentity, EngineKind, connect};
pub use failure::PortTaken;

/// The label that names the folder a deployment belongs to; what does not carry it is not ours.
pub const LABEL_DIRECTORY: &str = "dev.portwright.directory";
