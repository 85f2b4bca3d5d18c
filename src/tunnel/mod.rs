//! The bundled tunnel server: direct TCP forwarding from public ports, kept in `SQLite`, steered through an HTTP API.
//!
//! `settings`, `config`, `policy` and `request` are pure; `relay` and `forward` move bytes; `store` keeps the mappings
//! and `mappings` serves them; `guard` and `api` are the door; `server` puts it all together.

mod api;
pub mod config;
mod forward;
mod guard;
mod health;
mod mappings;
pub mod policy;
#[allow(dead_code)]
pub(crate) mod proto;
mod refusal;
mod relay;
mod request;
pub mod server;
mod settings;
mod store;
mod templates;

pub use health::{Health, health_probe};
pub use templates::{LaidOut, Layout, render};
