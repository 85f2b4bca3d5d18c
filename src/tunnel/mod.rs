//! The bundled tunnel server: direct TCP forwarding from public ports, kept in `SQLite`, steered through an HTTP API.
//!
//! `settings`, `config`, `policy` and `request` are pure; `relay` and `forward` move bytes; `store` keeps the mappings
//! and `mappings` serves them; `guard` and `api` are the door; `server` puts it all together.

mod api;
pub mod config;
mod files;
mod forward;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod guard;
#[expect(dead_code, unused_imports, reason = "used by the data plane")]
mod handshake;
mod health;
mod mappings;
pub mod policy;
#[cfg_attr(not(test), expect(dead_code, reason = "used by the data plane"))]
pub(crate) mod proto;
mod refusal;
mod relay;
mod request;
pub mod server;
mod settings;
mod store;
mod templates;
#[cfg_attr(not(test), expect(dead_code, unused_imports, reason = "used by the data plane"))]
mod tls;
#[cfg_attr(not(test), expect(dead_code, reason = "used by the data plane"))]
mod token;
mod tokens;

pub use health::{Health, health_probe};
pub use templates::{LaidOut, Layout, render};
