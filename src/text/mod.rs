//! The room `text`.

pub mod dotenv;
pub mod interpolate;
