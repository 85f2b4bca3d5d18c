//! The room `text`.

pub mod dotenv;
pub mod edit;
pub mod interpolate;
pub mod project;
mod yaml;
