//! Judgement: facts and wishes in, bindings and moves out. Pure and deterministic; the same input gives the same plan.
//!
//! `judge` says of each published port whether it is free, ours or taken; `choose` decides what moves where.

mod choose;
pub mod diagnose;
mod free;
mod judge;
mod known;
mod ripple;
#[cfg(test)]
mod tests;
pub mod tune;

pub use choose::{Decision, Policy, PortPlan, Wishes, choose, group_of, sticky_name, try_port};
pub use free::free_ports;
pub use judge::{Judgement, held_by, judge};
pub use known::{has_fixed_meaning, is_blocked_by_browsers};
pub use ripple::{MAX_USES, respelled, uses};
