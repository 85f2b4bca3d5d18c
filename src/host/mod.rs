//! The room `host`.

pub mod terminal;
