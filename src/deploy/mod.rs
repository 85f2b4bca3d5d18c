//! The corridor: the stages of a run over plain values. No stage prints, and none but Plan chooses.

mod observe;
mod order;
mod scan;

pub use observe::{Memory, Observed, observe, observe_all, probe};
pub use order::{Interrupt, Order, ProjectOrder, RuntimeChoice};
pub use scan::{Scan, ScanWishes, scan};
