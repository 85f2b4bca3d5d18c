//! The bundled tunnel server: direct TCP forwarding from public ports, kept in `SQLite`, steered through an HTTP API.
//!
//! `settings`, `config`, `policy` and `request` are pure; `relay` and `forward` move bytes; `store` keeps the mappings
//! and `mappings` serves them; `guard` and `api` are the door; `server` puts it all together.

mod api;
pub mod client;
pub mod config;
mod control;
mod datagrams;
mod dial;
mod entry;
pub mod exposure;
mod ferry;
mod files;
mod forward;
mod guard;
#[allow(dead_code, unused_imports)]
mod handshake;
mod health;
mod link;
mod mappings;
pub mod policy;
#[allow(dead_code)]
pub(crate) mod proto;
mod proxy_header;
mod refusal;
mod relay;
mod request;
pub mod server;
mod sessions;
mod settings;
mod store;
mod stream;
mod target;
mod templates;
#[allow(dead_code, unused_imports)]
mod tls;
#[allow(dead_code)]
mod token;
mod tokens;
mod vigil;
mod wire;
mod yard;

pub use health::{Health, health_probe};
pub use templates::{LaidOut, Layout, render};
