//! Tests of the protocol as a whole: two honest sessions over a bad network, and an honest one against a dishonest peer.

mod far;
mod malice;
mod sim;
mod vectors;
