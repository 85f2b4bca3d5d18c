//! The room `docker`.
