//! The room `disk`.
