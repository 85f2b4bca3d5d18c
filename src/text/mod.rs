//! The room `text`.

pub mod interpolate;
