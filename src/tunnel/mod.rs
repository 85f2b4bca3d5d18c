//! The bundled tunnel server: direct TCP forwarding from public ports, kept in `SQLite`, steered through an HTTP API.
//!
//! `settings`, `config`, `policy` and `request` are pure; `relay` and `forward` move bytes; `store` keeps the mappings
//! and `mappings` serves them; `guard` and `api` are the door; `server` puts it all together.

mod api;
pub mod config;
mod dial;
mod entry;
pub mod exposure;
mod ferry;
mod forward;
mod guard;
mod health;
mod link;
mod mappings;
#[allow(dead_code)]
pub(crate) mod proto;
pub mod policy;
mod refusal;
mod relay;
mod request;
pub mod server;
mod settings;
mod store;
mod stream;
mod target;
mod templates;
pub mod trial;
mod wire;
mod yard;

pub use health::{Health, health_probe};
pub use templates::{LaidOut, Layout, render};
