//! The load test: its own target (`serve`), the tests against any address (`run`), and what came out (`outcome`).
//!
//! `plan` decides what is run and is pure. Everything that is received is compared with what must arrive, so a number
//! stands for bytes that are right. This room prints nothing and knows nothing of the tunnel: it sees an address.

mod bulk;
mod connect;
mod exchange;
mod flow;
mod integrity;
mod load;
pub mod outcome;
pub mod plan;
mod run;
mod serve;
mod threads;
mod wire;

pub use run::{Row, Side, Target, reach, run};
pub use serve::serve;
