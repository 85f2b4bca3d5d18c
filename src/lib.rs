//! Portwright brings a containerised service up on a machine that nobody prepared.
//!
//! The map of the house, and who may import whom, is in `ARCHITECTURE.md`; `tests/tidy.rs` enforces it.

pub mod bench;
pub mod cli;
pub mod deploy;
pub mod disk;
pub mod docker;
pub mod error;
pub mod host;
pub mod lease;
pub mod model;
pub mod plan;
mod remote;
pub mod text;
pub mod tunnel;
pub mod words;
