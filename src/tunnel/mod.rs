//! The bundled tunnel server: forwarding from public ports, kept in `SQLite` or `PostgreSQL`, steered through an HTTP
//! API.
//!
//! `settings`, `config`, `policy` and `request` are pure; `relay` and `forward` move bytes; `store` keeps the mappings
//! and `mappings` serves them; `guard` and `api` are the door; `server` puts it all together.

mod accounts;
pub mod address;
mod api;
mod audit;
pub mod caller;
pub mod client;
pub mod config;
mod control;
mod dashboard;
mod datagrams;
mod dial;
pub(crate) mod entry;
pub mod examine;
pub mod exposure;
mod ferry;
mod forward;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod guard;
mod handshake;
mod health;
mod history;
pub mod import;
pub mod issuing;
mod join_code;
mod ledger;
mod link;
mod logbook;
mod machine;
mod mappings;
pub mod policy;
pub(crate) mod proto;
mod proxy_header;
mod refusal;
mod relay;
mod request;
mod rules;
pub mod server;
mod sessions;
mod settings;
mod spare;
mod store;
mod stream;
mod target;
mod templates;
mod terms;
mod tls;
mod token;
mod tokens;
mod vigil;
mod visitors;
mod wire;
mod yard;

pub use health::{Health, health_probe, shows_certificate};
pub(crate) use store::database_authority;
pub use templates::{LaidOut, Layout, render};
pub use tls::certificate_validity;
