//! The real program on Windows: files, sockets, processes and the registry of the system it runs on.
//!
//! `scripts/windows/test.sh` runs this under Wine; on a real Windows `cargo test --test windows` does. Elsewhere there is
//! nothing in it.
#![cfg(windows)]

mod machine;

mod files;
mod pool;
mod service;
mod tune;
mod tunnel;
