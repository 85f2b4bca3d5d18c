//! The tunnel server through its library: real sockets on loopback, real databases, and a process that is killed.

#![expect(clippy::indexing_slicing, reason = "a test that indexes wrongly fails, as it should")]

mod api;
mod durability;
mod figures;
mod forwarding;
mod http;
mod running;
