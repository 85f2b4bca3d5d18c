//! The room `plan`.

pub mod ripple;
